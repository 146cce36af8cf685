//! `kinfold plugin`: new, build, check, run and bench, and what they say when something is wrong.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Run, kinfold};

const PREBUILT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/prebuilt");

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("kinfold-e2e-").tempdir().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Checks the plugin that breaks the laws in this way.
fn check_planted(fault: &str, more: &[&str]) -> Run {
    let planted = format!("{PREBUILT}/planted.wasm");
    let arguments = ["plugin", "check", "--cases", "32", "--config", fault, &planted];
    kinfold(arguments.into_iter().chain(more.iter().copied()), b"")
}

#[test]
fn every_planted_fault_is_refused_with_its_counterexample() {
    for (fault, law) in [
        ("ties", "associative"),
        ("subtraction", "associative"),
        ("first", "associative"),
        ("concatenation", "absorbing"),
        ("empty-items", "absorbing"),
        ("average", "associative"),
        ("count", "absorbing"),
        ("order", "associative"),
    ] {
        let refused = check_planted(fault, &[]).ends(1);
        let (broken, not) = (format!("BROKEN   {law}"), format!("not {law}: "));
        for said in [&broken, &not, "    a = \"", "  merge(a, b", "\nrefused: "] {
            assert!(refused.text().contains(said), "{fault}, {said}: {}", refused.text());
        }
        let report = check_planted(fault, &["--json"]).ends(1).json();
        assert_eq!(report["refused"], true, "{fault}");
        let laws = report["laws"].as_array().unwrap();
        let found = laws.iter().find(|found| found["law"] == law).unwrap();
        assert_eq!(found["verdict"], "broken", "{fault}");
        let shown = &found["counterexample"];
        assert!(shown["siblings"].as_array().unwrap().len() >= 2, "{fault}: {shown}");
        assert_ne!(shown["expected"], shown["actual"], "{fault}");
    }
}

#[test]
fn one_that_loses_all_but_the_smallest_is_warned_of() {
    let warned = check_planted("smallest", &[]).ends(0);
    for said in ["warning  size", "far smaller than the largest sibling", "passed, with warnings"] {
        assert!(warned.text().contains(said), "{said}: {}", warned.text());
    }
    assert_ne!(check_planted("smallest", &["--json"]).ends(0).json()["collapse"], Value::Null);
}

#[test]
fn the_report_says_what_was_used_of_what_is_allowed() {
    let report = kinfold(["plugin", "check", "cart", "--cases", "8"], b"").ends(0);
    assert!(report.text().contains("\nused at most: "), "{}", report.text());
    let report = kinfold(["plugin", "check", "cart", "--cases", "8", "--json"], b"").ends(0).json();
    let used = |name: &str| report["used"][name].as_u64().unwrap();
    assert!((1..used("fuel_allowed")).contains(&used("fuel")), "{report}");
    assert!((1..used("memory_allowed_bytes")).contains(&used("memory_bytes")), "{report}");
}

#[test]
fn a_corpus_beside_the_source_is_tried() {
    let parent = folder();
    let plugin = parent.path().join("p");
    kinfold(["plugin", "new", "p", "--lang", "wat", "--into", text(&plugin)], b"").ends(0);
    kinfold(["plugin", "build", text(&plugin)], b"").ends(0);
    fs::create_dir(plugin.join("corpus")).unwrap();
    fs::write(plugin.join("corpus/one"), "milk").unwrap();
    let report = kinfold(["plugin", "check", "--cases", "8", "--json", text(&plugin)], b"");
    assert_eq!(report.ends(0).json()["values"]["corpus"], 1);
}

#[test]
fn what_can_not_be_built_or_loaded_says_why() {
    let parent = folder();
    let plugin = parent.path().join("p");
    kinfold(["plugin", "build", text(parent.path())], b"").says(1, "plugin.toml");
    kinfold(["plugin", "new", "P", "--lang", "wat"], b"").says(2, "can't be the name of a plugin");
    kinfold(["plugin", "new", "p", "--lang", "wat", "--into", text(&plugin)], b"").ends(0);
    kinfold(["plugin", "check", text(&plugin)], b"").says(2, "kinfold plugin build");
    fs::write(plugin.join("plugin.wat"), "(module").unwrap();
    kinfold(["plugin", "build", text(&plugin)], b"").says(1, "plugin.wat");
    fs::write(plugin.join("plugin.wat"), "(module)").unwrap();
    kinfold(["plugin", "build", text(&plugin)], b"").says(1, "doesn't fit the contract");
    let garbage = parent.path().join("garbage.wasm");
    fs::write(&garbage, "garbage").unwrap();
    kinfold(["plugin", "check", text(&garbage)], b"").says(1, "not a WebAssembly file");
    kinfold(["plugin", "run", "last-write-wins", "--text", "a", "--delete", "9"], b"").ends(3);
}
