//! Hashes: an element for each field, its value in it.

use std::borrow::Cow;

use super::collection::Collection;
use super::element;
use super::keys::{self, KeyspaceId};
use super::meta::Kind;
use super::view::View;
use crate::error::Stop;
use crate::store::{Scan, Visitor};

/// A hash that is there, or is about to be.
#[derive(Debug, Clone, Copy)]
pub struct Hash(Collection);

impl Hash {
    /// The hash at a key; an error if the key holds another type.
    pub fn find(view: &View<'_>, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Hash>, Stop> {
        Ok(Collection::find(view, keyspace, key, Kind::Hash)?.map(Hash))
    }

    /// As [`Hash::find`], but creates it if it is not there. It must get a field from the same command.
    pub fn open(view: &mut View<'_>, keyspace: KeyspaceId, key: &[u8]) -> Result<Hash, Stop> {
        Collection::open(view, keyspace, key, Kind::Hash).map(Hash)
    }

    /// What it has in common with other collections.
    pub fn collection(&self) -> &Collection {
        &self.0
    }

    /// The value of a field.
    pub fn get<'v>(&self, view: &'v View<'_>, field: &[u8]) -> Result<Option<Cow<'v, [u8]>>, Stop> {
        element::get(view, &self.0.element(field))
    }

    /// Bytes of a field's value.
    pub fn value_len(&self, view: &View<'_>, field: &[u8]) -> Result<Option<u64>, Stop> {
        view.get(&self.0.element(field))?.map(|record| element::len(&record)).transpose()
    }

    /// Gives a field a value; whether the field is new. [`Collection::grown`] has to follow.
    pub fn set(&self, view: &mut View<'_>, field: &[u8], value: &[u8]) -> Result<bool, Stop> {
        element::set(view, &self.0.new_element(field)?, value)
    }

    /// Removes a field; whether it was there. [`Collection::shrunk`] has to follow if it was.
    pub fn remove(&self, view: &mut View<'_>, field: &[u8]) -> Result<bool, Stop> {
        element::remove(view, &self.0.element(field))
    }

    /// Visits all fields and their values.
    pub fn walk(&self, view: &View<'_>, visit: &mut Visitor<'_>) -> Result<(), Stop> {
        let (begin, end) = keys::range(&self.0.prefix());
        element::walk(view, Scan::all(&begin, &end), |key, record| {
            let value = element::value(view, key, Cow::Borrowed(record))?;
            Ok(visit(keys::split_field(key), &value))
        })
    }
}
