//! A node of the real core in its first life.

use std::collections::{BTreeMap, BTreeSet};

use kinfold_protocol::catalogue::Catalogue;
use kinfold_protocol::config::Limits;
use kinfold_protocol::id::{Actor, NodeId};
use kinfold_protocol::layout::{Layout, Member};
use kinfold_protocol::life::Life;
use kinfold_protocol::node::{Boot, Node};
use kinfold_protocol::record::{Kept, Record};
use kinfold_protocol::ring::Ring;
use kinfold_protocol::time::{Now, Time, Timestamp};

/// The first of `n1`, `n2` and so on, whose owners are all of them, at the moment zero.
pub(crate) fn first_of(nodes: u8, actor: Actor, begun: Timestamp) -> Node {
    let member = |n: u8| Member {
        id: NodeId(u64::from(n) * 0x0101_0101_0101_0101),
        name: format!("n{n}"),
        address: format!("n{n}:1"),
        zone: String::new(),
        capacity: 1,
    };
    let members = (1..=nodes).map(member).collect();
    let layout = Layout::compute(members, Ring::new(8).unwrap(), nodes, None).unwrap();
    let life = Life::begin(None, actor, begun);
    let boot = Boot {
        id: member(1).id,
        cluster: "c".into(),
        version: "0".into(),
        life,
        clock: life.clock(None),
        ring: Kept::new(Record::founding(layout)),
        catalogue: Catalogue::default(),
        debts: BTreeMap::new(),
        lost: BTreeSet::new(),
        met: BTreeMap::new(),
        limits: Limits::default(),
        seed: 1,
    };
    Node::new(boot, Now { time: Time(0), wall: begun })
}
