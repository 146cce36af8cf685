//! `kinfold demo` as a user runs it.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::program::{Run, command};
use crate::site::{eventually, names};

fn run(temporary: &std::path::Path, arguments: &[&str]) -> Run {
    let output = command()
        .arg("demo")
        .args(arguments)
        .env("TMPDIR", temporary)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    Run { code: output.status.code(), out: output.stdout, err }
}

#[test]
fn the_demo_succeeds_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let shown = run(temporary.path(), &[]).ends(0).text();
    for part in [
        "the network is cut",
        "set-union made:",
        "leaderboard made:",
        "all are kept:",
        "all nodes agree",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains('\x1b'), "colours where there is no terminal: {shown}");
    assert_eq!(names(temporary.path()), [""; 0]);
}

#[test]
fn what_the_demo_keeps_can_be_started_again() {
    let temporary = tempfile::tempdir().unwrap();
    let kept = run(temporary.path(), &["--keep"]).says(0, "kinfold dev --dir");
    let folder = kept.err.rsplit("--dir ").next().unwrap();
    let folder = folder.trim_start().split(['`', '\'']).next().unwrap().to_owned();
    let mut dev = command().args(["dev", "--dir", &folder]).stdout(Stdio::null()).spawn().unwrap();
    let profile = format!("{folder}/client.toml");
    eventually("the nodes answer", || {
        let cart = ["get", "--quiet", "--strict", "carts", "alice", "--profile", &profile];
        let run = crate::program::kinfold(cart, b"");
        run.code == Some(0) && run.text() == "apples\ncheese\neggs\nhoney\npepper\n"
    });
    kill_process(Pid::from_child(&dev), Signal::TERM).unwrap();
    assert!(dev.wait().unwrap().success());
}

#[test]
fn a_demo_that_is_interrupted_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let mut demo = command();
    demo.arg("demo").env("TMPDIR", temporary.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut demo = demo.spawn().unwrap();
    let started = || {
        names(temporary.path())
            .iter()
            .any(|name| temporary.path().join(name).join("n3").join("store").exists())
    };
    eventually("the demo's nodes start", started);
    kill_process(Pid::from_child(&demo), Signal::INT).unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(1));
    assert_eq!(names(temporary.path()), [""; 0]);
}
