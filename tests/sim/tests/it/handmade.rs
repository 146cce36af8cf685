//! Each checker on histories made by hand: bad ones, each wrong in one way, which it has to find, and good ones that look like them,
//! in which no checker may find anything.

use bytes::Bytes;
use kinfold_protocol::causality::{Content, Context, DebtChange, Digest, Object, Owed, Version};
use kinfold_protocol::id::NodeId;
use kinfold_protocol::message::client::Code;
use kinfold_protocol::ring::{Partition, Position, Tree};
use kinfold_protocol::store::{DueChange, Store, Stored, Write};
use kinfold_protocol::time::{Expiry, Timestamp};
use kinfold_protocol::tree;
use sim::disk::Disk;
use sim::history::{Kind, Outcome};
use sim::keyspace::Semantics::{Causal, CausalSets, Latest, Register, Union};

use crate::case::{ACKNOWLEDGED, Case, dot, values};

/// What a history is called, and who found something in it.
type Judged = (&'static str, Vec<&'static str>);

fn judge(checker: &str, bad: &[Judged], good: &[Judged]) {
    assert!(bad.len() >= 5 && good.len() >= 2);
    for (name, found) in bad {
        assert!(found.contains(&checker), "{name}: only {found:?} found something");
    }
    for (name, found) in good {
        assert!(found.is_empty(), "{name}: {found:?} found something");
    }
}

/// A history of this kind, and what is there in the end.
fn case<const N: usize>(
    semantics: sim::keyspace::Semantics,
    end: [u32; N],
    happens: impl FnOnce(&mut Case),
) -> Vec<&'static str> {
    let mut case = Case::watched(semantics);
    happens(&mut case);
    case.found(&end)
}

fn conflict(numbers: &[u32]) -> Outcome {
    Outcome::Conflict { values: values(numbers), deleted: false }
}

fn get(case: &mut Case, at: u64, r: u8, strict: bool, numbers: &[u32]) {
    let found = Outcome::Found { values: values(numbers), deleted: false };
    case.op(at, Kind::Get { r, strict }, &[], found);
}

#[test]
fn acknowledged() {
    let two = |case: &mut Case| {
        case.put(0, &[]);
        case.put(20, &[]);
    };
    let bad = [
        ("the only write is gone", case(Causal, [], |case| case.put(0, &[]))),
        ("one of two siblings is gone", case(Causal, [1], two)),
        ("a line of a set that clients wrote back is gone", case(CausalSets, [0], two)),
        ("an element of a folded set is gone", case(Union, [1], two)),
        ("the earlier of two writes won", case(Latest, [0], two)),
        (
            "it is gone, and what had seen it was refused",
            case(Causal, [], |case| {
                case.put(0, &[]);
                case.put_with(20, &[0], Outcome::Refused(Code::Unavailable));
            }),
        ),
        (
            "no node ever made the write",
            case(Causal, [0], |case| _ = case.put_with(0, &[], ACKNOWLEDGED)),
        ),
    ];
    let good = [
        ("both siblings are there", case(Causal, [0, 1], two)),
        (
            "what may have replaced it had seen it, and is gone itself",
            case(Causal, [], |case| {
                case.put(0, &[]);
                case.put_with(20, &[0], Outcome::Unknown);
            }),
        ),
        (
            "a later delete emptied the set",
            case(Union, [], |case| {
                case.put(0, &[]);
                case.delete(20, &[0]);
            }),
        ),
        ("the later of two writes won", case(Latest, [1], two)),
    ];
    judge("acknowledged", &bad, &good);
}

