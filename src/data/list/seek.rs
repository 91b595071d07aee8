//! Items by their index or value, wherever they are in the list.

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::{End, List};
use crate::data::element;
use crate::data::keys::RecordKey;
use crate::data::view::View;
use crate::error::Stop;
use crate::store::Scan;

/// Sees the index and the key of an item that was found, and says whether it wants more.
pub type MatchVisitor<'a> = dyn FnMut(u64, &[u8]) -> ControlFlow<()> + 'a;

impl List {
    /// Key of the item with an index, which must be there. In a sparse list that means passing over all
    /// items from the nearer end on.
    fn locate(&self, view: &View<'_>, index: u64) -> Result<RecordKey, Stop> {
        if self.is_dense {
            return Ok(self.at(self.begin + index));
        }
        let behind = self.len - 1 - index;
        let (from, count) =
            if index < behind { (End::Left, index + 1) } else { (End::Right, behind + 1) };
        let (mut found, mut seen) = (RecordKey::new(), 0);
        self.walk(view, from, count, |key, _| {
            seen += 1;
            if seen == count {
                found = RecordKey::from_slice(key);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// The value of the item with an index, which must be there.
    pub fn get<'v>(&self, view: &'v View<'_>, index: u64) -> Result<Cow<'v, [u8]>, Stop> {
        element::get(view, &self.locate(view, index)?)?.ok_or_else(super::lost)
    }

    /// Gives the item with an index, which must be there, another value.
    pub fn set(
        &self,
        view: &mut View<'_>,
        key: &[u8],
        index: u64,
        value: &[u8],
    ) -> Result<(), Stop> {
        element::set(view, &self.locate(view, index)?, value)?;
        self.save(view, key)
    }

    /// Visits the values of `count` items from index `first` on, all of which must be there.
    pub fn range(
        &self,
        view: &View<'_>,
        first: u64,
        count: u64,
        mut visit: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), Stop> {
        if count == 0 {
            return Ok(());
        }
        let begin = self.locate(view, first)?;
        let end = self.at(if self.is_dense { self.begin + first + count } else { self.end });
        let scan = Scan { limit: count as usize, ..Scan::all(&begin, &end) };
        super::walk_all(view, scan, |key, record| {
            Ok(visit(&element::value(view, key, Cow::Borrowed(record))?))
        })
    }

    /// Visits the items with a value among the `count` ones next to an end.
    pub fn matches(
        &self,
        view: &View<'_>,
        value: &[u8],
        from: End,
        count: u64,
        visit: &mut MatchVisitor<'_>,
    ) -> Result<(), Stop> {
        let mut seen = 0;
        self.walk(view, from, count, |key, record| {
            let index = if from == End::Left { seen } else { self.len - 1 - seen };
            seen += 1;
            if element::is(view, key, record, value)? {
                return Ok(visit(index, key));
            }
            Ok(ControlFlow::Continue(()))
        })
    }
}
