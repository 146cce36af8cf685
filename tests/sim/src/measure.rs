//! What an exchange costs: bytes between two nodes that hold a large keyspace and differ in some keys.
//!
//! Two nodes own everything. Their disks are filled without clients; then one of them loses the newest version of some keys,
//! and anti-entropy brings them together. Every message is encoded and its frame counted, greetings aside.

use std::collections::BTreeMap;

use bytes::Bytes;
use kinfold_protocol::catalogue::{BucketEntry, Catalogue};
use kinfold_protocol::causality::{Content, Context, Dot};
use kinfold_protocol::cbor;
use kinfold_protocol::config::{BucketConfig, Limits};
use kinfold_protocol::id::{Actor, BucketName, Key, NodeId, RequestId};
use kinfold_protocol::io::saved;
use kinfold_protocol::layout::{Layout, Member};
use kinfold_protocol::message::peer::{Envelope, Message};
use kinfold_protocol::ring::Ring;
use kinfold_protocol::store::{DueChange, Store, Stored, Write};
use kinfold_protocol::time::{Duration, Timestamp};
use kinfold_protocol::tree;

use crate::clock::Clock;
use crate::event::Event;
use crate::keyspace::Keyspace;
use crate::machine::{Identity, Machine};
use crate::net::{Net, Weather};
use crate::rng::Rng;
use crate::trace::Trace;
use crate::world::World;

const CLUSTER: &str = "measured";

/// Copies of each key, and nodes.
const COPIES: u8 = 2;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// Keys that both nodes hold.
    pub keys: u64,
    /// Keys in which they differ.
    pub differing: u64,
    /// Partitions, a power of two.
    pub partitions: u32,
    /// Length of a key, in bytes, from 8.
    pub key_bytes: usize,
    /// Length of a value, in bytes, from 8.
    pub value_bytes: usize,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Bytes of all frames, by kind of message.
    pub bytes: BTreeMap<&'static str, u64>,
    /// Frames.
    pub frames: u64,
    /// Pairs of trees that were compared.
    pub trees: u64,
    /// Bytes of the keys and values that had to be sent.
    pub objects: u64,
    /// Do both nodes hold the same afterwards?
    pub equal: bool,
}

impl Measured {
    /// Bytes of all frames.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.bytes.values().sum()
    }

    /// Takes note of a message.
    pub fn note(&mut self, envelope: &Envelope) {
        let kind = match &envelope.message {
            Message::Hello { .. } => return,
            Message::Exchange { .. } => "questions",
            Message::Exchanged { .. } => "answers",
            Message::Read { .. } => "reads",
            Message::Held { .. } => "objects held",
            Message::Replicate { .. } | Message::Hint { .. } => "objects given",
            Message::Replicated { .. } => "acknowledgements",
            Message::CataloguePull
            | Message::RecordPull
            | Message::Record(_)
            | Message::Vote { .. }
            | Message::Voted { .. }
            | Message::Catalogue { .. }
            | Message::CatalogueHave { .. }
            | Message::ComponentAsk { .. }
            | Message::ComponentState { .. }
            | Message::List { .. }
            | Message::Keys { .. }
            | Message::Ballot { .. }
            | Message::Balloted { .. }
            | Message::Explain { .. }
            | Message::Explained { .. }
            | Message::Forward { .. }
            | Message::Forwarded { .. } => "others",
        };
        let frame = envelope
            .clone()
            .encode()
            .expect("the simulator's messages have a size that can be sent");
        *self.bytes.entry(kind).or_default() += frame.len() as u64;
        self.frames += 1;
    }
}

