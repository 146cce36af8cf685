//! The checker of the laws: what must pass passes, and every planted fault is refused with its counterexample.

use bytes::Bytes;
use kinfold_protocol::merge::MergeFailure;
use kinfold_sandbox::laws::{Counterexample, Law, Plan, Report, Verdict, check};
use kinfold_sandbox::{Limits, LoadError};

use crate::support::{component, growing, prebuilt};

fn report(component: &[u8], plan: &Plan) -> Report {
    check(component, Limits::default(), plan).unwrap()
}

/// Fewer cases than a user gets: tests run unoptimised.
fn plan() -> Plan {
    Plan { cases: 48, ..Plan::default() }
}

fn planted(fault: &'static str) -> Report {
    report(&prebuilt("planted"), &Plan { config: Bytes::from_static(fault.as_bytes()), ..plan() })
}

fn broken(report: &Report, law: Law) -> Option<&Counterexample> {
    report.findings.iter().find(|finding| finding.law == law).and_then(|finding| {
        match &finding.verdict {
            Verdict::Broken(found) => Some(&**found),
            Verdict::Held | Verdict::Untried | Verdict::Warned(_) => None,
        }
    })
}

fn size(found: &Counterexample) -> usize {
    found.siblings.iter().flat_map(|sibling| &sibling.value).map(Bytes::len).sum()
}

#[test]
fn the_shipped_plugins_keep_the_laws() {
    for name in
        ["last-write-wins", "set-union", "leaderboard", "or-set", "counter", "max", "json", "cart"]
    {
        let report = report(&prebuilt(name), &plan());
        assert!(!report.refused() && !report.warned(), "{name}: {report:#?}");
        assert!(report.merged * 2 > report.merges, "{name} merged too few: {report:#?}");
        let (fuel, allowed) = report.used.fuel;
        assert!(0 < fuel && fuel < allowed, "{name}");
    }
}

/// Over a library that nobody here wrote.
#[test]
fn documents_of_automerge_keep_the_laws() {
    let report = report(&prebuilt("automerge-document"), &plan());
    assert!(!report.refused() && !report.warned(), "{report:#?}");
    assert!(report.merged * 2 > report.merges, "merged too few: {report:#?}");
}

#[test]
fn planted_faults_are_refused_with_a_small_counterexample() {
    for (fault, law, siblings, bytes) in [
        ("ties", Law::Associative, 3, 24),
        ("subtraction", Law::Associative, 3, 8),
        ("first", Law::Associative, 3, 8),
        ("concatenation", Law::Absorbing, 2, 2),
        ("empty-items", Law::Absorbing, 2, 8),
        ("average", Law::Associative, 3, 4),
        ("count", Law::Absorbing, 2, 4),
        ("order", Law::Associative, 3, 8),
    ] {
        let report = planted(fault);
        assert!(report.refused(), "{fault} passed");
        let found = broken(&report, law).unwrap_or_else(|| panic!("{fault}: {report:#?}"));
        assert!(found.siblings.len() <= siblings && size(found) <= bytes, "{fault}: {found:#?}");
        assert_ne!(found.expected.as_ref().map(|side| &side.result), Some(&found.actual.result));
    }
}

#[test]
fn one_that_only_loses_is_warned_of() {
    let report = planted("smallest");
    assert!(!report.refused(), "{report:#?}");
    assert!(report.collapse.is_some());
}

#[test]
fn a_difference_of_encoding_alone_is_told() {
    let report = planted("order");
    let found = broken(&report, Law::Associative).unwrap();
    assert_eq!(found.equivalent, Some(true), "{found:#?}");
}

#[test]
fn the_same_seed_finds_the_same() {
    let untimed = |mut report: Report| {
        report.used.time = std::time::Duration::ZERO;
        report
    };
    let (one, other) = (untimed(planted("average")), untimed(planted("average")));
    assert_eq!(one, other);
    let seed = Plan { seed: 2, config: Bytes::from_static(b"average"), ..plan() };
    let elsewhere = untimed(report(&prebuilt("planted"), &seed));
    assert!(elsewhere.refused());
    assert_ne!(one.used, elsewhere.used);
}

#[test]
fn traps_on_some_bytes_are_found_and_shrunk() {
    // Traps where the first sibling begins with a newline.
    let body = "(if (i32.and (i32.gt_u (i32.load offset=8 (local.get 6)) (i32.const 0))
                      (i32.eq (i32.const 10) (i32.load8_u (i32.load offset=4 (local.get 6)))))
                  (then unreachable)) i32.const 0";
    let report = report(&growing(body), &plan());
    let found = broken(&report, Law::Total).unwrap();
    assert!(matches!(found.actual.result, Err(MergeFailure::Trap(_))));
    assert_eq!(found.siblings.len(), 2);
    assert!(size(found) <= 3, "{found:#?}");
}

#[test]
fn one_that_never_ends_is_found() {
    let report = report(&component("(loop $l (br $l)) i32.const 0"), &plan());
    let found = broken(&report, Law::Total).unwrap();
    assert_eq!(found.actual.result, Err(MergeFailure::OutOfFuel));
    assert_eq!(report.used.fuel.0, report.used.fuel.1);
}

#[test]
fn one_that_merges_nothing_is_no_lattice() {
    // err(keep-siblings("")) of everything: lawful, and proof of nothing.
    let body = "(i32.store8 (i32.const 0) (i32.const 1)) (i32.store8 (i32.const 4) (i32.const 1)) i32.const 0";
    let report = report(&growing(body), &plan());
    assert_eq!(report.merged, 0);
    let associative = report.findings.iter().find(|finding| finding.law == Law::Associative);
    assert_eq!(associative.unwrap().verdict, Verdict::Untried);
    // It is a resolver, which may, but not even its symmetry could be tried.
    assert!(report.refused());
}

#[test]
fn a_resolver_is_only_warned_of_its_steps() {
    // ok(some(the count of the siblings)), as one byte.
    let body = "(i32.store8 (i32.const 4) (i32.const 1)) (i32.store (i32.const 8) (i32.const 64))
        (i32.store (i32.const 12) (i32.const 1)) (i32.store8 (i32.const 64) (local.get 7)) i32.const 0";
    let report = report(&growing(body), &plan());
    assert!(!report.refused() && report.warned(), "{report:#?}");
}

#[test]
fn a_corpus_is_tried() {
    let corpus = vec![Bytes::from_static(b"ada\t3\n"), Bytes::from_static(b"bea\t4\n")];
    let report = report(&prebuilt("leaderboard"), &Plan { corpus, ..plan() });
    assert_eq!(report.origins.corpus, 2);
    assert!(!report.refused(), "{report:#?}");
}

#[test]
fn what_can_not_be_loaded_is_not_checked() {
    let refused = check(b"\0asm", Limits::default(), &plan()).unwrap_err();
    assert_eq!(refused.to_string(), LoadError::NotWasm.to_string());
}
