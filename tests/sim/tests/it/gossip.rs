//! Failure detection against the figures of the SWIM paper, for seeds that never change.

use sim::gossip::{Figures, Setup, measure};

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
