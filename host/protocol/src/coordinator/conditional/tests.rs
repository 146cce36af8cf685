//! What a coordinator says of a write that it has proposed, told fact by fact.

use super::*;
use crate::id::{Actor, BucketName};
use crate::message::client::{Code, Response};
use crate::time::Timestamp;
use bytes::Bytes;

const OWNERS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

fn ballot(time: u64) -> Ballot {
    Dot { time: Timestamp(time), actor: Actor(1).conditional() }
}

fn value(text: &'static str) -> Content {
    Content::value(Bytes::from_static(text.as_bytes()))
}

fn start() -> Conditional {
    let plan = ConditionalPlan {
        id: 1,
        me: OWNERS[0],
        key: Key { bucket: BucketName::new("b").unwrap(), key: Bytes::from_static(b"k") },
        shape: Shape::Siblings,
        merge: None,
        may_fold: false,
        epoch: None,
        expected: Context::new(),
        content: value("mine"),
        expires: None,
        began: Now { time: Time(0), wall: Timestamp(1) },
        request: RequestId([1; 16]),
        ballot: ballot(10),
        owners: OWNERS.to_vec(),
        sets: vec![OWNERS.to_vec()],
        w: 2,
        deadline: Time(1_000_000),
    };
    Conditional::start(plan, Time(0)).0
}

fn told(machine: &mut Conditional, from: usize, ballot: Ballot, reply: BallotReply) -> Orders {
    machine.on(Time(1), Fact::Balloted { from: OWNERS[from], ballot, reply: Ok(reply) })
}

fn promised(object: &Object) -> BallotReply {
    BallotReply::Promised { accepted: None, proposal: None, object: object.clone() }
}

fn answer(orders: &Orders) -> Option<&Response> {
    orders
        .iter()
        .find_map(|order| if let Order::Reply(response, _) = order { Some(response) } else { None })
}

/// A key that somebody wrote to without a condition.
fn written() -> Object {
    let mut object = Object::default();
    let dot = Dot { time: Timestamp(11), actor: Actor(2) };
    object.put(&Context::new(), dot, value("theirs"), RequestId([2; 16]), &mut None);
    object
}

/// The write was accepted by one owner, and another ballot came between. Then a plain write makes the condition fail, as the two
/// other owners say. The one that accepted may still say so to whoever comes next, who would make the write after all: so
/// nobody may be told that it was not made before a majority has accepted something later.
#[test]
fn a_write_that_was_proposed_is_fenced_off_before_it_is_said_not_to_be_made() {
    let mut machine = start();
    told(&mut machine, 0, ballot(10), promised(&Object::default()));
    let orders = told(&mut machine, 2, ballot(10), promised(&Object::default()));
    assert_eq!(orders.len(), 3, "all are asked to accept");
    told(&mut machine, 2, ballot(10), BallotReply::Accepted);
    told(&mut machine, 0, ballot(10), BallotReply::Outbid(ballot(15)));
    told(&mut machine, 1, ballot(10), BallotReply::Outbid(ballot(15)));

    machine.on(Time(2), Fact::Ballot(Some(ballot(20))));
    told(&mut machine, 0, ballot(20), promised(&written()));
    let orders = told(&mut machine, 1, ballot(20), promised(&written()));
    assert!(answer(&orders).is_none(), "{orders:?}");
    let asks_to_accept = |order: &Order| {
        let (Order::Ballot { question, .. } | Order::Send(_, Message::Ballot { question, .. })) =
            order
        else {
            return false;
        };
        matches!(question, BallotQuestion::Accept(_))
    };
    assert!(orders.iter().all(asks_to_accept), "{orders:?}");

    told(&mut machine, 0, ballot(20), BallotReply::Accepted);
    told(&mut machine, 1, ballot(20), BallotReply::Accepted);
    told(&mut machine, 0, ballot(20), BallotReply::Committed);
    let orders = told(&mut machine, 1, ballot(20), BallotReply::Committed);
    let Some(Response::Conflict(conflict)) = answer(&orders) else { panic!("{orders:?}") };
    assert!(conflict.settled);
}

/// Where the fence can't be put up, nothing is known.
#[test]
fn a_write_that_was_proposed_and_is_not_fenced_off_is_unknown() {
    let mut machine = start();
    told(&mut machine, 0, ballot(10), promised(&Object::default()));
    told(&mut machine, 2, ballot(10), promised(&Object::default()));
    told(&mut machine, 0, ballot(10), BallotReply::Outbid(ballot(15)));
    told(&mut machine, 1, ballot(10), BallotReply::Outbid(ballot(15)));
    machine.on(Time(2), Fact::Ballot(Some(ballot(20))));
    told(&mut machine, 0, ballot(20), promised(&written()));
    told(&mut machine, 1, ballot(20), promised(&written()));
    let orders = machine.on(Time(1_000_000), Fact::Time);
    let Some(Response::Failed(failure)) = answer(&orders) else { panic!("{orders:?}") };
    assert_eq!(failure.code, Code::Unknown);
}
