//! Named scenarios of expiry: what has expired is gone for readers and, in the end, from all disks; nothing goes before its time.

use std::collections::BTreeSet;

use bytes::Bytes;
use kinfold_protocol::config::{
    BucketConfig, CollectLimits, Consistency, ExpiryLimits, GossipLimits, Limits, Mode, Tombstones,
};
use kinfold_protocol::message::client::{Code, Response};
use kinfold_protocol::planted::Bug;
use kinfold_protocol::time::Duration;
use sim::plugins::UNION;
use sim::stage::{PERIOD, Stage};

/// How far apart the clocks may be, in milliseconds.
const APART: u64 = 10 * PERIOD / 1_000;

fn limits() -> Limits {
    Limits {
        siblings: 3,
        gossip: GossipLimits { period: Duration(PERIOD), round_trip: Duration(PERIOD / 4) },
        exchange: Duration(2 * PERIOD),
        hello: Duration(2 * PERIOD),
        collect: CollectLimits { pause: Duration(PERIOD / 10), age: Duration(0) },
        expiry: ExpiryLimits {
            grace: Duration::from_millis(APART),
            pause: Duration(PERIOD / 2),
            batch: 4,
        },
        ..Limits::default()
    }
}

fn staged(config: BucketConfig, bug: Option<Bug>) -> Stage {
    Stage::within(3, config, &limits(), bug, 1)
}

fn stage() -> Stage {
    staged(BucketConfig::default(), None)
}

fn set<const N: usize>(values: [&str; N]) -> BTreeSet<String> {
    values.map(str::to_owned).into()
}

fn periods(n: u64) -> u64 {
    n * PERIOD / 1_000
}

/// Values that a node's disk has of the key, expired or not.
fn on_disk(stage: &Stage, node: usize) -> usize {
    let stored = stage.world.machines[node].disk.visible(stage.key());
    stored.map_or(0, |stored| stored.object.distinct_values())
}

#[test]
fn a_value_is_there_until_its_time_and_on_no_disk_in_the_end() {
    let mut stage = stage();
    let owners = stage.owners.clone();
    assert!(stage.put_for(0, "value", periods(20), None).is_some_and(|r| r.is_ok()));
    stage.pass(18);
    assert_eq!(stage.agreed(), set(["value"]));
    let (_, found) = stage.get(0, Consistency::Sloppy).unwrap();
    assert_eq!(found.expires.len(), 1);
    stage.pass(3);
    // Hidden from readers, and kept until it is past by every clock.
    let (values, found) = stage.get(0, Consistency::Sloppy).unwrap();
    assert_eq!((values, found.deleted, found.expires), (set([]), true, vec![]));
    assert_eq!(stage.list(0, "", 10), [""; 0]);
    assert!(owners.iter().all(|owner| on_disk(&stage, *owner) == 1));
    stage.pass(15);
    assert!(owners.iter().all(|owner| on_disk(&stage, *owner) == 0), "let go");
    // What is left is collected as after a delete.
    stage.pass(100);
    assert!(owners.iter().all(|owner| !stage.holds(*owner)), "collected");
    assert!(owners.iter().all(|owner| stage.world.machines[*owner].disk.tombstones() == 0));
}

#[test]
fn a_sibling_expires_alone() {
    let mut stage = stage();
    stage.put_for(0, "short", periods(10), None).unwrap().unwrap();
    stage.put_for(1, "long", periods(1_000), None).unwrap().unwrap();
    stage.put(2, "ever", None, None).unwrap();
    assert_eq!(stage.agreed(), set(["ever", "long", "short"]));
    stage.pass(40);
    assert_eq!(stage.agreed(), set(["ever", "long"]));
    stage.pass(1_000);
    assert_eq!(stage.agreed(), set(["ever"]));
    assert_eq!(stage.world.breaches, [""; 0]);
}

/// An owner is away from before a value's end until all that was left of it is collected.
fn away_across_the_end(bug: Option<Bug>) -> (BTreeSet<String>, bool) {
    let mut stage = staged(BucketConfig::default(), bug);
    let owners = stage.owners.clone();
    assert!(stage.put_for(owners[0], "value", periods(60), None).is_some_and(|r| r.is_ok()));
    stage.pass(50);
    stage.crash(owners[2], 600);
    stage.pass(400);
    let collected = owners[..2].iter().all(|owner| !stage.holds(*owner));
    assert!(stage.holds(owners[2]), "it was away");
    stage.pass(201);
    let agreed = stage.agreed();
    (agreed, collected)
}

#[test]
fn a_replica_that_was_away_across_the_end_of_a_value_brings_nothing_back() {
    assert_eq!(away_across_the_end(None), (set([]), true));
    if cfg!(feature = "planted") {
        assert_eq!(away_across_the_end(Some(Bug::LostExpiry)), (set(["value"]), false), "is seen");
    }
}