/// Runs one round of exchanges and measures it.
///
/// # Panics
/// If the task's numbers can't be.
#[must_use]
pub fn run(task: Task) -> Measured {
    let mut rng = Rng::new(task.keys ^ task.differing);
    let mut machines = machines(task, &mut rng);
    fill(task, &mut machines);
    let net = Net::new(rng.fork(), Weather::CALM);
    let mut world =
        World::new(machines, net, Vec::new(), Keyspace::default(), Trace::new(false), None, rng);
    world.measured = Some(Measured::default());
    for node in 0..usize::from(COPIES) {
        world.enter(0, Event::Start { node });
    }
    // Until one node has compared everything with the other, and what differed was met.
    let completed =
        |world: &World| world.machines.iter().any(|m| m.counter("exchanges_completed") > 0);
    while !completed(&world) && world.now < 3_600_000_000 {
        world.run(world.now + 1_000);
    }
    let mut measured = world.measured.take().unwrap_or_default();
    measured.trees = world.machines.iter().map(|m| m.counter("exchange_trees")).sum();
    measured.objects = task.differing * (task.key_bytes + task.value_bytes) as u64;
    let held = |at: usize| {
        let all = world.machines[at].disk.all();
        all.map(|(key, _, stored)| tree::contribution(key, Some(&stored.object)))
            .fold(0, u128::wrapping_add)
    };
    measured.equal = held(0) == held(1);
    measured
}

fn machines(task: Task, rng: &mut Rng) -> Vec<Machine> {
    let member = |number: u8| {
        let name = format!("node-{number}");
        Member {
            id: NodeId::from_name(CLUSTER, &name),
            address: format!("{name}:1"),
            zone: name.clone(),
            name,
            capacity: 100,
        }
    };
    let ring = Ring::new(task.partitions).expect("a power of two");
    let members = (0..COPIES).map(member).collect();
    let layout =
        Layout::compute(members, ring, COPIES, None).expect("two members of equal capacity");
    // One node begins; the other would only say the same again.
    let intervals = [Duration::from_millis(100), Duration::from_millis(100_000_000)];
    let members = layout.members().iter().zip(intervals).map(|(member, exchange)| {
        let limits = Limits { exchange, hello: Duration::from_millis(10), ..Limits::default() };
        let (id, cluster) = (member.id, CLUSTER.into());
        let identity = Identity { id, cluster, layout: layout.clone(), limits };
        Machine::new(identity, Clock::new(0, 0), 50, rng.fork())
    });
    members.collect()
}

/// Both disks hold every key, and the second one an older version of those that differ.
fn fill(task: Task, machines: &mut [Machine]) {
    let config = BucketConfig { n: COPIES, r: 1, w: 1, ..BucketConfig::default() };
    let bucket = BucketName::new("measured").expect("letters");
    let mut catalogue = Catalogue::default();
    let version = Dot { time: Timestamp(1), actor: Actor(1) };
    catalogue.set(bucket.clone(), BucketEntry::new(version, config));
    let ring = machines[0].identity.layout.ring();
    // Equal values share their bytes: so a million of them fit in memory.
    let common = Bytes::from(vec![7; task.value_bytes]);
    for machine in machines.iter_mut() {
        machine
            .disk
            .save(saved::CATALOGUE, &cbor::encode(catalogue.buckets()))
            .expect("an empty disk");
    }
    for number in 0..task.keys {
        let key = Key { bucket: bucket.clone(), key: padded(number, task.key_bytes) };
        let old = put(&Stored::default(), number + 2, common.clone());
        let differs = number < task.differing;
        let newest = if differs {
            put(&old, task.keys + number + 2, padded(number, task.value_bytes))
        } else {
            old.clone()
        };
        for (machine, stored) in machines.iter_mut().zip([newest, old]) {
            let position = ring.position(&key, COPIES);
            let leaf_change = tree::contribution(&key, Some(&stored.object));
            let (key, dropped) = (key.clone(), Vec::new());
            let debts = Vec::new();
            let (due, tombstones) = (DueChange::default(), 0);
            let write =
                Write { key, position, stored, dropped, leaf_change, debts, due, tombstones };
            machine.disk.write(write).expect("the disk has room");
            machine.disk.sync_all();
        }
    }
}

fn padded(number: u64, len: usize) -> Bytes {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(len.max(8), b'.');
    bytes.into()
}

/// What a write leaves that has seen all before.
fn put(before: &Stored, time: u64, value: Bytes) -> Stored {
    let mut after = before.clone();
    let seen: Context = after.object.context.clone();
    let dot = Dot { time: Timestamp(time), actor: Actor(1) };
    let request = RequestId(u128::from(time).to_be_bytes());
    after.object.put(&seen, dot, Content::value(value), request, &mut after.opened);
    after.object.requests.clear();
    after
}
