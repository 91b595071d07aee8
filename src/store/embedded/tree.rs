//! The LSM tree, which only checkpoints write.
//!
//! It is used without fjall's journal and worker threads: the log of this store is the journal, and
//! when to compact is decided here, so that a full disk stops a compaction and not all later ones.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lsm_tree::compaction::Leveled;
use lsm_tree::config::{
    BlockSizePolicy, BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry,
    PinningPolicy,
};
use lsm_tree::{
    AbstractTree, AnyTree, Cache, CompressionType, Config, DescriptorTable, Guard, SeqNo,
    SequenceNumberCounter, Slice,
};
use parking_lot::Mutex;

use super::files::{Files, Operation};
use crate::limits::{TREE_CACHE_BYTES, TREE_FILES_MAX};
use crate::store::memtable::Memtable;

/// Reads always want the newest state; who reads holds off checkpoints by other means.
const NEWEST: SeqNo = SeqNo::MAX;

/// Records in key order, from both ends.
pub type Walk = Box<dyn DoubleEndedIterator<Item = lsm_tree::Result<(Slice, Slice)>>>;

/// See the module.
pub struct Tree {
    tree: AnyTree,
    tables: PathBuf,
    files: Files,
    seqno: SequenceNumberCounter,
    /// Held while tables are written, so that unfinished ones are not taken for leftovers.
    compacting: Mutex<()>,
    ingesting: Mutex<()>,
}

impl Tree {
    /// Opens or creates the tree in `dir`.
    pub fn open(files: Files, dir: &Path) -> lsm_tree::Result<Self> {
        let seqno = SequenceNumberCounter::default();
        let visible = SequenceNumberCounter::default();
        let tree = Config::new(dir, seqno.clone(), visible.clone())
            .use_cache(Arc::new(Cache::with_capacity_bytes(TREE_CACHE_BYTES)))
            .use_descriptor_table(Some(Arc::new(DescriptorTable::new(TREE_FILES_MAX))))
            .data_block_size_policy(BlockSizePolicy::all(4096))
            .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
            .filter_policy(FilterPolicy::all(FilterPolicyEntry::Bloom(
                BloomConstructionPolicy::BitsPerKey(10.0),
            )))
            // Filters and indexes of the upper levels, which every read asks, are few and stay in
            // memory whole; below they are read in parts, so that memory does not grow with the
            // data.
            .filter_block_pinning_policy(PinningPolicy::new([true, true, false]))
            .filter_block_partitioning_policy(PinningPolicy::new([false, false, true]))
            .index_block_partitioning_policy(PinningPolicy::new([false, false, true]))
            .open()?;
        let next = tree.get_highest_seqno().map_or(0, |highest| highest + 1);
        seqno.set(next);
        visible.set(next);
        let tables = dir.join("tables");
        let (compacting, ingesting) = Default::default();
        Ok(Self { tree, tables, files, seqno, compacting, ingesting })
    }

    /// The value of `key`.
    pub fn get(&self, key: &[u8]) -> lsm_tree::Result<Option<Slice>> {
        self.tree.get(key, NEWEST)
    }

    /// The records with `begin <= key < end`.
    pub fn range(&self, begin: &[u8], end: &[u8]) -> Walk {
        Box::new(self.tree.range(begin..end, NEWEST, None).map(Guard::into_inner))
    }

    /// Whether there is nothing to find.
    pub fn is_empty(&self) -> bool {
        self.tree.table_count() == 0
    }

    /// Writes all records of `table` as one sorted run, durably and atomically, and shows each to
    /// `note` on the way.
    pub fn ingest(
        &self,
        table: &Memtable,
        mut note: impl FnMut(&[u8], Option<&[u8]>),
    ) -> lsm_tree::Result<()> {
        let _held = self.ingesting.lock();
        self.files.check(Operation::Ingest)?;
        if table.is_empty() {
            return Ok(());
        }
        let mut ingestion = self.tree.ingestion()?;
        for (key, value) in table.iter() {
            match value {
                Some(value) => ingestion.write(key, value)?,
                None => ingestion.write_tombstone(key)?,
            }
            note(key, value);
        }
        ingestion.finish()
    }

    /// Does one piece of compaction; `false` when nothing was left to do.
    pub fn compact(&self) -> lsm_tree::Result<bool> {
        let _held = self.compacting.lock();
        let before = self.tree.current_version().id();
        // No read goes back in time, so all but the newest version of a record can go.
        self.tree.compact(Arc::new(Leveled::default()), self.seqno.get())?;
        Ok(self.tree.current_version().id() != before)
    }

    /// Removes files that a failed checkpoint or compaction left behind, unless another one is
    /// under way. `hold_reads_off` returns a guard: a read may still use a table that was just
    /// replaced.
    pub fn remove_leftovers<G>(&self, hold_reads_off: impl FnOnce() -> G) -> io::Result<()> {
        let (Some(_compacting), Some(_ingesting)) =
            (self.compacting.try_lock(), self.ingesting.try_lock())
        else {
            return Ok(());
        };
        let version = self.tree.current_version();
        let mut leftovers = Vec::new();
        for entry in std::fs::read_dir(&self.tables)? {
            let path = entry?.path();
            let id = path.file_name().and_then(|name| name.to_str()?.parse().ok());
            if id.is_some_and(|id: u64| version.iter_tables().all(|table| table.id() != id)) {
                leftovers.push(path);
            }
        }
        let _no_reads = hold_reads_off();
        leftovers.iter().try_for_each(std::fs::remove_file)
    }

    /// Sorted runs a read may have to look into before the deeper levels.
    pub fn runs(&self) -> usize {
        self.tree.l0_run_count()
    }

    /// Bytes on disk, tables, and runs of the first level.
    pub fn figures(&self) -> [(&'static str, u64); 3] {
        [
            ("tree_bytes", self.tree.disk_space()),
            ("tree_tables", self.tree.table_count() as u64),
            ("tree_runs", self.runs() as u64),
        ]
    }
}
