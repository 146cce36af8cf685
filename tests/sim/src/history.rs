//! What clients asked, what they were answered, and which writes the nodes made of it.
//!
//! Every put writes a line of its own: `NUMBER` of the operation, then perhaps padding. So a value that is read names the
//! operations that it came from, whatever the store says about their causality.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kinfold_protocol::causality::{Digest, Dot, Generation};
use kinfold_protocol::id::{Key, RequestId};
use kinfold_protocol::message::client::Code;
use kinfold_protocol::time::{Expiry, Timestamp};

/// Names an operation: its number in the order in which operations were invoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpId(pub u32);

/// What a client has seen of a key: what the context that it holds stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The writes whose values it read, or made itself.
    pub writes: BTreeSet<OpId>,
    /// It read that there was a delete, which may be any that was invoked before this time.
    pub deletes_before: Option<u64>,
}

/// What a client asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To write a value.
    Put(Bytes),
    /// To delete the key.
    Delete,
    /// To read the key.
    Get {
        /// Owners to wait for.
        r: u8,
        /// Only owners count, and the answer may never go back.
        strict: bool,
    },
}

/// What a conditional write expects to find, as far as its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// That nothing was ever there.
    Nothing,
    /// That the key is deleted, as it was read.
    Deleted,
    /// The value of this write.
    Value(OpId),
    /// Something else: several values, or merged ones.
    Other,
}

/// What it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing yet.
    Open,
    /// The write is durable at so many owners.
    Acknowledged {
        /// How many.
        owners: u8,
    },
    /// What was read.
    Found {
        /// The values.
        values: Vec<Bytes>,
        /// A delete was among what was seen.
        deleted: bool,
    },
    /// A conditional write was not made: the object is another one.
    Conflict {
        /// Its values.
        values: Vec<Bytes>,
        /// A delete is among what was seen.
        deleted: bool,
    },
    /// Nothing was done.
    Refused(Code),
    /// Nobody knows.
    Unknown,
}

/// An operation of a client.
#[derive(Clone, Debug)]
pub struct Op {
    /// Its number.
    pub id: OpId,
    /// The key.
    pub key: Key,
    /// What was asked.
    pub kind: Kind,
    /// The client's name for it.
    pub request: RequestId,
    /// What the context stands for that went with it.
    pub seen: Seen,
    /// What it expects to find, if it is a conditional write.
    pub expected: Option<Expected>,
    /// When.
    pub invoked: u64,
    /// When it was answered, or given up.
    pub returned: Option<u64>,
    /// What it was answered.
    pub outcome: Outcome,
}

/// A write that a node made of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Effect {
    /// Its dot.
    pub dot: Dot,
    /// What was written, if it was a value.
    pub digest: Option<Digest>,
    /// The least generation that it can belong to, in a lattice bucket whose deletes reset.
    pub at_least: Generation,
    /// The greatest generation that it can belong to.
    pub at_most: Generation,
    /// When it expires.
    pub expires: Option<Expiry>,
}

/// All that happened.
#[derive(Clone, Debug, Default)]
pub struct History {
    ops: Vec<Op>,
    by_key: BTreeMap<Key, Vec<OpId>>,
    effects: BTreeMap<RequestId, BTreeSet<Effect>>,
    dots: BTreeMap<(Key, Digest), BTreeSet<Dot>>,
    /// The nodes are seen from outside: what they made of a request is not noted.
    outside: bool,
    /// Seen from outside: writes that one node alone was asked to make.
    once: BTreeSet<OpId>,
}

impl History {
    /// A history of nodes that are processes of their own: nobody notes which writes they make of a request.
    #[must_use]
    pub fn from_outside() -> Self {
        Self { outside: true, ..Self::default() }
    }

    /// Is it noted which writes the nodes make of each request?
    #[must_use]
    pub fn is_watched(&self) -> bool {
        !self.outside
    }

    /// The number that the next operation will have.
    #[must_use]
    pub fn next_id(&self) -> OpId {
        OpId(u32::try_from(self.ops.len()).expect("a run has fewer operations"))
    }