#[test]
fn invented() {
    let outcome = |outcome: Outcome| {
        case(Causal, [], |case| {
            case.put_with(0, &[], outcome);
            case.read(20, &[0]);
        })
    };
    let bad = [
        (
            "a value with the number of no operation",
            case(Causal, [0], |case| {
                case.put(0, &[]);
                case.read(20, &[0, 7]);
            }),
        ),
        (
            "a value that is written later",
            case(Causal, [1], |case| {
                case.read(0, &[1]);
                case.put(20, &[]);
            }),
        ),
        ("a write that was refused", outcome(Outcome::Refused(Code::Unavailable))),
        ("a write that met another object", outcome(conflict(&[]))),
        (
            "the number of a delete",
            case(Causal, [], |case| {
                case.delete(0, &[]);
                case.read(20, &[0]);
            }),
        ),
        (
            "bytes that nobody writes",
            case(Causal, [], |case| {
                let values = vec![Bytes::from_static(b"garbage")];
                let found = Outcome::Found { values, deleted: false };
                case.op(0, Kind::Get { r: 2, strict: true }, &[], found);
            }),
        ),
        (
            "another value of a write that was made",
            case(Causal, [0], |case| {
                case.put(0, &[]);
                let found = Outcome::Found { values: vec!["0 ..\n".into()], deleted: false };
                case.op(20, Kind::Get { r: 2, strict: true }, &[], found);
            }),
        ),
    ];
    let good = [
        (
            "a write that is under way",
            case(Causal, [0], |case| {
                case.put(0, &[]);
                case.read(5, &[0]);
            }),
        ),
        (
            "a write of which nobody told what became of it",
            case(Causal, [0], |case| {
                let id = case.put_with(0, &[], Outcome::Unknown);
                case.made(id, 1);
                case.read(20, &[0]);
            }),
        ),
    ];
    judge("invented", &bad, &good);
}

#[test]
fn resurrected() {
    let replaced = |case: &mut Case| {
        case.put(0, &[]);
        case.put(20, &[0]);
    };
    let chain = |case: &mut Case| {
        replaced(case);
        case.put(40, &[1]);
    };
    let deleted = |case: &mut Case| {
        case.put(0, &[]);
        case.delete(20, &[0]);
    };
    let bad = [
        ("beside what replaced it", case(Causal, [0, 1], replaced)),
        ("in place of what replaced it", case(Causal, [0], replaced)),
        ("after its delete", case(Causal, [0], deleted)),
        ("after what replaced it was replaced", case(Causal, [0, 2], chain)),
        (
            "one of two siblings that a write merged",
            case(Causal, [1, 2], |case| {
                case.put(0, &[]);
                case.put(20, &[]);
                case.put(40, &[0, 1]);
            }),
        ),
        ("an element of a set that was emptied", case(Union, [0], deleted)),
    ];
    let good = [
        (
            "the writer had not seen it",
            case(Causal, [0, 1], |case| {
                case.put(0, &[]);
                case.put(20, &[]);
            }),
        ),
        (
            "nobody told whether what had seen it was made",
            case(Causal, [0], |case| {
                case.put(0, &[]);
                case.put_with(20, &[0], Outcome::Unknown);
            }),
        ),
        (
            "it was made twice, and its reader saw one of both",
            case(Causal, [0, 1], |case| {
                case.put(0, &[]);
                case.made(sim::history::OpId(0), 9);
                case.put(20, &[0]);
            }),
        ),
        (
            "the set was written to after it was emptied",
            case(Union, [2], |case| {
                deleted(case);
                case.put(40, &[]);
            }),
        ),
    ];
    judge("resurrected", &bad, &good);
}

/// Puts of the latest, one after the other: at what time each was made, and what it had seen.
fn timed<const N: usize>(puts: &[(u64, &[u32])], end: [u32; N]) -> Vec<&'static str> {
    case(Latest, end, |case| {
        for (number, (time, seen)) in (0..).zip(puts) {
            let id = case.put_with(20 * number, seen, ACKNOWLEDGED);
            case.made(id, *time);
        }
    })
}

