//! Merges on threads: the queue, the breaker, the counters, the plugins folder.

use std::fs;
use std::sync::{Arc, mpsc};
use std::thread::{self, ThreadId};
use std::time::Duration;

use kinfold_protocol::merge::{MergeFailure, MergeRequest, MergeResult};
use kinfold_sandbox::{BUILT_IN, BreakerConfig, LoadError, Merger, MergerConfig};

use crate::support::{any_request, input, named, prebuilt, request};

fn start(config: MergerConfig) -> Merger {
    let (merger, refused) = Merger::start(config).unwrap();
    assert!(refused.is_empty());
    merger
}

fn config() -> MergerConfig {
    MergerConfig { threads: 2, ..MergerConfig::default() }
}

fn merge(merger: &Merger, request: MergeRequest) -> MergeResult {
    let (done, result) = mpsc::channel();
    merger.submit(request, move |result| done.send(result).unwrap());
    result.recv_timeout(Duration::from_secs(60)).unwrap()
}

fn command(command: &'static str) -> MergeRequest {
    request("tripwire", &[input("a", 1), input(command, 2)])
}

#[test]
fn built_in_plugins_merge() {
    let merger = start(config());
    for name in ["last-write-wins", "set-union"] {
        assert!(merge(&merger, any_request(name)).is_ok());
        assert_eq!(merger.manifest(name).unwrap().name, name);
    }
    assert_eq!(merger.plugins().len(), BUILT_IN.len());
    assert!(merger.manifest("other").is_none());
    assert_eq!(merge(&merger, any_request("other")), Err(MergeFailure::NoPlugin("other".into())));
    assert_eq!(merger.stats().no_plugin, 1);
}

#[test]
fn everything_is_counted() {
    let merger = start(MergerConfig { compare_every: 2, ..config() });
    merger.load(&prebuilt("tripwire")).unwrap();
    for request in ["value", "keep a", "keep b", "trap"].map(command) {
        let _ = merge(&merger, request);
    }
    let stats = merger.stats().plugins.remove("tripwire").unwrap();
    assert_eq!((stats.calls, stats.merged, stats.inputs), (4, 1, 8));
    assert!(stats.fuel > 0);
    assert_eq!(stats.failed["keep-siblings"], 2);
    assert_eq!(stats.failed["trap"], 1);
    assert_eq!((stats.compared, stats.mismatches), (2, 0));
}

#[test]
fn the_breaker_opens_and_closes() {
    let broken = |cool_down| {
        let breaker = BreakerConfig { faults: 5, cool_down };
        let merger = start(MergerConfig { breaker, ..config() });
        merger.load(&prebuilt("tripwire")).unwrap();
        for fault in ["trap", "spin", "panic x", "allocate 40000000", "panic y"] {
            let failure = merge(&merger, command(fault)).unwrap_err();
            assert_ne!(failure, MergeFailure::BreakerOpen);
        }
        merger
    };
    let merger = broken(Duration::from_secs(3_600));
    assert_eq!(merge(&merger, command("value")), Err(MergeFailure::BreakerOpen));
    // The other plugins go on.
    assert!(merge(&merger, any_request("set-union")).is_ok());
    let stats = merger.stats().plugins.remove("tripwire").unwrap();
    assert!(stats.breaker_open);
    assert_eq!((stats.breaker_opened, stats.failed["breaker-open"]), (1, 1));

    let cool_down = Duration::from_millis(50);
    let merger = broken(cool_down);
    thread::sleep(cool_down);
    assert!(merge(&merger, command("value")).is_ok());
    assert_eq!(merger.stats().plugins["tripwire"].breaker_opened, 1);
    assert!(!merger.stats().plugins["tripwire"].breaker_open);
}

#[test]
fn refusing_siblings_is_no_fault() {
    let merger = start(config());
    merger.load(&prebuilt("tripwire")).unwrap();
    for _ in 0..20 {
        let failure = merge(&merger, command("refuse this")).unwrap_err();
        assert!(matches!(failure, MergeFailure::InvalidSibling { .. }));
    }
}

/// A callback that holds the only thread up until it is told to go on.
fn hold(merger: &Merger) -> mpsc::Sender<()> {
    let (go, wait) = mpsc::channel();
    let (held, holding) = mpsc::channel();
    merger.submit(any_request("set-union"), move |_| {
        held.send(()).unwrap();
        wait.recv().unwrap();
    });
    holding.recv().unwrap();
    go
}

#[test]
fn a_full_queue_answers_at_once() {
    let merger = start(MergerConfig { threads: 1, queue: 2, ..config() });
    let go = hold(&merger);
    let (done, results) = mpsc::channel();
    for number in 0..3 {
        let done = done.clone();
        merger.submit(any_request("set-union"), move |result| {
            done.send((number, result)).unwrap();
        });
    }
    assert_eq!(
        results.try_recv(),
        Ok((2, Err(MergeFailure::Overloaded))),
        "the third had no place"
    );
    assert_eq!(merger.stats().waiting, 2);
    go.send(()).unwrap();
    for expected in 0..2 {
        let (number, result) = results.recv().unwrap();
        assert_eq!(number, expected);
        assert!(result.is_ok());
    }
    assert_eq!(merger.stats().overloaded, 1);
}

