//! The checkers: one property each, of all that happened and of what is there in the end.

pub mod acknowledged;
pub mod contract;
pub mod equal;
pub mod expired;
pub mod invented;
pub mod linearizable;
pub mod monotonic;
pub mod ordered;
pub mod resurrected;
pub mod settled;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use kinfold_protocol::id::Key;
use kinfold_protocol::time::Timestamp;

use crate::clock::Readings;
use crate::history::{self, History, Op, OpId};
use crate::keyspace::Keyspace;
use crate::machine::Machine;

/// What a key holds in the end, by a strict read of all its owners.
#[derive(Clone, Debug, Default)]
pub struct Final {
    /// The values.
    pub values: Vec<Bytes>,
    /// Is a delete among what was seen?
    pub deleted: bool,
}

impl Final {
    /// The writes that the values name.
    #[must_use]
    pub fn authors(&self) -> BTreeSet<OpId> {
        authors(&self.values)
    }
}

/// All that there is to judge.
pub struct Ending<'w> {
    /// What happened.
    pub history: &'w History,
    /// The buckets and keys.
    pub keys: &'w Keyspace,
    /// What each key holds in the end; keys that can't be read are missing.
    pub finals: &'w BTreeMap<Key, Final>,
    /// The nodes.
    pub machines: &'w [Machine],
    /// Ways in which the core broke its contract.
    pub breaches: &'w [String],
    /// Was a disk lost? Then fewer owners hold a write than acknowledged it.
    pub lost_disk: bool,
    /// What the nodes' wall clocks read.
    pub readings: Readings,
    /// When the last reads had been answered.
    pub ended: u64,
}

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The checker that found it.
    pub checker: &'static str,
    /// What it found.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.checker, self.text)
    }
}

/// All checkers, by name.
type Checker = fn(&Ending<'_>) -> Vec<String>;

const ALL: [(&str, Checker); 10] = [
    ("acknowledged", acknowledged::check),
    ("invented", invented::check),
    ("resurrected", resurrected::check),
    ("ordered", ordered::check),
    ("monotonic", monotonic::check),
    ("linearizable", linearizable::check),
    ("expired", expired::check),
    ("equal", equal::check),
    ("settled", settled::check),
    ("contract", contract::check),
];

/// Has every checker judge.
#[must_use]
pub fn check(ending: &Ending<'_>) -> Vec<Violation> {
    let found = |(checker, check): (&'static str, Checker)| {
        check(ending).into_iter().map(move |text| Violation { checker, text })
    };
    ALL.into_iter().flat_map(found).collect()
}

/// The writes that values name.
fn authors(values: &[Bytes]) -> BTreeSet<OpId> {
    values.iter().filter_map(|value| history::authors(value)).flatten().collect()
}

/// The earliest time that a write was given: what is newer than it was written later, in any case.
fn earliest(history: &History, op: &Op) -> Option<Timestamp> {
    history.effects(op).map(|effect| effect.dot.time).min()
}

/// The latest time that a write was given.
fn latest(history: &History, op: &Op) -> Option<Timestamp> {
    history.effects(op).map(|effect| effect.dot.time).max()
}
