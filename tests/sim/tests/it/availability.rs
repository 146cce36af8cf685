//! Named scenarios of fallbacks and hints: each is a way in which a store of this kind lost acknowledged writes, or stopped
//! taking them.

use std::collections::BTreeSet;

use kinfold_protocol::config::{BucketConfig, Consistency};
use kinfold_protocol::planted::Bug;
use sim::stage::{PERIOD, Stage};

/// Longer than it takes to find that a node of such a small cluster is down.
const DETECTED: u64 = 15;

fn sloppy() -> BucketConfig {
    BucketConfig::default()
}

fn strict() -> BucketConfig {
    BucketConfig { consistency: Consistency::Strict, ..BucketConfig::default() }
}

fn set<const N: usize>(values: [&str; N]) -> BTreeSet<String> {
    values.map(str::to_owned).into()
}

fn hand_over_and_write_again(bug: Option<Bug>) -> BTreeSet<String> {
    let mut stage = Stage::new(5, sloppy(), bug);
    let fallback = stage.others[0];
    for value in ["first", "second"] {
        stage.cut_off(&[fallback]);
        let written = stage.put(fallback, value, None, Some(1)).expect("always writable");
        assert_eq!((written.owners, written.fallbacks), (0, 1));
        assert!(stage.holds(fallback));
        stage.mend();
        assert!(!stage.holds(fallback), "{value} was handed over");
    }
    stage.agreed()
}

/// Its second write must not claim to have seen the first, which it no longer holds and others do.
#[test]
fn a_fallback_that_handed_its_hint_over_coordinates_the_same_key_again() {
    assert_eq!(hand_over_and_write_again(None), set(["first", "second"]));
    if cfg!(feature = "planted") {
        assert_eq!(hand_over_and_write_again(Some(Bug::VersionVector)), set(["second"]));
    }
}

#[test]
fn a_hint_that_comes_after_the_delete_of_its_value_brings_nothing_back() {
    let mut stage = Stage::new(5, sloppy(), None);
    let [a, b, c] = stage.owners[..] else { panic!("three owners") };
    stage.crash(c, 30);
    stage.pass(DETECTED);
    assert!(stage.put(a, "value", None, None).is_some());
    stage.pass(2);
    let keeper = stage.kept().next().expect("somebody keeps it for the owner that is down");
    stage.cut_off(&[keeper]);
    stage.pass(40);
    let (values, found) = stage.get(b, Consistency::Strict).expect("two owners are enough");
    assert_eq!(values, set(["value"]));
    assert!(stage.delete(c, found.context));
    assert_eq!(stage.kept().collect::<Vec<_>>(), [keeper]);
    stage.mend();
    assert_eq!(stage.agreed(), set([]));
    assert!(!stage.holds(keeper));
}

fn lose_power_before_the_own_sync(config: BucketConfig, bug: Option<Bug>) -> BTreeSet<String> {
    let mut stage = Stage::new(5, config, bug);
    let coordinator = stage.owners[0];
    stage.world.machines[coordinator].ambush = Some(PERIOD);
    assert!(stage.put(coordinator, "first", None, None).is_none(), "nobody was there to answer");
    stage.pass(5);
    assert!(stage.put(coordinator, "second", None, None).is_some());
    stage.agreed()
}

#[test]
fn a_coordinator_that_crashes_after_it_replicated_and_before_its_own_sync_writes_again() {
    for config in [sloppy(), strict()] {
        let both = lose_power_before_the_own_sync(config.clone(), None);
        assert_eq!(both, set(["first", "second"]));
        if cfg!(feature = "planted") {
            let left = lose_power_before_the_own_sync(config, Some(Bug::VersionVector));
            assert_eq!(left, set(["second"]), "the bug is seen");
        }
    }
}

