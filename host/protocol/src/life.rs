//! The life of a data directory: which actor it is, and how far its clock may have gone.
//!
//! An actor goes on only after a clean stop. After any other end the node may have given out dots that it no longer holds,
//! and gets a new actor; its clock starts at the lease, later than anything it may have given out.

use serde::{Deserialize, Serialize};

use crate::id::Actor;
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
}

impl Life {
    /// The life that begins now, to be made durable before the node takes its first request. `fresh` is a random actor, used
    /// unless `previous` ended in good order.
    #[must_use]
    pub fn begin(previous: Option<Self>, fresh: Actor, wall: Timestamp) -> Self {
        let last = previous.map_or(Timestamp(0), |life| life.lease);
        Self {
            actor: previous.filter(|life| life.clean).map_or(fresh, |life| life.actor),
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
    fn only_a_clean_end_keeps_the_actor() {
        let wall = Timestamp(1_000);
        let first = Life::begin(None, Actor(1), wall);
        let crashed = Life::begin(Some(first), Actor(2), wall);
        assert_eq!(crashed.actor, Actor(2));
        assert!(crashed.clock(Some(first)).tick(wall).unwrap() > first.lease);
        let stopped = Life::begin(Some(crashed.end()), Actor(3), wall);
        assert_eq!(stopped.actor, Actor(2));
    }
}
