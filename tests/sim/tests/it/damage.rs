//! Named scenarios of damaged and lost disks: what one has lost comes back from the other owners, and is not missed meanwhile.

use std::collections::BTreeSet;

use kinfold_protocol::config::{BucketConfig, Consistency, GossipLimits, Limits};
use kinfold_protocol::message::client::Response;
use kinfold_protocol::planted::Bug;
use kinfold_protocol::time::Duration;
use sim::fault::Fault;
use sim::stage::{PERIOD, Stage};

fn stage(bug: Option<Bug>) -> Stage {
    let limits = Limits {
        gossip: GossipLimits { period: Duration(PERIOD), round_trip: Duration(PERIOD / 4) },
        exchange: Duration(2 * PERIOD),
        hello: Duration(2 * PERIOD),
        ..Limits::default()
    };
    Stage::within(3, BucketConfig::default(), &limits, bug, 1)
}

fn set<const N: usize>(values: [&str; N]) -> BTreeSet<String> {
    values.map(str::to_owned).into()
}

/// The one record of a node can't be read, and its shell has met that.
fn damage_and_heal(stage: &mut Stage, node: usize) {
    stage.world.machines[node].damage();
    assert!(stage.world.machines[node].disk.is_damaged());
    Fault::Heal { node }.strike(&mut stage.world);
}

#[test]
fn a_record_that_can_not_be_read_is_no_answer_and_others_give_one() {
    let mut stage = stage(None);
    let [a, b, _] = stage.owners[..] else { panic!("three owners") };
    let written = stage.put(a, "value", None, Some(3)).expect("all owners are there");
    stage.pass(5);
    stage.world.machines[a].damage();
    for consistency in [Consistency::Sloppy, Consistency::Strict] {
        let (values, _) = stage.get(a, consistency).expect("two others have it");
        assert_eq!(values, set(["value"]));
    }
    assert!(
        stage.put(a, "lost", Some(written.context.clone()), None).is_none(),
        "nothing is built on it"
    );
    assert!(stage.put(b, "new", Some(written.context), Some(2)).is_some());
    assert!(stage.world.machines[a].is_up());
    Fault::Heal { node: a }.strike(&mut stage.world);
    stage.pass(50);
    assert!(stage.holds(a));
    assert_eq!(stage.agreed(), set(["new"]));
    assert!(stage.world.machines[a].counter("trees_healed") > 0);
}

/// Two owners have acknowledged a write, and one of them has lost it. What the third one reads with its help.
fn read_with_the_help_of_who_lost_it(bug: Option<Bug>) -> Option<BTreeSet<String>> {
    let mut stage = stage(bug);
    let [a, b, c] = stage.owners[..] else { panic!("three owners") };
    stage.cut_off(&[c]);
    stage.pass(5);
    assert!(stage.put(a, "value", None, Some(2)).is_some());
    stage.cut_off(&[b]);
    stage.world.net.mend();
    stage.cut_off(&[b]);
    damage_and_heal(&mut stage, a);
    stage.pass(20);
    assert!(!stage.holds(a));
    let read = stage.get(c, Consistency::Strict).map(|(values, _)| values);
    stage.mend();
    stage.pass(50);
    assert!(stage.holds(a) && stage.holds(c));
    assert_eq!(stage.agreed(), set(["value"]));
    read
}

#[test]
fn who_has_lost_something_does_not_say_that_it_is_not_there() {
    assert_eq!(read_with_the_help_of_who_lost_it(None), None);
    if cfg!(feature = "planted") {
        let missed = read_with_the_help_of_who_lost_it(Some(Bug::UnnoticedLoss));
        assert_eq!(missed, Some(set([])), "the bug is seen");
    }
}

