//! A disk whose bits were flipped while its node was stopped: no answer is wrong, the scrub finds them, and the other owners heal
//! what was lost.

use std::fs;
use std::path::{Path, PathBuf};

use kinfold_client::{Bucket, Client, Consistency};
use serde_json::Value;

use crate::site::{Site, eventually};

const KEYS: usize = 400;

/// A value that nobody mistakes for another's, of 4 KB that no compressor makes much smaller.
fn value(number: usize) -> Vec<u8> {
    let mut state = (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(512).flatten().collect()
}

/// Every file below `folder` whose own folder is called `kind`.
fn files(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap().path();
        if entry.is_dir() {
            found.extend(files(&entry, kind));
        } else if folder.ends_with(kind) {
            found.push(entry);
        }
    }
    found
}

/// Flips a bit in each quarter of a file. How many.
fn flip(file: &Path) -> usize {
    let mut bytes = fs::read(file).unwrap();
    let places = [1, 3, 5, 7].map(|eighth| eighth * bytes.len() / 8);
    for at in places {
        bytes[at] ^= 0x10;
    }
    fs::write(file, bytes).unwrap();
    places.len()
}

/// Reads every key, from so many owners.
async fn all_are_right(things: &Bucket, r: u8) {
    for number in 0..KEYS {
        let get = things.get(format!("key-{number}")).consistency(Consistency::Strict).r(r);
        let found = get.await.unwrap();
        assert_eq!(found.values, [value(number)], "key {number} from {r}");
    }
}

/// Has a node read its disk back, and waits until it is whole: what it found.
fn scrub(site: &Site, node: &str) -> Value {
    let run = site.boss(["scrub", "--node", node, "--wait", "--timeout", "120", "--json"]);
    let rows: Value = serde_json::from_slice(&run.out).unwrap_or_else(|_| panic!("{}", run.err));
    assert_eq!(rows[0]["state"], "whole", "{rows}");
    rows[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flipped_bits_are_found_and_healed_and_never_answered() {
    let small = "storage = { cache_mib = 8, memtable_mib = 1, reserve_mib = 64 }\n\
                 scrub = { days = 0, mib_s = 1000 }";
    let site = Site::new(3, small);
    let mut nodes = site.start_all();
    site.boss(["bucket", "create", "things"]).ends(0);
    let client = Client::connect(site.options()).await.unwrap();
    let things = client.bucket("things").unwrap();
    for number in 0..KEYS {
        things.put(format!("key-{number}"), value(number)).w(3).await.unwrap();
    }
    let store = site.path("n1/store");
    eventually("values are written out", || !files(&store, "blobs").is_empty());
    let sound = scrub(&site, "n1");
    assert_eq!((&sound["damage_found"], &sound["leaves_corrected"]), (&0.into(), &0.into()));
    assert!(sound["records_read"].as_u64().unwrap() >= KEYS as u64, "{sound}");

    assert!(nodes.remove(0).terminate().success());
    let flipped: usize = files(&store, "blobs").iter().map(|file| flip(file)).sum();
    assert!(flipped > 0);
    let damaged = site.start("n1");
    site.meet();
    // What it can't read it does not answer; two others do.
    all_are_right(&things, 2).await;
    let found = scrub(&site, "n1");
    assert!(found["damage_found"].as_u64().unwrap() > 0, "{found}");
    site.meet();
    let lives = damaged.log().matches("\"started\"").count();
    assert!(lives >= 3, "it started again by itself: {lives} starts");
    // With its own answer too, which it refuses until it is whole.
    all_are_right(&things, 3).await;
    let again = scrub(&site, "n1");
    assert_eq!((&again["damage_found"], &again["leaves_corrected"]), (&0.into(), &0.into()));
    assert_eq!(again["partitions_lost"], 0);
    assert!(damaged.terminate().success());
}