#[test]
fn both_sides_of_a_cut_stay_writable_and_everything_acknowledged_survives_healing() {
    let mut stage = Stage::new(6, sloppy(), None);
    // One side has two owners, one has one, and a third has none.
    let [a, b, c] = stage.owners[..] else { panic!("three owners") };
    let [d, e, f] = stage.others[..] else { panic!("three others") };
    for sides in [vec![vec![a, d]], vec![vec![d, e, f]], vec![vec![a, e], vec![b, f]]] {
        let mut written = BTreeSet::new();
        for side in &sides {
            stage.cut_off(side);
        }
        // At once, when nobody knows of the cut, and when everybody does.
        for moment in ["early", "late"] {
            for node in [a, b, c, d, e, f] {
                let value = format!("{moment} at {node}");
                let done = stage.put(node, &value, None, None);
                assert!(done.is_some(), "{value}, with {sides:?} cut off");
                let (seen, _) = stage.get(node, Consistency::Sloppy).expect("always readable");
                assert!(seen.contains(&value), "{value} is read where it was written");
                written.insert(value);
            }
            stage.pass(DETECTED);
        }
        stage.mend();
        assert_eq!(stage.agreed(), written);
        for node in [d, e, f] {
            assert!(!stage.holds(node));
        }
        let (_, found) = stage.get(a, Consistency::Strict).expect("all is mended");
        assert!(stage.delete(a, found.context));
        stage.pass(2);
    }
}

#[test]
fn a_strict_bucket_counts_owners_only() {
    let mut stage = Stage::new(5, strict(), None);
    let minority = [stage.owners[0], stage.others[0], stage.others[1]];
    stage.cut_off(&minority);
    for _ in 0..2 {
        assert!(stage.put(minority[0], "minority", None, None).is_none());
        assert!(stage.get(minority[0], Consistency::Strict).is_none());
        assert!(stage.get(minority[0], Consistency::Sloppy).is_some(), "the reader may choose");
        stage.pass(DETECTED);
    }
    let majority = stage.put(stage.owners[1], "majority", None, None).expect("two owners");
    assert_eq!((majority.owners, majority.fallbacks), (2, 0));
    stage.mend();
    assert_eq!(stage.agreed(), set(["minority", "majority"]), "unknown, and here after all");
}

/// While nobody knows yet, an owner that is gone costs its silence; afterwards nothing.
#[test]
fn an_owner_that_is_known_to_be_down_is_not_waited_for() {
    let mut stage = Stage::new(5, sloppy(), None);
    let gone = stage.owners[2];
    stage.crash(gone, 1_000);
    let mut took = Vec::new();
    for _ in 0..2 {
        let begun = stage.world.now;
        let written = stage.put(stage.owners[0], "value", None, Some(3)).expect("always writable");
        assert_eq!((written.owners, written.fallbacks), (2, 1));
        took.push(stage.world.now - begun);
        stage.pass(DETECTED);
    }
    assert!(took[0] >= 150_000, "it waited for the owner: {took:?}");
    assert!(took[1] <= 30_000, "it did not: {took:?}");
}

#[test]
fn a_full_fallback_takes_no_more_and_the_next_one_does() {
    let mut stage = Stage::new(6, sloppy(), None);
    let [first, second, third] = stage.others[..] else { panic!("three others") };
    let full = |stage: &mut Stage, node: usize| {
        stage.world.machines[node].identity.limits.hints.bytes = 1;
        stage.crash(node, 1);
    };
    full(&mut stage, first);
    full(&mut stage, second);
    stage.crash(stage.owners[2], 1_000);
    stage.pass(DETECTED);
    assert!(stage.put(stage.owners[0], "value", None, Some(3)).is_some());
    assert_eq!(stage.kept().collect::<Vec<_>>(), [third]);
    full(&mut stage, third);
    stage.pass(DETECTED);
    assert!(stage.put(stage.owners[0], "another", None, Some(3)).is_none());
    assert_eq!(stage.kept().collect::<Vec<_>>(), [third], "what was taken stays");
}

