//! Conditional writes and strict reads of a key that nobody writes otherwise are linearizable: there is one order of them all,
//! in which each lies between its invocation and its answer, and that a single register with compare-and-set could have gone
//! through (Herlihy and Wing 1990).
//!
//! The search is that of Wing and Gong (1993) with the memory of Lowe (2017): of what may come next, one after the other is
//! tried, and no state of what is done is looked at twice. An operation that leaves the register as it is and fits is taken at once,
//! since it can only be harder to place later. A write whose fate nobody told may come at any time after it was invoked, or never.

use std::collections::BTreeSet;

use crate::bits::Bits;
use crate::checker::authors;
use crate::ending::Ending;
use crate::history::{Expected, Kind, Op, OpId, Outcome};
use crate::keyspace::{Semantics, Spot};

/// States that are looked at before the search gives up, which counts as a violation.
const MOST_STATES: usize = 3_000_000;

/// The register: the last write, and whether that was a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Register {
    New,
    Value(OpId),
    Deleted(OpId),
}

/// What an operation does to the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// It writes, if the register is as expected.
    Write { expected: Expected, deletes: bool },
    /// It has seen this value, or none.
    See(Option<OpId>),
    /// It was not made, since it has seen this value, or none, and expected something else.
    Meet { seen: Option<OpId>, expected: Expected },
    /// What it saw can't have been there.
    Impossible,
}

/// An operation with its time.
#[derive(Clone, Copy, Debug)]
struct Entry {
    id: OpId,
    invoked: u64,
    /// None if nobody knows whether it happened.
    returned: Option<u64>,
    act: Act,
}

/// What does not hold.
#[must_use]
pub fn check(ending: &Ending<'_>) -> Vec<String> {
    let spots = ending.keys.spots.iter();
    spots
        .filter(|spot| spot.semantics == Semantics::Register && !spot.exposed)
        .filter_map(|spot| {
            is_out_of_order(&entries(ending, spot)).map(|why| format!("{:?}: {why}", spot.key))
        })
        .collect()
}

fn entries(ending: &Ending<'_>, spot: &Spot) -> Vec<Entry> {
    let ops = ending.history.of(&spot.key);
    without_traceless(ops.filter_map(|op| entry(op, spot)).collect())
}

/// Leaves out the puts whose fate nobody told and whose value nobody saw or expected: after one of them nothing could come, so
/// an order with it is also one without.
fn without_traceless(mut entries: Vec<Entry>) -> Vec<Entry> {
    loop {
        let traced: BTreeSet<OpId> = entries
            .iter()
            .filter_map(|entry| match entry.act {
                Act::See(seen) | Act::Meet { seen, .. } => seen,
                Act::Write { expected: Expected::Value(id), .. } => Some(id),
                Act::Write { .. } | Act::Impossible => None,
            })
            .collect();
        let before = entries.len();
        entries.retain(|entry| {
            let puts = matches!(entry.act, Act::Write { deletes: false, .. });
            !puts || entry.returned.is_some() || traced.contains(&entry.id)
        });
        if entries.len() == before {
            return entries;
        }
    }
}

fn entry(op: &Op, spot: &Spot) -> Option<Entry> {
    let see = |values: &[bytes::Bytes]| {
        let authors = authors(values);
        match (values.len(), authors.first()) {
            (0, _) => Act::See(None),
            (1, Some(author)) => Act::See(Some(*author)),
            (_, _) => Act::Impossible,
        }
    };
    let deletes = op.kind == Kind::Delete;
    let expected = op.expected.unwrap_or(Expected::Nothing);
    let (act, returned) = match (&op.kind, &op.outcome) {
        (Kind::Get { r, strict: true }, Outcome::Found { values, .. }) if meets(*r, spot) => {
            (see(values), op.returned)
        }
        (Kind::Get { .. }, _) | (_, Outcome::Refused(_)) => return None,
        (_, Outcome::Conflict { values, .. }) => match see(values) {
            Act::See(seen) => (Act::Meet { seen, expected }, op.returned),
            act @ (Act::Meet { .. } | Act::Write { .. } | Act::Impossible) => (act, op.returned),
        },
        (_, Outcome::Acknowledged { .. }) => (Act::Write { expected, deletes }, op.returned),
        (_, Outcome::Open | Outcome::Unknown | Outcome::Found { .. }) => {
            (Act::Write { expected, deletes }, None)
        }
    };
    Some(Entry { id: op.id, invoked: op.invoked, returned, act })
}

/// Does a strict read of `r` owners meet every write that was acknowledged, by a majority at least, and what every strict read
/// before it has made sure of?
fn meets(r: u8, spot: &Spot) -> bool {
    let n = spot.config.n;
    r + (n / 2 + 1).min(spot.config.w) > n
}

/// The register after an operation; none if that does not fit.
fn after(register: Register, entry: &Entry) -> Option<Register> {
    let fits = match entry.act {
        Act::Impossible => false,
        Act::See(seen) => register.shows(seen),
        // Which delete was expected is not known: there may have been another one since.
        Act::Meet { seen, expected: Expected::Deleted } => register.shows(seen),
        Act::Meet { seen, expected } => register.shows(seen) && !register.is(expected),
        Act::Write { expected, .. } => register.is(expected),
    };
    let next = match entry.act {
        Act::Write { deletes: true, .. } => Register::Deleted(entry.id),
        Act::Write { deletes: false, .. } => Register::Value(entry.id),
        Act::See(_) | Act::Meet { .. } | Act::Impossible => register,
    };
    fits.then_some(next)
}