/// All owners have a value, with marks over it, when one of them loses it.
fn lose_what_marks_cover(bug: Option<Bug>) -> BTreeSet<String> {
    let mut stage = stage(bug);
    let owners = stage.owners.clone();
    assert!(stage.put(owners[0], "value", None, Some(3)).is_some());
    stage.pass(100);
    damage_and_heal(&mut stage, owners[1]);
    stage.pass(100);
    stage.agreed()
}

#[test]
fn marks_over_what_is_lost_are_forgotten() {
    assert_eq!(lose_what_marks_cover(None), set(["value"]));
    if cfg!(feature = "planted") {
        assert_eq!(lose_what_marks_cover(Some(Bug::KeptMarks)), set([]), "the bug is seen");
    }
}

/// Two owners have acknowledged what `write` writes, and the first of them comes back with an empty disk where only the third one, who
/// has not got it, is within reach. Meanwhile both others may be started anew.
fn wiped_beside_the_third(
    bug: Option<Bug>,
    anew: bool,
    write: impl FnOnce(&mut Stage, usize),
) -> (Stage, [usize; 3]) {
    let mut stage = stage(bug);
    let [a, b, c] = stage.owners[..] else { panic!("three owners") };
    stage.cut_off(&[c]);
    write(&mut stage, a);
    stage.cut_off(&[b]);
    stage.world.net.mend();
    stage.cut_off(&[b]);
    Fault::LoseDisk { node: a, restored: false, down: 5 * PERIOD }.strike(&mut stage.world);
    if anew {
        stage.crash(b, 1);
        stage.crash(c, 1);
    }
    stage.pass(50);
    assert!(stage.world.machines[a].is_up() && !stage.holds(a));
    (stage, [a, b, c])
}

fn read_with_the_help_of_an_empty_disk(bug: Option<Bug>, anew: bool) -> Option<BTreeSet<String>> {
    let (mut stage, [a, _, c]) = wiped_beside_the_third(bug, anew, |stage, a| {
        assert!(stage.put(a, "value", None, Some(2)).is_some());
    });
    let read = stage.get(c, Consistency::Strict).map(|(values, _)| values);
    stage.mend();
    stage.pass(50);
    assert!(stage.holds(a));
    assert_eq!(stage.agreed(), set(["value"]));
    read
}

#[test]
fn an_empty_disk_in_the_place_of_another_does_not_count_as_that_owner() {
    assert_eq!(read_with_the_help_of_an_empty_disk(None, false), None);
    if cfg!(feature = "planted") {
        let missed = read_with_the_help_of_an_empty_disk(Some(Bug::UnnoticedLoss), false);
        assert_eq!(missed, Some(set([])), "the bug is seen");
    }
}

#[test]
fn an_empty_disk_is_found_out_though_all_others_were_started_anew() {
    assert_eq!(read_with_the_help_of_an_empty_disk(None, true), None);
    if cfg!(feature = "planted") {
        let missed = read_with_the_help_of_an_empty_disk(Some(Bug::ForgottenPeers), true);
        assert_eq!(missed, Some(set([])), "the bug is seen");
    }
}

/// What is there after a conditional put was made, one of its two voters lost its disk, and another one was tried with that.
fn vote_with_an_empty_disk(bug: Option<Bug>) -> (bool, BTreeSet<String>) {
    let (mut stage, [_, _, c]) = wiped_beside_the_third(bug, false, |stage, a| {
        let first = stage.put_if(a, "first", None);
        assert!(matches!(first, Some(Response::Written(_))), "{first:?}");
    });
    let made = matches!(stage.put_if(c, "second", None), Some(Response::Written(_)));
    stage.mend();
    stage.pass(50);
    (made, stage.agreed())
}

#[test]
fn an_empty_disk_in_the_place_of_another_does_not_vote_for_it() {
    assert_eq!(vote_with_an_empty_disk(None), (false, set(["first"])));
    if cfg!(feature = "planted") {
        let both = vote_with_an_empty_disk(Some(Bug::UnnoticedLoss));
        assert_eq!(both, (true, set(["first", "second"])), "the bug is seen");
    }
}