#[test]
fn ordered() {
    let bad = [
        ("before what it had seen", timed(&[(10, &[]), (5, &[0])], [0])),
        ("at the time of what it had seen", timed(&[(10, &[]), (10, &[0])], [0])),
        ("before what is behind what it had seen", timed(&[(10, &[]), (11, &[0]), (9, &[1])], [1])),
        ("before one of two that it had seen", timed(&[(5, &[]), (10, &[]), (7, &[0, 1])], [1])),
        (
            "a delete before what it had seen",
            case(Latest, [0], |case| {
                let put = case.put_with(0, &[], ACKNOWLEDGED);
                case.made(put, 10);
                let delete = case.op(20, Kind::Delete, &[0], ACKNOWLEDGED);
                case.made(delete, 5);
            }),
        ),
        ("an hour before", timed(&[(4_000_000_000, &[]), (400_000_000, &[0])], [0])),
    ];
    let good = [
        ("before what it had not seen", timed(&[(10, &[]), (5, &[])], [0])),
        (
            "before the second try of what it had seen the first of",
            case(Latest, [0], |case| {
                let first = case.put_with(0, &[], ACKNOWLEDGED);
                case.made(first, 10);
                case.made(first, 20);
                let second = case.put_with(20, &[0], ACKNOWLEDGED);
                case.made(second, 15);
            }),
        ),
        ("after what it had seen", timed(&[(10, &[]), (11, &[0])], [1])),
    ];
    judge("ordered", &bad, &good);
}

#[test]
fn monotonic() {
    let reads = |semantics, numbers: &'static [u32]| {
        case(semantics, [0, 1], |case| {
            case.put(0, &[]);
            case.put(20, &[]);
            case.read(40, numbers);
        })
    };
    let back = |case: &mut Case| {
        case.put(0, &[]);
        case.put(20, &[0]);
        case.read(40, &[0]);
    };
    let bad = [
        ("a read of what was replaced", case(Causal, [1], back)),
        ("a read without a sibling", reads(Causal, &[0])),
        ("a read of nothing", reads(Causal, &[])),
        ("a set without an element", reads(Union, &[1])),
        ("the earlier of two writes", case(Latest, [1], back)),
        (
            "a read without what a read before it had found",
            case(Causal, [0], |case| {
                let id = case.put_with(0, &[], Outcome::Unknown);
                case.made(id, 1);
                case.read(20, &[0]);
                case.read(40, &[]);
            }),
        ),
    ];
    let good = [
        (
            "a disk was lost",
            case(Causal, [1], |case| {
                case.spot.exposed = true;
                back(case);
            }),
        ),
        (
            "the write was under way",
            case(Causal, [0], |case| {
                case.put(20, &[]);
                case.read(25, &[]);
            }),
        ),
        (
            "one owner had acknowledged, and two others were read",
            case(Causal, [0], |case| {
                let id = case.put_with(0, &[], Outcome::Acknowledged { owners: 1 });
                case.made(id, 1);
                case.read(20, &[]);
            }),
        ),
        (
            "the read was not strict",
            case(Causal, [0], |case| {
                case.put(0, &[]);
                get(case, 20, 2, false, &[]);
            }),
        ),
    ];
    judge("monotonic", &bad, &good);
}

#[test]
fn linearizable() {
    let swapped = |case: &mut Case| {
        case.put(0, &[]);
        case.put(20, &[0]);
    };
    let then = |numbers: &'static [u32]| {
        case(Register, [1], |case| {
            swapped(case);
            case.read(40, numbers);
        })
    };
    let bad = [
        ("a read of what was replaced", then(&[0])),
        ("a read of nothing", then(&[])),
        ("a read of two values", then(&[0, 1])),
        (
            "two that expected the same were made",
            case(Register, [2], |case| {
                swapped(case);
                case.put(40, &[0]);
            }),
        ),
        (
            "the key was made twice",
            case(Register, [1], |case| {
                case.put(0, &[]);
                case.put(20, &[]);
            }),
        ),
        (
            "a read of what comes later",
            case(Register, [1], |case| {
                case.read(0, &[1]);
                case.put(20, &[]);
            }),
        ),
        (
            "a write that was seen, and then was not",
            case(Register, [1], |case| {
                case.put(0, &[]);
                case.put_with(20, &[0], Outcome::Unknown);
                case.read(40, &[1]);
                case.read(60, &[0]);
            }),
        ),
        (
            "a conflict with what was expected",
            case(Register, [0], |case| {
                case.put(0, &[]);
                case.put_with(20, &[0], conflict(&[0]));
            }),
        ),
        (
            "a conflict with what was replaced",
            case(Register, [1], |case| {
                swapped(case);
                case.put_with(40, &[], conflict(&[0]));
            }),
        ),
    ];
    let good = [
        (
            "a read beside the write that replaced it",
            case(Register, [1], |case| {
                swapped(case);
                case.read(25, &[0]);
            }),
        ),
        (
            "nobody ever saw the write that nobody told of",
            case(Register, [0], |case| {
                case.put(0, &[]);
                let id = case.put_with(20, &[0], Outcome::Unknown);
                case.made(id, 2);
                case.read(40, &[0]);
            }),
        ),
        (
            "of two at once one was made, and the other met it",
            case(Register, [0], |case| {
                case.put(0, &[]);
                case.put_with(5, &[], conflict(&[0]));
            }),
        ),
    ];
    judge("linearizable", &bad, &good);
}

