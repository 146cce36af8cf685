//! The node's part in expiry: by which clock it lets go, and whom it has do so.

use alloc::vec::Vec;

use super::Node;
use super::repair::Surveying;
use crate::keys::Asker;
use crate::replica::Step;
use crate::store::StoreError;
use crate::survey::Surveyed;
use crate::time::{Now, Timestamp};

impl Node {
    /// The wall clock by which this node lets go of what has expired: the slowest of its own and those of the peers that it has
    /// heard of lately. So one clock that is far ahead lets nothing go before its time.
    fn slowest_clock(&self, now: Now) -> Timestamp {
        let near = self.peers.iter().filter(|(node, _)| self.is_near(**node, now.time));
        // What a peer's clock reads by now, as this node's monotonic clock has it: its own wall clock may have been set since.
        let walls = near.filter_map(|(_, peer)| {
            Some(Timestamp(peer.wall.0.saturating_add(now.time.since(peer.heard?).0)))
        });
        walls.chain([now.wall]).min().unwrap_or(now.wall)
    }

    /// The next look for what is due, if it is time.
    pub(super) fn advance_expiry(&mut self, now: Now) {
        if self.sweep.wake() > now.time {
            return;
        }
        let wall = self.slowest_clock(now);
        if let Some(survey) = self.sweep.advance(now.time, wall) {
            self.survey(Surveying::Sweep, survey);
        }
    }

    /// What is due.
    pub(super) fn on_due(&mut self, now: Now, result: Result<Surveyed, StoreError>) {
        let found = match result {
            Ok(Surveyed::Due(found)) => found,
            Ok(_) | Err(_) => Vec::new(),
        };
        self.count_more("keys_due", found.len() as u64);
        self.sweep.found(now.time, &found, !self.operations.is_empty());
        let upto = self.sweep.upto(self.slowest_clock(now));
        for (_, _, key) in found {
            match self.target_of(key) {
                Some(target) => {
                    let step = Step::Expire(upto);
                    self.keys.step(Asker::Sweep, target, step, &mut self.tickets);
                }
                None => self.sweep.done(),
            }
        }
    }
}