#[test]
fn the_end_answers_whoever_waits() {
    let merger = start(MergerConfig { threads: 1, ..config() });
    let go = hold(&merger);
    let (done, result) = mpsc::channel();
    merger.submit(any_request("set-union"), move |result| {
        done.send(result).unwrap();
    });
    let ending = thread::spawn(move || drop(merger));
    assert_eq!(result.recv().unwrap(), Err(MergeFailure::Overloaded));
    go.send(()).unwrap();
    ending.join().unwrap();
}

/// Where a merge ran that was begun here, and what it gave.
fn merge_from_here(merger: &Merger, request: MergeRequest) -> (ThreadId, MergeResult) {
    let (done, result) = mpsc::channel();
    merger.merge(request, move |result| done.send((thread::current().id(), result)).unwrap());
    result.recv_timeout(Duration::from_secs(60)).unwrap()
}

#[test]
fn what_is_quick_is_merged_here_and_what_is_not_by_a_thread_with_the_same_result() {
    let here = thread::current().id();
    for command in ["spin", "allocate 4500000"].map(command) {
        let merger = start(config());
        merger.load(&prebuilt("tripwire")).unwrap();
        assert_eq!(merge_from_here(&merger, self::command("value")).0, here);
        let (ran, result) = merge_from_here(&merger, command.clone());
        assert_ne!(ran, here);
        let stats = merger.stats().plugins.remove("tripwire").unwrap();
        assert_eq!(stats.calls, 2, "what was left is not counted");
        assert_eq!(result, merge(&merger, command));
        // It is not tried here again for a while, whatever the next merges take.
        let (places, _): (Vec<_>, Vec<_>) =
            (0..300).map(|_| merge_from_here(&merger, self::command("value"))).unzip();
        assert_eq!(places.iter().position(|place| *place == here), Some(256));
        assert!(places[256..].iter().all(|place| *place == here));
        // Other plugins are.
        assert_eq!(merge_from_here(&merger, any_request("set-union")).0, here);
    }
}

#[test]
fn only_as_many_visitors_merge_at_once_as_there_are_threads() {
    let merger = Arc::new(start(MergerConfig { threads: 1, ..config() }));
    let here = thread::current().id();
    let (done, second) = mpsc::channel();
    let again = Arc::clone(&merger);
    merger.merge(any_request("set-union"), move |_| {
        // The first is still at it: it has not come back from telling.
        again.merge(any_request("set-union"), move |_| done.send(thread::current().id()).unwrap());
    });
    assert_ne!(second.recv_timeout(Duration::from_secs(60)).unwrap(), here);
    assert_eq!(merge_from_here(&merger, any_request("set-union")).0, here);
}

#[test]
fn a_trial_that_is_not_quick_is_made_by_a_thread() {
    let cool_down = Duration::ZERO;
    let merger =
        start(MergerConfig { breaker: BreakerConfig { faults: 1, cool_down }, ..config() });
    merger.load(&prebuilt("tripwire")).unwrap();
    assert!(merge(&merger, command("trap")).is_err());
    assert!(merger.stats().plugins["tripwire"].breaker_open);
    let (ran, result) = merge_from_here(&merger, command("allocate 4500000"));
    assert_ne!(ran, thread::current().id());
    assert!(result.is_ok(), "{result:?}");
    assert!(!merger.stats().plugins["tripwire"].breaker_open);
}

#[test]
fn a_callback_that_panics_takes_no_thread_with_it() {
    let merger = start(MergerConfig { threads: 1, ..config() });
    merger.submit(any_request("set-union"), |_| panic!("on purpose"));
    assert!(merge(&merger, any_request("set-union")).is_ok());
}

#[test]
fn many_merges_at_once_all_get_their_own_answer() {
    let merger = start(config());
    let (done, results) = mpsc::channel();
    for number in 0..500u64 {
        let done = done.clone();
        let mut request = any_request("last-write-wins");
        request.inputs[1].value = Some(number.to_string().into_bytes().into());
        merger.submit(request, move |result| {
            done.send((number, result)).unwrap();
        });
    }
    drop(done);
    let mut answered = 0;
    for (number, result) in results {
        assert_eq!(result.unwrap().unwrap(), number.to_string().as_bytes());
        answered += 1;
    }
    assert_eq!(answered, 500);
}

#[test]
fn the_plugins_folder_is_loaded_and_what_is_bad_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    file("a-board.wasm", &prebuilt("leaderboard"));
    file("b-bad.wasm", b"not a component");
    file("c-again.wasm", &prebuilt("leaderboard"));
    file("notes.txt", b"not looked at");
    let memory = r#"(memory (export "memory") 1)"#;
    file("d-taken.wasm", &named("set-union", memory, "i32.const 0"));
    let (merger, refused) =
        Merger::start(MergerConfig { plugins_dir: Some(folder.path().to_owned()), ..config() })
            .unwrap();
    let refused: Vec<_> = refused
        .into_iter()
        .map(|refused| {
            let name = refused.path.file_name().unwrap().to_owned();
            (name.into_string().unwrap(), refused.error)
        })
        .collect();
    assert_eq!(
        refused,
        [
            ("b-bad.wasm".into(), LoadError::NotWasm),
            ("c-again.wasm".into(), LoadError::NameTaken("leaderboard".into())),
            ("d-taken.wasm".into(), LoadError::NameTaken("set-union".into())),
        ]
    );
    assert!(merger.manifest("leaderboard").is_some());
}

#[test]
fn a_plugins_folder_that_is_missing_is_told() {
    let (_, refused) =
        Merger::start(MergerConfig { plugins_dir: Some("/nowhere/at/all".into()), ..config() })
            .unwrap();
    assert!(matches!(refused[..], [_]));
}
