//! What the SDK makes: the plugins that are shipped, and one that fails on demand.

use bytes::Bytes;
use kinfold_protocol::merge::{MergeFailure, MergeResult};
use kinfold_protocol::time::Timestamp;
use kinfold_sandbox::{Contract, Level, Plugin, Tombstones};

use crate::support::{input, load, request};

fn value(value: &'static str) -> MergeResult {
    Ok(Some(Bytes::from_static(value.as_bytes())))
}

/// What the tripwire does at a command.
fn tripwire(command: &'static str) -> MergeResult {
    let request = request("tripwire", &[input("a", 1), input(command, 2)]);
    load("tripwire").merge(&request).result
}

#[test]
fn manifests_are_read() {
    let promise = |plugin: &Plugin| {
        let manifest = plugin.manifest();
        (manifest.contract, manifest.tombstones)
    };
    assert_eq!(promise(&load("last-write-wins")), (Contract::Lattice, Tombstones::Pass));
    assert_eq!(promise(&load("set-union")), (Contract::Lattice, Tombstones::Reset));
    assert_eq!(load("leaderboard").manifest().name, "leaderboard");
}

#[test]
fn last_write_wins() {
    let plugin = load("last-write-wins");
    let merge = |inputs: &[_]| plugin.merge(&request("last-write-wins", inputs)).result;
    assert_eq!(merge(&[input("new", 2), input("old", 1)]), value("new"));
    assert_eq!(merge(&[input("a", 2), input("b", 2)]), value("b"));
    assert_eq!(merge(&[input("a", 1), input(None, 2)]), Ok(None));
}

#[test]
fn times_arrive_whole() {
    let plugin = load("last-write-wins");
    let last = Timestamp::MAX.0;
    let inputs = [input("a", last), input("b", last - 1)];
    assert_eq!(plugin.merge(&request("last-write-wins", &inputs)).result, value("a"));
}

#[test]
fn set_union() {
    let plugin = load("set-union");
    let request = request("set-union", &[input("b\na\n", 1), input("c\na", 2), input("", 3)]);
    assert_eq!(plugin.merge(&request).result, value("a\nb\nc\n"));
}

#[test]
fn leaderboard() {
    let plugin = load("leaderboard");
    let mut request = request("leaderboard", &[input("ada\t9\nbob\t7", 1), input("bob\t8\n", 2)]);
    assert_eq!(plugin.merge(&request).result, value("ada\t9\nbob\t8\n"));
    request.config = Bytes::from_static(b"1");
    assert_eq!(plugin.merge(&request).result, value("ada\t9\n"));
    request.inputs[1].value = Some(Bytes::from_static(b"bob 8"));
    let Err(MergeFailure::InvalidSibling { index: 1, reason }) = plugin.merge(&request).result
    else {
        panic!("a malformed table was merged");
    };
    assert!(reason.contains("no tab"), "{reason}");
}

#[test]
fn large_inputs_fit() {
    // Two sets of 1.9 MB each: the plugin's memory has to grow for them.
    let set = |digit: u64| {
        let items = (0..190_000u64).map(|n| format!("{:09}\n", 2 * n + digit));
        Bytes::from(items.collect::<String>())
    };
    let mut request = request("set-union", &[input("a", 1), input("b", 2)]);
    request.inputs[0].value = Some(set(0));
    request.inputs[1].value = Some(set(1));
    let merged = load("set-union").merge(&request).result.unwrap().unwrap();
    assert_eq!(merged.len(), 380_000 * 10);
    assert!(merged.starts_with(b"000000000\n000000001\n"));
}

#[test]
fn the_same_merge_gives_the_same_result_and_uses_the_same_fuel() {
    for name in ["last-write-wins", "set-union", "tripwire"] {
        let inputs = [input("x\ny", 1), input("y\nz", 2), input("count", 3)];
        let (plugin, other) = (load(name), load(name));
        let first = plugin.merge(&request(name, &inputs));
        assert!(first.fuel > 0);
        for _ in 0..20 {
            assert_eq!(plugin.merge(&request(name, &inputs)), first);
        }
        assert_eq!(other.merge(&request(name, &inputs)), first);
    }
}

#[test]
fn nothing_is_left_for_the_next_merge() {
    let plugin = load("tripwire");
    let count = request("tripwire", &[input("a", 1), input("count", 2)]);
    let grow = request("tripwire", &[input("a", 1), input("allocate 9000000", 2)]);
    for _ in 0..3 {
        assert_eq!(plugin.merge(&count).result, value("1"));
        assert!(plugin.merge(&grow).result.is_ok());
    }
}

#[test]
fn a_panic_becomes_an_internal_error_with_its_message() {
    let Err(MergeFailure::Internal(message)) = tripwire("panic the cart has no wheels") else {
        panic!("not an internal error");
    };
    assert!(message.contains("the cart has no wheels"), "{message}");
    assert!(message.contains("plugins/tripwire/src/lib.rs"), "{message}");
}

#[test]
fn the_ways_of_the_sdk_to_fail() {
    assert!(matches!(tripwire("trap"), Err(MergeFailure::Trap(_))));
    assert_eq!(tripwire("spin"), Err(MergeFailure::OutOfFuel));
    assert_eq!(tripwire("allocate 40000000"), Err(MergeFailure::OutOfMemory));
    let reason = "for this".to_owned();
    assert_eq!(tripwire("refuse for this"), Err(MergeFailure::InvalidSibling { index: 1, reason }));
    assert_eq!(tripwire("keep both"), Err(MergeFailure::KeepSiblings("both".into())));
}

#[test]
fn logged_lines_come_back() {
    let request = request("tripwire", &[input("a", 1), input("log hello", 2)]);
    let outcome = load("tripwire").merge(&request);
    let [line] = &outcome.log[..] else {
        panic!("{:?}", outcome.log);
    };
    assert_eq!((line.level, line.message.as_str()), (Level::Info, "hello"));
}
