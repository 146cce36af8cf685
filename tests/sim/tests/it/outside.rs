//! The checkers on histories that nobody saw from inside, as those of a cluster of processes: hand-made, and each wrong in one way.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kinfold_protocol::causality::{Context, Digest, Dot};
use kinfold_protocol::config::{BucketConfig, Consistency};
use kinfold_protocol::id::{Actor, BucketName, Key, RequestId};
use kinfold_protocol::time::Timestamp;
use sim::checker;
use sim::clock::Readings;
use sim::ending::{Ending, Final, Held};
use sim::history::{Expected, History, Kind, Op, Outcome, Seen, line};
use sim::keyspace::{Keyspace, Semantics, Spot};

/// A key, what happened to it, and what is there in the end.
struct Case {
    history: History,
    spot: Spot,
    last: Final,
    held: BTreeMap<usize, Held>,
}

impl Case {
    fn new(semantics: Semantics) -> Self {
        let bucket = BucketName::new("bucket").expect("letters");
        let config = BucketConfig { consistency: Consistency::Strict, ..BucketConfig::default() };
        let key = Key { bucket, key: Bytes::from_static(b"key") };
        let owners = vec![0, 1, 2];
        let spot =
            Spot { key, config, semantics, owners, expires: false, least_w: 2, exposed: false };
        let (last, held) = (Final::default(), BTreeMap::new());
        Self { history: History::from_outside(), spot, last, held }
    }

    /// An operation that took the ten microseconds from `at` on.
    fn op(&mut self, at: u64, kind: Kind, seen: &[u32], outcome: Outcome) {
        let id = self.history.next_id();
        let seen = seen.iter().map(|n| sim::history::OpId(*n)).collect::<BTreeSet<_>>();
        let expected = seen.first().map_or(Expected::Nothing, |id| Expected::Value(*id));
        self.history.invoke(Op {
            id,
            key: self.spot.key.clone(),
            kind,
            request: RequestId([0; 16]),
            seen: Seen { writes: seen, deletes_before: None },
            expected: (self.spot.semantics == Semantics::Register).then_some(expected),
            invoked: at,
            returned: None,
            outcome: Outcome::Open,
        });
        self.history.complete(id, at + 10, outcome);
    }

    /// A put of the next number, acknowledged by two owners.
    fn put(&mut self, at: u64, seen: &[u32]) {
        let value = line(self.history.next_id(), 0).into();
        self.op(at, Kind::Put(value), seen, Outcome::Acknowledged { owners: 2 });
    }

    /// A strict read of two owners.
    fn read(&mut self, at: u64, numbers: &[u32]) {
        let found = Outcome::Found { values: values(numbers), deleted: false };
        self.op(at, Kind::Get { r: 2, strict: true }, &[], found);
    }

    /// The checkers that find something, if this is there in the end.
    fn found(mut self, numbers: &[u32]) -> BTreeSet<&'static str> {
        self.last.values = values(numbers);
        let keys = Keyspace { buckets: Vec::new(), spots: vec![self.spot.clone()] };
        let violations = checker::check(&Ending {
            history: &self.history,
            keys: &keys,
            finals: &BTreeMap::from([(self.spot.key.clone(), self.last)]),
            held: &BTreeMap::from([(self.spot.key, self.held)]),
            debts: &[],
            breaches: &[],
            readings: Readings::default(),
            ended: 0,
        });
        violations.iter().map(|violation| violation.checker).collect()
    }
}

fn values(numbers: &[u32]) -> Vec<Bytes> {
    numbers.iter().map(|n| line(sim::history::OpId(*n), 0).into()).collect()
}

fn held(times: &[u64]) -> Held {
    let dot = |time: &u64| Dot { actor: Actor(1), time: Timestamp(*time) };
    let versions = times.iter().map(|time| (dot(time), Some(Digest::of(b"value")))).collect();
    Held { versions, context: Context::default() }
}

const NONE: [&str; 0] = [];

fn names(found: BTreeSet<&'static str>) -> Vec<&'static str> {
    found.into_iter().collect()
}

#[test]
fn a_lost_write_is_found() {
    for semantics in [Semantics::Causal, Semantics::CausalSets, Semantics::Union] {
        let case = || {
            let mut case = Case::new(semantics);
            case.put(0, &[]);
            case.put(20, &[]);
            case
        };
        assert_eq!(names(case().found(&[0, 1])), NONE);
        assert_eq!(names(case().found(&[1])), ["acknowledged"]);
    }
}

#[test]
fn a_set_that_was_emptied_excuses_what_is_missing() {
    let mut case = Case::new(Semantics::Union);
    case.put(0, &[]);
    case.op(20, Kind::Delete, &[], Outcome::Unknown);
    assert_eq!(names(case.found(&[])), NONE);
}

#[test]
fn what_was_replaced_and_is_back_is_found_if_one_node_alone_made_it() {
    for (once, expected) in [(true, &["resurrected"][..]), (false, &[])] {
        let mut case = Case::new(Semantics::Causal);
        case.put(0, &[]);
        if once {
            case.history.ask_once(sim::history::OpId(0));
        }
        case.put(20, &[0]);
        assert_eq!(names(case.found(&[0, 1])), expected);
    }
}

#[test]
fn a_value_that_nobody_wrote_is_found() {
    let mut case = Case::new(Semantics::Causal);
    case.put(0, &[]);
    case.read(20, &[0, 7]);
    assert_eq!(names(case.found(&[0])), ["invented"]);
}

#[test]
fn a_strict_read_that_goes_back_is_found_unless_a_disk_was_lost() {
    for (exposed, expected) in [(false, &["monotonic"][..]), (true, &[])] {
        let mut case = Case::new(Semantics::Causal);
        case.spot.exposed = exposed;
        case.put(0, &[]);
        case.put(20, &[0]);
        case.read(40, &[0]);
        assert_eq!(names(case.found(&[1])), expected);
    }
}

#[test]
fn a_register_out_of_order_is_found() {
    let mut case = Case::new(Semantics::Register);
    case.put(0, &[]);
    case.put(20, &[0]);
    case.read(40, &[0]);
    assert_eq!(names(case.found(&[1])), ["linearizable"]);
}

#[test]
fn replicas_that_differ_and_copies_left_elsewhere_are_found() {
    let case = |held: &[(usize, &[u64])]| {
        let mut case = Case::new(Semantics::Causal);
        case.held = held.iter().map(|(node, times)| (*node, self::held(times))).collect();
        names(case.found(&[]))
    };
    assert_eq!(case(&[(0, &[1]), (1, &[1]), (2, &[1])]), NONE);
    assert_eq!(case(&[(0, &[1]), (1, &[1, 2]), (2, &[1])]), ["equal"]);
    assert_eq!(case(&[(0, &[1]), (1, &[1])]), ["equal"]);
    assert_eq!(case(&[(0, &[1]), (1, &[1]), (2, &[1]), (3, &[1])]), ["settled"]);
}
