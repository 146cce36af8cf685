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

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;
use kinfold_protocol::time::Timestamp;

use crate::ending::Ending;
use crate::history::{self, History, Op, OpId};

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

/// What a checker finds, in words.
pub type Checker = fn(&Ending<'_>) -> Vec<String>;

/// All checkers, by name.
pub const ALL: [(&str, Checker); 10] = [
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
pub(crate) fn authors(values: &[Bytes]) -> BTreeSet<OpId> {
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

/// May one of these deletes have emptied the set that the write was added to? It has, if it is later than the generation of the set in
/// which the write was made. From outside that is not to be seen: any of them may.
fn may_reset<'h>(history: &History, mut deletes: impl Iterator<Item = &'h Op>, op: &Op) -> bool {
    if !history.is_watched() {
        return deletes.next().is_some();
    }
    let generation = history.effects(op).map(|effect| effect.at_least).min().flatten();
    deletes.flat_map(|delete| history.effects(delete)).any(|effect| Some(effect.dot) > generation)
}
