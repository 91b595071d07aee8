//! The processes that work on one store: each has a record that it changes now and then, so that the
//! others know it is there and background work is shared out.
//!
//! Nobody compares clocks of different machines: a process is there as long as its record keeps
//! changing, by the clock of whoever looks. Two processes may disagree for a while; then some work is
//! done twice or later, which is all there is to it, for every step looks again before it changes
//! anything.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;

use super::background::Chore;
use super::keys;
use crate::limits::{MEMBER_BEAT, MEMBER_FORGOTTEN, MEMBER_SILENT};
use crate::store::{ReadError, Scan, Snapshot};

/// Tells a process from all others that ever used the store.
pub type ProcessId = u64;

/// What the record of a forgotten process says while some of its commit markers are still there.
pub const GONE: u64 = u64::MAX;

/// The part of background work that is one process's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    index: u64,
    of: u64,
}

impl Share {
    /// All of it: nobody else works on the store.
    pub const ALL: Share = Share { index: 0, of: 1 };

    /// Whether the work that a record stands for is this process's.
    pub fn has(&self, record: &[u8]) -> bool {
        self.of == 1 || keys::hash64(record) % self.of == self.index
    }
}

/// What this process knows of all.
#[derive(Debug)]
pub struct Members {
    own: ProcessId,
    beats: u64,
    last_beat: Option<Instant>,
    heard: BTreeMap<ProcessId, Heard>,
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    beat: u64,
    /// When the record was seen to have changed.
    at: Instant,
}

impl Members {
    /// The process itself, until more is known.
    pub fn new(own: ProcessId) -> Members {
        Members { own, beats: 0, last_beat: None, heard: BTreeMap::new() }
    }

    /// Whether it is time to look at the records again.
    pub fn is_due(&self, now: Instant) -> bool {
        self.last_beat.is_none_or(|last| now.duration_since(last) >= MEMBER_BEAT)
    }

    /// The records of all processes.
    pub fn records(snapshot: &dyn Snapshot) -> Result<Vec<(ProcessId, u64)>, ReadError> {
        let (begin, end) = keys::process_range();
        let mut found = Vec::new();
        let scan = Scan { begin: &begin, end: &end, limit: usize::MAX, reverse: false };
        snapshot.scan(scan, &mut |record, beat| {
            found.push((keys::split_process(record), keys::be_u64(beat)));
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Takes in what the records are `now`; what is to be written in consequence.
    pub fn update(&mut self, records: &[(ProcessId, u64)], now: Instant) -> Vec<Chore> {
        let before = std::mem::take(&mut self.heard);
        for &(process, beat) in records.iter().filter(|(_, beat)| *beat != GONE) {
            let known = before.get(&process).filter(|heard| heard.beat == beat);
            self.heard.insert(process, known.copied().unwrap_or(Heard { beat, at: now }));
        }
        if before.contains_key(&self.own) && !self.heard.contains_key(&self.own) {
            tracing::warn!(
                "other processes took this one for gone: commits whose outcome is unknown cannot be \
                 looked up any more and are answered with -TIMEOUT until it is restarted"
            );
        }
        self.beats += 1;
        self.last_beat = Some(now);
        let mut chores = vec![Chore::Beat { process: self.own, beat: self.beats }];
        let share = self.share(now);
        let is_over = |heard: &Heard| now.duration_since(heard.at) >= MEMBER_FORGOTTEN;
        let silent = self.heard.iter().filter(|(_, heard)| is_over(heard)).map(|(id, _)| *id);
        let gone = records.iter().filter(|(_, beat)| *beat == GONE).map(|(id, _)| *id);
        let forgotten = silent.chain(gone);
        let mine = forgotten.filter(|id| *id != self.own && share.has(&id.to_be_bytes()));
        chores.extend(mine.map(|process| Chore::Forget { process }));
        chores
    }

    /// The part of the work that is this process's.
    pub fn share(&self, now: Instant) -> Share {
        let is_there = |heard: &Heard| now.duration_since(heard.at) < MEMBER_SILENT;
        let others = self.heard.iter().filter(|(id, heard)| **id != self.own && is_there(heard));
        let (mut before, mut all) = (0, 1);
        for (&process, _) in others {
            before += u64::from(process < self.own);
            all += 1;
        }
        Share { index: before, of: all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn work_is_shared_by_those_who_keep_beating() {
        let start = clock::monotonic();
        let mut members: Vec<_> = [20, 10, 30].map(Members::new).into();
        assert!(members[0].is_due(start));
        let at = |seconds| start + MEMBER_BEAT * seconds;
        for beat in 0..20 {
            // The last one stops after five beats.
            let last = (30, u64::from(beat).min(5));
            let records = [(10, u64::from(beat)), (20, u64::from(beat)), last];
            members.iter_mut().for_each(|one| drop(one.update(&records, at(beat))));
        }
        let shares: Vec<_> = members[..2].iter().map(|one| one.share(at(20))).collect();
        assert_eq!(shares, [Share { index: 1, of: 2 }, Share { index: 0, of: 2 }]);
        for number in 0..100_u32 {
            let record = number.to_be_bytes();
            assert!(shares[0].has(&record) != shares[1].has(&record), "exactly one of them");
        }
    }

    #[test]
    fn who_is_silent_for_long_is_forgotten_by_one() {
        let start = clock::monotonic();
        let mut members = [Members::new(1), Members::new(2)];
        let forgets = |chores: Vec<Chore>| chores.contains(&Chore::Forget { process: 3 });
        let mut forgotten = 0;
        for (beat, now) in [(1, start), (2, start + MEMBER_FORGOTTEN)] {
            for one in &mut members {
                forgotten += u32::from(forgets(one.update(&[(1, beat), (2, beat), (3, 9)], now)));
            }
        }
        assert_eq!(forgotten, 1);
        // What is left of it goes at once, and it has no share.
        let now = start + MEMBER_FORGOTTEN;
        let records = [(1, 3), (2, 3), (3, GONE)];
        let each = members.each_mut().map(|one| forgets(one.update(&records, now)));
        assert!(each[0] != each[1]);
        assert!(members.iter().all(|one| one.share(now).of == 2));
    }
}
