//! The life of a data directory: which actor it is, and how far its clock may have gone.
//!
//! An actor lives from a start to the next. After an end that was not clean the node may have given out dots that it no longer
//! holds; and after a clean one its directory may have been replaced by a copy of before, which nothing in it could tell: the
//! copy of a directory that ended well looks just like it. So every start is a new actor, and contexts are kept short by the
//! marks instead. Its clock starts at the lease, later than anything that was given out before.

use serde::{Deserialize, Serialize};

use crate::id::Actor;
use crate::planted::{self, Bug};
use crate::time::{Clock, LEASE, Timestamp};

/// What is kept of a life, durable before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// Who writes.
    pub actor: Actor,
    /// The clock gives out nothing later than this.
    pub lease: Timestamp,
    /// Did it end in good order?
    pub clean: bool,
    /// The last actors of this data directory before this one, the latest first: so that their writes can be told to be this
    /// node's.
    #[serde(default, skip_serializing_if = "Former::is_empty")]
    pub former: Former,
}

/// The actors of former lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Former([Option<Actor>; 8]);

impl Former {
    /// The actors, the latest first.
    pub fn actors(&self) -> impl Iterator<Item = Actor> {
        self.0.into_iter().flatten()
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn push(&mut self, actor: Actor) {
        self.0.rotate_right(1);
        self.0[0] = Some(actor);
    }
}

/// As which actors another node was met. Durable, so that a node whose disk has forgotten a life is still told of it by who was
/// started anew meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Met {
    /// The actor that greeted last.
    pub last: Actor,
    /// The one before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Actor>,
}

impl Met {
    /// Its first greeting.
    #[must_use]
    pub fn new(last: Actor) -> Self {
        Self { last, before: None }
    }

    /// It greets. Says whether as another actor than the last time.
    pub fn again(&mut self, actor: Actor) -> bool {
        let is_new = self.last != actor;
        if is_new {
            *self = Self { last: actor, before: Some(self.last) };
        }
        is_new
    }
}

impl Life {
    /// The life that begins now, to be made durable before the node takes its first request. `fresh` is a random actor.
    #[must_use]
    pub fn begin(previous: Option<Self>, fresh: Actor, wall: Timestamp) -> Self {
        let last = previous.map_or(Timestamp(0), |life| life.lease);
        let kept = previous.filter(|_| planted::has(Bug::KeptActor)).map(|life| life.actor);
        let mut former = previous.map(|life| life.former).unwrap_or_default();
        if let Some(before) = previous {
            former.push(before.actor);
        }
        Self {
            actor: kept.unwrap_or(Actor::plain(fresh.0)),
            former,
            lease: Timestamp(last.0.max(wall.0).saturating_add(LEASE.0).min(Timestamp::MAX.0)),
            clean: false,
        }
    }

    /// The clock of the life that begins, after the one before.
    #[must_use]
    pub fn clock(&self, previous: Option<Self>) -> Clock {
        Clock::new(previous.map_or(Timestamp(0), |life| life.lease), self.lease)
    }

    /// This life, ended in good order: nothing was given out that is not durable.
    #[must_use]
    pub fn end(mut self) -> Self {
        self.clean = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_start_is_another_actor_with_a_later_clock() {
        let wall = Timestamp(1_000);
        let first = Life::begin(None, Actor(1), wall);
        let crashed = Life::begin(Some(first), Actor(2), wall);
        assert_eq!(crashed.actor, Actor(2));
        assert!(crashed.clock(Some(first)).tick(wall).unwrap() > first.lease);
        let stopped = Life::begin(Some(crashed.end()), Actor(3), wall);
        assert_eq!(stopped.actor, Actor(3));
        assert!(stopped.clock(Some(crashed.end())).tick(wall).unwrap() > crashed.lease);
        assert_eq!(stopped.former.actors().collect::<alloc::vec::Vec<_>>(), [Actor(2), Actor(1)]);
        let many = (3..20).fold(stopped, |life, n| Life::begin(Some(life), Actor(n), wall));
        let former: alloc::vec::Vec<_> = many.former.actors().collect();
        assert_eq!((former.len(), former[0], former[7]), (8, Actor(18), Actor(11)));
    }
}
