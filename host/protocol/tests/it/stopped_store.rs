//! A store that has stopped fails each job at once: the node must not answer each failure with the same job again.

use std::collections::{BTreeMap, BTreeSet};

use kinfold_protocol::catalogue::Catalogue;
use kinfold_protocol::config::Limits;
use kinfold_protocol::id::{Actor, NodeId};
use kinfold_protocol::io::{Input, Output, StoreEvent};
use kinfold_protocol::layout::{Layout, Member};
use kinfold_protocol::life::Life;
use kinfold_protocol::node::{Boot, Node};
use kinfold_protocol::record::{Kept, Record};
use kinfold_protocol::ring::Ring;
use kinfold_protocol::store::StoreError;
use kinfold_protocol::time::{LEASE, Now, Time, Timestamp};

#[test]
fn a_lease_that_can_not_be_kept_is_not_tried_again_at_once() {
    let member = Member {
        id: NodeId(1),
        name: "n1".into(),
        address: "n1:1".into(),
        zone: String::new(),
        capacity: 1,
    };
    let layout = Layout::compute(vec![member], Ring::new(8).unwrap(), 1, None).unwrap();
    let begun = Timestamp(1_700_000_000_000_000);
    let life = Life::begin(None, Actor(1), begun);
    let boot = Boot {
        id: NodeId(1),
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
    let mut node = Node::new(boot, Now { time: Time(0), wall: begun });
    let late = Now { time: Time(LEASE.0), wall: Timestamp(begun.0 + LEASE.0) };
    node.handle(late, Input::Tick);
    let mut jobs = 0;
    for _ in 0..100 {
        while let Some(output) = node.poll_output() {
            if let Output::Store { ticket, .. } = output {
                jobs += 1;
                let result = Err(StoreError::Poisoned("no space left".into()));
                node.handle(late, Input::Store(StoreEvent::Done { ticket, result }));
                break;
            }
        }
    }
    assert!((1..10).contains(&jobs), "{jobs} jobs at one moment");
}
