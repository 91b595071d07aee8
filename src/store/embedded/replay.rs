//! Reading the log at the start.
//!
//! What is read is a prefix of what was committed, commit by commit. The log may end in a record
//! that was being written when the process or machine stopped, and without `sync` durability also
//! in a gap with whole records behind it; both are cut off. A gap in what was once durable is
//! damage, and then the store refuses to open rather than lose acknowledged writes quietly.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::OpenError;
use super::files::Files;
use super::log::Position;
use super::marker::Marker;
use super::record::{self, ALIGNMENT, HEADER_BYTES, Record};
use super::segments::{self, Segment};

/// The log as it was found.
pub struct Replayed {
    /// Where to go on.
    pub position: Position,
    /// Sequence of the newest commit in log or checkpoint.
    pub sequence: u64,
    /// Segments after the position: prepared, never used.
    pub ready: Vec<Segment>,
    /// Number for the next new segment.
    pub next_number: u64,
}

/// Reads all records since the checkpoint and calls `apply` with each mutation in order.
pub fn replay(
    files: &Files,
    dir: &Path,
    salt: u64,
    marker: &Marker,
    mut apply: impl FnMut(&[u8], Option<&[u8]>),
) -> Result<Replayed, OpenError> {
    let numbers = segments::list(dir)?;
    let (obsolete, numbers): (Vec<u64>, Vec<u64>) =
        numbers.into_iter().partition(|number| *number < marker.segment);
    // Files get consecutive numbers, and at least one is always there.
    for (number, expected) in numbers.iter().zip(marker.segment..) {
        if *number != expected {
            return Err(missing(dir, expected));
        }
    }
    if numbers.is_empty() {
        return Err(missing(dir, marker.segment));
    }
    let mut reader = Reader::new(dir, salt, marker);
    for number in &numbers {
        let segment = Segment::open(dir, *number)?;
        if marker.clean {
            reader.segments.push((segment, 0));
        } else {
            reader.read(segment, &mut apply)?;
        }
    }
    let replayed = reader.finish(files)?;
    // Last, when nothing can be refused any more.
    for number in obsolete {
        std::fs::remove_file(segments::path(dir, number))?;
    }
    Ok(replayed)
}

fn missing(dir: &Path, number: u64) -> OpenError {
    let path = segments::path(dir, number);
    OpenError::Corrupt(format!("the log file {} is missing", path.display()))
}

struct Reader<'a> {
    dir: &'a Path,
    salt: u64,
    sequence: u64,
    ordinal: u64,
    bytes: u64,
    /// All segments read, and for each the end of its records.
    segments: Vec<(Segment, u64)>,
    /// Index of the segment with the newest record.
    last_used: usize,
    /// Records behind a gap, as (index of the segment, offset).
    stray: Vec<(usize, u64)>,
    /// Highest ordinal any of them calls durable.
    stray_durable: u64,
}

impl<'a> Reader<'a> {
    fn new(dir: &'a Path, salt: u64, marker: &Marker) -> Self {
        Self {
            dir,
            salt,
            sequence: marker.sequence,
            ordinal: marker.ordinal,
            bytes: 0,
            segments: Vec::new(),
            last_used: 0,
            stray: Vec::new(),
            stray_durable: 0,
        }
    }

    fn read(
        &mut self,
        segment: Segment,
        apply: &mut impl FnMut(&[u8], Option<&[u8]>),
    ) -> Result<(), OpenError> {
        let number = segment.number;
        let content = read_all(&segment)?;
        let seed = record::seed(self.salt, number);
        let index = self.segments.len();
        let mut offset = 0;
        // Once something was found behind a gap, nothing more can follow the last good record.
        while self.stray.is_empty()
            && let Some(record) = self.next(&content[offset..], seed)
        {
            let applied = record::mutations(record.payload, &mut *apply);
            applied.ok_or_else(|| malformed(self.dir, number, offset))?;
            self.sequence = record.numbers.sequence;
            self.ordinal = record.numbers.ordinal;
            self.bytes += record.len() as u64;
            self.last_used = index;
            offset += record.len();
        }
        self.segments.push((segment, offset as u64));
        self.find_strays(index, &content, offset, seed);
        Ok(())
    }

    fn next<'c>(&self, content: &'c [u8], seed: u64) -> Option<Record<'c>> {
        let record = record::decode(content, seed, self.ordinal)?;
        let follows = record.numbers.ordinal == self.ordinal + 1;
        (follows && record.numbers.sequence > self.sequence).then_some(record)
    }

    fn find_strays(&mut self, index: usize, content: &[u8], mut offset: usize, seed: u64) {
        while offset + HEADER_BYTES <= content.len() {
            match record::decode(&content[offset..], seed, self.ordinal) {
                Some(record) => {
                    self.stray.push((index, offset as u64));
                    self.stray_durable = self.stray_durable.max(record.numbers.durable);
                    offset += record.len();
                }
                None => offset += ALIGNMENT,
            }
        }
    }

    fn finish(self, files: &Files) -> Result<Replayed, OpenError> {
        if self.stray_durable > self.ordinal {
            let (segment, offset) = &self.segments[self.last_used];
            let path = segments::path(self.dir, segment.number);
            let text =
                format!("the log file {} has a damaged record at byte {offset}", path.display());
            return Err(OpenError::Corrupt(text));
        }
        // They were never acknowledged as durable, and must not come back behind new records.
        for (index, offset) in &self.stray {
            files.erase(&self.segments[*index].0.file, *offset, HEADER_BYTES)?;
        }
        // Records may have been written and not yet synced when the process ended.
        for (segment, _) in &self.segments[..=self.last_used] {
            files.sync(&segment.file)?;
        }
        let next_number = self.segments.last().map_or(1, |(segment, _)| segment.number + 1);
        let mut segments = self.segments.into_iter();
        let older = segments.by_ref().take(self.last_used).map(|(old, _)| Arc::new(old)).collect();
        let (segment, offset) = segments.next().expect("the first segment was found above");
        let ready = segments.map(|(segment, _)| segment).collect();
        let (ordinal, bytes) = (self.ordinal, self.bytes);
        let position = Position { segment, offset, ordinal, older, bytes };
        Ok(Replayed { position, sequence: self.sequence, ready, next_number })
    }
}

fn malformed(dir: &Path, number: u64, offset: usize) -> OpenError {
    let path = segments::path(dir, number);
    OpenError::Corrupt(format!("the log file {} is malformed at byte {offset}", path.display()))
}

/// The whole segment; trailing zeros cost nothing to look through, and at most a few segments
/// exist.
fn read_all(segment: &Segment) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let mut content = vec![0; segment.capacity as usize];
    segment.file.read_exact_at(&mut content, 0)?;
    Ok(content)
}
