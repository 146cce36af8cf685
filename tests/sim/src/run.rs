//! One run: a quiet beginning, chaos, calm in which anti-entropy brings the replicas together, and what the checkers say
//! of it.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use kinfold_protocol::config::Consistency;
use kinfold_protocol::id::{Key, RequestId};
use kinfold_protocol::message::client::{
    BucketChange, Get, Request, RequestHeader, Response, ResponseHeader,
};
use kinfold_protocol::node::Node;

use crate::checker::{self, Violation, equal};
use crate::client::{self, Call, Sending};
use crate::clock::Readings;
use crate::disk::Loss;
use crate::ending::{Ending, Final};
use crate::event::Event;
use crate::fault::Fault;
use crate::history::{History, Kind, Op, OpId, Outcome, Seen};
use crate::keyspace::Spot;
use crate::machine::{self, Machine};
use crate::net::Weather;
use crate::plugins::Health;
use crate::scenario::Scenario;
use crate::trace::Trace;
use crate::world::World;
use kinfold_protocol::planted::Bug;

/// Times that every key is read in the calm, each time through another node.
const ROUNDS: usize = 3;

/// Times that a read is tried in the calm, and a bucket made in the beginning.
const TRIES: u32 = 20;

/// How long anti-entropy has in the calm, in microseconds: each node has its turn with every other node several times.
const CONVERGENCE: u64 = 120_000_000;

/// How long the ring has to come to rest in the calm, in microseconds.
const SETTLING: u64 = 240_000_000;

/// The most violations that a report shows.
const MOST_SHOWN: usize = 8;

/// What is changed time and again while clients write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Nothing.
    Nothing,
    /// The buckets' plugins.
    Plugins,
    /// The ring.
    Ring,
    /// The ring: two nodes join, and leave again.
    JoinsAndLeaves,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The planted bug, if there was one.
    pub bug: Option<Bug>,
    /// What is changed time and again.
    pub changes: Changes,
    /// Hash of the trace.
    pub hash: String,
    /// How many events happened.
    pub events: u64,
    /// How many operations clients invoked.
    pub operations: usize,
    /// What all nodes have counted.
    pub counters: BTreeMap<&'static str, u64>,
    /// What does not hold.
    pub violations: Vec<Violation>,
    /// All that happened.
    pub history: History,
}

impl Report {
    /// The command that makes the same run again.
    #[must_use]
    pub fn command(&self) -> String {
        let bug = self.bug.map(|bug| format!(" --bug {}", bug.name())).unwrap_or_default();
        let changes = match self.changes {
            Changes::Nothing => "",
            Changes::Plugins => " --changing",
            Changes::Ring => " --reshaping",
            Changes::JoinsAndLeaves => " --joins-and-leaves",
        };
        format!("cargo run --release -p sim -- run --seed {}{bug}{changes}", self.seed)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, hash, events, operations, violations, .. } = self;
        writeln!(f, "seed {seed}: {operations} operations, {events} events, trace {hash}")?;
        if violations.is_empty() {
            return writeln!(f, "every checker agrees");
        }
        for violation in violations.iter().take(MOST_SHOWN) {
            let text: String = violation.to_string().chars().take(2_000).collect();
            writeln!(f, "  {text}")?;
        }
        if violations.len() > MOST_SHOWN {
            writeln!(f, "  and {} more", violations.len() - MOST_SHOWN)?;
        }
        writeln!(f, "replay with: {}", self.command())
    }
}

/// Runs a seed.
#[must_use]
pub fn run(seed: u64, bug: Option<Bug>, printed: bool) -> Report {
    run_scenario(seed, Changes::Nothing, Scenario::new(seed, bug, Trace::new(printed)))
}

/// Runs a seed in which the buckets' plugins are changed time and again while clients write.
#[must_use]
pub fn run_changing(seed: u64, printed: bool) -> Report {
    let mut scenario = Scenario::new(seed, None, Trace::new(printed));
    scenario.change_plugins(seed);
    run_scenario(seed, Changes::Plugins, scenario)
}

/// Runs a seed in which members join, leave and are replaced while clients write.
#[must_use]
pub fn run_reshaping(seed: u64, bug: Option<Bug>, printed: bool) -> Report {
    run_scenario(seed, Changes::Ring, Scenario::reshaping(seed, bug, Trace::new(printed)))
}

/// Runs a seed of two nodes that join three, and leave again.
#[must_use]
pub fn run_joins_and_leaves(seed: u64, bug: Option<Bug>, printed: bool) -> Report {
    let scenario = Scenario::joins_and_leaves(seed, bug, Trace::new(printed));
    run_scenario(seed, Changes::JoinsAndLeaves, scenario)
}

