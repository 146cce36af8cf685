#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test whose stage can't be set fails")]
//! The short form of chaos, as CI runs it: every kind of fault once, and the checkers judge. KINFOLD_CHAOS_SEED has another plan carried
//! out.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::Command;

/// Operations that a run must have acknowledged to say anything. A machine that is busy with other things acknowledges 2 500.
const LEAST: &str = "800";

/// Notes what this machine can't try, for `tests/all`.
fn skip(why: &str) {
    let Some(file) = std::env::var_os("KINFOLD_SKIPPED") else {
        panic!(
            "not checked: {why}\n(KINFOLD_SKIPPED=FILE has such tests note this there instead of failing)"
        );
    };
    let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
    writeln!(file, "{why}").unwrap();
}

#[test]
fn five_nodes_lose_nothing_whatever_fails() {
    chaos(&["--short", "--at-least", LEAST]);
}

/// Each step of a change once; KINFOLD_CHAOS_CUTS has more: 54 have all sides and directions too.
#[test]
fn five_nodes_lose_nothing_wherever_a_change_of_the_ring_is_cut() {
    let cuts = std::env::var("KINFOLD_CHAOS_CUTS").unwrap_or_else(|_| "6".into());
    chaos(&["--cuts", &cuts]);
}

fn chaos(arguments: &[&str]) {
    let seed = std::env::var("KINFOLD_CHAOS_SEED").unwrap_or_else(|_| "1".into());
    let mut chaos = Command::new(env!("CARGO_BIN_EXE_chaos"));
    chaos.args(arguments).args(["--seed", &seed]);
    let output = chaos.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}\n{}", String::from_utf8_lossy(&output.stderr));
    for line in told.lines().filter(|line| line.contains("SKIPPED")) {
        skip(&format!("chaos: {}", line.trim()));
    }
    assert!(output.status.success(), "{}", output.status);
}

/// A program that is not there is no run without findings.
#[test]
fn nothing_is_judged_without_a_program() {
    let mut chaos = Command::new(env!("CARGO_BIN_EXE_chaos"));
    let output = chaos.args(["--short"]).env("KINFOLD_PROGRAM", "/nowhere").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}