/// A put that expires after so many milliseconds, by each of the nodes that made it; never, if none is said.
fn expiring(case: &mut Case, after: &[Option<u64>]) {
    case.spot.expires = true;
    let id = case.put_with(0, &[], ACKNOWLEDGED);
    for (time, after) in (1..).zip(after) {
        case.made_until(id, time, *after);
    }
}

#[test]
fn expired() {
    let read_at = |at: u64, after: &'static [Option<u64>]| {
        case(Causal, [], |case| {
            expiring(case, after);
            case.read(at, &[0]);
        })
    };
    let bad = [
        ("a second after its end", read_at(1_001_000, &[Some(1)])),
        ("at its very end", read_at(1_000, &[Some(1)])),
        ("after the end of the later of two tries", read_at(3_000, &[Some(1), Some(3)])),
        (
            "beside a sibling that does not expire",
            case(Causal, [1], |case| {
                expiring(case, &[Some(1)]);
                case.put(20, &[]);
                case.read(5_000, &[0, 1]);
            }),
        ),
        (
            "by a read that is not strict",
            case(Causal, [], |case| {
                expiring(case, &[Some(1)]);
                get(case, 5_000, 1, false, &[0]);
            }),
        ),
        (
            "in the answer to a condition that failed",
            case(Causal, [], |case| {
                expiring(case, &[Some(1)]);
                case.put_with(5_000, &[], conflict(&[0]));
            }),
        ),
    ];
    let good = [
        ("the read began before its end", read_at(999, &[Some(1)])),
        ("the later of two tries is not over", read_at(2_000, &[Some(1), Some(3)])),
        (
            "it never expires",
            case(Causal, [0], |case| {
                expiring(case, &[None]);
                case.read(5_000, &[0]);
            }),
        ),
    ];
    judge("expired", &bad, &good);
}

