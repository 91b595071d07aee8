//! Sets: an element for each member, its record empty.

use std::ops::ControlFlow;

use super::collection::{Collection, Draw, Records};
use super::entry::{self, Prior};
use super::keys::{self, KeyspaceId};
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
    ///
    /// # Errors
    ///
    /// [`Stop::Unread`] if these have more than `bytes_max` bytes.
    pub fn pop(
        &self,
        view: &mut View<'_>,
        keyspace: KeyspaceId,
        key: &[u8],
        seed: u64,
        count: u64,
        bytes_max: usize,
    ) -> Result<Records, Stop> {
        let mut popped = Records::default();
        let everything = self.0.draw(view, seed, Draw::Distinct(count), &mut |element, _| {
            popped.push(element, &[]);
            match popped.bytes() <= bytes_max {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })?;
        if popped.bytes() > bytes_max {
            return Err(Stop::Unread);
        }
        let removed = popped.len() as u64;
        if removed == 0 {
            return Ok(popped);
        }
        if everything {
            let prior = view.prior(keyspace, key)?;
            view.delete(keyspace, key, prior)?;
            return Ok(popped);
        }
        if removed < SAMPLE_RUN as u64 {
            // More were looked at, or the set is known whole.
            popped.iter().for_each(|(element, _)| view.clear(element));
            self.0.shrunk_to(view, key, removed, false)?;
        } else if removed > self.0.len(view)? / 2 {
            // Writing those that stay is less than removing the others.
            let rest = self.without(view, &popped)?;
            let prior = view.prior(keyspace, key)?;
            Set::put(view, keyspace, key, &rest, prior.expires_ms(view.now_ms()), prior)?;
        } else {
            popped.iter().for_each(|(element, _)| view.clear(element));
            self.0.shrunk(view, key, removed)?;
        }
        Ok(popped)
    }

    /// The tails of all members but these.
    fn without(&self, view: &View<'_>, members: &Records) -> Result<Records, Stop> {
        let mut left_out: Vec<_> = members.iter().map(|(element, _)| element).collect();
        left_out.sort_unstable();
        let (mut left_out, mut rest) = (left_out.into_iter().peekable(), Records::default());
        self.0.walk(view, &mut |element, _| {
            if left_out.next_if_eq(&element).is_none() {
                rest.push(keys::tail(element), &[]);
            }
            ControlFlow::Continue(())
        })?;
        Ok(rest)
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
        Set::put(view, keyspace, key, members, 0, prior)
    }

    fn put(
        view: &mut View<'_>,
        keyspace: KeyspaceId,
        key: &[u8],
        members: &Records,
        expires_ms: u64,
        prior: Prior,
    ) -> Result<(), Stop> {
        if members.is_empty() {
            return if prior == Prior::Absent { Ok(()) } else { view.delete(keyspace, key, prior) };
        }
        let set = Collection::create(view, keyspace, key, Kind::Set, expires_ms, prior)?;
        members.iter().for_each(|(tail, _)| view.set(&set.element_at(tail), &[]));
        set.grown(view, members.len() as u64)
    }
}
