//! What a seed means: the cluster, its buckets, its clients, and what goes wrong when.

use bytes::Bytes;
use kinfold_protocol::catalogue::MemberChange;
use kinfold_protocol::config::{
    BucketConfig, CollectLimits, Consistency, ExpiryLimits, GossipLimits, HintLimits, Limits, Mode,
    Tombstones,
};
use kinfold_protocol::id::{BucketName, Key, NodeId};
use kinfold_protocol::layout::{Layout, Member};
use kinfold_protocol::ring::Ring;
use kinfold_protocol::time::Duration;

use crate::client::{Client, Habits};
use crate::clock::Clock;
use crate::fault::Fault;
use crate::keyspace::{Bucket, Keyspace, Semantics, Spot};
use crate::machine::{Identity, Machine};
use crate::net::{Net, Weather};
use crate::plugins::{LATEST, LONGEST, REVERSED, UNION};
use crate::rng::Rng;
use crate::schedule;
use crate::trace::Trace;
use crate::world::World;
use kinfold_protocol::planted::Bug;

/// The cluster's name.
const CLUSTER: &str = "simulated";

/// All that a seed decides before the run.
pub struct Scenario {
    /// The world at its beginning.
    pub world: World,
    /// What goes wrong, and when: microseconds after clients began.
    pub faults: Vec<(u64, Fault)>,
    /// How long things go wrong, in microseconds.
    pub chaos: u64,
    /// The network while they do.
    pub weather: Weather,
    /// More than any wall clock is ever wrong by while things go wrong, in microseconds.
    pub wrong_by: u64,
    /// More than any wall clock is ever ahead.
    pub most_ahead: i64,
    /// Is a disk lost, for good or in favour of an old copy? One alone: what two nodes have on their disks is there then.
    pub loses_disk: bool,
}

impl Scenario {
    /// The scenario of a seed.
    #[must_use]
    pub fn new(seed: u64, bug: Option<Bug>, trace: Trace) -> Self {
        let mut rng = Rng::new(seed);
        let nodes = rng.within(3..=9) as usize;
        let layout = layout(&mut rng, nodes);
        let limits = limits(&mut rng);
        let keys = keyspace(&mut rng, &layout);
        let safe = keys.clone().on_two_disks();
        let loses_disk = rng.chance(250) && !safe.spots.is_empty();
        // By chance of its own, so that all else in the seed is as it would be.
        let damage = &mut Rng::new(seed.rotate_left(32) ^ !seed);
        let twice = keys.clone().in_two_copies();
        let damages = !loses_disk && damage.chance(250) && !twice.spots.is_empty();
        let keys = match (loses_disk, damages) {
            (true, _) => safe,
            (false, true) => twice,
            (false, false) => keys,
        };
        let habits = habits(&mut rng);
        let weather = weather(&mut rng);
        let chaos = rng.within(3_000_000..=12_000_000);
        let mut faults = schedule::faults(&mut rng, nodes, chaos, weather);
        if loses_disk {
            faults.extend(schedule::lost_disk(&mut rng, nodes, chaos));
        }
        if damages {
            faults.extend(schedule::damaged_disk(damage, nodes, chaos));
        }
        let machines = machines(&mut rng, &layout, &limits);
        let clients = (0..rng.within(2..=8) as usize)
            .map(|number| Client::new(number, habits, nodes, rng.fork()))
            .collect();
        let net = Net::new(rng.fork(), Weather::CALM);
        let (wrong_by, most_ahead) = (wrong_by(&faults), most_ahead(&faults));
        let world = World::new(machines, net, clients, keys, trace, bug, rng);
        Self { world, faults, chaos, weather, wrong_by, most_ahead, loses_disk }
    }
}