/// What a fallback keeps is the only copy. The owners lose power when it has just reached them and is not durable.
fn hand_over_before_a_power_cut(bug: Option<Bug>) -> BTreeSet<String> {
    let mut stage = Stage::new(5, sloppy(), bug);
    let fallback = stage.others[0];
    stage.cut_off(&[fallback]);
    assert!(stage.put(fallback, "value", None, Some(1)).is_some());
    let owners = stage.owners.clone();
    owners.iter().for_each(|owner| stage.world.machines[*owner].disk_delay = 4 * PERIOD);
    stage.world.net.mend();
    let until = stage.world.now + 100 * PERIOD;
    while !owners.iter().any(|owner| stage.holds(*owner)) && stage.world.step(until) {}
    for owner in owners {
        stage.crash(owner, 1);
        stage.world.machines[owner].disk_delay = 500;
    }
    stage.pass(2);
    stage.mend();
    stage.agreed()
}

#[test]
fn a_hint_is_kept_until_its_owner_has_it() {
    assert_eq!(hand_over_before_a_power_cut(None), set(["value"]));
    if cfg!(feature = "planted") {
        assert_eq!(
            hand_over_before_a_power_cut(Some(Bug::HastyHandoff)),
            set([]),
            "the bug is seen"
        );
    }
}

/// A write is acknowledged by a fallback alone, and everybody who has it loses power.
fn lose_power_after_a_hint(bug: Option<Bug>) -> BTreeSet<String> {
    let mut stage = Stage::new(5, sloppy(), bug);
    let coordinator = stage.owners[0];
    let side = [coordinator, stage.others[0], stage.others[1]];
    stage.cut_off(&side);
    stage.pass(DETECTED);
    stage.world.machines[coordinator].disk_delay = 10_000_000;
    stage.world.machines[side[1]].disk_delay = 200_000;
    stage.world.machines[side[2]].disk_delay = 200_000;
    assert!(stage.put(coordinator, "value", None, Some(1)).is_some());
    for node in side {
        stage.crash(node, 1);
        stage.world.machines[node].disk_delay = 500;
    }
    stage.pass(5);
    stage.mend();
    stage.agreed()
}

#[test]
fn a_hint_counts_once_it_is_durable() {
    assert_eq!(lose_power_after_a_hint(None), set(["value"]));
    if cfg!(feature = "planted") {
        assert_eq!(lose_power_after_a_hint(Some(Bug::CopyNotDurable)), set([]), "the bug is seen");
    }
}

/// A write of a strict bucket that one owner and a fallback have.
fn write_strictly_to_a_fallback(bug: Option<Bug>) -> bool {
    let mut stage = Stage::new(5, strict(), bug);
    let side = [stage.owners[0], stage.others[0], stage.others[1]];
    stage.cut_off(&side);
    stage.pass(DETECTED);
    stage.put(side[0], "value", None, None).is_some()
}

#[test]
fn a_fallback_is_no_owner() {
    assert!(!write_strictly_to_a_fallback(None));
    if cfg!(feature = "planted") {
        assert!(write_strictly_to_a_fallback(Some(Bug::FallbackAsOwner)), "the bug is seen");
    }
}

/// A write is read before it is durable, and its only holder loses power.
fn read_what_a_power_cut_takes(bug: Option<Bug>) -> [bool; 2] {
    let mut stage = Stage::new(5, sloppy(), bug);
    let owner = stage.owners[0];
    stage.cut_off(&[owner]);
    stage.world.machines[owner].disk_delay = 10_000_000;
    stage.put(owner, "value", None, Some(1));
    assert!(stage.holds(owner), "it is visible");
    let read = stage.get_of_one(owner).is_some_and(|values| values == set(["value"]));
    stage.crash(owner, 1);
    stage.world.machines[owner].disk_delay = 500;
    stage.pass(DETECTED);
    stage.mend();
    [read, stage.agreed() == set(["value"])]
}

#[test]
fn what_was_read_survives_a_power_cut() {
    let [read, there] = read_what_a_power_cut_takes(None);
    assert!(there || !read);
    if cfg!(feature = "planted") {
        let seen = read_what_a_power_cut_takes(Some(Bug::UnsyncedRead));
        assert_eq!(seen, [true, false], "the bug is seen");
    }
}
