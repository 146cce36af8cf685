//! Every planted bug is caught by its lane. Continuous integration tries one third of the bank after the other, a night all of them.
//! Bugs that a scenario of its own catches are planted in that scenario's test.

use kinfold_protocol::planted::Bug;
use sim::bank::{Lane, Row, catch, lane, third};

/// Seeds within which each is caught: several times of what it takes at present, since each change of the core moves all schedules.
const MOST: u64 = 600;

fn try_third(first: usize) {
    let mut missed = Vec::new();
    for bug in third(first) {
        if matches!(lane(bug), Lane::Stage(_) | Lane::Node(_)) {
            continue;
        }
        let row = Row { bug, catch: catch(bug, MOST) };
        println!("{row}");
        missed.extend(row.catch.is_none().then(|| bug.name()));
    }
    assert!(missed.is_empty(), "nothing saw {missed:?}");
}

#[test]
fn third_0() {
    try_third(0);
}

#[test]
fn third_1() {
    try_third(1);
}

#[test]
fn third_2() {
    try_third(2);
}

#[test]
fn the_bank_is_large_and_its_names_are_theirs_alone() {
    let names: std::collections::BTreeSet<String> = Bug::ALL.iter().map(|bug| bug.name()).collect();
    assert!(names.len() >= 30 && names.len() == Bug::ALL.len(), "{names:?}");
    assert!(Bug::ALL.iter().all(|bug| bug.name().parse() == Ok(*bug)));
    let listed: usize = (0..3).map(|first| third(first).count()).sum();
    assert_eq!(listed, Bug::ALL.len());
}
