//! Reads beside a slow node, in simulated time: they go at the pace of the others.

use kinfold_protocol::config::{BucketConfig, Consistency};
use sim::stage::Stage;

/// What a slow disk takes for a read, about, in microseconds: a hundred times the usual.
const SLOW: u64 = 100_000;

/// How long each of so many reads at a node takes, in microseconds.
fn reads(stage: &mut Stage, node: usize, count: usize) -> Vec<u64> {
    let one = |_| {
        let begun = stage.world.now;
        let (values, _) = stage.get(node, Consistency::Sloppy).expect("two owners are enough");
        assert_eq!(values.len(), 1);
        stage.world.now - begun
    };
    (0..count).map(one).collect()
}

fn slow_down(stage: &mut Stage, node: usize) {
    stage.world.machines[node].disk_delay = 8 * SLOW;
}

fn stage() -> Stage {
    let mut stage = Stage::new(3, BucketConfig::default(), None);
    assert!(stage.put(stage.owners[0], "value", None, Some(3)).is_some());
    stage.pass(10);
    stage
}

#[test]
fn a_slow_node_does_not_slow_reads_down_to_its_own_pace() {
    let mut stage = stage();
    let [a, b, c] = stage.owners[..] else { panic!("three owners") };
    let usual = *reads(&mut stage, a, 200).iter().max().unwrap();
    slow_down(&mut stage, b);
    for node in [a, c] {
        let slowest = *reads(&mut stage, node, 400).iter().max().unwrap();
        assert!(slowest < SLOW / 4, "{slowest} µs at {node}, {usual} before");
    }
    // What it reads itself: from the two others, once its own copy has been waited for long enough.
    let slowest = *reads(&mut stage, b, 200).iter().max().unwrap();
    assert!(slowest < SLOW / 2, "{slowest} µs at the slow node itself");
}

#[test]
fn hedges_are_few_and_a_slow_node_is_not_asked_first_for_long() {
    let mut stage = stage();
    let [a, b, _] = stage.owners[..] else { panic!("three owners") };
    reads(&mut stage, a, 200);
    let before = stage.world.machines[a].counter("gets_hedged");
    assert!(before <= 20, "{before} of 200 gets asked more than they had to");
    slow_down(&mut stage, b);
    reads(&mut stage, a, 400);
    let hedged = stage.world.machines[a].counter("gets_hedged") - before;
    assert!((4..80).contains(&hedged), "{hedged} of 400 gets asked more than they had to");
}

#[test]
fn a_node_that_is_fast_again_is_found_out() {
    let mut stage = stage();
    let [a, b, c] = stage.owners[..] else { panic!("three owners") };
    let usual = stage.world.machines[b].disk_delay;
    reads(&mut stage, a, 100);
    slow_down(&mut stage, b);
    reads(&mut stage, a, 400);
    let pace = |stage: &Stage, of: usize| {
        let of = stage.world.machines[of].identity.id;
        stage.world.machines[a].node().and_then(|node| node.pace(of)).expect("it answered often").0
    };
    assert!(pace(&stage, b) > 2 * pace(&stage, c), "{} µs", pace(&stage, b));
    stage.world.machines[b].disk_delay = usual;
    reads(&mut stage, a, 16_000);
    assert!(pace(&stage, b) < 3 * pace(&stage, c), "{} µs", pace(&stage, b));
}
