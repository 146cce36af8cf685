//! Compaction: what was replaced gives its space back, and nobody waits for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use kinfold_storage::Options;

use crate::support::{Shop, bytes_of, files_in, noise, options};

const KEYS: u64 = 100;
const LEN: usize = 10_000;

#[test]
fn overwritten_values_give_their_space_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut shop = Shop::open(directory.path(), options());
    let mut time = 0;
    for round in 0..6 {
        for number in 0..KEYS {
            time += 1;
            // Half of the keys are never touched again: their values have to be moved out of files that are mostly stale.
            if round == 0 || number % 2 == 0 {
                shop.put(&number.to_string(), time, noise(round * KEYS + number, LEN));
            }
            if number % 25 == 0 {
                shop.storage.disk().flush().unwrap();
            }
        }
        shop.storage.disk().flush().unwrap();
    }
    let live = KEYS * LEN as u64;
    let before = bytes_of(&files_in(directory.path(), "blobs"));
    assert!(before > live * 3 / 2, "the old values are still there: {before} bytes");

    shop.storage.disk().compact().unwrap();
    let after = bytes_of(&files_in(directory.path(), "blobs"));
    assert!(after < live * 13 / 10, "{after} bytes for {live} bytes of values");
    for number in 0..KEYS {
        let round = if number % 2 == 0 { 5 } else { 0 };
        let value = noise(round * KEYS + number, LEN);
        assert_eq!(shop.value(&number.to_string()), Ok(Some(value)));
    }
}

#[test]
fn reads_and_durable_writes_go_on_during_a_compaction() {
    let directory = tempfile::tempdir().unwrap();
    let mut shop = Shop::open(directory.path(), options());
    for time in 1..=3_000 {
        let name = (time % 1_000).to_string();
        shop.submit(crate::support::put(crate::support::key(&name), time, noise(time, LEN)));
        if time % 1_000 == 0 {
            // Two events a write.
            assert_eq!(shop.events.iter().take(2_000).count(), 2_000);
            shop.storage.disk().flush().unwrap();
        }
    }
    let disk = shop.storage.disk();
    let (compacting, ended) = (AtomicBool::new(true), AtomicBool::new(false));
    let mut meanwhile = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            disk.compact().unwrap();
            compacting.store(false, Ordering::SeqCst);
        });
        let mut time = 3_000;
        while !ended.load(Ordering::SeqCst) {
            time += 1;
            shop.put("foreground", time, noise(time, LEN));
            assert_eq!(shop.value("foreground"), Ok(Some(noise(time, LEN))));
            if compacting.load(Ordering::SeqCst) {
                meanwhile += 1;
            } else {
                ended.store(true, Ordering::SeqCst);
            }
        }
    });
    assert!(meanwhile > 0, "nothing was written and read before the compaction had ended");
}

/// Without anybody's asking: the engine compacts as it is written to, and the space stays within bounds.
#[test]
fn overwriting_forever_does_not_fill_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { memtable_mib: 1, ..options() };
    let mut shop = Shop::open(directory.path(), options);
    let mut written = 0;
    for time in 1..=6_000 {
        let name = (time % 50).to_string();
        shop.submit(crate::support::put(crate::support::key(&name), time, noise(time, LEN)));
        written += LEN as u64;
        if time % 500 == 0 {
            assert_eq!(shop.events.iter().take(1_000).count(), 1_000);
        }
    }
    let kept = bytes_of(&files_in(directory.path(), "blobs"));
    assert!(kept < written / 2, "{kept} bytes are kept of {written} written, for 500 KB of values");
}
