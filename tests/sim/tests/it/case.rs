//! Histories made by hand for the checkers: one key, what happened to it, and what is there in the end.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kinfold_protocol::causality::{Context, Digest, Dot};
use kinfold_protocol::config::{BucketConfig, Consistency};
use kinfold_protocol::id::{Actor, BucketName, Key, RequestId};
use kinfold_protocol::time::{Expiry, Timestamp};
use sim::checker;
use sim::clock::{ORIGIN, Readings};
use sim::ending::{Ending, Final, Held};
use sim::history::{Effect, Expected, History, Kind, Op, OpId, Outcome, Seen, line};
use sim::keyspace::{Keyspace, Semantics, Spot};

/// A key of three owners, of whom two are asked.
pub(crate) struct Case {
    pub(crate) history: History,
    pub(crate) spot: Spot,
    pub(crate) held: BTreeMap<usize, Held>,
    pub(crate) debts: Vec<String>,
    pub(crate) breaches: Vec<String>,
    /// Are there last reads?
    pub(crate) is_read: bool,
    last: Final,
}

pub(crate) const ACKNOWLEDGED: Outcome = Outcome::Acknowledged { owners: 2 };

impl Case {
    /// A history that nobody saw from inside.
    pub(crate) fn from_outside(semantics: Semantics) -> Self {
        Self { history: History::from_outside(), ..Self::watched(semantics) }
    }

    /// A history of the simulator, which knows what the nodes made of each request.
    pub(crate) fn watched(semantics: Semantics) -> Self {
        let bucket = BucketName::new("bucket").expect("letters");
        let config = BucketConfig { consistency: Consistency::Strict, ..BucketConfig::default() };
        let key = Key { bucket, key: Bytes::from_static(b"key") };
        let owners = vec![0, 1, 2];
        let spot =
            Spot { key, config, semantics, owners, expires: false, least_w: 2, exposed: false };
        Self {
            history: History::default(),
            spot,
            held: BTreeMap::new(),
            debts: Vec::new(),
            breaches: Vec::new(),
            is_read: true,
            last: Final::default(),
        }
    }

    /// An operation that took the ten microseconds from `at` on, by a client that had seen these writes.
    pub(crate) fn op(&mut self, at: u64, kind: Kind, seen: &[u32], outcome: Outcome) -> OpId {
        let id = self.history.next_id();
        let seen = seen.iter().map(|n| OpId(*n)).collect::<BTreeSet<_>>();
        let expected = seen.first().map_or(Expected::Nothing, |id| Expected::Value(*id));
        self.history.invoke(Op {
            id,
            key: self.spot.key.clone(),
            kind,
            request: RequestId(u128::from(id.0).to_be_bytes()),
            seen: Seen { writes: seen, deletes_before: None },
            expected: (self.spot.semantics == Semantics::Register).then_some(expected),
            invoked: at,
            returned: None,
            outcome: Outcome::Open,
        });
        self.history.complete(id, at + 10, outcome);
        id
    }

    /// A put of the next number.
    pub(crate) fn put_with(&mut self, at: u64, seen: &[u32], outcome: Outcome) -> OpId {
        let value = line(self.history.next_id(), 0).into();
        self.op(at, Kind::Put(value), seen, outcome)
    }

    /// A put of the next number, acknowledged by two owners, which one node made one write of, at the time of its number and one.
    pub(crate) fn put(&mut self, at: u64, seen: &[u32]) {
        let id = self.put_with(at, seen, ACKNOWLEDGED);
        self.made(id, u64::from(id.0) + 1);
    }

    /// A delete, as [`Case::put`].
    pub(crate) fn delete(&mut self, at: u64, seen: &[u32]) {
        let id = self.op(at, Kind::Delete, seen, ACKNOWLEDGED);
        self.made(id, u64::from(id.0) + 1);
    }

    /// A node made a write of an operation, at that time.
    pub(crate) fn made(&mut self, id: OpId, time: u64) {
        self.made_until(id, time, None);
    }

    /// As [`Case::made`], which expires so many milliseconds after the simulated time began.
    pub(crate) fn made_until(&mut self, id: OpId, time: u64, expires: Option<u64>) {
        let op = self.history.op(id).expect("it was invoked").clone();
        let digest = match &op.kind {
            Kind::Put(value) => Some(Digest::of(value)),
            Kind::Delete | Kind::Get { .. } => None,
        };
        let expires = expires.map(|ms| Expiry(ORIGIN / 1_000 + ms));
        let effect = Effect { dot: dot(time), digest, at_least: None, at_most: None, expires };
        self.history.note(&op.key, op.request, effect);
    }

    /// A strict read of two owners.
    pub(crate) fn read(&mut self, at: u64, numbers: &[u32]) {
        let found = Outcome::Found { values: values(numbers), deleted: false };
        self.op(at, Kind::Get { r: 2, strict: true }, &[], found);
    }

    /// What these owners hold in the end: versions of these times.
    pub(crate) fn holds(mut self, held: &[(usize, &[u64])]) -> Self {
        self.held = held.iter().map(|(node, times)| (*node, held_at(times))).collect();
        self
    }

    /// The checkers that find something, if this is there in the end.
    pub(crate) fn found(mut self, numbers: &[u32]) -> Vec<&'static str> {
        self.last.values = values(numbers);
        let keys = Keyspace { buckets: Vec::new(), spots: vec![self.spot.clone()] };
        let finals = self.is_read.then_some((self.spot.key.clone(), self.last));
        let violations = checker::check(&Ending {
            history: &self.history,
            keys: &keys,
            finals: &finals.into_iter().collect(),
            held: &BTreeMap::from([(self.spot.key, self.held)]),
            debts: &self.debts,
            breaches: &self.breaches,
            readings: Readings { wrong_by: 0, calm_from: u64::MAX, ahead: 0 },
            ended: 1_000,
        });
        let found: BTreeSet<_> = violations.iter().map(|violation| violation.checker).collect();
        found.into_iter().collect()
    }
}

pub(crate) fn values(numbers: &[u32]) -> Vec<Bytes> {
    numbers.iter().map(|n| line(OpId(*n), 0).into()).collect()
}

pub(crate) fn dot(time: u64) -> Dot {
    Dot { actor: Actor(1), time: Timestamp(time) }
}

fn held_at(times: &[u64]) -> Held {
    let versions = times.iter().map(|time| (dot(*time), Some(Digest::of(b"value")))).collect();
    Held { versions, context: Context::default() }
}
