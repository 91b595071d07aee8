//! Opening the store: find the cluster, reach it in time, and say clearly why not.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use foundationdb::directory::{Directory, DirectoryError, DirectoryLayer};
use foundationdb::options::{DatabaseOption, TransactionOption};
use foundationdb::{FdbBindingError, FdbError};
use parking_lot::Mutex;

use super::assumed::Assumed;
use super::error::{TIMED_OUT, cause};
use super::figures::Figures;
use super::maintenance::{Shared, block_on};
use super::raw::{Database, Outcome};
use super::sequence::fetch_block;
use super::{FdbStore, network};
use crate::clock;
use crate::limits::{COMMAND_DEADLINE, FDB_CONNECT_TIMEOUT, FDB_RETRY_PAUSE_MAX};
use crate::store::wait;

/// Where FoundationDB itself looks for a cluster file.
const DEFAULT_CLUSTER_FILE: &str = "/etc/foundationdb/fdb.cluster";
const CLUSTER_FILE_VARIABLE: &str = "FDB_CLUSTER_FILE";
/// Marks the directories that are ringstone's.
const LAYER: &[u8] = b"ringstone";

/// How to open an [`FdbStore`].
#[derive(Debug, Clone)]
pub struct FdbOptions {
    /// Names the cluster. `None` is the file that `FDB_CLUSTER_FILE` names, or FoundationDB's usual.
    pub cluster_file: Option<PathBuf>,
    /// Path of the cluster's directory that has the data, at least one part.
    pub root: Vec<String>,
    /// How long opening may take.
    pub connect_timeout: Duration,
}

impl FdbOptions {
    /// Everything but the root is as usual.
    pub fn new(root: Vec<String>) -> Self {
        Self { cluster_file: None, root, connect_timeout: FDB_CONNECT_TIMEOUT }
    }
}

impl FdbStore {
    /// Opens the store and reaches the cluster; the error is a sentence that says what to do.
    pub fn open(options: FdbOptions) -> Result<Self, String> {
        let file = options.cluster_file.clone().unwrap_or_else(default_cluster_file);
        std::fs::read(&file).map_err(|error| {
            format!(
                "cannot read the cluster file {}: {error}; give --cluster-file or set \
                 {CLUSTER_FILE_VARIABLE}",
                file.display()
            )
        })?;
        network::start()?;
        let opening = Opening {
            file: &file,
            timeout: options.connect_timeout,
            deadline: clock::monotonic() + options.connect_timeout,
        };
        let database = opening.connect().map_err(|error| opening.problem(error))?;
        let prefixes = opening.directories(&options.root)?;
        let sequence_key = [&prefixes.system[..], b"sequence"].concat();
        let never = AtomicBool::new(false);
        let first_block = fetch_block(&database, &sequence_key, opening.left_ms(), &never)
            .map_err(|cause| format!("cannot take sequence numbers from the cluster: {cause}"))?;
        network::skip_destructors();
        let shared = Arc::new(Shared::new(database, sequence_key, first_block));
        let thread = Arc::clone(&shared)
            .start()
            .map_err(|error| format!("cannot start the thread of the store: {error}"))?;
        Ok(Self {
            shared,
            prefix: prefixes.data,
            assumed: Assumed::new(clock::monotonic()),
            figures: Figures::default(),
            cluster_file: file,
            root: options.root.join("/"),
            thread: Mutex::new(Some(thread)),
        })
    }
}

fn default_cluster_file() -> PathBuf {
    let named = std::env::var_os(CLUSTER_FILE_VARIABLE).filter(|name| !name.is_empty());
    named.map_or_else(|| PathBuf::from(DEFAULT_CLUSTER_FILE), PathBuf::from)
}

struct Prefixes {
    data: Vec<u8>,
    system: Vec<u8>,
}

struct Opening<'a> {
    file: &'a Path,
    timeout: Duration,
    deadline: Instant,
}

