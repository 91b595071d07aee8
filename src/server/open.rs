//! Opens the store that the configuration names, and heeds what tests ask for in the environment.

use std::sync::Arc;

use crate::clock;
use crate::config::{self, Config, StoreKind};
use crate::store::Store;
use crate::store::embedded::{Durability, EmbeddedOptions, EmbeddedStore};
use crate::store::fault::{FaultPlan, FaultStore};
use crate::store::memory::MemoryStore;

/// Makes the server's own tests run on a store that fails now and then; see [`fault_plan`].
const FAULTS_VARIABLE: &str = "RINGSTONE_TEST_FAULTS";
/// Makes the process's wall clock wrong by so many milliseconds, for the same reason.
const SKEW_VARIABLE: &str = "RINGSTONE_TEST_CLOCK_SKEW_MS";

/// Sets the clock as a test wants it; to be called before anything asks for the time of day.
pub fn skew_clock() -> Result<(), String> {
    let Ok(text) = std::env::var(SKEW_VARIABLE) else { return Ok(()) };
    let ms = text.parse().map_err(|_| format!("{SKEW_VARIABLE}: '{text}' is not a number"))?;
    clock::skew(ms);
    Ok(())
}

/// Opens the configured store; the error is a sentence that says what to do.
pub fn open(config: &Config) -> Result<Arc<dyn Store>, String> {
    if config.cluster_file.is_some() && config.store != StoreKind::FoundationDb {
        tracing::warn!("cluster-file is set but not used; --store foundationdb would use it");
    }
    let store: Arc<dyn Store> = match config.store {
        StoreKind::Memory => Arc::new(MemoryStore::new()),
        StoreKind::Embedded => {
            let durability = match config.durability {
                config::Durability::Sync => Durability::Sync,
                config::Durability::Interval => Durability::Interval(config.durability_interval),
                config::Durability::None => Durability::None,
            };
            let mut options = EmbeddedOptions::new(&config.data_dir);
            options.durability = durability;
            options.cache_bytes = config.cache_bytes as u64;
            Arc::new(EmbeddedStore::open(options).map_err(|error| error.to_string())?)
        }
        StoreKind::FoundationDb => foundationdb(config)?,
    };
    match std::env::var(FAULTS_VARIABLE) {
        Ok(plan) => Ok(Arc::new(FaultStore::new(store, fault_plan(&plan)?))),
        Err(_) => Ok(store),
    }
}

#[cfg(feature = "fdb")]
fn foundationdb(config: &Config) -> Result<Arc<dyn Store>, String> {
    use crate::store::foundationdb::{FdbOptions, FdbStore};

    let mut options = FdbOptions::new(config.fdb_root.clone());
    options.cluster_file = config.cluster_file.clone();
    Ok(Arc::new(FdbStore::open(options)?))
}

/// Ends what stores leave running; nothing can be opened after it.
pub fn end() {
    #[cfg(feature = "fdb")]
    crate::store::foundationdb::stop_network();
}

#[cfg(not(feature = "fdb"))]
fn foundationdb(_: &Config) -> Result<Arc<dyn Store>, String> {
    Err("this build of ringstone has no FoundationDB support".to_owned())
}

/// Reads a plan such as `seed=1,pending=3,conflict=5`: each fault happens once in so many chances.
fn fault_plan(text: &str) -> Result<FaultPlan, String> {
    let mut plan = FaultPlan::default();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let bad = || format!("{FAULTS_VARIABLE}: cannot understand '{part}'");
        let (name, value) = part.split_once('=').ok_or_else(bad)?;
        let value: u32 = value.parse().map_err(|_| bad())?;
        match name {
            "seed" => plan.seed = u64::from(value),
            "pending" => plan.pending_1_in = value,
            "delay" => plan.delay_1_in = value,
            "retry" => plan.retry_1_in = value,
            "timeout" => plan.timeout_1_in = value,
            "conflict" => plan.conflict_1_in = value,
            "unknown-applied" => plan.unknown_applied_1_in = value,
            "unknown-lost" => plan.unknown_not_applied_1_in = value,
            "refused" => plan.refused_1_in = value,
            _ => return Err(bad()),
        }
    }
    Ok(plan)
}
