//! Every file operation of the log and of the store's small files, in one place.
//!
//! It exists so that tests can make any of them fail as a full or broken disk would; outside tests
//! it adds nothing to the system calls. The LSM tree does its own file operations.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::limits::LOG_ZEROS_BYTES;

/// What an operation does, for tests that let it fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A commit's write to the log.
    Append,
    /// A sync of log records.
    Sync,
    /// Taking room on the disk for a log segment.
    Allocate,
    /// Writing a small file whole.
    Replace,
    /// Writing a checkpoint into the LSM tree.
    Ingest,
    /// Giving a log file a new number.
    Recycle,
}

/// The way to the disk. Cheap to clone.
#[derive(Clone, Default)]
pub struct Files {
    #[cfg(test)]
    pub faults: std::sync::Arc<faults::Faults>,
}

impl Files {
    /// Fails if a test asked for it.
    pub fn check(&self, operation: Operation) -> io::Result<()> {
        #[cfg(test)]
        self.faults.check(operation)?;
        let _ = operation;
        Ok(())
    }

    /// Appends a commit: writes all of `bytes` at `offset`.
    pub fn append(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        #[cfg(test)]
        if let Some(part) = self.faults.torn(bytes.len()) {
            file.write_all_at(&bytes[..part], offset)?;
        }
        self.check(Operation::Append)?;
        file.write_all_at(bytes, offset)
    }

    /// Makes what was written to `file` durable, without its timestamps.
    pub fn sync(&self, file: &File) -> io::Result<()> {
        self.check(Operation::Sync)?;
        file.sync_data()
    }

    /// Makes the names in directory `dir` durable.
    pub fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    /// Creates `path` with `len` bytes of zeros, written and synced, so that overwriting any of
    /// them needs no new block. In steps: one large flush would hold up the syncs of commits.
    pub fn create_zeroed(&self, path: &Path, len: u64) -> io::Result<File> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        let filled = self.fill(&file, len);
        if filled.is_err() {
            // Whatever room was taken is better given back on a full disk.
            let _ = std::fs::remove_file(path);
        }
        filled.map(|()| file)
    }

    fn fill(&self, file: &File, len: u64) -> io::Result<()> {
        self.check(Operation::Allocate)?;
        // Tells at once when there is no room. Some file systems cannot; the zeros will tell then.
        let reserved = rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len);
        if reserved == Err(Errno::NOSPC) {
            return Err(Errno::NOSPC.into());
        }
        let zeros = vec![0; LOG_ZEROS_BYTES.min(len as usize)];
        let mut offset = 0;
        while offset < len {
            let step = zeros.len().min((len - offset) as usize);
            file.write_all_at(&zeros[..step], offset)?;
            file.sync_data()?;
            offset += step as u64;
        }
        file.sync_all()
    }

    /// Overwrites `len` bytes at `offset` with zeros and syncs.
    pub fn erase(&self, file: &File, offset: u64, len: usize) -> io::Result<()> {
        self.check(Operation::Append)?;
        file.write_all_at(&vec![0; len], offset)?;
        self.sync(file)
    }

    /// Gives `path` this content, durably and in one step: afterwards it has the old or the new
    /// content whatever happens.
    pub fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.check(Operation::Replace)?;
        let dir = path.parent().expect("the store's files lie in its directory");
        let temporary = path.with_extension("tmp");
        std::fs::write(&temporary, content)?;
        File::open(&temporary)?.sync_all()?;
        std::fs::rename(&temporary, path)?;
        self.sync_dir(dir)
    }

    /// Renames a file within `dir`, durably.
    pub fn rename(&self, dir: &Path, from: &Path, to: &Path) -> io::Result<()> {
        self.check(Operation::Recycle)?;
        std::fs::rename(from, to)?;
        self.sync_dir(dir)
    }
}

/// What clients are told about an error: the system's own words, without its number.
pub fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
pub mod faults {
    //! Failures on demand.

    use std::io;

    use parking_lot::Mutex;

    use super::Operation;

    type Hook = Box<dyn FnMut(Operation) -> io::Result<()> + Send>;

    /// Asked before every operation.
    #[derive(Default)]
    pub struct Faults {
        hook: Mutex<Option<Hook>>,
        torn: Mutex<Option<usize>>,
    }

    impl Faults {
        /// From now on `hook` decides.
        pub fn set(&self, hook: impl FnMut(Operation) -> io::Result<()> + Send + 'static) {
            *self.hook.lock() = Some(Box::new(hook));
        }

        /// `operation` fails with `errno` until [`Faults::clear`].
        pub fn fail(&self, operation: Operation, errno: rustix::io::Errno) {
            self.set(move |asked| if asked == operation { Err(errno.into()) } else { Ok(()) });
        }

        /// The next append writes only this many bytes before the hook is asked.
        pub fn tear(&self, bytes: usize) {
            *self.torn.lock() = Some(bytes);
        }

        /// Nothing fails any more.
        pub fn clear(&self) {
            *self.hook.lock() = None;
        }

        pub(super) fn check(&self, operation: Operation) -> io::Result<()> {
            self.hook.lock().as_mut().map_or(Ok(()), |hook| hook(operation))
        }

        pub(super) fn torn(&self, len: usize) -> Option<usize> {
            self.torn.lock().take().map(|part| part.min(len))
        }
    }
}
