//! Named scenarios of deletes: what was deleted stays away after the last trace of the delete is gone, and contexts stay short.

use std::collections::BTreeSet;

use kinfold_protocol::config::{
    BucketConfig, CollectLimits, Consistency, GossipLimits, Limits, Mode, Tombstones,
};
use kinfold_protocol::planted::Bug;
use kinfold_protocol::time::Duration;
use sim::plugins::UNION;
use sim::stage::{PERIOD, Stage};

fn limits() -> Limits {
    Limits {
        gossip: GossipLimits { period: Duration(PERIOD), round_trip: Duration(PERIOD / 4) },
        exchange: Duration(2 * PERIOD),
        hello: Duration(2 * PERIOD),
        collect: CollectLimits { pause: Duration(PERIOD / 10), age: Duration(0) },
        ..Limits::default()
    }
}

fn stage(nodes: usize, bug: Option<Bug>) -> Stage {
    Stage::within(nodes, BucketConfig::default(), &limits(), bug, 1)
}

fn lattice() -> BucketConfig {
    let mode = Mode::Lattice { plugin: UNION.into(), tombstones: Tombstones::Reset };
    BucketConfig { mode, ..BucketConfig::default() }
}

fn set<const N: usize>(values: [&str; N]) -> BTreeSet<String> {
    values.map(str::to_owned).into()
}

/// Reads at a node and deletes what was read.
fn delete(stage: &mut Stage, node: usize) {
    let (_, found) = stage.get(node, Consistency::Sloppy).expect("always readable");
    assert!(stage.delete(node, found.context));
}

/// Waits until these nodes hold nothing of the key; did that come?
fn collected(stage: &mut Stage, nodes: &[usize]) -> bool {
    for _ in 0..100 {
        if nodes.iter().all(|node| !stage.holds(*node)) {
            return true;
        }
        stage.pass(5);
    }
    false
}

/// An owner is away from before a delete until after its collection, with a value that it or another one coordinated.
fn away_across_a_collection(writer: usize, bug: Option<Bug>) -> BTreeSet<String> {
    let mut stage = stage(3, bug);
    let [a, b, c] = stage.owners[..] else { panic!("three owners") };
    let writer = stage.owners[writer];
    assert!(stage.put(writer, "value", None, Some(3)).is_some());
    stage.pass(50);
    stage.crash(c, 600);
    stage.pass(20);
    delete(&mut stage, a);
    assert!(collected(&mut stage, &[a, b]), "{bug:?}");
    assert!(stage.holds(c), "it was away");
    stage.pass(600);
    let agreed = stage.agreed();
    if bug.is_none() {
        assert!(collected(&mut stage, &[a, b, c]), "it dies at the straggler, too");
    }
    agreed
}

#[test]
fn a_replica_that_was_away_across_the_collection_brings_nothing_back() {
    for writer in 0..3 {
        assert_eq!(away_across_a_collection(writer, None), set([]));
    }
    if cfg!(feature = "planted") {
        let back = away_across_a_collection(0, Some(Bug::ForgottenFill));
        assert_eq!(back, set(["value"]), "the bug is seen");
    }
}

/// A value that an owner wrote which no other one has exchanged with since: its tombstone has to wait.
fn delete_what_an_owner_wrote_that_is_away(bug: Option<Bug>) -> (bool, BTreeSet<String>) {
    let mut stage = stage(3, bug);
    let [a, b, c] = stage.owners[..] else { panic!("three owners") };
    stage.cut_off(&[b]);
    stage.pass(20);
    assert!(stage.put(c, "value", None, None).is_some());
    // Before it has exchanged anything with the one that takes it.
    stage.cut_off(&[c]);
    stage.world.net.mend();
    stage.cut_off(&[c]);
    delete(&mut stage, a);
    let gone = collected(&mut stage, &[a, b]);
    stage.mend();
    stage.pass(100);
    (gone, stage.agreed())
}

#[test]
fn a_tombstone_waits_until_its_past_lies_within_the_marks() {
    assert_eq!(delete_what_an_owner_wrote_that_is_away(None), (false, set([])));
    if cfg!(feature = "planted") {
        let (_, agreed) = delete_what_an_owner_wrote_that_is_away(Some(Bug::EarlyCollect));
        assert_eq!(agreed, set(["value"]), "the bug is seen");
    }
}

#[test]
fn an_old_copy_of_a_disk_brings_nothing_back() {
    let mut stage = stage(3, None);
    let owners = stage.owners.clone();
    for restored in owners.clone() {
        assert!(stage.put(owners[0], "value", None, Some(3)).is_some());
        stage.pass(20);
        stage.world.machines[restored].back_up();
        delete(&mut stage, owners[1]);
        assert!(collected(&mut stage, &owners));
        stage.world.machines[restored].lose_disk(true);
        assert!(stage.holds(restored), "the copy has it");
        stage.restart(restored);
        stage.pass(5);
        assert_eq!(stage.get(owners[2], Consistency::Strict).expect("all are there").0, set([]));
        assert!(collected(&mut stage, &owners));
    }
}

