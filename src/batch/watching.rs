//! Watches on what those wait for who found nothing to take: other processes may provide it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::task::Context;

use super::Parked;
use crate::data::keys::RecordKey;
use crate::limits::WATCHES_MAX;
use crate::store::{Store, Watch};

/// One watch for each record that somebody waits for.
pub(super) struct Watching {
    store: Arc<dyn Store>,
    watches: HashMap<RecordKey, Box<dyn Watch>>,
}

impl Watching {
    pub(super) fn new(store: &Arc<dyn Store>) -> Watching {
        Watching { store: Arc::clone(store), watches: HashMap::new() }
    }

    /// The metas of keys that may have become ready. Call again when woken.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, parked: &Parked) -> HashSet<RecordKey> {
        for (record, is_wanted) in parked.news() {
            if !is_wanted {
                self.watches.remove(&record);
            } else if !self.watches.contains_key(&record)
                && self.watches.len() < WATCHES_MAX
                && let Some(watch) = Arc::clone(&self.store).watch(&record)
            {
                self.watches.insert(record, watch);
            }
        }
        let mut changed = HashSet::new();
        for (record, watch) in &mut self.watches {
            while watch.poll_changed(cx).is_ready() {
                changed.insert(record.clone());
            }
        }
        changed
    }
}
