//! Named scenarios of clocks that differ: a write is later than all that its coordinator holds, and what others can't believe they
//! do not take in by another way either.

use kinfold_protocol::config::{BucketConfig, CollectLimits, GossipLimits, Limits, Mode};
use kinfold_protocol::time::Duration;
use sim::fault::Fault;
use sim::plugins::LATEST;
use sim::stage::{PERIOD, Stage};

/// Six minutes in microseconds: more than a foreign clock may be ahead.
const AHEAD: i64 = 360_000_000;

/// Three nodes that exchange often, so that contexts are soon stripped, and may keep two siblings.
fn stage() -> Stage {
    let limits = Limits {
        gossip: GossipLimits { period: Duration(PERIOD), round_trip: Duration(PERIOD / 4) },
        exchange: Duration(2 * PERIOD),
        hello: Duration(2 * PERIOD),
        collect: CollectLimits { pause: Duration(PERIOD / 10), age: Duration(0) },
        siblings: 2,
        ..Limits::default()
    };
    let mode = Mode::Resolver { plugin: LATEST.into() };
    Stage::within(3, BucketConfig { mode, ..BucketConfig::default() }, &limits, None, 1)
}

fn step(stage: &mut Stage, node: usize, by: i64) {
    Fault::StepClock { node, by }.strike(&mut stage.world);
    stage.pass(20);
}

/// Times when a node held something later than its clock.
fn breaches(stage: &Stage) -> Vec<String> {
    let all = sim::machine::breaches(&stage.world.machines);
    all.into_iter().filter(|breach| breach.contains("the node's clock")).collect()
}

#[test]
fn what_nobody_believes_does_not_come_in_by_an_exchange() {
    let mut stage = stage();
    let [a, b, c] = stage.owners[..] else { panic!("three owners") };
    assert!(stage.put(b, "first", None, Some(3)).is_some());
    step(&mut stage, a, AHEAD);
    // Its own disk alone takes it, and says so.
    assert!(stage.put(a, "ahead", None, Some(1)).is_some());
    assert!(stage.put(a, "ahead too", None, Some(2)).is_none());
    stage.pass(600);
    assert_eq!((stage.versions(b), stage.versions(c)), (1, 1));
    // The others go on meanwhile, and later writes stand beside what they could not see.
    assert!(stage.put(b, "second", None, Some(2)).is_some());
    assert_eq!(breaches(&stage), Vec::<String>::new());
    // Once their clocks agree all of it is everywhere, and the latest is what is read.
    [b, c].into_iter().for_each(|node| step(&mut stage, node, AHEAD));
    stage.pass(600);
    let latest = stage.agreed();
    assert!(latest.contains("ahead too"), "{latest:?}");
    for node in [a, b, c] {
        assert_eq!(stage.get_of_one(node), Some(latest.clone()), "node {node}");
    }
    assert_eq!(breaches(&stage), Vec::<String>::new());
}
