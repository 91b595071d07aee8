//! The small files of the data directory: `FORMAT`, written once, and `CHECKPOINT`, replaced by
//! each checkpoint. Both are text, so that a person can look.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::OpenError;
use super::files::Files;

/// The on-disk format this program reads and writes.
pub const FORMAT: u32 = 1;

const FORMAT_FILE: &str = "FORMAT";
const CHECKPOINT_FILE: &str = "CHECKPOINT";

/// What the LSM tree holds, and where the log goes on from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// Sequence of the newest commit in the tree.
    pub sequence: u64,
    /// Ordinal of that commit's log record.
    pub ordinal: u64,
    /// First segment with later records.
    pub segment: u64,
    /// Whether the store was closed with nothing in the log: there is nothing to read from it.
    pub clean: bool,
}

/// The log begins here.
pub const START: Marker = Marker { sequence: 0, ordinal: 0, segment: 1, clean: false };

/// Checks the format of `dir` and returns its salt; a new directory gets both.
pub fn open_format(files: &Files, dir: &Path) -> Result<u64, OpenError> {
    let path = dir.join(FORMAT_FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if dir.join("log").exists() || dir.join(CHECKPOINT_FILE).exists() {
                return Err(OpenError::Corrupt(format!("{} is missing", path.display())));
            }
            let salt = RandomState::new().build_hasher().finish();
            let text = format!("ringstone embedded store\nformat {FORMAT}\nsalt {salt:016x}\n");
            files.replace(&path, text.as_bytes())?;
            return Ok(salt);
        }
        Err(error) => return Err(error.into()),
    };
    let unreadable = || OpenError::Corrupt(format!("{} cannot be understood", path.display()));
    let found = field(&text, "format").and_then(|found| found.parse().ok());
    match found.ok_or_else(unreadable)? {
        FORMAT => {}
        found => return Err(OpenError::UnknownFormat { found, supported: FORMAT }),
    }
    let salt = field(&text, "salt").and_then(|salt| u64::from_str_radix(salt, 16).ok());
    salt.ok_or_else(unreadable)
}

fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
}

impl Marker {
    /// The marker of `dir`, if there is one.
    pub fn load(dir: &Path) -> Result<Option<Self>, OpenError> {
        let path = dir.join(CHECKPOINT_FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let marker = Self::parse(&text);
        let damaged = || OpenError::Corrupt(format!("{} is damaged", path.display()));
        marker.ok_or_else(damaged).map(Some)
    }

    fn parse(text: &str) -> Option<Self> {
        let number = |name| field(text, name)?.parse::<u64>().ok();
        let marker = Self {
            sequence: number("sequence")?,
            ordinal: number("ordinal")?,
            segment: number("segment")?,
            clean: number("clean")? != 0,
        };
        (marker.to_text() == text).then_some(marker)
    }

    /// Makes this the marker of `dir`, durably.
    pub fn store(&self, files: &Files, dir: &Path) -> io::Result<()> {
        files.replace(&dir.join(CHECKPOINT_FILE), self.to_text().as_bytes())
    }

    fn to_text(self) -> String {
        let Self { sequence, ordinal, segment, clean } = self;
        let clean = u8::from(clean);
        let fields =
            format!("sequence {sequence}\nordinal {ordinal}\nsegment {segment}\nclean {clean}\n");
        let checksum = xxh3_64(fields.as_bytes());
        format!("{fields}checksum {checksum:016x}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_reads_back_and_a_damaged_one_does_not() {
        let marker = Marker { sequence: 123, ordinal: 45, segment: 6, clean: true };
        let text = marker.to_text();
        assert_eq!(Marker::parse(&text), Some(marker));
        for at in 0..text.len() {
            let mut damaged = text.clone().into_bytes();
            damaged[at] ^= 1;
            let damaged = String::from_utf8(damaged).unwrap();
            assert_eq!(Marker::parse(&damaged), None, "byte {at}");
        }
        assert_eq!(Marker::parse(&text[..text.len() - 1]), None);
    }
}
