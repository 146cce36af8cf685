//! What the seeds reach of all that the core counts: what never happens in the simulator is not tested there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use sim::run::{run, run_changing, run_reshaping};

/// What seeds do not reach, and what does, or why nothing does.
const ELSEWHERE: &[(&str, &str)] = &[
    ("ballots_kept", "nothing: no run has as many ballots to settle at once as fill the bound"),
    ("clashes", "nothing: it takes a broken node, and a run in which it happens fails"),
    ("datagrams_refused", "the hostile lane: the simulated network does not change bytes"),
    ("lists", "`listing`: the clients of seeds do not list keys"),
    (
        "values_invalid",
        "the node's and the sandbox's tests: the simulated plugins find every value valid",
    ),
];

/// The names that the core's source counts under.
fn counted(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("the source is here") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            counted(&path, names);
            continue;
        }
        let source = fs::read_to_string(&path).expect("it is text");
        for opening in ["count(\"", "count_more(\"", "Count(\""] {
            let found = source.split(opening).skip(1).filter_map(|rest| rest.split('"').next());
            names.extend(found.map(str::to_owned));
        }
    }
}

#[test]
fn the_seeds_reach_all_that_is_counted_but_what_is_named_here() {
    let mut names = BTreeSet::new();
    counted(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host/protocol/src"), &mut names);
    assert!(names.len() >= 25, "{names:?}");
    let reports = (0..200).map(|seed| run(seed, None, false));
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    let reports = reports.chain((0..40).map(|seed| run_changing(seed, false)));
    for report in reports.chain((0..120).map(|seed| run_reshaping(seed, None, false))) {
        report.counters.into_iter().for_each(|(name, n)| *sums.entry(name).or_default() += n);
    }
    println!("{sums:#?}");
    let elsewhere: BTreeSet<&str> = ELSEWHERE.iter().map(|(name, _)| *name).collect();
    let missed: Vec<&String> = names
        .iter()
        .filter(|name| !sums.contains_key(name.as_str()) && !elsewhere.contains(name.as_str()))
        .collect();
    assert!(missed.is_empty(), "no seed reached {missed:?}");
    let unknown: Vec<_> = elsewhere.iter().filter(|name| !names.contains(**name)).collect();
    assert!(unknown.is_empty(), "nothing counts {unknown:?}");
}
