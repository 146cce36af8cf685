//! `kinfold explain`: how a value came about, told by real nodes.

use serde_json::Value;

use crate::site::{Site, eventually};

/// What the array under `key` holds, as text.
fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

fn explained(site: &Site, bucket: &str, key: &str) -> Value {
    site.app(["explain", "--json", bucket, key]).ends(0).json()
}

#[test]
fn a_conflict_is_explained_and_what_was_discarded_is_told() {
    let site = Site::new(3, "limits = { discarded = 100 }");
    let nodes = site.start_all();
    let resolver = ["bucket", "create", "carts", "--merge", "set-union", "--mode", "resolver"];
    site.boss(resolver).ends(0);
    site.app(["explain", "carts", "alice"]).ends(3);
    // Neither knew of the other.
    site.run("app", ["put", "--w", "3", "carts", "alice", "-"], b"milk\nsoap\n").ends(0);
    site.run("app", ["put", "--w", "3", "carts", "alice", "-"], b"eggs\nmilk\n").ends(0);

    let told = explained(&site, "carts", "alice");
    assert_eq!(texts(&told["owners"]).len(), 3, "{told}");
    assert_eq!(told["silent"], serde_json::json!({}));
    let versions = told["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 2, "{told}");
    let first_owner = &told["owners"][0];
    for version in versions {
        assert_eq!(version["stands"], true, "{told}");
        assert_eq!(texts(&version["held_by"]).len(), 3, "{told}");
        assert_eq!(&version["written"]["node"], first_owner, "both were written through it");
    }
    assert_eq!(versions[0]["value"]["utf8"], "milk\nsoap\n", "the earlier one comes first");
    for replica in told["replicas"].as_array().unwrap() {
        assert_eq!(replica["owner"], true);
        assert_eq!(replica["holds"], serde_json::json!([0, 1]), "{told}");
        assert_eq!(&replica["has_seen"][0]["node"], first_owner, "{told}");
    }
    let merge = &told["merge"];
    assert_eq!(merge["plugin"], "set-union");
    assert_eq!(merge["value"]["utf8"], "eggs\nmilk\nsoap\n");
    assert_eq!(merge["equals_input"], Value::Null);
    // Inputs are in the order of their bytes: the later version is the first of them.
    assert_eq!(merge["inputs"][0]["versions"], serde_json::json!([1]), "{told}");
    let lines = merge["lines"].as_array().unwrap().iter();
    let lines: Vec<_> =
        lines.map(|line| (line["text"].as_str().unwrap(), &line["inputs"])).collect();
    let inputs = [&serde_json::json!([0]), &serde_json::json!([0, 1]), &serde_json::json!([1])];
    assert_eq!(lines, [("eggs", inputs[0]), ("milk", inputs[1]), ("soap", inputs[2])]);
    let human = site.app(["explain", "carts", "alice"]).ends(0).text();
    assert!(human.contains("set-union made of 2, 1: 15 bytes"), "{human}");
    assert!(human.lines().any(|l| l.contains("milk") && l.ends_with("from 2, 1")), "{human}");

    // A write that has seen both replaces both, and every replica says so.
    site.app(["put", "--replace", "--w", "3", "carts", "alice", "tea"]).ends(0);
    let told = explained(&site, "carts", "alice");
    assert_eq!(told["versions"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(told["merge"], Value::Null);
    let mut reasons = Vec::new();
    for replica in told["replicas"].as_array().unwrap() {
        let gone = replica["discarded"].as_array().unwrap();
        assert_eq!(gone.len(), 2, "{told}");
        for one in gone {
            reasons.push(one["reason"].as_str().unwrap());
            assert!(one["bytes"] == 10, "{told}");
        }
    }
    reasons.sort_unstable();
    let seen = "seen_elsewhere";
    assert_eq!(reasons, ["replaced", "replaced", seen, seen, seen, seen], "{told}");
    let status = site.boss(["status", "--json"]).ends(0).json();
    let count = |reason: &str| -> u64 {
        let nodes = status.as_array().unwrap().iter();
        nodes.filter_map(|node| node["discarded"]["carts"][reason].as_u64()).sum()
    };
    assert_eq!((count("replaced"), count(seen)), (2, 4), "{status}");
    drop(nodes);
}

#[test]
fn a_fallback_that_keeps_a_key_and_an_owner_that_is_silent_are_told() {
    let site = Site::new(4, "");
    let mut nodes = site.start_all();
    site.boss(["bucket", "create", "things"]).ends(0);
    site.app(["put", "--w", "3", "things", "k", "before"]).ends(0);
    let told = explained(&site, "things", "k");
    let owners: Vec<String> = texts(&told["owners"]).into_iter().map(str::to_owned).collect();
    assert_eq!(told["others_without"], 1, "{told}");
    assert!(told["replicas"][0].get("discarded").is_none(), "nothing is remembered by default");

    let last = owners[2].clone();
    let at = site.nodes.iter().position(|(name, _)| *name == last).unwrap();
    nodes.remove(at).crash();
    site.app(["put", "--replace", "--w", "3", "things", "k", "after"]).ends(0);
    let run = site.app(["explain", "--json", "things", "k"]).ends(1);
    let told = run.json();
    assert!(told["silent"][&last].as_str().is_some_and(|why| !why.is_empty()), "{told}");
    let replicas = told["replicas"].as_array().unwrap();
    let fallback = replicas.iter().find(|replica| replica["owner"] == false).unwrap();
    assert_eq!(texts(&fallback["keeps_for"]), [last.as_str()], "{told}");
    assert!(site.app(["explain", "things", "k"]).ends(1).text().contains("keeps it for"));

    // Back, it is another actor of the same node, and has what the fallback kept.
    let _again = site.start(&last);
    site.meet();
    eventually("the owner has the key, and the fallback no more", || {
        let told = explained(&site, "things", "k");
        let versions = told["versions"].as_array().unwrap();
        versions.len() == 1 && texts(&versions[0]["held_by"]) == owners
    });
    let told = explained(&site, "things", "k");
    let back = told["replicas"].as_array().unwrap().iter().find(|r| r["node"] == *last).unwrap();
    assert_eq!(back["former_actors"].as_array().unwrap().len(), 1, "{told}");
}

#[test]
fn status_says_who_sees_whom_how() {
    let site = Site::new(3, "");
    let _nodes = site.start_all();
    let status = site.boss(["status", "--json"]).ends(0).json();
    for node in status.as_array().unwrap() {
        let sees = node["sees"].as_array().unwrap();
        assert_eq!(sees.len(), 2, "{status}");
        for peer in sees {
            assert!(peer["rtt_us"].as_u64().is_some_and(|rtt| rtt > 0), "{status}");
            assert!(peer["heard_ms"].as_u64().is_some(), "{status}");
        }
    }
    let human = site.boss(["status"]).ends(0).text();
    assert!(human.contains("ROUND TRIP"), "{human}");
}
