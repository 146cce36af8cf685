//! The current object: found among what a majority holds and has accepted, its bytes fetched, merged where that is asked for, and
//! the new version made in it.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use super::{Conditional, Finding, Phase, Promised};
use crate::causality::{Content, Context, Object, Opened, Version};
use crate::config::{Shape, Tombstones};
use crate::coordinator::found::seen;
use crate::coordinator::{NUDGE, Order, Orders};
use crate::id::NodeId;
use crate::merge::{self, MergeRequest, MergeResult};
use crate::message::peer::Message;
use crate::time::Time;

impl Conditional {
    /// A majority has promised: what is the current object, and is it the one that the client expects?
    pub(super) fn look(&mut self, now: Time) -> Orders {
        let mut object = Object::default();
        for promised in self.promises.values() {
            join(&mut object, &promised.object, self.plan.shape);
        }
        let latest = self.promises.values().max_by_key(|promised| promised.accepted);
        let proposal = latest.and_then(|promised| promised.proposal.clone());
        self.pending = proposal.as_ref().is_some_and(|p| !object.has_seen_all(&p.context));
        if let Some(proposal) = &proposal {
            join(&mut object, proposal, self.plan.shape);
        }
        for promised in self.promises.values() {
            object.adopt_bytes(&promised.object);
            if let Some(proposal) = &promised.proposal {
                object.adopt_bytes(proposal);
            }
        }
        self.finding = match object.dot_of(self.plan.request) {
            Some(dot) => Finding::Made(dot),
            None if is_expected(&object, &self.plan.expected) => Finding::Holds,
            None => Finding::Conflict,
        };
        self.object = object;
        let plain = self.finding == Finding::Holds && self.plan.shape == Shape::Siblings;
        if !plain && self.object.lacks_bytes() {
            return self.fetch(now, false);
        }
        self.go_on(now)
    }

    /// Asks whoever said that it holds values that are not at hand.
    pub(super) fn fetch(&mut self, now: Time, asked_again: bool) -> Orders {
        self.nudge = now.after(NUDGE);
        self.phase = Phase::Fetching { asked_again };
        let lacks = |owner: &NodeId, promised: &Promised| {
            let held = &promised.object.versions;
            let missing = self.object.versions.iter().filter(|v| v.content.lacks_bytes());
            let digests: BTreeSet<_> = missing.filter_map(|v| v.content.digest()).collect();
            let holds =
                held.iter().any(|v| v.content.digest().is_some_and(|d| digests.contains(&d)));
            holds && *owner != self.plan.me
        };
        let holders = self.promises.iter().filter(|(owner, promised)| lacks(owner, promised));
        let (ask, key) = (self.plan.id, &self.plan.key);
        holders
            .map(|(owner, _)| {
                Order::Send(*owner, Message::Read { ask, key: key.clone(), bodies: true })
            })
            .collect()
    }

    pub(super) fn held(&mut self, now: Time, object: &Object) -> Orders {
        if !matches!(self.phase, Phase::Fetching { .. }) {
            return Vec::new();
        }
        self.object.adopt_bytes(object);
        if self.object.lacks_bytes() { Vec::new() } else { self.go_on(now) }
    }

    /// All bytes that are needed are here.
    fn go_on(&mut self, now: Time) -> Orders {
        if self.finding == Finding::Holds {
            self.write();
        }
        let folds = matches!(self.plan.shape, Shape::Lattice(_));
        let inputs = match self.finding {
            Finding::Holds | Finding::Conflict if folds && self.plan.may_fold => {
                merge::fold(&self.object)
            }
            Finding::Conflict if !folds => {
                self.as_of = self.plan.began.wall_at(now);
                Some(merge::inputs(&self.object.as_of(self.as_of)))
            }
            Finding::Holds | Finding::Made(_) | Finding::Conflict => None,
        };
        match (inputs, &self.plan.merge) {
            (Some(inputs), Some(merge)) if inputs.len() > 1 => {
                let request = MergeRequest { inputs, ..merge.clone() };
                self.phase = Phase::Merging;
                vec![Order::Merge(request)]
            }
            (Some(inputs), _) if folds && inputs.len() == 1 => {
                let value = inputs.into_iter().next().and_then(|input| input.value);
                self.fold(Content::from_option(value));
                self.propose(now)
            }
            (_, _) => self.propose(now),
        }
    }

    pub(super) fn merged(&mut self, now: Time, result: MergeResult) -> Orders {
        if !matches!(self.phase, Phase::Merging) {
            return Vec::new();
        }
        if core::mem::take(&mut self.moved) {
            return self.wait(now);
        }
        let result = result.map(Content::from_option);
        match (self.plan.shape, &result) {
            (Shape::Lattice(_), Ok(content)) => self.fold(content.clone()),
            (Shape::Lattice(_), Err(_)) | (Shape::Siblings, _) => {}
        }
        self.view = Some(result);
        self.propose(now)
    }

    /// The parts of a lattice object are folded to `content`.
    fn fold(&mut self, content: Content) {
        self.object.replace_by_fold(content, self.plan.epoch);
        if self.finding == Finding::Holds {
            let mut opened = self.opened();
            self.object.claim_folded(self.ballot, &mut opened);
        }
    }

    /// The interval that this ballot's dot extends. Of all earlier ballots of its actor on this key, those that were chosen are
    /// part of the current object, and the others never will be: so there is no need to have held it ever since.
    fn opened(&self) -> Option<Opened> {
        let actor = self.ballot.actor;
        let mut intervals = self.object.context.intervals().iter();
        let last = intervals.rfind(|i| i.actor == actor && i.from <= self.ballot.time);
        last.map(|interval| Opened { actor, from: interval.from })
    }

    /// Makes the new version, under the ballot's dot.
    fn write(&mut self) {
        let (dot, request) = (self.ballot, self.plan.request);
        let content = self.plan.content.clone();
        let mut opened = self.opened();
        match self.plan.shape {
            Shape::Siblings => {
                let seen = seen(&self.object);
                let expires = self.plan.expires;
                let version = Version { expires, ..Version::new(dot, content) };
                self.object.put_version(&seen, version, request, &mut opened);
            }
            Shape::Lattice(Tombstones::Reset) if content.is_tombstone() => {
                self.object.reset(dot, request, &mut opened);
            }
            Shape::Lattice(tombstones) => {
                self.object.put_part(dot, content, request);
                if tombstones == Tombstones::Reset {
                    self.object.keep_latest_generation();
                }
            }
        }
    }
}

/// Is `object` what who has seen `expected` expects: nothing at all, or versions that it has all seen?
///
/// Once it is not, it never is again, so a try that comes late makes no write a second time. That is why a deleted key is not
/// what somebody expects who has seen nothing, and one that is gone is not what somebody does who had seen something.
fn is_expected(object: &Object, expected: &Context) -> bool {
    if expected.is_empty() {
        return object.versions.is_empty();
    }
    let is_seen = |v: &Version| {
        expected.covers_dot(v.dot) && (v.covers.is_empty() || expected.covers(&v.covers))
    };
    !object.versions.is_empty() && object.versions.iter().all(is_seen)
}

fn join(object: &mut Object, other: &Object, shape: Shape) {
    match shape {
        Shape::Siblings => object.join(other),
        Shape::Lattice(tombstones) => object.join_lattice(other, tombstones),
    }
}