impl Scenario {
    /// The scenario of a seed in which members join, leave and are replaced, time and again.
    #[must_use]
    pub fn reshaping(seed: u64, bug: Option<Bug>, trace: Trace) -> Self {
        let mut rng = Rng::new(seed ^ 0x0072_6573_6861_7065);
        let nodes = rng.within(3..=5) as usize;
        let layout = layout(&mut rng, nodes);
        let mut limits = limits(&mut rng);
        limits.hello = Duration::from_millis(rng.within(30..=300));
        let keys = keyspace(&mut rng, &layout);
        // By chance of its own, so that all else in the seed is as it would be.
        let loss = &mut Rng::new(seed.rotate_left(32) ^ !seed);
        let safe = keys.clone().on_two_disks();
        let loses_disk = loss.chance(300) && !safe.spots.is_empty();
        let keys = if loses_disk { safe } else { keys };
        let habits = habits(&mut rng);
        let weather = weather(&mut rng);
        let chaos = rng.within(4_000_000..=15_000_000);
        let mut machines = machines(&mut rng, &layout, &limits);
        let spares: Vec<Member> =
            (nodes..nodes + rng.within(1..=3) as usize).map(|number| member(number, 1)).collect();
        for spare in &spares {
            let identity = Identity { id: spare.id, ..machines[0].identity.clone() };
            let delay = rng.within(50..=3_000);
            machines.push(Machine::new(identity, Clock::new(0, 0), delay, rng.fork()));
        }
        let all = machines.len();
        let mut faults = schedule::faults(&mut rng, all, chaos, weather);
        let ids: Vec<NodeId> = machines.iter().map(|machine| machine.identity.id).collect();
        faults.extend(schedule::reshaping(&mut rng, &ids, &spares, chaos));
        if loses_disk {
            // A founding member's: who joined later comes back as another node.
            faults.extend(schedule::lost_disk(loss, nodes, chaos));
        }
        faults.sort_by_key(|(at, _)| *at);
        let clients = (0..rng.within(2..=8) as usize)
            .map(|number| Client::new(number, habits, all, rng.fork()))
            .collect();
        let net = Net::new(rng.fork(), Weather::CALM);
        let most_ahead = most_ahead(&faults);
        let world = World::new(machines, net, clients, keys, trace, bug, rng);
        let wrong_by = wrong_by(&faults);
        Self { world, faults, chaos, weather, wrong_by, most_ahead, loses_disk }
    }

    /// Two nodes join three, and leave again, under clients that read before they write (riak_kv 1754).
    #[must_use]
    pub fn joins_and_leaves(seed: u64, bug: Option<Bug>, trace: Trace) -> Self {
        let mut rng = Rng::new(seed ^ 0x1754);
        let members = (0..3).map(|number| member(number, 1)).collect();
        let ring = Ring::new(8).expect("a power of two");
        let layout = Layout::compute(members, ring, 3, None).expect("three members");
        let limits = Limits {
            hello: Duration::from_millis(rng.within(50..=200)),
            exchange: Duration::from_millis(rng.within(100..=1_000)),
            gossip: gossip(&mut rng),
            ..Limits::default()
        };
        let config = BucketConfig { consistency: Consistency::Strict, ..BucketConfig::default() };
        let name = BucketName::new("causal").expect("letters");
        let semantics = Semantics::Causal;
        let spot = |number: usize| {
            let key = Key { bucket: name.clone(), key: format!("key-{number}").into() };
            let partition = layout.ring().partition(&key);
            let owners = layout.owners(partition, 3).map(|id| index(&layout, id)).collect();
            Spot {
                key,
                config: config.clone(),
                semantics,
                owners,
                expires: false,
                least_w: 2,
                exposed: false,
            }
        };
        let keys = Keyspace {
            spots: (0..10).map(spot).collect(),
            buckets: vec![Bucket { name: name.clone(), config: config.clone(), semantics }],
        };
        let mut machines = machines(&mut rng, &layout, &limits);
        let spares = [member(3, 1), member(4, 1)];
        for spare in &spares {
            let identity = Identity { id: spare.id, ..machines[0].identity.clone() };
            machines.push(Machine::new(identity, Clock::new(0, 0), 500, rng.fork()));
        }
        let habits = Habits {
            pause: 40_000,
            gets: 500,
            deletes: 0,
            conditional: 0,
            blind: 0,
            astray: 100,
            padding: 10,
            tries: 3,
            deadline_ms: 500,
        };
        let mut faults = Vec::new();
        for (at, leaves) in [(500_000, false), (4_000_000, true)] {
            for spare in &spares {
                let what = if leaves {
                    MemberChange::Leave { lost: false }
                } else {
                    MemberChange::Join(spare.clone())
                };
                let (node, id) = (rng.index(3), spare.id);
                faults.push((at, Fault::Stage { node, id, what }));
            }
            for again in 1..=6 {
                faults.push((at + again * 400_000, Fault::Commit { node: rng.index(3) }));
            }
        }
        faults.sort_by_key(|(at, _)| *at);
        let weather = Weather { delay: 1_000, loss: 10, doubled: 10, straggling: 10 };
        let clients = (0..40).map(|n| Client::new(n, habits, 5, rng.fork())).collect();
        let net = Net::new(rng.fork(), Weather::CALM);
        let world = World::new(machines, net, clients, keys, trace, bug, rng);
        let wrong_by = wrong_by(&faults);
        Self {
            world,
            faults,
            chaos: 8_000_000,
            weather,
            wrong_by,
            most_ahead: 0,
            loses_disk: false,
        }
    }