fn run_scenario(seed: u64, changes: Changes, scenario: Scenario) -> Report {
    let Scenario { mut world, faults, chaos, weather, wrong_by, most_ahead, loses_disk } = scenario;
    let bug = world.bug;
    begin(&mut world);
    let end = world.now + chaos;
    for (at, fault) in faults {
        world.enter(world.now + at, Event::Fault(fault));
    }
    world.enter(world.now, Event::Fault(Fault::Weather(weather)));
    world.open = true;
    for client in 0..world.clients.len() {
        let pause = world.clients[client].pause();
        world.enter(world.now + pause, Event::Next { client });
    }
    world.run(end);
    let readings = Readings { wrong_by, calm_from: world.now, ahead: most_ahead };
    calm(&mut world, most_ahead, loses_disk);
    if matches!(changes, Changes::Ring | Changes::JoinsAndLeaves) {
        settle_ring(&mut world);
    }
    converge(&mut world);
    let finals = read_everything(&mut world);
    let ended = world.now;
    // Longer than any request lives; then until what is just being saved is durable.
    world.run(world.now + 6_000_000);
    let patience = world.now + 2_000_000;
    while world.machines.iter().any(|machine| !machine.is_idle()) && world.step(patience) {}
    // What has just come due may have gone from one replica, and not from another one yet.
    converge(&mut world);
    let machines = &world.machines;
    let keys = world.keys.spots.iter().map(|spot| &spot.key);
    let violations = checker::check(&Ending {
        history: &world.history,
        keys: &world.keys,
        finals: &finals,
        held: &keys.map(|key| (key.clone(), machine::held(machines, key))).collect(),
        debts: &machine::debts(machines),
        breaches: &world
            .breaches
            .iter()
            .cloned()
            .chain(machine::breaches(machines))
            .collect::<Vec<_>>(),
        readings,
        ended,
    });
    let mut counters = BTreeMap::new();
    for (name, count) in world.machines.iter().flat_map(Machine::counters) {
        *counters.entry(name).or_default() += count;
    }
    Report {
        seed,
        changes,
        bug,
        counters,
        hash: world.trace().hash(),
        events: world.trace().events(),
        operations: world.history.ops().len(),
        violations,
        history: world.history,
    }
}

/// All nodes start, and the buckets are made.
pub(crate) fn begin(world: &mut World) {
    for node in 0..world.machines.len() {
        world.enter(node as u64 * 1_000, Event::Start { node });
    }
    world.run(50_000);
    for (number, bucket) in world.keys.buckets.clone().into_iter().enumerate() {
        let change =
            BucketChange { bucket: bucket.name.clone(), config: bucket.config, force: false };
        let node = number % world.machines[0].identity.layout.members().len();
        let saved = (0..TRIES).any(|attempt| {
            let answer = ask(world, node, attempt, Request::BucketCreate(change.clone()));
            matches!(answer, Some((header, _)) if header.response == Response::BucketSaved { missing: Vec::new() })
        });
        if !saved {
            world.breaches.push(format!("bucket {} can't be made in the beginning", bucket.name));
        }
    }
}

/// Nothing goes wrong any more: all nodes are up, the network is whole, the clocks agree.
///
/// Where a disk was lost, all nodes start anew by those clocks: who began with an empty disk may have begun by a clock behind
/// the one of the life before, and gossip takes it for a straggler until the clocks have passed that.
pub(crate) fn calm(world: &mut World, most_ahead: i64, loses_disk: bool) {
    world.open = false;
    world.net.mend();
    world.net.turn(Weather::CALM);
    for node in 0..world.machines.len() {
        let now = world.now;
        let machine = &mut world.machines[node];
        machine.clock.set(now, most_ahead);
        machine.plugins = Health::Working;
        machine.disk_delay = 500;
        machine.frozen_until = 0;
        machine.ambush = None;
        let damaged = machine.disk.is_damaged();
        if machine.stopping || machine.disk.is_failing() || loses_disk || damaged {
            machine.crash(Loss::Some);
        }
        machine.disk.mend();
        world.enter(now, Event::Start { node });
    }
    let patience = world.now + 60_000_000;
    while world.clients.iter().any(|client| !client.is_idle()) && world.step(patience) {}
    world.run(world.now + 2_000_000);
    // What was kept for others goes to them now; the checker `settled` says so if it does not.
    let patience = world.now + 30_000_000;
    while world.machines.iter().any(|machine| !machine.disk.debts().is_empty())
        && world.step(patience)
    {}
}

