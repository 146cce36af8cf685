//! Histories of one register for outside judges: small random ones, and those of the simulator in a form that is nobody's.
//!
//! The checker [`linearizable`] is judged by other people's testers of linearizability. What they are given is worked out here from the
//! history itself, apart from what the checker makes of it, so that a slip in either shows as a disagreement.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kinfold_protocol::config::{BucketConfig, Consistency};
use kinfold_protocol::id::{BucketName, Key, RequestId};
use kinfold_protocol::message::client::Code;

use crate::checker::{authors, linearizable};
use crate::clock::Readings;
use crate::ending::Ending;
use crate::history::{Expected, History, Kind, Op, OpId, Outcome, Seen, line};
use crate::keyspace::{Keyspace, Semantics, Spot};
use crate::rng::Rng;

/// What the register holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing, and it never held anything.
    #[default]
    New,
    /// What this operation wrote.
    Value(u32),
    /// Nothing since this operation.
    Deleted(u32),
}

/// What was asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// What it holds.
    Read,
    /// To take another state if it holds what is expected.
    Change {
        /// What is expected.
        expected: Expected,
        /// The new state.
        next: State,
    },
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The change was made.
    Made,
    /// What it holds: to a read, or to a change that was not made. `None` for nothing.
    Holds(Option<u32>),
    /// Several values, which a register never holds.
    Nonsense,
}

/// An operation with its times.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// What was asked.
    pub asked: Asked,
    /// What was answered; nothing if nobody knows whether it happened.
    pub told: Option<Told>,
    /// When it was asked.
    pub invoked: u64,
    /// When it was answered.
    pub returned: u64,
}

impl State {
    fn value(self) -> Option<u32> {
        match self {
            Self::Value(id) => Some(id),
            Self::New | Self::Deleted(_) => None,
        }
    }

    /// Is it as expected?
    #[must_use]
    pub fn is(self, expected: Expected) -> bool {
        match expected {
            Expected::Nothing => self == Self::New,
            Expected::Deleted => matches!(self, Self::Deleted(_)),
            Expected::Value(id) => self == Self::Value(id.0),
            Expected::Other => false,
        }
    }

    /// May this have been the answer? Which delete was expected is not known, so where one is, another may have come since.
    #[must_use]
    pub fn may_tell(self, asked: Asked, told: Told) -> bool {
        let deleted = matches!(asked, Asked::Change { expected: Expected::Deleted, .. });
        told == self.take(asked).1 || (deleted && told == Told::Holds(self.value()))
    }

    /// The register itself: what it is afterwards, and its answer.
    #[must_use]
    pub fn take(self, asked: Asked) -> (Self, Told) {
        match asked {
            Asked::Change { expected, next } if self.is(expected) => (next, Told::Made),
            Asked::Read | Asked::Change { .. } => (self, Told::Holds(self.value())),
        }
    }
}

/// The operations on `key` that a register of n = 3 and w = 2 has to be consistent for.
#[must_use]
pub fn turns(history: &History, key: &Key) -> Vec<Turn> {
    history.of(key).filter_map(turn).collect()
}

fn turn(op: &Op) -> Option<Turn> {
    let expected = op.expected.unwrap_or(Expected::Nothing);
    let asked = match &op.kind {
        Kind::Get { strict: true, r: 2.. } => Asked::Read,
        Kind::Get { .. } => return None,
        Kind::Put(_) => Asked::Change { expected, next: State::Value(op.id.0) },
        Kind::Delete => Asked::Change { expected, next: State::Deleted(op.id.0) },
    };
    let told = match &op.outcome {
        Outcome::Refused(_) => return None,
        Outcome::Acknowledged { .. } => Some(Told::Made),
        Outcome::Found { values, .. } | Outcome::Conflict { values, .. } => match values.len() {
            0 => Some(Told::Holds(None)),
            1 => Some(authors(values).first().map_or(Told::Nonsense, |id| Told::Holds(Some(id.0)))),
            _ => Some(Told::Nonsense),
        },
        Outcome::Open | Outcome::Unknown => None,
    };
    if asked == Asked::Read && told.is_none() {
        return None;
    }
    Some(Turn { asked, told, invoked: op.invoked, returned: op.returned.unwrap_or(u64::MAX) })
}

