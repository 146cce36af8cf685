//! Each target on its seeds, on pieces of them, on what fuzzers found, and on mutations: the same on every run. A failure prints the bytes.

use std::{env, fs, panic};

use hostile::mutation::{Chance, mutate};
use hostile::{Target, corpus, targets};

/// Mutations grow to so many bytes at most.
const MOST: usize = 64 * 1024;

fn run(name: &str) {
    let target = targets().into_iter().find(|target| target.name == name).expect("a target");
    let mut seeds = (target.seeds)();
    assert!(!seeds.is_empty(), "{name} has seeds");
    for seed in &seeds {
        for end in 0..=seed.len().min(512) {
            check(&target, &seed[..end]);
        }
        check(&target, seed);
    }
    let kept = target.kept();
    kept.iter().for_each(|bytes| check(&target, bytes));
    seeds.extend(kept);
    let mut chance = Chance(from_environment("KINFOLD_HOSTILE_SEED", 0x6b69_6e66_6f6c_6421));
    for _ in 0..u64::from(target.tries) * from_environment("KINFOLD_HOSTILE_TIMES", 1) {
        check(&target, &mutate(&seeds, &mut chance, MOST));
    }
}

/// A number that a longer run is given, or what it is otherwise.
fn from_environment(name: &str, otherwise: u64) -> u64 {
    env::var(name).map_or(otherwise, |number| number.parse().expect("a number"))
}

fn check(target: &Target, bytes: &[u8]) {
    let checked = panic::catch_unwind(panic::AssertUnwindSafe(|| target.check(bytes)));
    if let Err(broken) = checked {
        eprintln!("{} broke on these {} bytes: {}", target.name, bytes.len(), hex(bytes));
        panic::resume_unwind(broken);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

macro_rules! decoders {
    ($($test:ident $name:literal)+) => {
        $(#[test] fn $test() { run($name); })+

        #[test]
        fn every_target_is_run() {
            let mut named = vec![$($name),+];
            let mut all: Vec<_> = targets().iter().map(|target| target.name).collect();
            named.sort_unstable();
            all.sort_unstable();
            assert_eq!(named, all);
        }
    };
}

decoders! {
    frames "frame"
    requests "request"
    responses "response"
    messages_of_peers "peer"
    messages_to_a_node "node"
    fetches_of_components "component-fetch"
    datagrams "datagram"
    texts "text"
    values "value"
    contexts "context"
    stored_records "stored"
    layouts "layout"
    ring_records "ring-record"
    kept_records "kept"
    cursors "cursor"
    configurations "configuration"
    certificates "pem"
    tokens "token"
    keys_of_the_store "store-key"
    manifests "manifest"
    components "component"
    merge_results "merge-result"
}

/// A file that belongs to no decoder would never be read.
#[test]
fn all_that_was_kept_is_for_a_decoder() {
    let files =
        fs::read_dir(corpus::folder()).expect("a folder").map(|entry| entry.expect("a file"));
    let names: Vec<_> = files.map(|file| file.path()).collect();
    let known: Vec<_> = targets().iter().map(|target| format!("{}.hex", target.name)).collect();
    for path in &names {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        assert!(known.iter().any(|known| known == name), "{name} is for no decoder");
    }
    assert!(!names.is_empty(), "nothing was kept");
}

/// The bound is one: a decoder that believes a length before it has the bytes breaks it.
#[test]
#[should_panic(expected = "are allowed")]
fn a_decoder_that_allocates_what_it_is_promised_is_caught() {
    let promise = |bytes: &[u8]| {
        let length = bytes.first_chunk().map_or(0, |length| u32::from_be_bytes(*length));
        drop(Vec::<u8>::with_capacity(length as usize));
    };
    let target = Target {
        name: "promise",
        run: promise,
        seeds: Vec::new,
        constant: 64 * 1024,
        factor: 64,
        tries: 0,
    };
    target.check(&[0x7f, 0xff, 0xff, 0xff]);
}