    /// Has plugins installed, and the buckets of sets change theirs, time and again.
    pub fn change_plugins(&mut self, seed: u64) {
        let rng = &mut Rng::new(!seed);
        let nodes = self.world.machines.len();
        let sets: Vec<Bucket> = self.world.keys.buckets.clone();
        let sets = sets.into_iter().filter(|bucket| bucket.config.mode.plugin() == Some(UNION));
        let sets: Vec<Bucket> = sets.collect();
        for plugin in [REVERSED, LONGEST] {
            // Whoever is asked may be down.
            for at in [0, self.chaos / 10] {
                self.faults.push((at, Fault::Install { node: rng.index(nodes), plugin }));
            }
        }
        for _ in 0..rng.within(2..=8) {
            let Some(bucket) = (!sets.is_empty()).then(|| rng.pick(&sets)) else { break };
            let node = rng.index(nodes);
            let at = rng.within(self.chaos / 10..=self.chaos);
            let name = bucket.name.clone();
            let plugin = (*rng.pick(&[UNION, REVERSED, LONGEST])).to_owned();
            let mode = match &bucket.config.mode {
                Mode::Lattice { tombstones, .. } => {
                    Mode::Lattice { plugin, tombstones: *tombstones }
                }
                Mode::Siblings | Mode::Resolver { .. } => Mode::Resolver { plugin },
            };
            let config = BucketConfig { mode, ..bucket.config.clone() };
            self.faults.push(if rng.chance(200) {
                (at, Fault::RollBack { node, bucket: name })
            } else {
                (at, Fault::Switch { node, bucket: name, config })
            });
        }
        self.faults.sort_by_key(|(at, _)| *at);
    }
}

/// More than any clock can be wrong by: from the beginning, by drift, and by steps.
fn wrong_by(faults: &[(u64, Fault)]) -> u64 {
    let step =
        |fault: &Fault| if let Fault::StepClock { by, .. } = fault { by.unsigned_abs() } else { 0 };
    1_100_000 + faults.iter().map(|(_, fault)| step(fault)).sum::<u64>()
}

/// More than any clock can come to be ahead: by steps, and by the leases of lives that crashed.
fn most_ahead(faults: &[(u64, Fault)]) -> i64 {
    let step = |fault: &Fault| if let Fault::StepClock { by, .. } = fault { *by } else { 0 };
    let steps: i64 = faults.iter().map(|(_, fault)| step(fault).max(0)).sum();
    steps + (faults.len() as i64 + 6) * 11_000_000
}

fn member(number: usize, zones: u64) -> Member {
    let name = format!("node-{number}");
    Member {
        id: NodeId::from_name(CLUSTER, &name),
        address: format!("{name}:1"),
        name,
        zone: format!("zone-{}", number as u64 % zones),
        capacity: 100,
    }
}

fn layout(rng: &mut Rng, nodes: usize) -> Layout {
    let zones = rng.within(1..=3);
    let members = (0..nodes).map(|number| member(number, zones)).collect();
    let ring = Ring::new(1 << rng.within(3..=6)).expect("a power of two");
    let copies = rng.within(3..=5) as u8;
    Layout::compute(members, ring, copies, None).expect("members of these names and capacities")
}

fn limits(rng: &mut Rng) -> Limits {
    // Exchanges and greetings often enough that deletes are collected while things go wrong.
    let hasty = rng.chance(500);
    Limits {
        siblings: if rng.chance(500) { rng.within(3..=8) as usize } else { 64 },
        waiting_for_key: if rng.chance(100) { 2 } else { 256 },
        requests: if rng.chance(100) { 4 } else { 4_096 },
        store_jobs: if rng.chance(100) { 6 } else { 16_384 },
        hedge: Duration::from_millis(rng.within(2..=50)),
        stand_in: Duration::from_millis(rng.within(20..=300)),
        hello: Duration::from_millis(if hasty {
            rng.within(50..=300)
        } else {
            rng.within(500..=2_000)
        }),
        collect: CollectLimits {
            pause: Duration::from_millis(rng.within(5..=100)),
            age: Duration::from_millis(*rng.pick(&[0, 100, 1_000])),
        },
        expiry: ExpiryLimits {
            grace: Duration::from_millis(*rng.pick(&[0, 500, 3_000])),
            pause: Duration::from_millis(rng.within(5..=500)),
            batch: rng.within(1..=16) as usize,
        },
        gossip: gossip(rng),
        hints: HintLimits {
            bytes: if rng.chance(100) { 200 } else { 1 << 30 },
            in_flight: rng.within(1..=16) as usize,
            ..HintLimits::default()
        },
        exchange: Duration::from_millis(if hasty {
            rng.within(30..=300)
        } else {
            rng.within(200..=4_000)
        }),
        ballot_age: Duration::from_millis(rng.within(3_000..=20_000)),
        ..Limits::default()
    }
}

