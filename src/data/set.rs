//! Sets: an element for each member, its record empty.

use std::ops::ControlFlow;

use super::collection::{Collection, Draw, Records};
use super::entry::{self, Prior};
use super::keys::KeyspaceId;
use super::meta::Kind;
use super::view::View;
use crate::error::Stop;
use crate::limits::SAMPLE_RUN;

/// A set that is there, or is about to be.
#[derive(Debug, Clone, Copy)]
pub struct Set(Collection);

impl Set {
    /// The set at a key; an error if the key holds another type.
    pub fn find(view: &View<'_>, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Set>, Stop> {
        Ok(Collection::find(view, keyspace, key, Kind::Set)?.map(Set))
    }

    /// As [`Set::find`], but creates it if it is not there. It must get a member from the same command.
    pub fn open(view: &mut View<'_>, keyspace: KeyspaceId, key: &[u8]) -> Result<Set, Stop> {
        Collection::open(view, keyspace, key, Kind::Set).map(Set)
    }

    /// What it has in common with other collections.
    pub fn collection(&self) -> &Collection {
        &self.0
    }

    /// Whether it has a member.
    pub fn has(&self, view: &View<'_>, member: &[u8]) -> Result<bool, Stop> {
        Ok(view.get(&self.0.element(member))?.is_some())
    }

    /// Adds a member; whether it is new. [`Collection::grown`] has to follow if it is.
    pub fn add(&self, view: &mut View<'_>, member: &[u8]) -> Result<bool, Stop> {
        let element = self.0.new_element(member)?;
        let is_new = view.get(&element)?.is_none();
        if is_new {
            view.set(&element, &[]);
        }
        Ok(is_new)
    }

    /// Removes a member; whether it was there. [`Collection::shrunk`] has to follow if it was.
    pub fn remove(&self, view: &mut View<'_>, member: &[u8]) -> Result<bool, Stop> {
        let element = self.0.element(member);
        let was_there = view.get(&element)?.is_some();
        if was_there {
            view.clear(&element);
        }
        Ok(was_there)
    }

    /// Removes up to `count` members chosen at random from the set at `key`; their elements.
    pub fn pop(
        &self,
        view: &mut View<'_>,
        keyspace: KeyspaceId,
        key: &[u8],
        seed: u64,
        count: u64,
    ) -> Result<Records, Stop> {
        let mut popped = Records::default();
        let everything = self.0.draw(view, seed, Draw::Distinct(count), &mut |element, _| {
            popped.push(element, &[]);
            ControlFlow::Continue(())
        })?;
        let removed = popped.len() as u64;
        if removed == 0 {
            return Ok(popped);
        }
        if everything {
            let prior = view.prior(keyspace, key)?;
            view.delete(keyspace, key, prior)?;
            return Ok(popped);
        }
        popped.iter().for_each(|(element, _)| view.clear(element));
        if removed < SAMPLE_RUN as u64 {
            // As many were looked at, or the set is known whole.
            self.0.shrunk_to(view, key, removed, false)?;
        } else {
            self.0.shrunk(view, key, removed)?;
        }
        Ok(popped)
    }

    /// Puts a set with these members, given as tails of elements' keys, in the place of whatever
    /// is at a key; with none nothing is there afterwards.
    pub fn store(
        view: &mut View<'_>,
        keyspace: KeyspaceId,
        key: &[u8],
        members: &Records,
    ) -> Result<(), Stop> {
        entry::check_key(key)?;
        let prior = view.prior(keyspace, key)?;
        if members.is_empty() {
            if prior != Prior::Absent {
                view.delete(keyspace, key, prior)?;
            }
            return Ok(());
        }
        let set = Collection::create(view, keyspace, key, Kind::Set, 0, prior)?;
        for (tail, _) in members.iter() {
            view.set(&set.element_at(tail), &[]);
        }
        set.grown(view, members.len() as u64)
    }
}
