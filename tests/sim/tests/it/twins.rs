//! Two nodes with one identity: a directory that was copied, and started while the first still runs.

use std::collections::BTreeSet;

use kinfold_protocol::config::{BucketConfig, CollectLimits, Consistency, GossipLimits, Limits};
use kinfold_protocol::message::client::Reach;
use kinfold_protocol::planted::Bug;
use kinfold_protocol::time::Duration;
use sim::event::Event;
use sim::stage::{PERIOD, Stage};

fn stage(nodes: usize, seed: u64, bug: Option<Bug>) -> Stage {
    let limits = Limits {
        gossip: GossipLimits { period: Duration(PERIOD), round_trip: Duration(PERIOD / 4) },
        exchange: Duration(2 * PERIOD),
        hello: Duration(2 * PERIOD),
        collect: CollectLimits { pause: Duration(PERIOD / 10), age: Duration(0) },
        ..Limits::default()
    };
    let mut stage = Stage::within(nodes, BucketConfig::default(), &limits, bug, seed);
    // Who runs for longer has greeted more often.
    stage.pass(50);
    stage
}

/// Copies a node's disk and starts the copy beside it.
fn start_copy(stage: &mut Stage, of: usize) -> usize {
    let twin = stage.world.clone_machine(of);
    stage.world.enter(stage.world.now, Event::Start { node: twin });
    stage.pass(1);
    assert!(stage.world.machines[twin].is_up());
    twin
}

fn up(stage: &Stage, node: usize) -> bool {
    stage.world.machines[node].is_up()
}

fn set<const N: usize>(values: [&str; N]) -> BTreeSet<String> {
    values.map(str::to_owned).into()
}

#[test]
fn a_copy_that_is_started_beside_its_node_is_told_and_the_node_goes_on() {
    for nodes in [3, 5] {
        let mut stage = stage(nodes, 1, None);
        let [a, b, c] = stage.owners[..] else { panic!("three owners") };
        assert!(stage.put(a, "before", None, Some(3)).is_some());
        let twin = start_copy(&mut stage, c);
        // Nobody answers it: all that it is told goes to the other. What it acknowledges is on its own disk alone.
        let taken = stage.put(twin, "at the copy", None, Some(1));
        assert!(stage.put(c, "at the node", None, Some(2)).is_some());
        stage.pass(20);
        assert!(stage.world.machines[twin].turned_away, "it is told");
        assert!(!up(&stage, twin) && up(&stage, c), "and the other goes on");
        let mut expected = set(["before", "at the node"]);
        expected.extend(taken.map(|_| "at the copy".to_owned()));
        stage.pass(100);
        assert_eq!(stage.agreed(), expected);
        let id = stage.world.machines[c].identity.id;
        for other in [a, b] {
            let reach = stage.world.machines[other].node().expect("it is up").reach(id);
            assert_eq!(reach, Reach::Up, "nobody takes the node for gone: {other}");
        }
    }
}

#[test]
fn a_copy_that_is_started_again_and_again_is_refused_each_time() {
    let mut stage = stage(3, 1, None);
    let [_, b, c] = stage.owners[..] else { panic!("three owners") };
    let twin = start_copy(&mut stage, c);
    for _ in 0..3 {
        stage.pass(20);
        assert!(!up(&stage, twin) && up(&stage, c));
        stage.restart(twin);
        stage.pass(1);
    }
    stage.pass(100);
    assert!(stage.put(b, "value", None, Some(3)).is_some(), "all owners are there");
}

#[test]
fn a_node_that_is_only_started_again_is_never_refused() {
    let mut stage = stage(3, 1, None);
    let node = stage.owners[0];
    for periods in [0, 1, 3, 10] {
        stage.crash(node, periods);
        stage.pass(60);
        assert!(up(&stage, node) && !stage.world.machines[node].turned_away);
    }
}

/// The node keeps what it owes an owner that is away, and so does its copy, which says so and hands it over beside it.
#[test]
fn what_both_keep_for_an_owner_reaches_it_and_what_is_deleted_stays_away() {
    for seed in 1..=20 {
        let mut stage = stage(5, seed, None);
        let [a, b, c] = stage.owners[..] else { panic!("three owners") };
        stage.crash(c, 200);
        stage.pass(20);
        assert!(stage.put(a, "value", None, Some(3)).is_some());
        stage.pass(5);
        let fallback = stage.kept().next().expect("a fallback keeps it");
        let twin = start_copy(&mut stage, fallback);
        stage.pass(seed * 7);
        stage.pass(400);
        assert!(!up(&stage, twin) && stage.world.machines[twin].turned_away, "seed {seed}");
        assert_eq!(stage.agreed(), set(["value"]), "seed {seed}");
        let (_, found) = stage.get(b, Consistency::Sloppy).expect("all are there");
        assert!(stage.delete(b, found.context));
        stage.pass(400);
        assert!(stage.owners.iter().all(|owner| !stage.holds(*owner)), "seed {seed}: collected");
        // Its node is started from the copy, after all.
        stage.world.machines[fallback].disk = stage.world.machines[twin].disk.clone();
        stage.crash(fallback, 1);
        stage.pass(200);
        assert_eq!(stage.agreed(), set([]), "seed {seed}: and its hint brings nothing back");
    }
}

/// Both take writes, one of them cut off from everybody else until the end, and then the copy takes the node's place.
fn take_the_place(seed: u64, bug: Option<Bug>) -> BTreeSet<String> {
    let mut stage = stage(3, seed, bug);
    let [a, _, c] = stage.owners[..] else { panic!("three owners") };
    assert!(stage.put(a, "before", None, Some(3)).is_some());
    let twin = start_copy(&mut stage, c);
    stage.cut_off(&[twin]);
    assert!(stage.put(twin, "at the copy", None, Some(1)).is_some());
    assert!(stage.put(c, "at the node", None, Some(2)).is_some());
    stage.pass(20 + seed);
    assert!(up(&stage, twin), "nobody can tell it");
    // The node's machine is lost, and the copy stands at its address.
    stage.world.machines[twin].crash(sim::disk::Loss::All);
    let disk = stage.world.machines[twin].disk.clone();
    stage.mend();
    stage.crash(c, 1);
    stage.world.machines[c].disk = disk;
    stage.pass(100);
    stage.agreed()
}

#[test]
fn what_a_copy_took_while_nobody_could_tell_it_is_not_lost_when_it_takes_the_place() {
    let all = set(["before", "at the copy", "at the node"]);
    for seed in 1..=20 {
        assert_eq!(take_the_place(seed, None), all, "seed {seed}");
    }
    if cfg!(feature = "planted") {
        let left = take_the_place(1, Some(Bug::VersionVector));
        assert!(left.len() < all.len(), "the bug is seen: {left:?}");
    }
}
