//! `kinfold bench` from outside: it runs, its report has its structure, and nothing fails. No figure is asserted: they are the
//! machine's.

use std::process::Command;

use serde_json::Value;

fn bench(arguments: &[&str]) -> Value {
    let usual = ["bench", "--json", "--clients", "8", "--keys", "50", "--warm-up", "10ms"];
    let output = Command::new(env!("CARGO_BIN_EXE_kinfold"))
        .args(usual)
        .args(arguments)
        .output()
        .expect("the command can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    serde_json::from_slice(&output.stdout).expect("the report is JSON")
}

fn rounds(report: &Value) -> &[Value] {
    report["rounds"].as_array().expect("there are rounds")
}

#[test]
fn floor_and_product_take_turns_and_answer_every_request() {
    let report = bench(&[
        "--floor",
        "--rounds",
        "2",
        "--requests",
        "200",
        "--puts",
        "1",
        "--gets",
        "1",
        "--r",
        "2",
    ]);
    let rounds = rounds(&report);
    let sides: Vec<_> = rounds.iter().map(|round| round["side"].as_str()).collect();
    assert_eq!(sides, ["floor", "product", "floor", "product"].map(Some));
    for round in rounds {
        let count = |kind: &str| round[kind]["count"].as_u64().expect("both kinds were asked");
        assert_eq!(count("put") + count("get"), 200, "{round}");
        assert_eq!(round["errors"], serde_json::json!({}), "{round}");
        for figure in ["p50_us", "p90_us", "p99_us", "p999_us", "max_us"] {
            assert!(round["put"][figure].as_u64().is_some_and(|us| us > 0), "{round}");
        }
        assert!(round["cpu_us_per_request"].as_f64().is_some_and(|us| us > 0.0), "{round}");
    }
    assert!(report["ratio"].as_f64().is_some_and(|ratio| ratio > 0.0), "{report}");
    assert_eq!(report["plan"]["value_bytes"], 10_000);
}

#[test]
fn a_client_that_writes_its_own_keys_leaves_no_siblings() {
    let report = bench(&[
        "--requests",
        "200",
        "--writes",
        "own",
        "--puts",
        "3",
        "--gets",
        "1",
        "--r",
        "3",
        "--w",
        "3",
        "--dist",
        "zipfian",
        "--value",
        "100",
    ]);
    assert_eq!(rounds(&report).len(), 1);
    assert_eq!(rounds(&report)[0]["errors"], serde_json::json!({}), "{report}");
    assert!(report.get("floor").is_none() && report.get("ratio").is_none());
}

#[test]
fn what_can_not_be_meant_is_refused() {
    for arguments in [
        &["--puts", "0", "--gets", "0"][..],
        &["--writes", "blind"],
        &["--writes", "own", "--keys", "3"],
        &["--key", "8"],
        &["--floor", "--profile", "x"],
    ] {
        let status = Command::new(env!("CARGO_BIN_EXE_kinfold"))
            .arg("bench")
            .args(arguments)
            .output()
            .expect("the command can be started")
            .status;
        assert_eq!(status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn the_workloads_of_ycsb_run_and_are_plotted() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let plot = folder.path().join("latencies.svg");
    let plotted = plot.to_str().expect("a path of ours is UTF-8");
    let report = bench(&["--ycsb", "a,b,c,f,d", "--requests", "120", "--svg", plotted]);
    let workloads = report["workloads"].as_array().expect("there are workloads");
    let asked = |workload: &Value, operation: &str| {
        workload["operations"][operation]["count"].as_u64().unwrap_or_default()
    };
    for (workload, (letter, other)) in workloads.iter().zip([
        ("a", "update"),
        ("b", "update"),
        ("c", "update"),
        ("f", "read-modify-write"),
        ("d", "insert"),
    ]) {
        assert_eq!(workload["workload"], letter);
        assert_eq!(asked(workload, "read") + asked(workload, other), 120, "{workload}");
        assert_eq!(workload["errors"], serde_json::json!({}), "{workload}");
        assert_eq!(asked(workload, other) == 0, letter == "c", "{workload}");
    }
    assert_eq!(workloads.len(), 5);
    assert_eq!(report["plan"]["value_bytes"], 1_000);
    let svg = std::fs::read_to_string(plot).expect("the plot was written");
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
    // A line for each operation of each workload.
    assert_eq!(svg.matches("<polyline ").count(), 9, "{svg}");
}

#[test]
fn a_node_joins_beside_requests_and_all_are_answered() {
    let report =
        bench(&["--beside-join", "--seconds", "1", "--rounds", "1", "--puts", "1", "--gets", "3"]);
    let rounds = rounds(&report);
    let when: Vec<_> = rounds.iter().map(|round| round["when"].as_str()).collect();
    // Copying so little may end before the round does.
    assert!(when.starts_with(&[Some("before")]) && when.ends_with(&[Some("after")]), "{report}");
    for round in rounds {
        assert_eq!(round["failed"], 0, "{round}");
        for figure in ["puts_p99_us", "gets_p99_us", "p99_us"] {
            assert!(round[figure].as_u64().is_some_and(|us| us > 0), "{round}");
        }
    }
    // The new node gets three quarters of the keys.
    assert!(report["copied_bytes"].as_u64().is_some_and(|bytes| bytes > 200_000), "{report}");
}
