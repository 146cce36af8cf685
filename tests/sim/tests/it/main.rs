//! The simulator's share of the tests: seeds that must hold, bugs that must be caught, traces that must agree.

use std::collections::BTreeMap;

mod availability;
mod balance;
#[cfg(feature = "planted")]
mod bank;
mod case;
mod causality;
mod clocks;
mod damage;
mod deletes;
mod exchange;
mod expiry;
mod gossip;
mod handmade;
mod judges;
mod listing;
mod merging;
mod outside;
mod pace;
mod plugins;
mod reach;
mod ring;
mod staleness;
mod twins;

use sim::run::run;
use sim::storm;

/// Every seed in the range holds; a failing one says how to replay it.
fn hold(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let report = run(seed, None, false);
        assert!(report.violations.is_empty(), "{report}");
    }
}

#[test]
fn seeds_0_to_500_hold() {
    hold(0..500);
}

#[test]
fn seeds_500_to_1000_hold() {
    hold(500..1_000);
}

#[test]
fn seeds_1000_to_1500_hold() {
    hold(1_000..1_500);
}

#[test]
fn seeds_1500_to_2000_hold() {
    hold(1_500..2_000);
}

/// What keeps a cluster writable happens in the seeds, so that the checkers have something to judge.
#[test]
fn the_seeds_reach_fallbacks_hints_and_their_handing_over() {
    let mut counters = BTreeMap::new();
    for (name, count) in (0..200).flat_map(|seed| run(seed, None, false).counters) {
        *counters.entry(name).or_insert(0) += count;
    }
    for name in [
        "tombstones_collected",
        "keys_due",
        "hints_taken",
        "hints_handed_over",
        "requests_stood_in_for",
        "requests_forwarded",
    ] {
        assert!(counters.get(name).is_some_and(|count| *count >= 10), "{name}: {counters:?}");
    }
}

/// Records can't be read any more, and come back.
#[test]
fn the_seeds_reach_damage_and_healing() {
    let mut counters = BTreeMap::new();
    for (name, count) in (0..200).flat_map(|seed| run(seed, None, false).counters) {
        *counters.entry(name).or_insert(0) += count;
    }
    for name in ["records_damaged", "trees_healed"] {
        assert!(counters.get(name).is_some_and(|count| *count >= 10), "{name}: {counters:?}");
    }
}

/// What ballots are for happens in the seeds too.
#[test]
fn the_seeds_reach_rivals_and_the_end_of_ballots() {
    let mut counters = BTreeMap::new();
    for (name, count) in (0..60).flat_map(|seed| run(seed, None, false).counters) {
        *counters.entry(name).or_insert(0) += count;
    }
    for name in ["conditional_puts", "ballots_outbid", "ballots_forgotten"] {
        assert!(counters.get(name).is_some_and(|count| *count >= 10), "{name}: {counters:?}");
    }
}

#[test]
fn a_storm_of_conditional_puts_is_in_order() {
    for seed in 0..300 {
        assert_eq!(storm::run(seed, None), [], "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_one_another() {
    let hashes: Vec<String> = [7, 7, 8].map(|seed| run(seed, None, false).hash).to_vec();
    assert_eq!(hashes[0], hashes[1]);
    assert_ne!(hashes[1], hashes[2]);
}

#[test]
fn every_operation_of_the_reference_traces_agrees() {
    let agreement = sim::causality::replay(include_str!("../../traces/causality.jsonl")).unwrap();
    assert_eq!(agreement.first_difference, None);
    assert_eq!((agreement.agreed, agreement.operations), (23_761, 23_761));
}
