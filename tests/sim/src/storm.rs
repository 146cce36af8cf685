//! A storm of conditional puts: three nodes, one key, clients that all want it, and owners that lose power at the worst moment.
//!
//! Whole runs rarely come to what breaks a ballot: an owner that forgets a promise in a crash, and an acceptance that was on
//! its way meanwhile. Here hardly anything else happens.

use std::collections::BTreeMap;

use bytes::Bytes;
use kinfold_protocol::config::{BucketConfig, Consistency, GossipLimits, Limits};
use kinfold_protocol::id::{BucketName, Key};
use kinfold_protocol::time::Duration;

use crate::checker::{Violation, linearizable};
use crate::client::{Client, Habits};
use crate::clock::Readings;
use crate::ending::{Ending, Final};
use crate::event::Event;
use crate::fault::Fault;
use crate::history::History;
use crate::keyspace::{Bucket, Keyspace, Semantics, Spot};
use crate::net::Weather;
use crate::rng::Rng;
use crate::run;
use crate::stage::cluster;
use kinfold_protocol::planted::Bug;

/// How long clients write, in microseconds.
const LASTS: u64 = 2_000_000;

const HABITS: Habits = Habits {
    pause: 1_000,
    gets: 150,
    deletes: 50,
    conditional: 1_000,
    blind: 100,
    astray: 0,
    padding: 0,
    tries: 3,
    deadline_ms: 300,
};

/// Runs a seed: what is out of order, or breaks the nodes' contract.
#[must_use]
pub fn run(seed: u64, bug: Option<Bug>) -> Vec<Violation> {
    run_with_history(seed, bug).0
}

/// As [`run()`], with all that happened.
#[must_use]
pub fn run_with_history(seed: u64, bug: Option<Bug>) -> (Vec<Violation>, History) {
    let mut rng = Rng::new(seed);
    let limits = Limits {
        gossip: GossipLimits {
            period: Duration::from_millis(200),
            round_trip: Duration::from_millis(50),
        },
        ballot_age: Duration::from_millis(rng.within(500..=2_000)),
        ..Limits::default()
    };
    let (mut world, layout) = cluster(3, &limits, bug, seed);
    let name = BucketName::new("register").expect("letters");
    let key = Key { bucket: name.clone(), key: Bytes::from_static(b"key") };
    let config = BucketConfig { consistency: Consistency::Strict, ..BucketConfig::default() };
    let semantics = Semantics::Register;
    let partition = layout.ring().partition(&key);
    let owners = layout.owners(partition, 3).filter_map(|id| world.machine_of(id)).collect();
    world.keys = Keyspace {
        buckets: vec![Bucket { name, config: config.clone(), semantics }],
        spots: vec![Spot {
            key,
            config,
            semantics,
            owners,
            expires: false,
            least_w: 1,
            exposed: false,
        }],
    };
    world.clients = (0..6).map(|number| Client::new(number, HABITS, 3, rng.fork())).collect();
    run::begin(&mut world);
    let delay = rng.within(500..=4_000);
    let straggling = *rng.pick(&[0, 100, 300]);
    world.net.turn(Weather { delay, loss: 20, doubled: 20, straggling });
    // Between two losses of power, in microseconds, about.
    let quiet = rng.within(5_000..=50_000);
    world.ambushes_promises = true;
    world.open = true;
    let begun = world.now;
    for client in 0..world.clients.len() {
        world.enter(begun + client as u64, Event::Next { client });
    }
    let mut at = begun;
    while at < begun + LASTS {
        at += rng.spread(quiet);
        let ambush = Fault::Ambush { node: rng.index(3), down: rng.within(20..=300) };
        world.enter(at, Event::Fault(ambush));
    }
    world.run(begun + LASTS);
    run::calm(&mut world, 60_000_000, false);
    let finals = run::read_everything(&mut world);
    (judge(&world, &finals), world.history)
}

fn judge(world: &crate::world::World, finals: &BTreeMap<Key, Final>) -> Vec<Violation> {
    let disorder = linearizable::check(&Ending {
        history: &world.history,
        keys: &world.keys,
        finals,
        breaches: &world.breaches,
        held: &BTreeMap::new(),
        debts: &[],
        readings: Readings::default(),
        ended: world.now,
    });
    let by = |checker, text| Violation { checker, text };
    let disorder = disorder.into_iter().map(|text| by("linearizable", text));
    let breaches = world.breaches.iter().cloned().map(|text| by("contract", text));
    disorder.chain(breaches).collect()
}