/// The moments of all turns in order, as numbers of turns: `false` for an invocation, `true` for an answer. At the same time,
/// invocations come first, since nothing says that the answer was known before. Without an answer a turn has none.
#[must_use]
pub fn moments(turns: &[Turn]) -> Vec<(usize, bool)> {
    let mut moments: Vec<(u64, bool, usize)> = Vec::new();
    for (number, turn) in turns.iter().enumerate() {
        moments.push((turn.invoked, false, number));
        if turn.told.is_some() {
            moments.push((turn.returned, true, number));
        }
    }
    moments.sort_unstable();
    moments.into_iter().map(|(_, answers, number)| (number, answers)).collect()
}

/// The key that [`random`] histories are of.
#[must_use]
pub fn key() -> Key {
    let bucket = BucketName::new("register").expect("letters");
    Key { bucket, key: Bytes::from_static(b"key") }
}

/// What the checker says of the operations on `key`: is there an order?
#[must_use]
pub fn is_in_order(history: &History, key: &Key) -> bool {
    let config = BucketConfig { consistency: Consistency::Strict, ..BucketConfig::default() };
    let spot = Spot {
        key: key.clone(),
        config,
        semantics: Semantics::Register,
        owners: vec![0, 1, 2],
        expires: false,
        least_w: 2,
        exposed: false,
    };
    let keys = Keyspace { buckets: Vec::new(), spots: vec![spot] };
    let ending = Ending {
        history,
        keys: &keys,
        finals: &BTreeMap::new(),
        held: &BTreeMap::new(),
        debts: &[],
        breaches: &[],
        readings: Readings::default(),
        ended: 0,
    };
    linearizable::check(&ending).is_empty()
}

/// The first operations on a key, up to `most`, as if nobody had been there any more when the last of them was asked for.
#[must_use]
pub fn beginning(history: &History, key: &Key, most: usize) -> History {
    let of_key: Vec<&Op> = history.of(key).collect();
    let end = of_key.get(most).map_or(u64::MAX, |op| op.invoked);
    let mut renamed = BTreeMap::new();
    let mut short = History::default();
    for op in of_key.into_iter().take(most) {
        let mut op = op.clone();
        let id = short.next_id();
        renamed.insert(op.id, id);
        op.id = id;
        if op.returned.is_none_or(|returned| returned >= end) {
            (op.returned, op.outcome) = (None, Outcome::Open);
        }
        // What is named is in the beginning, or the name is one that nobody has.
        let known = |id: &OpId| renamed.get(id).copied().unwrap_or(OpId(u32::MAX));
        if let Some(Expected::Value(id)) = &mut op.expected {
            *id = known(id);
        }
        if let Outcome::Found { values, .. } | Outcome::Conflict { values, .. } = &mut op.outcome {
            let names: Vec<OpId> =
                values.iter().flat_map(|v| authors(std::slice::from_ref(v))).collect();
            *values = names.iter().map(|id| line(known(id), 0).into()).collect();
        }
        short.invoke(op);
    }
    short
}

/// A history of up to nine operations, by clients of a real register: half of these are spoilt afterwards in one place or two, which need
/// not be seen.
#[must_use]
pub fn random(rng: &mut Rng) -> History {
    let count = rng.within(3..=9);
    // Each takes effect at its point. The coarser times are, the more of them are the same.
    let grain = *rng.pick(&[1, 4, 12]);
    let width = *rng.pick(&[5, 30, 90]);
    let mut times: Vec<(u64, u64, u64)> = (0..count)
        .map(|_| {
            let point = 100 + rng.below(100);
            let (before, after) = (rng.below(width), rng.below(width));
            ((point - before) / grain, point, (point + after) / grain)
        })
        .collect();
    times.sort_unstable();
    let mut by_point: Vec<usize> = (0..times.len()).collect();
    by_point.sort_by_key(|at| (times[*at].1, *at));
    let mut ops: Vec<Option<Op>> = vec![None; times.len()];
    let mut state = State::New;
    for at in by_point {
        let op = random_op(rng, at, &times, &mut state);
        ops[at] = Some(op);
    }
    let mut ops: Vec<Op> = ops.into_iter().flatten().collect();
    if rng.chance(500) {
        for _ in 0..rng.within(1..=2) {
            spoil(rng, &mut ops);
        }
    }
    let mut history = History::default();
    ops.into_iter().for_each(|op| history.invoke(op));
    history
}