impl Register {
    /// Is this what a reader sees?
    fn shows(self, seen: Option<OpId>) -> bool {
        match self {
            Self::Value(id) => seen == Some(id),
            Self::New | Self::Deleted(_) => seen.is_none(),
        }
    }

    fn is(self, expected: Expected) -> bool {
        match expected {
            Expected::Nothing => self == Self::New,
            Expected::Deleted => matches!(self, Self::Deleted(_)),
            Expected::Value(id) => self == Self::Value(id),
            Expected::Other => false,
        }
    }
}

/// Why there is no order; none if there is one.
fn is_out_of_order(entries: &[Entry]) -> Option<String> {
    let mut seen: BTreeSet<(Register, Bits)> = BTreeSet::new();
    let mut stack = vec![(Register::New, Bits::default())];
    let mut furthest: (usize, Register, Option<OpId>) = (0, Register::New, None);
    while let Some((register, mut done)) = stack.pop() {
        settle(entries, register, &mut done);
        let open = |at: usize| !done.contains(at);
        let left: Vec<usize> = (0..entries.len()).filter(|at| open(*at)).collect();
        let limit = left.iter().filter_map(|at| entries[*at].returned).min()?;
        let count = entries.len() - left.len();
        if count >= furthest.0 {
            let stuck = left.iter().find(|at| entries[**at].returned == Some(limit));
            furthest = (count, register, stuck.map(|at| entries[*at].id));
        }
        if seen.len() > MOST_STATES {
            return Some(format!("no order was found in {MOST_STATES} states"));
        }
        for at in left.into_iter().filter(|at| entries[*at].invoked <= limit) {
            if let Some(next) = after(register, &entries[at]) {
                let mut with = done.clone();
                with.insert(at);
                if seen.insert((next, with.clone())) {
                    stack.push((next, with));
                }
            }
        }
    }
    let (count, register, stuck) = furthest;
    Some(format!(
        "no order fits: after {count} of {} operations the register is {register:?}, and {stuck:?} must come",
        entries.len()
    ))
}

/// Takes all that fits and leaves the register as it is.
fn settle(entries: &[Entry], register: Register, done: &mut Bits) {
    loop {
        let open = |at: &usize| !done.contains(*at);
        let limit = (0..entries.len()).filter(open).filter_map(|at| entries[at].returned).min();
        let fits = |at: &usize| {
            let entry = &entries[*at];
            let sees = matches!(entry.act, Act::See(_) | Act::Meet { .. });
            sees && limit.is_none_or(|limit| entry.invoked <= limit)
                && after(register, entry).is_some()
        };
        let taken: Vec<usize> = (0..entries.len()).filter(open).filter(fits).collect();
        if taken.is_empty() {
            return;
        }
        taken.into_iter().for_each(|at| done.insert(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(id: u32, expected: Expected, invoked: u64, returned: Option<u64>) -> Entry {
        let act = Act::Write { expected, deletes: false };
        Entry { id: OpId(id), invoked, returned, act }
    }

    fn see(id: u32, seen: Option<u32>, invoked: u64, returned: u64) -> Entry {
        Entry { id: OpId(id), invoked, returned: Some(returned), act: Act::See(seen.map(OpId)) }
    }

    const NEW: Expected = Expected::Nothing;

    fn value(id: u32) -> Expected {
        Expected::Value(OpId(id))
    }

    #[test]
    fn one_after_the_other_is_in_order() {
        let history = [
            write(1, NEW, 0, Some(10)),
            see(2, Some(1), 20, 30),
            write(3, value(1), 20, Some(40)),
            see(4, Some(3), 50, 60),
        ];
        assert_eq!(is_out_of_order(&history), None);
    }

    #[test]
    fn of_two_that_expect_the_same_only_one_may_be_made() {
        let both = [write(1, NEW, 0, Some(10)), write(2, NEW, 0, Some(10))];
        assert!(is_out_of_order(&both).is_some());
        let one = [write(1, NEW, 0, Some(10)), see(2, Some(1), 0, 10)];
        assert_eq!(is_out_of_order(&one), None);
        let unknown = [write(1, NEW, 0, Some(10)), write(2, NEW, 0, None)];
        assert_eq!(is_out_of_order(&unknown), None, "it may never have happened");
    }

    #[test]
    fn what_is_as_expected_is_no_conflict() {
        let meet = |expected| Entry {
            act: Act::Meet { seen: Some(OpId(1)), expected },
            ..see(2, None, 20, 30)
        };
        let first = write(1, NEW, 0, Some(10));
        assert!(is_out_of_order(&[first, meet(value(1))]).is_some());
        assert_eq!(is_out_of_order(&[first, meet(value(7))]), None);
        let new = Act::Meet { seen: None, expected: NEW };
        assert!(is_out_of_order(&[Entry { act: new, ..first }]).is_some());
    }

    #[test]
    fn what_was_seen_does_not_go_back() {
        let back =
            [write(1, NEW, 0, Some(10)), write(2, value(1), 20, Some(30)), see(3, Some(1), 40, 50)];
        assert!(is_out_of_order(&back).is_some());
        let lost = [write(1, NEW, 0, Some(10)), see(2, None, 20, 30)];
        assert!(is_out_of_order(&lost).is_some());
        // Whether the second write happened is open until it is read: then it did, and stays.
        let open = [
            write(1, NEW, 0, Some(10)),
            write(2, value(1), 20, None),
            see(3, Some(1), 40, 50),
            see(4, Some(2), 60, 70),
            see(5, Some(1), 80, 90),
        ];
        assert_eq!(is_out_of_order(&open[..4]), None);
        assert!(is_out_of_order(&open).is_some());
    }
}