/// Probes so often that nodes are found to be down while things go wrong, rightly and wrongly.
fn gossip(rng: &mut Rng) -> GossipLimits {
    let period = rng.within(20..=400);
    let round_trip = (period / rng.within(3..=6)).max(2);
    GossipLimits {
        period: Duration::from_millis(period),
        round_trip: Duration::from_millis(round_trip),
    }
}

fn machines(rng: &mut Rng, layout: &Layout, limits: &Limits) -> Vec<Machine> {
    let slowest = *rng.pick(&[300, 3_000, 30_000]);
    let members = layout.members().iter();
    let machines = members.map(|member| {
        let identity = Identity {
            id: member.id,
            cluster: CLUSTER.into(),
            layout: layout.clone(),
            limits: limits.clone(),
        };
        let wrong_by = rng.below(2_000_000) as i64 - 1_000_000;
        let drift = rng.below(1_000) as i64 - 500;
        let disk_delay = rng.within(50..=slowest);
        Machine::new(identity, Clock::new(wrong_by, drift), disk_delay, rng.fork())
    });
    machines.collect()
}

/// Buckets of some kinds, with a few keys each, so that operations meet.
fn keyspace(rng: &mut Rng, layout: &Layout) -> Keyspace {
    let resolver = |plugin: &str| Mode::Resolver { plugin: plugin.into() };
    let lattice = |plugin: &str, tombstones| Mode::Lattice { plugin: plugin.into(), tombstones };
    let kinds = [
        ("siblings", Mode::Siblings, Semantics::Causal),
        ("expiring", Mode::Siblings, Semantics::Causal),
        ("registers", Mode::Siblings, Semantics::Register),
        ("resolved-sets", resolver(UNION), Semantics::CausalSets),
        ("resolved-latest", resolver(LATEST), Semantics::Latest),
        ("sets", lattice(UNION, Tombstones::Reset), Semantics::Union),
        ("latest", lattice(LATEST, Tombstones::Pass), Semantics::Latest),
    ];
    let most_keys = rng.within(1..=4);
    let only = rng.chance(300).then(|| rng.index(kinds.len()));
    let chosen =
        kinds.into_iter().enumerate().filter(|(at, _)| only.is_none_or(|only| only == *at));
    let mut keys = Keyspace::default();
    for (_, (name, mode, semantics)) in chosen {
        let expires = name == "expiring";
        let n = rng.within(1..=layout.copies().into()).max(rng.within(1..=3)) as u8;
        let n = n.min(layout.copies());
        let config = BucketConfig {
            mode,
            n,
            r: rng.within(1..=n.into()) as u8,
            w: rng.within(1..=n.into()) as u8,
            consistency: *rng.pick(&[Consistency::Sloppy, Consistency::Strict]),
            plugin_config: Bytes::new(),
            ttl_ms: (expires && rng.chance(500)).then(|| rng.within(300..=20_000)),
        };
        let name = BucketName::new(name).expect("letters and dashes");
        for number in 0..rng.within(1..=most_keys) {
            let key = Key { bucket: name.clone(), key: format!("key-{number}").into() };
            let partition = layout.ring().partition(&key);
            let owners = layout.owners(partition, n).map(|id| index(layout, id)).collect();
            keys.spots.push(Spot {
                key,
                config: config.clone(),
                semantics,
                owners,
                expires,
                least_w: 1,
                exposed: false,
            });
        }
        keys.buckets.push(Bucket { name, config, semantics });
    }
    keys
}

fn index(layout: &Layout, id: NodeId) -> usize {
    layout.members().iter().position(|m| m.id == id).expect("owners are members")
}

fn habits(rng: &mut Rng) -> Habits {
    Habits {
        pause: rng.within(3_000..=60_000),
        gets: rng.within(250..=600) as u32,
        deletes: *rng.pick(&[0, 50, 150]),
        conditional: *rng.pick(&[0, 100, 400]),
        blind: *rng.pick(&[50, 300, 700]),
        astray: *rng.pick(&[0, 200, 600]),
        padding: *rng.pick(&[1, 100, 400]),
        tries: rng.within(1..=4) as u32,
        deadline_ms: rng.within(50..=1_500),
    }
}

fn weather(rng: &mut Rng) -> Weather {
    Weather {
        delay: rng.within(100..=5_000),
        loss: *rng.pick(&[0, 10, 50, 150]),
        doubled: *rng.pick(&[0, 20, 100]),
        straggling: *rng.pick(&[0, 10, 80]),
    }
}
