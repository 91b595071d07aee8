//! Whatever part of the log reached the disk, opening finds whole commits, in order, up to some
//! point; and where acknowledged commits are missing, it refuses.

use std::os::unix::fs::FileExt;

use super::*;
use crate::store::conformance::Records;

/// Copies a data directory, as a crash at this moment would leave it.
fn image(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            image(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

fn with(durability: Durability, dir: &Path) -> EmbeddedOptions {
    EmbeddedOptions { durability, segment_bytes: 32 * 1024, ..tiny(dir) }
}

/// Commits `count` times three records each; returns the content after every commit.
fn history(store: &Arc<EmbeddedStore>, count: u64) -> Vec<Records> {
    let mut states = vec![all(store)];
    for _ in 0..count {
        let sequence = store.sequence() + 1;
        let mut mutations = Mutations::default();
        mutations.set(b"counter", &[&sequence.to_be_bytes()]);
        mutations
            .set(&[b'k', sequence as u8 % 5], &[&vec![sequence as u8; sequence as usize % 40]]);
        mutations.clear(&[b'k', (sequence + 2) as u8 % 5]);
        store.commit(sequence, &mutations).unwrap();
        states.push(all(store));
    }
    states
}

/// The only log file with records in `dir`, and the end of its records.
fn log_file(store: &EmbeddedStore) -> (std::path::PathBuf, u64) {
    let (number, offset) = store.writer.lock().log.place();
    (segments::path(&store.core.dir.join("log"), number), offset)
}

#[test]
fn a_log_cut_at_any_byte_is_a_prefix_of_whole_commits() {
    let dir = scratch();
    let options = with(Durability::Sync, dir.path());
    let store = open(&options);
    let states = history(&store, 12);
    let (path, end) = log_file(&store);
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    let mut last_found = 0;
    // The last three records; opening takes some syncs.
    let begin = end as usize - 330;
    for cut in begin..=end as usize {
        let mut torn = whole.clone();
        torn[cut..].fill(0);
        std::fs::write(&path, &torn).unwrap();
        let store = open(&options);
        let found = store.sequence() as usize;
        assert_eq!(all(&store), states[found], "cut at {cut}");
        assert!(cut == begin || found == last_found || found == last_found + 1, "cut at {cut}");
        last_found = found;
    }
    assert_eq!(last_found, 12);
}

#[test]
fn a_torn_record_is_overwritten_and_never_comes_back() {
    let dir = scratch();
    let options = with(Durability::Sync, dir.path());
    let store = open(&options);
    history(&store, 6);
    let (path, end) = log_file(&store);
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    for cut in (end as usize - 300..end as usize).step_by(13) {
        let mut torn = whole.clone();
        // Something else than zeros, as in a file used before.
        torn[cut..].fill(0xa5);
        std::fs::write(&path, &torn).unwrap();
        let store = open(&options);
        let states = history(&store, 2);
        drop(store);
        let store = open(&options);
        assert_eq!(all(&store), states[2], "cut at {cut}");
    }
}

#[test]
fn damage_before_an_acknowledged_commit_is_refused() {
    let dir = scratch();
    let options = with(Durability::Sync, dir.path());
    let store = open(&options);
    let states = history(&store, 6);
    let (path, end) = log_file(&store);
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    let mut refused = 0;
    for at in (0..end as usize).step_by(3) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&path, &damaged).unwrap();
        match EmbeddedStore::open(options.clone()) {
            Err(OpenError::Corrupt(_)) => refused += 1,
            Err(error) => panic!("{error}"),
            // Padding, or the last record, which cannot be told from one that was being written.
            Ok(store) => {
                let sequence = store.sequence() as usize;
                assert_eq!(all(&Arc::new(store)), states[sequence]);
            }
        }
    }
    assert!(refused > end / 4, "{refused} of {end}");
}

