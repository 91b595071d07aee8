//! Opening a data directory: lock, format, tree, log, threads.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use parking_lot::{Mutex, RwLock};

use super::cache::RecordCache;
use super::files::{Files, Operation};
use super::log::{Log, Syncer};
use super::marker::{self, Marker};
use super::replay::{self, Replayed};
use super::segments::{self, Pool};
use super::stretches::Stretches;
use super::tree::Tree;
use super::{
    Core, Durability, EmbeddedOptions, EmbeddedStore, Health, OpenError, Tables, Threads, Writer,
    checkpoint,
};
use crate::limits::{INLINE_COMMIT_US_MAX, STRETCHES_SHARE};
use crate::store::memtable::Memtable;

/// See [`EmbeddedStore::open`].
pub fn open(options: EmbeddedOptions) -> Result<EmbeddedStore, OpenError> {
    let EmbeddedOptions { dir, files, .. } = &options;
    create_dir(files, dir)?;
    let lock = lock(dir)?;
    let salt = marker::open_format(files, dir)?;
    let tree = Tree::open(files.clone(), &dir.join("tree")).map_err(tree_error)?;
    let log_dir = dir.join("log");
    let marker = open_marker(files, dir, &log_dir, options.segment_bytes)?;
    let mut active = Memtable::with_tombstones();
    let replayed =
        replay::replay(files, &log_dir, salt, &marker, |key, value| active.put(key, value))?;
    if marker.clean {
        // From here on the log may get records.
        Marker { clean: false, ..marker }.store(files, dir)?;
    }
    let Replayed { position, sequence, ready, next_number } = replayed;
    let syncer = Arc::new(Syncer::default());
    syncer.durable.store(position.ordinal, Ordering::Release);
    let health = Arc::new(Health::default());
    let pool = Pool::new(files.clone(), log_dir, options.segment_bytes, ready, next_number);
    let pool = Arc::new(pool);
    let log = Log::new(
        files.clone(),
        salt,
        options.durability,
        Arc::clone(&pool),
        Arc::clone(&syncer),
        Arc::clone(&health),
        position,
    );
    let writer = Writer { log, buffer_bytes: active.bytes(), closed: false };
    let core = Arc::new(Core {
        dir: dir.clone(),
        files: files.clone(),
        tables: RwLock::new(Tables { active, frozen: None }),
        tree,
        cache: RecordCache::new(options.cache_bytes),
        stretches: Stretches::new((options.cache_bytes / STRETCHES_SHARE) as usize),
        pool,
        syncer,
        health,
        checkpoints: Default::default(),
        compactions: Default::default(),
        sequence: AtomicU64::new(sequence),
        log_bytes: AtomicU64::new(writer.log.bytes()),
        _lock: lock,
    });
    let threads = start_threads(&core, options.durability)?;
    Ok(EmbeddedStore {
        core,
        writer: Mutex::new(writer),
        threads: Mutex::new(threads),
        // Unknown yet: slow until it has shown otherwise.
        issued: AtomicU64::new(sequence),
        commit_us: AtomicU64::new(10 * INLINE_COMMIT_US_MAX),
        durability: options.durability,
        memtable_bytes: options.memtable_bytes,
        log_bytes: options.log_bytes,
    })
}

/// Creates `dir` and what is missing above it, so that a crash cannot take it away again.
fn create_dir(files: &Files, dir: &Path) -> std::io::Result<()> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|path| !path.exists()).collect();
    std::fs::create_dir_all(dir)?;
    for created in missing {
        // The parent of a relative path's first part is "", which means the current directory.
        if let Some(parent) = created.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            files.sync_dir(parent)?;
        } else {
            files.sync_dir(Path::new("."))?;
        }
    }
    Ok(())
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let file = File::options().create(true).write(true).truncate(false).open(dir.join("LOCK"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn tree_error(error: lsm_tree::Error) -> OpenError {
    match error {
        lsm_tree::Error::Io(error) => OpenError::Io(error),
        other => OpenError::Corrupt(format!("the LSM tree cannot be read ({other:?})")),
    }
}

/// The marker of the directory; a new directory gets its first log file and marker.
fn open_marker(
    files: &Files,
    dir: &Path,
    log_dir: &Path,
    segment_bytes: u64,
) -> Result<Marker, OpenError> {
    if let Some(marker) = Marker::load(dir)? {
        return Ok(marker);
    }
    // Nothing was ever committed here, unless the marker was removed: then the log has other files
    // than the first, and reading it will say what is missing.
    files.check(Operation::Allocate)?;
    std::fs::create_dir_all(log_dir)?;
    if segments::list(log_dir)?.is_empty() {
        Pool::create_first(files, log_dir, segment_bytes)?;
    }
    files.sync_dir(dir)?;
    marker::START.store(files, dir)?;
    Ok(marker::START)
}

fn start_threads(core: &Arc<Core>, durability: Durability) -> Result<Threads, OpenError> {
    let mut quick = vec![
        spawn("log-files", core, |core| core.pool.prepare_always())?,
        spawn("checkpoint", core, checkpoint::run)?,
    ];
    if let Durability::Interval(interval) = durability {
        quick.push(spawn("log-sync", core, move |core| {
            core.syncer.sync_always(&core.files, &core.health, interval);
        })?);
    }
    let compaction = Some(spawn("compaction", core, checkpoint::compact_always)?);
    // What the last run left to do.
    core.compactions.request();
    Ok(Threads { quick, compaction })
}

fn spawn(
    name: &str,
    core: &Arc<Core>,
    body: impl FnOnce(&Core) + Send + 'static,
) -> Result<JoinHandle<()>, OpenError> {
    let core = Arc::clone(core);
    Ok(thread::Builder::new().name(name.to_owned()).spawn(move || body(&core))?)
}
