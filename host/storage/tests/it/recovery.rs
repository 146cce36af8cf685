//! The journal: what was acknowledged is there after a kill, though no table was written.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};

use kinfold_storage::{OpenError, Storage, StoreEvent};

use crate::support::{Shop, child, child_path, key, noise, options, put};

const CALLERS: u64 = 16;

fn value(number: u64) -> bytes::Bytes {
    // Both inline and apart.
    noise(number, if number.is_multiple_of(3) { 100 } else { 3_000 })
}

#[test]
fn every_acknowledged_write_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = child("recovery::child_writes_until_killed", directory.path()).spawn().unwrap();
    let mut acknowledged = BTreeSet::new();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines {
        // A line that the kill cut off acknowledges nothing.
        let line = line.unwrap();
        let Some(number) = line.strip_prefix("synced ").and_then(|rest| rest.strip_suffix('.'))
        else {
            continue;
        };
        acknowledged.insert(number.parse::<u64>().unwrap());
        if acknowledged.len() == 500 {
            // SIGKILL. What is in the pipe still counts.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acknowledged.len() >= 500, "the child died early");

    let mut shop = Shop::open(directory.path(), options());
    let stats = shop.storage.stats().unwrap();
    assert_eq!(stats.keyspaces["heads"].tables, 0, "all of it comes out of the journal");
    for number in acknowledged {
        assert_eq!(shop.value(&number.to_string()), Ok(Some(value(number))), "key {number}");
    }
}

#[test]
#[ignore = "run by the test above, in a process that is killed"]
fn child_writes_until_killed() {
    let Some(path) = child_path() else { return };
    let mut shop = Shop::open(&path, options());
    let mut number = 0;
    let mut next = |shop: &mut Shop| {
        number += 1;
        shop.submit(put(key(&number.to_string()), number, value(number)));
    };
    for _ in 0..CALLERS {
        next(&mut shop);
    }
    loop {
        match shop.events.recv().unwrap() {
            StoreEvent::Done { result, .. } => drop(result.unwrap()),
            StoreEvent::Synced { ticket } => {
                println!("synced {}.", ticket.0);
                next(&mut shop);
            }
            StoreEvent::SyncFailed { error, .. } => panic!("{error}"),
        }
    }
}

#[test]
fn a_store_has_one_owner() {
    let directory = tempfile::tempdir().unwrap();
    let first = Shop::open(directory.path(), options());
    let second = Storage::open(directory.path(), options(), |_| {});
    assert!(matches!(second.err(), Some(OpenError::Locked)));
    drop(first);
    Storage::open(directory.path(), options(), |_| {}).unwrap().close().unwrap();
}