fn random_op(rng: &mut Rng, at: usize, times: &[(u64, u64, u64)], state: &mut State) -> Op {
    let id = OpId(u32::try_from(at).expect("few operations"));
    let kind = match rng.below(100) {
        0..40 => Kind::Get { r: 2, strict: true },
        40..85 => Kind::Put(line(id, 0).into()),
        _ => Kind::Delete,
    };
    let expected = match (&kind, *state) {
        (Kind::Get { .. }, _) => None,
        (_, _) if rng.chance(300) => Some(any_expected(rng, times.len())),
        (_, State::New) => Some(Expected::Nothing),
        (_, State::Value(id)) => Some(Expected::Value(OpId(id))),
        (_, State::Deleted(_)) => Some(Expected::Deleted),
    };
    let mut op = Op {
        id,
        key: key(),
        kind,
        request: RequestId([0; 16]),
        seen: Seen { writes: BTreeSet::new(), deletes_before: None },
        expected,
        invoked: times[at].0,
        returned: Some(times[at].2),
        outcome: Outcome::Open,
    };
    match (rng.below(100), op.writes()) {
        (0..4, _) => op.outcome = Outcome::Refused(Code::Unavailable),
        // Nothing came of it, and nobody knows.
        (4..12, true) => op.outcome = Outcome::Unknown,
        (chance, writes) => {
            let asked = turn(&op).map_or(Asked::Read, |turn| turn.asked);
            let (next, told) = state.take(if writes { asked } else { Asked::Read });
            *state = next;
            let values: Vec<Bytes> = match told {
                Told::Holds(Some(id)) => vec![line(OpId(id), 0).into()],
                Told::Holds(None) | Told::Made | Told::Nonsense => Vec::new(),
            };
            let deleted = matches!(next, State::Deleted(_));
            op.outcome = match (told, writes) {
                (Told::Made, _) => Outcome::Acknowledged { owners: 2 },
                (_, true) => Outcome::Conflict { values, deleted },
                (_, false) => Outcome::Found { values, deleted },
            };
            if writes && chance < 25 {
                (op.outcome, op.returned) = (Outcome::Open, None);
            }
        }
    }
    op
}

fn any_expected(rng: &mut Rng, count: usize) -> Expected {
    match rng.below(10) {
        0..2 => Expected::Nothing,
        2..4 => Expected::Deleted,
        4..9 => Expected::Value(OpId(rng.below(count as u64) as u32)),
        _ => Expected::Other,
    }
}

/// Changes something about one of these.
fn spoil(rng: &mut Rng, ops: &mut [Op]) {
    let count = ops.len();
    let values: Vec<Bytes> = (0..*rng.pick(&[0, 1, 1, 1, 1, 2]))
        .map(|_| line(OpId(rng.below(count as u64) as u32), 0).into())
        .collect();
    let at = rng.index(count);
    let op = &mut ops[at];
    match (rng.below(4), &op.outcome) {
        // It was earlier or later than it seems.
        (0, _) => {
            let by = rng.within(1..=40);
            op.invoked += by;
            op.returned = op.returned.map(|returned| returned + by);
        }
        (1, _) => op.returned = op.returned.map(|_| op.invoked),
        (2, _) if op.writes() => op.expected = Some(any_expected(rng, count)),
        (_, Outcome::Found { deleted, .. }) => {
            op.outcome = Outcome::Found { values, deleted: *deleted };
        }
        (_, Outcome::Conflict { .. } | Outcome::Unknown | Outcome::Open | Outcome::Refused(_))
            if op.writes() =>
        {
            op.outcome = Outcome::Acknowledged { owners: 2 };
            op.returned = op.returned.or(Some(op.invoked + rng.below(60)));
        }
        (_, Outcome::Acknowledged { .. }) => {
            op.outcome = Outcome::Conflict { values, deleted: false };
        }
        (_, Outcome::Conflict { .. } | Outcome::Unknown | Outcome::Open | Outcome::Refused(_)) => {}
    }
}
