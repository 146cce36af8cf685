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

fn check(figures: &Figures, most_periods: f64) {
    // The mean of so few failures lies within half a period of what the paper expects.
    let off = figures.periods_to_first_probe - figures.expected;
    assert!(off.abs() < 0.5, "{figures:?}");
    assert!(figures.all_know < most_periods, "{figures:?}");
    assert_eq!(figures.unnoticed, 0);
}

#[test]
fn eight_nodes_notice_a_failure_as_soon_as_the_paper_says() {
    let setup = Setup { nodes: 8, loss: 0, pauses: false, failures: 40, seed: 1 };
    let figures = measure(setup);
    check(&figures, 12.0);
    assert_eq!(figures.false_positives, 0);
}

#[test]
fn sixty_four_nodes_notice_a_failure_as_soon_as_the_paper_says() {
    let setup = Setup { nodes: 64, loss: 0, pauses: false, failures: 20, seed: 1 };
    let figures = measure(setup);
    check(&figures, 16.0);
    assert_eq!(figures.false_positives, 0);
}

#[test]
fn two_hundred_and_fifty_six_nodes_notice_a_failure_within_seconds() {
    let setup = Setup { nodes: 256, loss: 0, pauses: false, failures: 3, seed: 1 };
    let figures = measure(setup);
    assert!(figures.all_know < 20.0, "{figures:?}");
    assert_eq!((figures.false_positives, figures.unnoticed), (0, 0));
}

#[test]
fn loss_and_pauses_take_hardly_anybody_for_gone() {
    let setup = Setup { nodes: 64, loss: 50, pauses: true, failures: 5, seed: 1 };
    let figures = measure(setup);
    assert_eq!(figures.unnoticed, 0);
    let rate = f64::from(figures.false_positives) / figures.node_periods as f64;
    assert!(rate < 0.001, "{figures:?}");
}
