//! Named scenarios of causality, each from a real loss in a store of this kind.

use std::collections::BTreeSet;

use kinfold_protocol::config::{BucketConfig, Consistency};
use kinfold_protocol::planted::Bug;
use sim::disk::{Disk, Loss};
use sim::stage::Stage;

fn set<const N: usize>(values: [&str; N]) -> BTreeSet<String> {
    values.map(str::to_owned).into()
}

/// What stands in the end, where each coordinator forgets what it wrote and writes again.
fn wipe_a_coordinator(bug: Option<Bug>) -> BTreeSet<String> {
    let mut stage = Stage::new(5, BucketConfig::default(), bug);
    let coordinator = stage.owners[0];
    for value in ["first", "second", "third"] {
        assert!(stage.put(coordinator, value, None, Some(3)).is_some());
        stage.world.machines[coordinator].crash(Loss::All);
        stage.world.machines[coordinator].disk = Disk::default();
        stage.restart(coordinator);
        stage.pass(20);
    }
    assert!(stage.put(coordinator, "fourth", None, None).is_some());
    stage.agreed()
}

/// A coordinator that lost its disk must not go on counting where it once was: others would take its new write for one that
/// they have seen (riak_kv 679).
#[test]
fn a_coordinator_whose_disk_was_wiped_writes_beside_what_the_others_hold() {
    assert_eq!(wipe_a_coordinator(None), set(["first", "second", "third", "fourth"]));
    if cfg!(feature = "planted") {
        assert_eq!(wipe_a_coordinator(Some(Bug::VersionVector)), set(["fourth"]));
    }
}

fn bring_an_old_copy_back(bug: Option<Bug>) -> BTreeSet<String> {
    let mut stage = Stage::new(5, BucketConfig::default(), bug);
    let coordinator = stage.owners[0];
    stage.world.machines[coordinator].back_up();
    assert!(stage.put(coordinator, "first", None, Some(3)).is_some());
    stage.world.machines[coordinator].lose_disk(true);
    // Nobody can tell it that it is an old copy.
    stage.cut_off(&[coordinator]);
    stage.restart(coordinator);
    stage.pass(5);
    assert!(stage.put(coordinator, "second", None, Some(1)).is_some());
    stage.mend();
    stage.pass(100);
    stage.agreed()
}

/// The same where an old copy of the disk came back.
#[test]
fn a_coordinator_that_is_an_old_copy_of_itself_writes_beside_what_the_others_hold() {
    assert_eq!(bring_an_old_copy_back(None), set(["first", "second"]));
    if cfg!(feature = "planted") {
        assert_eq!(bring_an_old_copy_back(Some(Bug::VersionVector)), set(["second"]));
    }
}

fn wipe_a_fallback(bug: Option<Bug>) -> BTreeSet<String> {
    let mut stage = Stage::new(5, BucketConfig::default(), bug);
    let fallback = stage.others[0];
    for value in ["first", "second"] {
        stage.cut_off(&[fallback]);
        assert!(stage.put(fallback, value, None, Some(1)).is_some());
        stage.mend();
        stage.world.machines[fallback].crash(Loss::All);
        stage.world.machines[fallback].disk = Disk::default();
        stage.restart(fallback);
        stage.pass(20);
    }
    stage.agreed()
}

/// The same where the coordinator stands in for owners that it can't reach.
#[test]
fn a_fallback_whose_disk_was_wiped_writes_beside_what_the_owners_hold() {
    assert_eq!(wipe_a_fallback(None), set(["first", "second"]));
    if cfg!(feature = "planted") {
        assert_eq!(wipe_a_fallback(Some(Bug::VersionVector)), set(["second"]));
    }
}

/// Two writers, each of whom knows only of his own writes, leave one sibling each, however often they write: sibling
/// explosion was what plain version vectors made of it.
#[test]
fn two_writers_who_do_not_know_of_each_other_leave_two_siblings() {
    let mut stage = Stage::new(5, BucketConfig::default(), None);
    let mut contexts = [None, None];
    for round in 0..50 {
        for (writer, context) in contexts.iter_mut().enumerate() {
            let node = stage.owners[(round + writer) % 3];
            let value = format!("{writer} wrote {round}");
            let written = stage.put(node, &value, context.take(), None).expect("nothing is wrong");
            *context = Some(written.context);
        }
        let (values, _) = stage.get(stage.owners[0], Consistency::Strict).expect("all is well");
        let last = [0, 1].map(|writer| format!("{writer} wrote {round}"));
        assert_eq!(values, last.into());
    }
}

/// A replica that got only the second of two writes meets one that has only the first.
fn meet_what_was_replaced(bug: Option<Bug>) -> BTreeSet<String> {
    let mut stage = Stage::new(3, BucketConfig::default(), bug);
    let [a, b, c] = stage.owners[..] else { panic!("three owners") };
    stage.cut_off(&[c]);
    let first = stage.put(a, "first", None, Some(2)).expect("two owners are there");
    stage.world.net.mend();
    stage.cut_off(&[b]);
    stage.put(a, "second", Some(first.context), Some(2)).expect("two owners are there");
    stage.world.net.mend();
    stage.cut_off(&[a]);
    stage.get(b, Consistency::Strict).expect("two owners are there").0
}

#[test]
fn what_was_replaced_stays_replaced_where_only_its_successor_is_known() {
    assert_eq!(meet_what_was_replaced(None), ["second".to_owned()].into());
    if cfg!(feature = "planted") {
        let both = ["first", "second"].map(str::to_owned);
        assert_eq!(meet_what_was_replaced(Some(Bug::ForgetfulJoin)), both.into());
    }
}

/// A client that had no answer sends the same request to another node, which has got the write meanwhile.
fn try_again_elsewhere(bug: Option<Bug>) -> usize {
    let mut stage = Stage::new(5, BucketConfig::default(), bug);
    let (first, second) = (stage.owners[0], stage.owners[1]);
    stage.put_twice([first, second], "value");
    stage.pass(2);
    stage.versions(first)
}

#[test]
fn a_request_that_is_tried_again_is_made_once() {
    assert_eq!(try_again_elsewhere(None), 1);
    if cfg!(feature = "planted") {
        assert_eq!(try_again_elsewhere(Some(Bug::ForgottenRequest)), 2, "the bug is seen");
    }
}
