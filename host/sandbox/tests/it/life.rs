//! Plugins that come and go while merges run: installed ones, candidates, validators, and what is told of all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use kinfold_protocol::merge::{MergeFailure, MergeRequest, MergeResult, ValidateRequest, Validity};
use kinfold_protocol::message::plugin::ShadowCounts;
use kinfold_sandbox::{BUILT_IN, BreakerConfig, Merger, MergerConfig};

use crate::support::{any_request, input, prebuilt, request, validating};

const PATIENCE: Duration = Duration::from_secs(60);

fn start(config: MergerConfig) -> Merger {
    Merger::start(MergerConfig { threads: 1, ..config }).unwrap().0
}

fn merge(merger: &Merger, request: MergeRequest) -> MergeResult {
    let (done, result) = mpsc::channel();
    merger.submit(request, move |result| done.send(result).unwrap());
    result.recv_timeout(PATIENCE).unwrap()
}

fn validate(merger: &Merger, plugin: &str, value: &'static str) -> Validity {
    let (done, result) = mpsc::channel();
    let request = ValidateRequest {
        plugin: plugin.into(),
        bucket: "bucket".into(),
        key: Bytes::from_static(b"key"),
        config: Bytes::new(),
        value: Bytes::from_static(value.as_bytes()),
    };
    merger.validate(request, move |validity| done.send(validity).unwrap());
    result.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn an_installed_plugin_merges_under_its_release_until_it_is_gone() {
    let merger = start(MergerConfig::default());
    let release = "last-write-wins@1";
    let none = Err(MergeFailure::NoPlugin(release.into()));
    assert_eq!(merge(&merger, any_request(release)), none);
    merger.install(release, &prebuilt("last-write-wins")).unwrap();
    assert_eq!(merge(&merger, any_request(release)), Ok(Some(Bytes::from_static(b"b"))));
    // In the place of what had the name; what can't be loaded changes nothing.
    merger.install(release, &prebuilt("set-union")).unwrap();
    merger.install(release, b"garbage").unwrap_err();
    assert_eq!(merge(&merger, any_request(release)), Ok(Some(Bytes::from_static(b"a\nb\n"))));
    assert_eq!(merger.hash(release), Some(blake3::hash(&prebuilt("set-union"))));
    merger.uninstall(release);
    assert_eq!(merge(&merger, any_request(release)), none);
}

#[test]
fn each_bucket_has_counters_and_a_breaker_of_its_own() {
    let breaker = BreakerConfig { faults: 1, cool_down: PATIENCE };
    let merger = start(MergerConfig { breaker, ..MergerConfig::default() });
    merger.load(&prebuilt("tripwire")).unwrap();
    let of = |bucket: &str, command| {
        let request = request("tripwire", &[input("a", 1), input(command, 2)]);
        MergeRequest { bucket: bucket.into(), ..request }
    };
    assert!(merge(&merger, of("one", "trap")).is_err());
    assert_eq!(merge(&merger, of("one", "value")), Err(MergeFailure::BreakerOpen));
    assert!(merge(&merger, of("other", "value")).is_ok());
    let stats = merger.stats();
    let (one, other) = (&stats.buckets["tripwire"]["one"], &stats.buckets["tripwire"]["other"]);
    assert_eq!((one.calls, one.merged, one.breaker_open), (2, 0, true));
    assert_eq!((other.calls, other.merged, other.breaker_open), (1, 1, false));
    assert_eq!((other.bytes_in, other.inputs_each.sum, other.micros_each.count()), (6, 2, 1));
    assert_eq!(other.bytes_in - other.bytes_out, other.bytes_discarded);
    assert_eq!(stats.plugins["tripwire"].calls, 3);
    assert_eq!(stats.plugins["tripwire"].fuel, one.fuel + other.fuel);
}

/// Waits until what a candidate came to is so: it runs after the answers are out, on the same thread as what is merged here.
fn wait_for(merger: &Merger, holds: impl Fn(&ShadowCounts) -> bool) -> ShadowCounts {
    for _ in 0..10_000 {
        let counts = merger.stats().shadows["bucket"].clone();
        if holds(&counts) {
            return counts;
        }
        let elsewhere = MergeRequest { bucket: "elsewhere".into(), ..any_request("set-union") };
        merge(merger, elsewhere).unwrap();
    }
    panic!("{:?}", merger.stats().shadows);
}

#[test]
fn a_candidate_is_compared_and_never_used() {
    let merger = start(MergerConfig::default());
    merger.install("candidate@1", &prebuilt("last-write-wins")).unwrap();
    merger.set_shadows(BTreeMap::from([("bucket".into(), "candidate@1".into())]));
    let union = Ok(Some(Bytes::from_static(b"a\nb\n")));
    for _ in 0..3 {
        assert_eq!(merge(&merger, any_request("set-union")), union);
    }
    // One that both merge alike: a line that covers the other's.
    let same = request("set-union", &[input("a\n", 1), input("a\nb\n", 2)]);
    assert!(merge(&merger, same).is_ok());
    merge(&merger, any_request("max")).unwrap_err();
    let counts = wait_for(&merger, |counts| counts.compared == 5);
    assert_eq!(counts.plugin, "candidate@1");
    assert_eq!((counts.same, counts.different, counts.failed, counts.better), (1, 3, 0, 1));
    let last = counts.last.as_ref().unwrap();
    assert!(last.starts_with("key: "), "{last}");
    merger.set_shadows(BTreeMap::new());
    assert!(merger.stats().shadows.is_empty());
}

#[test]
fn a_candidate_that_is_not_there_is_skipped() {
    let merger = start(MergerConfig::default());
    merger.set_shadows(BTreeMap::from([("bucket".into(), "nobody@1".into())]));
    assert!(merge(&merger, any_request("set-union")).is_ok());
    let counts = wait_for(&merger, |counts| counts.skipped == 1);
    assert_eq!(counts.compared, 0);
}

#[test]
fn a_validator_says_no_and_its_failure_says_nothing() {
    let merger = start(MergerConfig::default());
    let shipped = merger.validators();
    merger.install("strict@1", &validating("strict")).unwrap();
    let with_strict = &shipped | &BTreeSet::from(["strict@1".to_owned()]);
    assert_eq!(merger.validators(), with_strict);
    assert_eq!(validate(&merger, "strict@1", "fine"), Validity::Valid);
    assert_eq!(validate(&merger, "strict@1", ""), Validity::Valid);
    let no = Validity::Invalid("starts with !".into());
    assert_eq!(validate(&merger, "strict@1", "!not"), no);
    assert!(matches!(validate(&merger, "strict@1", "?"), Validity::Unknown(MergeFailure::Trap(_))));
    assert_eq!(
        validate(&merger, "nobody", "x"),
        Validity::Unknown(MergeFailure::NoPlugin("nobody".into()))
    );
    let stats = merger.stats().plugins.remove("strict@1").unwrap();
    assert_eq!((stats.validated, stats.invalid), (4, 1));
    merger.uninstall("strict@1");
    assert_eq!(merger.validators(), shipped);
}

#[test]
fn shipped_plugins_with_a_format_refuse_what_they_could_not_merge() {
    let merger = start(MergerConfig::default());
    for plugin in ["cart", "counter", "json", "max", "or-set"] {
        merger.install(plugin, &prebuilt(plugin)).unwrap();
        assert_eq!(validate(&merger, plugin, ""), Validity::Valid, "{plugin}");
        let answer = validate(&merger, plugin, "?");
        assert!(
            matches!(&answer, Validity::Invalid(why) if !why.is_empty()),
            "{plugin}: {answer:?}"
        );
    }
}

#[test]
fn what_plugins_say_and_why_they_fail_can_be_read() {
    let merger = start(MergerConfig::default());
    merger.load(&prebuilt("tripwire")).unwrap();
    let command = |command| request("tripwire", &[input("a", 1), input(command, 2)]);
    assert!(merge(&merger, command("keep them")).is_err());
    assert!(merge(&merger, command("value")).is_ok());
    let logs = merger.logs(0, 100);
    let failures: Vec<_> = logs.lines.iter().filter(|line| line.level == "failure").collect();
    assert_eq!(failures.len(), 1, "{logs:?}");
    assert_eq!((failures[0].plugin.as_str(), failures[0].bucket.as_str()), ("tripwire", "bucket"));
    assert!(failures[0].message.contains("them"), "{logs:?}");
    assert_eq!(merger.logs(logs.last, 100).lines, []);
}

#[test]
fn siblings_that_were_merged_can_be_tried_on_another_plugin() {
    let merger = start(MergerConfig::default());
    for _ in 0..9 {
        merge(&merger, any_request("set-union")).unwrap();
    }
    let samples = merger.samples("bucket");
    assert_eq!(samples, [&b"a"[..], b"b", b"a", b"b"]);
    assert!(merger.samples("other").is_empty());
}

#[test]
fn a_second_start_takes_what_the_first_compiled() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("compiled");
    let config = || MergerConfig { compiled_dir: Some(folder.clone()), ..MergerConfig::default() };
    let files = || -> BTreeMap<_, _> {
        let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap());
        entries.map(|entry| (entry.file_name(), entry.metadata().unwrap().ino())).collect()
    };
    let merged = merge(&start(config()), any_request("set-union"));
    assert_eq!(merged, Ok(Some(Bytes::from_static(b"a\nb\n"))));
    let first = files();
    assert_eq!(first.len(), BUILT_IN.len());
    assert_eq!(merge(&start(config()), any_request("set-union")), merged);
    // Not written again, so not compiled again.
    assert_eq!(files(), first);
    // What was damaged is, and nothing else.
    let damaged = first.keys().next().unwrap();
    fs::write(folder.join(damaged), "damaged").unwrap();
    assert_eq!(merge(&start(config()), any_request("set-union")), merged);
    assert!(fs::metadata(folder.join(damaged)).unwrap().len() > 1_000);
    let undamaged = |files: BTreeMap<_, _>| files.into_iter().filter(|(name, _)| name != damaged);
    assert!(undamaged(files()).eq(undamaged(first.clone())));
    // Where nothing can be kept, everything is compiled.
    let nowhere = Some(place.path().join("nowhere").join("compiled"));
    let nothing_kept = start(MergerConfig { compiled_dir: nowhere, ..MergerConfig::default() });
    assert_eq!(merge(&nothing_kept, any_request("set-union")), merged);
}
