//! Files that are read again when they change.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::clock;
use crate::limits::FILES_INTERVAL;

/// Some files, and what they looked like.
pub struct Files {
    paths: Vec<PathBuf>,
    /// Nothing of a file that cannot be looked at.
    seen: Vec<Option<Look>>,
    looked: Instant,
}

/// What tells a file from what it was before: device, inode, length, and time of the last change
/// of its contents or of who may read it.
type Look = (u64, u64, u64, i64, i64);

impl Files {
    /// These files, as they are now. Call it before they are read: a change in between is noticed.
    pub fn new(paths: Vec<PathBuf>) -> Files {
        let seen = paths.iter().map(|path| look(path)).collect();
        Files { paths, seen, looked: clock::monotonic() }
    }

    /// Whether to read them: somebody `asked` for it, or they have changed since the last look, of which
    /// there is one each [`FILES_INTERVAL`].
    pub fn is_due(&mut self, asked: bool) -> bool {
        if !asked && clock::monotonic().duration_since(self.looked) < FILES_INTERVAL {
            return false;
        }
        let changed = self.have_changed();
        changed || asked
    }

    fn have_changed(&mut self) -> bool {
        self.looked = clock::monotonic();
        let now: Vec<_> = self.paths.iter().map(|path| look(path)).collect();
        let changed = now != self.seen;
        self.seen = now;
        changed
    }
}

fn look(path: &Path) -> Option<Look> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino(), meta.len(), meta.ctime(), meta.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_seen_once() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        fs::write(&one, "a").unwrap();
        let mut files = Files::new(vec![one.clone(), other.clone()]);
        assert!(!files.have_changed());
        fs::write(&one, "ab").unwrap();
        assert!(files.have_changed() && !files.have_changed());
        fs::write(&other, "").unwrap();
        assert!(files.have_changed() && !files.have_changed());
        fs::rename(&one, &other).unwrap();
        assert!(files.have_changed() && !files.have_changed());
        fs::remove_file(&other).unwrap();
        assert!(files.have_changed() && !files.have_changed());
        fs::write(&one, "").unwrap();
        assert!(!files.is_due(false), "too early for another look");
        assert!(files.is_due(true) && !files.have_changed() && files.is_due(true));
    }
}