impl Opening<'_> {
    fn left_ms(&self) -> i32 {
        let left = self.deadline.saturating_duration_since(clock::monotonic());
        left.as_millis().clamp(1, i32::MAX as u128) as i32
    }

    /// Connects and obtains a version, which only a cluster that works gives.
    fn connect(&self) -> Outcome<Database> {
        let file = CString::new(self.file.as_os_str().as_bytes());
        let file = file.map_err(|_| FdbError::from_code(NO_CLUSTER_FILE))?;
        let database = Database::open(&file)?;
        let pause_ms = FDB_RETRY_PAUSE_MAX.as_millis() as i32;
        database.option(&DatabaseOption::TransactionMaxRetryDelay(pause_ms))?;
        let timeout_ms = COMMAND_DEADLINE.as_millis() as i32;
        database.option(&DatabaseOption::TransactionTimeout(timeout_ms))?;
        let transaction = database.transaction()?;
        transaction.option(&TransactionOption::Timeout(self.left_ms()))?;
        let never = AtomicBool::new(false);
        loop {
            match block_on(transaction.read_version(), &never)?.take() {
                Ok(_) => return Ok(database),
                Err(error) if error.code() == DATABASE_LOCKED => return Err(error),
                Err(error) => block_on(transaction.on_error(error), &never)?.take()?,
            }
        }
    }

    /// Why the cluster could not be reached.
    fn problem(&self, error: FdbError) -> String {
        let file = self.file.display();
        match error.code() {
            TIMED_OUT => format!(
                "no answer from the FoundationDB cluster of {file} within {} s; check that it runs \
                 and can be reached from here: fdbcli -C {file} --exec status",
                self.timeout.as_secs_f64()
            ),
            DATABASE_LOCKED => format!(
                "the FoundationDB database of {file} is locked; an operator can unlock it with \
                 fdbcli"
            ),
            NO_CLUSTER_FILE | CONNECTION_STRING_INVALID => format!(
                "{file} is not a cluster file of FoundationDB; copy that of a machine of the \
                 cluster, or give --cluster-file"
            ),
            _ => format!("cannot use the FoundationDB cluster of {file}: {}", cause(error)),
        }
    }

    /// Opens the directory `root`, made if it is new, and what belongs into it.
    fn directories(&self, root: &[String]) -> Result<Prefixes, String> {
        let not_utf8 = || format!("the path {} is not UTF-8", self.file.display());
        let file = self.file.to_str().ok_or_else(not_utf8)?;
        // A connection of its own, which ends here: the crate's directory layer needs the crate's.
        let database =
            foundationdb::Database::from_path(file).map_err(|error| self.problem(error))?;
        let open = |path: Vec<String>| {
            let timeout = DatabaseOption::TransactionTimeout(self.left_ms());
            database.set_option(timeout).map_err(|error| self.problem(error))?;
            let mut opening = pin!(open_directory(&database, path));
            wait::wait(|cx| opening.as_mut().poll(cx))
                .map_err(|error| self.directory_problem(root, error))
        };
        // One transaction each: the layer cannot make a parent and its child in one.
        open(root.to_vec())?;
        let child = |name: &str| [root, &[name.to_owned()]].concat();
        Ok(Prefixes { data: open(child("data"))?, system: open(child("system"))? })
    }

    fn directory_problem(&self, root: &[String], error: FdbBindingError) -> String {
        let root = root.join("/");
        if let Some(error) = error.get_fdb_error() {
            return self.problem(error);
        }
        match error {
            FdbBindingError::DirectoryError(DirectoryError::IncompatibleLayer) => format!(
                "the cluster's directory '{root}' belongs to something else; choose another \
                 --fdb-root"
            ),
            error => format!("cannot open the cluster's directory '{root}': {error}"),
        }
    }
}

const NO_CLUSTER_FILE: i32 = 1515;
const CONNECTION_STRING_INVALID: i32 = 2104;
const DATABASE_LOCKED: i32 = 1038;

async fn open_directory(
    database: &foundationdb::Database,
    path: Vec<String>,
) -> Result<Vec<u8>, FdbBindingError> {
    let path = &path;
    let open = |transaction: foundationdb::RetryableTransaction, _| async move {
        let layer = DirectoryLayer::default();
        let directory = layer.create_or_open(&transaction, path, None, Some(LAYER)).await?;
        Ok(directory.bytes()?.to_vec())
    };
    database.run(open).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_cluster_file_is_named() {
        let mut options = FdbOptions::new(vec!["ringstone".to_owned()]);
        options.cluster_file = Some(PathBuf::from("nowhere/fdb.cluster"));
        let problem = FdbStore::open(options).err().unwrap();
        assert_eq!(
            problem,
            "cannot read the cluster file nowhere/fdb.cluster: No such file or directory (os error \
             2); give --cluster-file or set FDB_CLUSTER_FILE"
        );
    }
}