    /// An operation begins.
    pub fn invoke(&mut self, op: Op) {
        self.by_key.entry(op.key.clone()).or_default().push(op.id);
        self.ops.push(op);
    }

    /// An operation is answered, or given up.
    pub fn complete(&mut self, id: OpId, now: u64, outcome: Outcome) {
        let op = &mut self.ops[id.0 as usize];
        op.returned = Some(now);
        op.outcome = outcome;
    }

    /// One node alone was asked to make this write.
    pub fn ask_once(&mut self, id: OpId) {
        self.once.insert(id);
    }

    /// A node made a write of a request.
    pub fn note(&mut self, key: &Key, request: RequestId, effect: Effect) {
        self.effects.entry(request).or_default().insert(effect);
        if let Some(digest) = effect.digest {
            self.dots.entry((key.clone(), digest)).or_default().insert(effect.dot);
        }
    }

    /// All operations, in the order in which they were invoked.
    #[must_use]
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// The operations on a key, in the order in which they were invoked.
    pub fn of(&self, key: &Key) -> impl Iterator<Item = &Op> + '_ {
        self.by_key.get(key).into_iter().flatten().filter_map(|id| self.op(*id))
    }

    /// Is it sure that one write at most was made of an operation?
    #[must_use]
    pub fn was_made_once(&self, op: &Op) -> bool {
        if self.outside { self.once.contains(&op.id) } else { self.effects(op).count() == 1 }
    }

    /// One operation.
    #[must_use]
    pub fn op(&self, id: OpId) -> Option<&Op> {
        self.ops.get(id.0 as usize)
    }

    /// The writes that nodes made of an operation: more than one, if it was tried at several.
    pub fn effects(&self, op: &Op) -> impl Iterator<Item = Effect> + '_ {
        self.effects.get(&op.request).into_iter().flatten().copied()
    }

    /// May what an operation wrote have expired for somebody, if no clock reads more than `wall`?
    #[must_use]
    pub fn may_have_expired(&self, op: &Op, wall: Timestamp) -> bool {
        self.effects(op).filter_map(|effect| effect.expires).any(|expires| expires.is_past(wall))
    }

    /// Must it have expired for everybody, if no clock reads less than `wall`? When it did.
    #[must_use]
    pub fn must_have_expired(&self, op: &Op, wall: Timestamp) -> Option<Expiry> {
        let last = Expiry::of_all(self.effects(op).map(|effect| effect.expires))?;
        (self.effects(op).next().is_some() && last.is_past(wall)).then_some(last)
    }

    /// The dots under which this value was written to this key.
    pub fn dots(&self, key: &Key, value: &[u8]) -> impl Iterator<Item = Dot> + '_ {
        self.dots.get(&(key.clone(), Digest::of(value))).into_iter().flatten().copied()
    }
}

impl Op {
    /// Does it write?
    #[must_use]
    pub fn writes(&self) -> bool {
        !matches!(self.kind, Kind::Get { .. })
    }

    /// Was the write acknowledged?
    #[must_use]
    pub fn acknowledged(&self) -> bool {
        matches!(self.outcome, Outcome::Acknowledged { .. })
    }

    /// May the write have happened?
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        self.writes() && !matches!(self.outcome, Outcome::Refused(_) | Outcome::Conflict { .. })
    }
}

/// The line that an operation writes.
#[must_use]
pub fn line(id: OpId, padding: usize) -> Vec<u8> {
    let mut line = id.0.to_string().into_bytes();
    if padding > 0 {
        line.push(b' ');
        line.resize(line.len() + padding, b'.');
    }
    line.push(b'\n');
    line
}

/// The operations that a value names; `None` if it is not made of lines of ours.
#[must_use]
pub fn authors(value: &[u8]) -> Option<BTreeSet<OpId>> {
    let lines = value.strip_suffix(b"\n")?;
    lines
        .split(|byte| *byte == b'\n')
        .map(|line| {
            let number = line.split(|byte| *byte == b' ').next()?;
            std::str::from_utf8(number).ok()?.parse().ok().map(OpId)
        })
        .collect()
}
