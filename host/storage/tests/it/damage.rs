//! Damaged files: an error, never a missing key, never other bytes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use kinfold_protocol::store::StoreError;
use kinfold_storage::Storage;

use crate::support::{Shop, files_in, noise, options};

const KEYS: u64 = 40;

fn value(number: u64) -> bytes::Bytes {
    noise(number, if number.is_multiple_of(2) { 200 } else { 2_000 })
}

fn filled(path: &Path) {
    let mut shop = Shop::open(path, options());
    for number in 0..KEYS {
        shop.put(&number.to_string(), number + 1, value(number));
    }
    shop.storage.disk().compact().unwrap();
    shop.storage.close().unwrap();
}

/// What reading everything came to, after a byte was changed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    right: u64,
    corrupt: u64,
    unopened: bool,
}

fn read_all(path: &Path) -> Found {
    let mut found = Found::default();
    if let Err(error) = Storage::open(path, options(), |_| {}).map(Storage::close) {
        println!("{error}");
        return Found { unopened: true, ..found };
    }
    let mut shop = Shop::open(path, options());
    for number in 0..KEYS {
        match shop.value(&number.to_string()) {
            Ok(Some(read)) => {
                assert_eq!(read, value(number), "other bytes for key {number}");
                found.right += 1;
            }
            Ok(None) => panic!("key {number} is said to be missing"),
            Err(StoreError::Corrupt(_) | StoreError::Io(_)) => found.corrupt += 1,
            Err(error) => panic!("{error}"),
        }
    }
    found
}

fn flip(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at] ^= 0x40;
    std::fs::write(file, bytes).unwrap();
}

/// Changes bytes all over a file, one at a time, and counts the reads that were told of it.
fn damage_everywhere(directory: &Path, file: &PathBuf, steps: usize) -> u64 {
    let len = std::fs::metadata(file).unwrap().len() as usize;
    let mut told = 0;
    for at in (0..steps).map(|step| step * (len - 1) / (steps - 1)) {
        flip(file, at);
        let found = catch_unwind(AssertUnwindSafe(|| read_all(directory)));
        let found = found.unwrap_or_else(|_| panic!("byte {at} of {len} in {}", file.display()));
        told += u64::from(found.unopened || found.corrupt > 0);
        flip(file, at);
    }
    assert_eq!(read_all(directory).right, KEYS, "repaired");
    told
}

#[test]
fn a_damaged_file_of_values_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let files = files_in(directory.path(), "blobs");
    assert_eq!(files.len(), 1);
    let told = damage_everywhere(directory.path(), &files[0], 30);
    // The value bytes are nearly all of the file.
    assert!(told >= 25, "{told} of 30 changes were noticed");
}

#[test]
fn a_damaged_table_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let mut told = 0;
    for file in files_in(directory.path(), "tables") {
        told += damage_everywhere(directory.path(), &file, 8);
    }
    assert!(told >= 3, "{told} changes were noticed");
}

#[test]
fn a_file_that_is_cut_short_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    for file in files_in(directory.path(), "blobs") {
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    }
    let found = read_all(directory.path());
    assert!(found.unopened || found.corrupt > 0, "{found:?}");
}

/// The engine takes damage in the journal for the end of it. So what follows is lost, and all that can be done is to say so.
#[test]
fn a_damaged_journal_does_not_pass_for_a_clean_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut shop = Shop::open(directory.path(), options());
    for number in 0..KEYS {
        shop.put(&number.to_string(), number + 1, value(number));
    }
    let shop = shop.reopen(options());
    assert_eq!(shop.storage.cut_bytes(), 0, "a clean stop leaves nothing to cut off");
    shop.storage.close().unwrap();

    let journal = directory.path().join("0.jnl");
    let whole = std::fs::read(&journal).unwrap();
    for at in (0..30).map(|step| step * 1_000) {
        flip(&journal, at);
        match Storage::open(directory.path(), options(), |_| {}) {
            Ok(storage) => {
                assert!(storage.cut_bytes() > 0, "byte {at}");
                storage.close().unwrap();
            }
            Err(error) => println!("byte {at}: {error}"),
        }
        std::fs::write(&journal, &whole).unwrap();
    }
}