/// The change of the ring that is in progress goes on to its end, and what is not owned any more is dropped. The keys' owners are
/// those of the ring as it is then.
fn settle_ring(world: &mut World) {
    let patience = world.now + SETTLING;
    while let Some(open) = unsettled(world) {
        if world.now >= patience {
            world.breaches.push(format!("the ring does not come to rest: {open}"));
            break;
        }
        world.run(world.now + 500_000);
    }
    let record = world.machines.iter().filter_map(|m| m.node()).map(|node| node.record().clone());
    let Some(record) = record.max_by_key(|record| record.version) else {
        return;
    };
    let mut spots = core::mem::take(&mut world.keys.spots);
    for spot in &mut spots {
        let tree = record.ring().position(&spot.key, spot.config.n).tree;
        let owners = record.readers(tree).into_iter();
        spot.owners = owners.filter_map(|id| world.machine_of(id)).collect();
    }
    world.keys.spots = spots;
}

/// What is still to come until the ring is at rest.
fn unsettled(world: &World) -> Option<String> {
    let nodes: Vec<&Node> = world.machines.iter().filter_map(Machine::node).collect();
    let latest = nodes.iter().map(|node| node.record().version).max()?;
    for node in nodes {
        let record = node.record();
        if record.version < latest || record.following().is_some() {
            return Some(format!("{record:?}"));
        }
        let left = node.left_to_move();
        if left > 0 {
            return Some(format!("{left} trees are to be copied or dropped"));
        }
    }
    None
}

/// Nobody reads or writes: anti-entropy alone makes the replicas equal.
fn converge(world: &mut World) {
    let patience = world.now + CONVERGENCE;
    let unequal = |world: &World| {
        let unequal =
            |spot: &Spot| equal::unequal(spot, &machine::held(&world.machines, &spot.key));
        world.keys.spots.iter().find_map(unequal)
    };
    while let Some(found) = unequal(world) {
        if world.now >= patience {
            world.breaches.push(format!("anti-entropy left this unequal: {found}"));
            return;
        }
        world.run(world.now + 500_000);
    }
}

/// Reads every key strictly from all its owners, through several nodes; what the last read found.
pub(crate) fn read_everything(world: &mut World) -> BTreeMap<Key, Final> {
    let mut finals = BTreeMap::new();
    for round in 0..ROUNDS {
        for spot in world.keys.spots.clone() {
            let other = (spot.owners[0] + 1) % world.machines.len();
            let node = match round {
                0 => spot.owners[0],
                1 if world.machines[other].is_member() => other,
                _ => spot.owners[spot.owners.len() - 1],
            };
            let Key { bucket, key } = spot.key.clone();
            let consistency = Some(Consistency::Strict);
            let get = Get { bucket, key, r: Some(spot.config.n), consistency };
            let id = world.history.next_id();
            world.history.invoke(Op {
                id,
                key: spot.key.clone(),
                kind: Kind::Get { r: spot.config.n, strict: true },
                request: RequestId([0; 16]),
                seen: Seen::default(),
                expected: None,
                invoked: world.now,
                returned: None,
                outcome: Outcome::Open,
            });
            let found = (0..TRIES).find_map(|attempt| {
                let answer = ask(world, node, attempt, Request::Get(get.clone()));
                answer.and_then(found)
            });
            match found {
                Some(Final { values, deleted }) => {
                    let outcome = Outcome::Found { values: values.clone(), deleted };
                    world.history.complete(id, world.now, outcome);
                    finals.insert(spot.key, Final { values, deleted });
                }
                None => {
                    world.history.complete(id, world.now, Outcome::Unknown);
                    finals.remove(&spot.key);
                }
            }
        }
    }
    finals
}

fn found((header, body): (ResponseHeader, Bytes)) -> Option<Final> {
    match header.response {
        Response::Found(found) => {
            Some(Final { values: client::split(&found.values, body), deleted: found.deleted })
        }
        Response::Written(_)
        | Response::Conflict(_)
        | Response::Listed(_)
        | Response::BucketSaved { .. }
        | Response::Buckets(_)
        | Response::Layout(_)
        | Response::Plugin(_)
        | Response::Cluster(_)
        | Response::Explained(_)
        | Response::Status(_)
        | Response::Failed(_) => None,
    }
}

/// Asks a node as the auditor. After a failure, some time passes.
fn ask(
    world: &mut World,
    node: usize,
    attempt: u32,
    request: Request,
) -> Option<(ResponseHeader, Bytes)> {
    let call = Call { client: Call::AUDITOR, op: OpId(u32::MAX), attempt };
    let header = RequestHeader { layout: 0, deadline_ms: 0, trace: None, request };
    let sending = Sending { call, node, header, body: Bytes::new(), patience: 0 };
    let answer = world.audit(sending);
    let failed =
        !matches!(&answer, Some((header, _)) if !matches!(header.response, Response::Failed(_)));
    if failed {
        world.run(world.now + 300_000);
    }
    answer
}