/// What owners hold: a value or nothing else than a tombstone, each at a time.
fn holding(held: &[(usize, u64, Option<&'static [u8]>)]) -> Case {
    let mut case = Case::watched(Causal);
    for (node, time, value) in held {
        let versions = &mut case.held.entry(*node).or_default().versions;
        versions.push((dot(*time), value.map(Digest::of)));
    }
    case
}

const A: Option<&[u8]> = Some(b"a");
const B: Option<&[u8]> = Some(b"b");

#[test]
fn equal() {
    let unread = || {
        let mut case = holding(&[]);
        case.is_read = false;
        case.found(&[])
    };
    let found = |held| holding(held).found(&[]);
    let bad = [
        ("an owner has one write more", found(&[(0, 1, A), (1, 1, A), (1, 2, B), (2, 1, A)])),
        ("an owner has nothing", found(&[(0, 1, A), (1, 1, A)])),
        ("one has another write", found(&[(0, 1, A), (1, 1, A), (2, 2, A)])),
        ("one has other bytes of the same write", found(&[(0, 1, A), (1, 1, B), (2, 1, A)])),
        ("one knows of a delete, others of a value", found(&[(0, 1, A), (1, 1, A), (2, 2, None)])),
        ("the key can't be read", unread()),
    ];
    let other_context = || {
        let mut case = holding(&[(0, 1, A), (1, 1, A), (2, 1, A)]);
        case.held.entry(1).or_default().context = Context::of(dot(9));
        case.found(&[])
    };
    let good = [
        ("all have the same", found(&[(0, 1, A), (1, 1, A), (2, 1, A)])),
        ("a tombstone is gone from one", found(&[(0, 1, None), (1, 1, None)])),
        ("one knows of a write that was replaced", other_context()),
    ];
    judge("equal", &bad, &good);
}

#[test]
fn settled() {
    let owing = |debt: &str| {
        let mut case = holding(&[(0, 1, A), (1, 1, A), (2, 1, A)]);
        case.debts.push(debt.to_owned());
        case.found(&[])
    };
    let found = |held| holding(held).found(&[]);
    let bad = [
        ("a node keeps what it does not own", found(&[(0, 1, A), (1, 1, A), (2, 1, A), (3, 1, A)])),
        ("two do", found(&[(0, 1, A), (1, 1, A), (2, 1, A), (3, 1, A), (4, 1, A)])),
        ("nobody else has it", found(&[(4, 1, A)])),
        ("it keeps a tombstone", found(&[(3, 1, None)])),
        ("a node owes a key", owing("node 3 still keeps 1 keys for 7")),
        (
            "it keeps another write than the owners",
            found(&[(0, 1, A), (1, 1, A), (2, 1, A), (3, 2, B)]),
        ),
    ];
    let good = [
        ("all owners have it and nobody else", found(&[(0, 1, A), (1, 1, A), (2, 1, A)])),
        ("nobody has anything", found(&[])),
    ];
    judge("settled", &bad, &good);
}

/// What the contract says of a write of one value, changed a little.
fn written(change: impl FnOnce(&mut Write)) -> Vec<&'static str> {
    let mut case = Case::watched(Causal);
    let key = case.spot.key.clone();
    let mut object = Object::default();
    object.versions.push(Version::new(dot(1), Content::value(Bytes::from_static(b"value"))));
    let leaf_change = tree::contribution(&key, Some(&object));
    let mut write = Write {
        key,
        position: Position { tree: Tree { partition: Partition(0), copies: 3 }, leaf: 0 },
        stored: Stored { object, ..Stored::default() },
        dropped: Vec::new(),
        leaf_change,
        debts: Vec::new(),
        due: DueChange::default(),
        tombstones: 0,
    };
    change(&mut write);
    let mut disk = Disk::default();
    disk.write(write).expect("there is room");
    case.breaches = disk.breaches();
    case.found(&[])
}

#[test]
fn contract() {
    let owed = Owed { owner: NodeId(7), since: Timestamp(1), bytes: 8 };
    let bad = [
        ("a tree that was not updated", written(|write| write.leaf_change = 0)),
        ("a sum that is off by one", written(|write| write.leaf_change += 1)),
        (
            "a value is dropped and kept",
            written(|write| write.dropped = vec![(Digest::of(b"value"), 5)]),
        ),
        (
            "a hint is settled that there was not",
            written(|write| {
                let (owner, before) = (owed.owner, Some(owed));
                write.debts = vec![DebtChange { owner, before, after: None }];
            }),
        ),
        ("a debt that is noted and not listed", written(|write| write.stored.owed = vec![owed])),
        (
            "what expires is not listed as due",
            written(|write| write.stored.object.versions[0].expires = Some(Expiry(9))),
        ),
        ("what never expires is listed as due", written(|write| write.due.after = Some(Expiry(9)))),
        ("a tombstone is counted that is none", written(|write| write.tombstones = 1)),
        (
            "a value is written whose bytes are nowhere",
            written(|write| {
                let content = &mut write.stored.object.versions[0].content;
                *content = content.head();
            }),
        ),
    ];
    let good = [
        ("a value", written(|_| {})),
        (
            "a value that is owed",
            written(|write| {
                write.stored.owed = vec![owed];
                let (owner, after) = (owed.owner, Some(owed));
                write.debts = vec![DebtChange { owner, before: None, after }];
            }),
        ),
        (
            "a delete",
            written(|write| {
                write.stored.object.versions[0].content = Content::Tombstone;
                write.leaf_change = tree::contribution(&write.key, Some(&write.stored.object));
                write.tombstones = 1;
            }),
        ),
    ];
    judge("contract", &bad, &good);
}