#[test]
fn a_gap_in_what_was_never_synced_is_cut_off_for_good() {
    let dir = scratch();
    let options = with(Durability::None, dir.path());
    let store = open(&options);
    let states = history(&store, 6);
    let (path, _) = log_file(&store);
    drop(store);
    // The machine stopped and the page with the third record was not written, later ones were.
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let mut content = std::fs::read(&path).unwrap();
    let mut offset = 0;
    for _ in 0..2 {
        let len = u32::from_le_bytes(content[offset + 12..offset + 16].try_into().unwrap());
        offset += (record::HEADER_BYTES + len as usize).next_multiple_of(record::ALIGNMENT);
    }
    content[offset..offset + 16].fill(0);
    file.write_all_at(&content, 0).unwrap();
    let store = open(&options);
    assert_eq!((store.sequence(), all(&store)), (2, states[2].clone()));
    // Were the later records still there, these commits would sit before them.
    let states = history(&store, 1);
    drop(store);
    let store = open(&options);
    assert_eq!((store.sequence(), all(&store)), (3, states[1].clone()));
}

#[test]
fn missing_log_files_are_noticed() {
    let dir = scratch();
    let options = EmbeddedOptions {
        log_bytes: u64::MAX,
        memtable_bytes: usize::MAX,
        ..with(Durability::Sync, dir.path())
    };
    let store = open(&options);
    history(&store, 1500);
    drop(store);
    let log = dir.path().join("log");
    let numbers = segments::list(&log).unwrap();
    assert!(numbers.len() >= 4);
    for number in &numbers[..numbers.len() - 1] {
        let (path, aside) = (segments::path(&log, *number), dir.path().join("aside"));
        std::fs::rename(&path, &aside).unwrap();
        let refused = EmbeddedStore::open(options.clone()).err().unwrap();
        assert!(matches!(refused, OpenError::Corrupt(_)), "without {number}: {refused}");
        std::fs::rename(&aside, &path).unwrap();
    }
    std::fs::remove_file(dir.path().join("CHECKPOINT")).unwrap();
    assert_eq!(open(&options).sequence(), 1500);
}

/// Crash images taken at every step of many checkpoints, while the store goes on.
#[test]
fn a_crash_anywhere_in_a_checkpoint_loses_nothing() {
    let dir = scratch();
    let options = tiny(dir.path());
    let mut suite = Suite::new(5);
    let store = open(&options);
    suite.run(&store, 150);
    for round in 0..6 {
        suite.run(&store, 40);
        store.wait_for_checkpoints();
        let images = scratch();
        let (from, to) = (dir.path().to_owned(), images.path().to_owned());
        let mut taken = 0;
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        // Called by the checkpoint's thread, while this one waits for it: nothing else moves.
        options.files.faults.set(move |operation| {
            if matches!(operation, Operation::Ingest | Operation::Replace | Operation::Recycle) {
                image(&from, &to.join(taken.to_string()));
                taken += 1;
                counted.store(taken, Ordering::Relaxed);
            }
            Ok(())
        });
        store.checkpoint_now();
        options.files.faults.clear();
        let taken = count.load(Ordering::Relaxed);
        assert!(taken >= 3, "{taken} images");
        for number in 0..taken {
            let dir = images.path().join(number.to_string());
            let mut copy = suite.clone();
            copy.run(&open(&tiny(&dir)), 20);
            if round == 0 {
                copy.run(&open(&tiny(&dir)), 20);
            }
        }
    }
}

#[test]
fn a_clean_directory_copied_and_a_crashed_one_reopen_alike() {
    let dir = scratch();
    let options = tiny(dir.path());
    let mut suite = Suite::new(11);
    for round in 0..12 {
        let store = open(&options);
        suite.run(&store, 30);
        if round % 3 == 0 {
            store.close().unwrap();
        }
        drop(store);
        let copy = scratch();
        image(dir.path(), copy.path());
        suite.clone().run(&open(&tiny(copy.path())), 10);
    }
}
