//! The revocation list: a file with one revocation id a line, in hex, and `#` for comments.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::limits;

/// The ids that are revoked, and how often that changed.
#[derive(Debug, Default)]
pub(super) struct Revoked {
    path: Option<PathBuf>,
    ids: Mutex<HashSet<Box<[u8]>>>,
    /// Counted up after each change of `ids`.
    generation: AtomicU64,
}

impl Revoked {
    /// Reads the list of `path`.
    pub(super) fn open(path: Option<&Path>) -> Result<Revoked, String> {
        let ids = path.map(read).transpose()?.unwrap_or_default();
        Ok(Revoked {
            path: path.map(Path::to_owned),
            ids: Mutex::new(ids),
            generation: AtomicU64::new(1),
        })
    }

    /// Reads the list again; whether it is another one. A list that cannot be read changes nothing.
    pub(super) fn reload(&self) -> Result<bool, String> {
        let Some(path) = &self.path else { return Ok(false) };
        let new = read(path)?;
        let mut ids = self.ids.lock();
        if *ids == new {
            return Ok(false);
        }
        *ids = new;
        self.generation.fetch_add(1, Ordering::Release);
        Ok(true)
    }

    /// Another number whenever the list is another one.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Whether one of `ids` is revoked: a block that is revoked revokes all that was made from it.
    pub(super) fn has_any(&self, ids: &[Vec<u8>]) -> bool {
        let revoked = self.ids.lock();
        ids.iter().any(|id| revoked.contains(id.as_slice()))
    }
}

fn read(path: &Path) -> Result<HashSet<Box<[u8]>>, String> {
    let shown = path.display();
    let text = super::text_of(path, limits::REVOKED_FILE_BYTES_MAX)?;
    let mut ids = HashSet::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let id = bytes_of_hex(line)
            .ok_or_else(|| format!("{shown}:{}: it is not a revocation id in hex", number + 1))?;
        ids.insert(id.into_boxed_slice());
    }
    Ok(ids)
}

/// What `text` says in hex.
fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect()
}