#[test]
fn a_hint_that_comes_after_the_collection_brings_nothing_back() {
    let mut stage = stage(5, None);
    let [a, b, c] = stage.owners[..] else { panic!("three owners") };
    stage.crash(c, 60);
    stage.pass(15);
    assert!(stage.put(a, "value", None, None).is_some());
    stage.pass(2);
    let keeper = stage.kept().next().expect("somebody keeps it for the owner that is down");
    stage.cut_off(&[keeper]);
    stage.pass(80);
    delete(&mut stage, b);
    assert!(collected(&mut stage, &[a, b, c]));
    assert!(stage.holds(keeper));
    stage.mend();
    assert!(collected(&mut stage, &[a, b, c, keeper]));
    assert_eq!(stage.agreed(), set([]));
}

/// A tombstone that outlived its key killed the new one (riak_kv 679). A straggler holds the old one meanwhile.
#[test]
fn a_key_that_is_made_again_lives_and_the_old_one_does_not() {
    for maker in 0..2 {
        let mut stage = stage(3, None);
        let [a, b, c] = stage.owners[..] else { panic!("three owners") };
        assert!(stage.put(a, "old", None, Some(3)).is_some());
        stage.pass(50);
        stage.crash(c, 600);
        stage.pass(20);
        delete(&mut stage, b);
        assert!(collected(&mut stage, &[a, b]));
        let maker = stage.owners[maker];
        assert!(stage.put(maker, "new", None, None).is_some());
        stage.pass(700);
        assert_eq!(stage.agreed(), set(["new"]));
        let (values, _) = stage.get(c, Consistency::Sloppy).expect("always readable");
        assert_eq!(values, set(["new"]));
    }
}

/// No exchange tells how much of an actor there is that writes no more, or of one that only stood in.
#[test]
fn what_a_node_wrote_that_stood_in_and_was_started_anew_since_is_collected() {
    for restarted in [false, true] {
        let mut stage = stage(5, None);
        let owners = stage.owners.clone();
        let fallback = stage.others[0];
        stage.cut_off(&[fallback]);
        let written = stage.put(fallback, "value", None, Some(1)).expect("always writable");
        assert_eq!((written.owners, written.fallbacks), (0, 1));
        stage.mend();
        delete(&mut stage, owners[0]);
        if restarted {
            stage.crash(fallback, 5);
            stage.pass(10);
        }
        assert!(collected(&mut stage, &owners), "restarted: {restarted}");
        assert_eq!(stage.agreed(), set([]));
    }
}

/// The word of a fallback that an owner has all that it wrote is worth nothing once that owner has lost its disk.
#[test]
fn a_mark_is_not_raised_over_what_a_lost_disk_held() {
    let mut stage = stage(5, None);
    let owners = stage.owners.clone();
    let fallback = stage.others[0];
    stage.cut_off(&[fallback]);
    assert!(stage.put(fallback, "value", None, Some(1)).is_some());
    stage.mend();
    for lost in owners {
        stage.pass(10);
        stage.world.machines[lost].lose_disk(false);
        stage.restart(lost);
        stage.pass(20);
        assert_eq!(stage.agreed(), set(["value"]), "after node {lost} lost its disk");
    }
}

#[test]
fn a_folded_delete_waits_for_all_owners_and_then_goes() {
    let mut stage = Stage::within(3, lattice(), &limits(), None, 1);
    let [a, b, c] = stage.owners[..] else { panic!("three owners") };
    assert!(stage.put(a, "1\n", None, Some(3)).is_some());
    stage.pass(50);
    stage.crash(c, 500);
    stage.pass(20);
    delete(&mut stage, a);
    assert!(!collected(&mut stage, &[a, b]) && stage.holds(a) && stage.holds(b));
    stage.pass(100);
    assert_eq!(stage.agreed(), set([]));
    assert!(collected(&mut stage, &[a, b, c]));
    assert!(stage.put(b, "2\n", None, Some(3)).is_some());
    assert_eq!(stage.agreed(), set(["2\n"]));
}

#[test]
fn contexts_stay_short_however_often_a_node_is_started_anew() {
    let mut stage = stage(3, None);
    let owners = stage.owners.clone();
    let mut context = None;
    let mut longest = 0;
    for life in 0..30 {
        let writer = owners[life % 3];
        let written = stage.put(writer, &format!("life {life}"), context.take(), Some(3));
        context = Some(written.expect("all are there").context);
        stage.pass(15);
        stage.crash(writer, 1);
        stage.pass(15);
        longest = longest.max(owners.iter().map(|owner| stage.intervals(*owner)).max().unwrap());
    }
    assert!(longest <= 3, "{longest} intervals");
    assert_eq!(stage.agreed(), set(["life 29"]));
}
