//! Failure detection against the figures of the SWIM paper, for seeds that never change.

use kinfold_protocol::config::BucketConfig;
use kinfold_protocol::message::client::Reach;
use sim::disk::{Disk, Loss};
use sim::gossip::{Figures, Setup, measure};
use sim::stage::{PERIOD, Stage};

/// How the nodes see that one.
fn views(stage: &Stage, node: usize) -> Vec<Reach> {
    let id = stage.world.machines[node].identity.id;
    let others = stage.world.machines.iter().filter(|machine| machine.identity.id != id);
    others.filter_map(|machine| Some(machine.node()?.reach(id))).collect()
}

fn all_see(stage: &Stage, reach: Reach) -> bool {
    (0..stage.world.machines.len()).all(|n| views(stage, n).iter().all(|seen| *seen == reach))
}

#[test]
fn the_sides_of_a_mended_cut_find_each_other_again() {
    let mut stage = Stage::new(6, BucketConfig::default(), None);
    assert!(all_see(&stage, Reach::Up));
    for side in [&[0, 1][..], &[0], &[0, 1, 2]] {
        stage.cut_off(side);
        stage.pass(20);
        assert_eq!(
            views(&stage, 0).iter().filter(|seen| **seen == Reach::Down).count(),
            6 - side.len()
        );
        stage.mend();
        stage.pass(20);
        assert!(all_see(&stage, Reach::Up), "after a cut around {side:?}");
    }
}

#[test]
fn a_node_that_stood_still_for_a_while_refutes_that_it_is_down() {
    let mut stage = Stage::new(6, BucketConfig::default(), None);
    stage.world.machines[3].frozen_until = stage.world.now + 3 * PERIOD;
    let mut suspected = false;
    for _ in 0..200 {
        stage.world.run(stage.world.now + PERIOD / 10);
        suspected |= views(&stage, 3).contains(&Reach::Suspect);
        assert!(!views(&stage, 3).contains(&Reach::Down));
    }
    assert!(suspected && all_see(&stage, Reach::Up));
}

/// Nobody ever heard of it in this life of theirs, and nobody knows as whom to probe it.
#[test]
fn a_member_that_never_showed_itself_is_down_until_it_does() {
    let mut stage = Stage::new(4, BucketConfig::default(), None);
    for node in 0..4 {
        stage.world.machines[node].crash(Loss::Some);
    }
    for node in 1..4 {
        stage.restart(node);
    }
    let id = stage.world.machines[0].identity.id;
    let down = |stage: &Stage| {
        let nodes = stage.world.machines[1..].iter().filter_map(|machine| machine.node());
        nodes.filter(|node| node.down().contains(&id)).count()
    };
    stage.pass(5);
    assert_eq!(views(&stage, 0), [Reach::Unknown; 3]);
    assert_eq!(down(&stage), 0);
    stage.pass(20);
    assert_eq!(views(&stage, 0), [Reach::Down; 3]);
    assert_eq!(down(&stage), 3);
    stage.restart(0);
    stage.pass(10);
    assert!(all_see(&stage, Reach::Up));
    assert_eq!(down(&stage), 0);
}

#[test]
fn a_restarted_node_is_itself_and_back_at_once() {
    let mut stage = Stage::new(6, BucketConfig::default(), None);
    for down in [1, 30] {
        stage.crash(2, down);
        stage.pass(down + 10);
        assert!(all_see(&stage, Reach::Up), "after {down} periods");
    }
}

/// Each start is later than the one before by its clock's lease, so some in a row are ahead of the time; and a disk that has forgotten
/// them, or an old copy of it, begins before them.
#[test]
fn a_node_whose_disk_has_forgotten_its_last_lives_is_seen_again() {
    for periods in [1, 30] {
        let mut stage = Stage::new(6, BucketConfig::default(), None);
        let old = stage.world.machines[2].disk.clone();
        for _ in 0..4 {
            stage.crash(2, 1);
            stage.pass(10);
        }
        assert!(all_see(&stage, Reach::Up));
        for disk in [Disk::default(), old.clone()] {
            stage.world.machines[2].crash(Loss::All);
            stage.world.machines[2].disk = disk;
            stage.pass(periods);
            stage.restart(2);
            stage.pass(20);
            assert!(all_see(&stage, Reach::Up), "after {periods} periods: {:?}", views(&stage, 2));
        }
    }
}

/// So many failures in all, some at one moment where the cluster is large, with lost datagrams (of a thousand) and pauses.
fn setup(nodes: usize, loss: u32, pauses: bool, failures: u32, at_once: u32) -> Figures {
    measure(Setup { nodes, loss, pauses, failures: failures / at_once, at_once, seed: 1 })
}

/// The first probe of who is gone comes as soon as the paper expects: the mean of so few failures lies within half a period of it.
fn check(figures: &Figures, most_periods: f64) {
    let off = figures.periods_to_first_probe - figures.expected;
    assert!(off.abs() < 0.5, "{figures:?}");
    assert!(figures.all_know < most_periods, "{figures:?}");
    assert_eq!(figures.unnoticed, 0);
}

#[test]
fn eight_nodes_notice_a_failure_as_soon_as_the_paper_says() {
    let figures = setup(8, 0, false, 40, 1);
    check(&figures, 12.0);
    assert_eq!(figures.false_positives, 0);
}

#[test]
fn sixty_four_nodes_notice_a_failure_as_soon_as_the_paper_says() {
    let figures = setup(64, 0, false, 20, 2);
    check(&figures, 16.0);
    assert_eq!(figures.false_positives, 0);
}

#[test]
fn two_hundred_and_fifty_six_nodes_notice_a_failure_as_soon_as_the_paper_says() {
    let figures = setup(256, 0, false, 32, 16);
    assert!((figures.expected - 1.58).abs() < 0.01, "e / (e - 1): {figures:?}");
    check(&figures, 20.0);
    assert_eq!(figures.false_positives, 0);
}

/// One in a thousand node-periods at most, though one datagram of twenty is lost and nodes stand still for up to two periods.
fn hardly_anybody_is_wronged(nodes: usize, failures: u32, at_once: u32, most_periods: f64) {
    let figures = setup(nodes, 50, true, failures, at_once);
    check(&figures, most_periods);
    let rate = f64::from(figures.false_positives) / figures.node_periods as f64;
    assert!(rate < 0.001, "{figures:?}");
}

#[test]
fn loss_and_pauses_take_hardly_anybody_of_eight_for_gone() {
    hardly_anybody_is_wronged(8, 40, 1, 12.0);
}

#[test]
fn loss_and_pauses_take_hardly_anybody_of_sixty_four_for_gone() {
    hardly_anybody_is_wronged(64, 20, 2, 16.0);
}

#[test]
fn loss_and_pauses_take_hardly_anybody_of_two_hundred_and_fifty_six_for_gone() {
    hardly_anybody_is_wronged(256, 32, 16, 20.0);
}