/// One whose clock is an hour ahead does not show the value. But the others do, and it makes nobody let go of it.
#[test]
fn a_clock_that_is_far_ahead_lets_nothing_go() {
    let mut stage = stage();
    let owners = stage.owners.clone();
    stage.put_for(owners[0], "value", periods(300), None).unwrap().unwrap();
    stage.pass(10);
    let now = stage.world.now;
    stage.world.machines[owners[2]].clock.step(now, 3_600_000_000);
    stage.pass(100);
    assert!(owners.iter().all(|owner| on_disk(&stage, *owner) == 1));
    let (values, _) = stage.get(owners[0], Consistency::Strict).unwrap();
    assert_eq!(values, set(["value"]));
    stage.pass(250);
    assert!(owners.iter().all(|owner| on_disk(&stage, *owner) == 0));
}

#[test]
fn what_a_crowded_put_folds_expires_with_the_last_of_its_parts() {
    let mode = Mode::Resolver { plugin: UNION.into() };
    let mut stage = staged(BucketConfig { mode, ..BucketConfig::default() }, None);
    stage.put_for(0, "gone\n", periods(5), None).unwrap().unwrap();
    stage.pass(6);
    for (value, ttl) in [("a\n", 40), ("b\n", 200), ("c\n", 20)] {
        stage.put_for(0, value, periods(ttl), None).unwrap().unwrap();
    }
    // The fourth sibling and the third that stands: merged under its own dot, without what had expired.
    let (values, found) = stage.get(0, Consistency::Sloppy).unwrap();
    assert_eq!(values, set(["a\nb\nc\n"]));
    stage.pass(150);
    assert_eq!(stage.get(0, Consistency::Sloppy).unwrap().0, set(["a\nb\nc\n"]));
    assert_eq!(found.expires.len(), 1);
    stage.pass(100);
    assert_eq!(stage.agreed(), set([]));
}

#[test]
fn an_expired_key_is_to_a_condition_as_a_deleted_one() {
    let mut stage = stage();
    stage.put_for(0, "mine", periods(10), None).unwrap().unwrap();
    let held = stage.put_if(1, "yours", None);
    let Some(Response::Conflict(conflict)) = held else { panic!("{held:?}") };
    assert_eq!((conflict.found.values.len(), conflict.found.expires.len()), (1, 1));
    stage.pass(12);
    for tries in 0..2 {
        let expired = stage.put_if(1, "yours", None);
        let Some(Response::Conflict(conflict)) = expired else { panic!("{expired:?}") };
        assert_eq!((conflict.found.values.len(), conflict.found.deleted), (0, true));
        if tries == 0 {
            // The same once it is a tombstone on the disks.
            stage.pass(15);
            assert_eq!(on_disk(&stage, stage.owners[0]), 0);
            continue;
        }
        let context = Some(conflict.found.context);
        let taken = stage.put_if(1, "yours", context);
        assert!(matches!(taken, Some(Response::Written(_))), "{taken:?}");
    }
    assert_eq!(stage.agreed(), set(["yours"]));
}

#[test]
fn the_buckets_time_counts_where_a_put_says_nothing_and_lattices_have_none() {
    let ttl_ms = Some(periods(10));
    let mut stage = staged(BucketConfig { ttl_ms, ..BucketConfig::default() }, None);
    let first = stage.put(0, "default", None, None).unwrap();
    stage.put_for(0, "ever", 0, None).unwrap().unwrap();
    assert!(!first.context.is_empty());
    stage.pass(40);
    assert_eq!(stage.agreed(), set(["ever"]));

    let mode = Mode::Lattice { plugin: UNION.into(), tombstones: Tombstones::Reset };
    let mut lattice = staged(BucketConfig { mode, ..BucketConfig::default() }, None);
    let refused = lattice.put_for(0, "part\n", 1_000, None).unwrap().unwrap_err();
    assert_eq!(refused.code, Code::BadRequest);
    assert!(refused.message.contains("a part can't go alone"), "{}", refused.message);
    assert!(lattice.put_for(0, "part\n", 0, None).unwrap().is_ok());
    assert_eq!(lattice.agreed(), set(["part\n"]));
}

/// A nearly full disk takes what gives it room.
#[test]
fn what_has_expired_goes_from_a_full_disk() {
    let mut stage = stage();
    let owners = stage.owners.clone();
    stage.put_for(0, "value", periods(10), Some(Bytes::new())).unwrap().unwrap();
    stage.pass(5);
    for owner in &owners {
        stage.world.machines[*owner].disk.set_full(true);
    }
    stage.pass(30);
    assert!(owners.iter().all(|owner| on_disk(&stage, *owner) == 0));
}
