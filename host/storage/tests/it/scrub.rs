//! Flipped bits in the engine's files: the scrub finds each, and mending leaves what could be read, and trees that say so.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use kinfold_protocol::ring::{Partition, Ring};
use kinfold_protocol::store::StoreError;
use kinfold_storage::{Cursor, Disk, OpenError, Places, Scrub, Step, mend};

use crate::support::{Shop, files_in, key, noise, options};

const KEYS: u64 = 400;

fn value(number: u64) -> bytes::Bytes {
    noise(number, if number.is_multiple_of(4) { 200 } else { 2_000 })
}

fn places() -> Places {
    Places { ring: Ring::new(4).unwrap(), copies: [(key("").bucket, 3)].into() }
}

fn filled(path: &Path) {
    let mut shop = Shop::open(path, options());
    for number in 0..KEYS {
        shop.put(&number.to_string(), number + 1, value(number));
    }
    shop.storage.disk().compact().unwrap();
    shop.storage.close().unwrap();
}

/// A pass, told so many steps at a time before it is made anew.
fn scrub(path: &Path, steps: usize) -> Step {
    let disk = Disk::open(path, &options()).unwrap();
    let (mut all, mut cursor) = (Step::default(), Cursor::Begin);
    while cursor != Cursor::End {
        let mut scrub = Scrub::new(disk.clone(), cursor);
        for _ in 0..steps {
            let step = scrub.step(places).unwrap();
            all.bytes += step.bytes;
            all.records += step.records;
            all.damage += step.damage;
            all.leaves += step.leaves;
        }
        cursor = scrub.cursor();
    }
    all
}

/// What can be read, which must be right; everything else is in a partition of `lost`.
fn whole(path: &Path, lost: &BTreeSet<Partition>) -> u64 {
    let mut shop = Shop::open(path, options());
    let mut right = 0;
    for number in 0..KEYS {
        let name = number.to_string();
        match shop.value(&name) {
            Ok(Some(read)) => {
                assert_eq!(read, value(number), "other bytes for key {number}");
                right += 1;
            }
            Ok(None) => {
                let partition = places().ring.partition(&key(&name));
                assert!(lost.contains(&partition), "key {number} is gone from a whole partition");
            }
            Err(error) => panic!("key {number}: {error}"),
        }
    }
    shop.storage.close().unwrap();
    right
}

fn copy_of(path: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_of(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn flip(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at] ^= 0x04;
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn a_sound_store_is_read_whole_and_a_pass_goes_on_where_it_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    filled(&path);
    let files: Vec<PathBuf> =
        ["tables", "blobs"].iter().flat_map(|folder| files_in(&path, folder)).collect();
    let on_disk: u64 = files.iter().map(|file| std::fs::metadata(file).unwrap().len()).sum();
    let pass = scrub(&path, 1_000);
    assert_eq!((pass.records, pass.damage, pass.leaves), (KEYS, 0, 0));
    assert!(pass.bytes >= on_disk, "{} of {on_disk} bytes", pass.bytes);
    // Of a partition that is begun anew, records are read again.
    let resumed = scrub(&path, 8);
    assert!(resumed.records >= KEYS && resumed.damage == 0 && resumed.leaves == 0, "{resumed:?}");
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is_and_what_is_left_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let original = directory.path().join("original");
    filled(&original);
    let (mut mended_stores, mut unopened, mut stateless, mut least) = (0, 0, 0, KEYS);
    for folder in ["tables", "blobs"] {
        // The engine's own list of keyspaces, a few hundred bytes, is read at a start and no scrub reaches it.
        let own = original.join("keyspaces").join("0");
        for file in files_in(&original, folder).into_iter().filter(|file| !file.starts_with(&own)) {
            let len = std::fs::metadata(&file).unwrap().len() as usize;
            for at in (0..6).map(|step| step * (len - 1) / 5) {
                let path = directory.path().join("store");
                let _ = std::fs::remove_dir_all(&path);
                copy_of(&original, &path);
                flip(&path.join(file.strip_prefix(&original).unwrap()), at);
                let Ok(disk) = Disk::open(&path, &options()) else {
                    // What the engine needs to open the file at all.
                    unopened += 1;
                    continue;
                };
                drop(disk);
                let found = scrub(&path, 1_000);
                assert!(found.damage > 0, "byte {at} of {}", file.display());
                let done = match mend(&path, &options(), |_| Some(places())) {
                    Ok(done) => done.unwrap(),
                    // Nobody else has that: the directory can't be used any more, and an operator is told.
                    Err(OpenError::Damaged(why)) if why == "the node's own state is lost" => {
                        stateless += 1;
                        continue;
                    }
                    Err(error) => panic!("byte {at} of {}: {error}", file.display()),
                };
                Disk::open(&path, &options()).unwrap().mended().unwrap();
                assert!(done.copied);
                least = least.min(whole(&path, &done.lost));
                let again = scrub(&path, 1_000);
                assert_eq!((again.damage, again.leaves), (0, 0), "byte {at} of {}", file.display());
                mended_stores += 1;
            }
        }
    }
    println!(
        "{mended_stores} mended, {unopened} not opened, {stateless} without the node's state, at least {least} of {KEYS} keys kept"
    );
    assert!(mended_stores >= 15 && stateless < 7, "{mended_stores}, {stateless}");
    // What is lost at most is one block of heads, which holds over a hundred as small as these.
    assert!(least >= KEYS / 2, "{least} of {KEYS}");
}

#[test]
fn a_read_that_meets_damage_notes_where() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    filled(&path);
    for file in files_in(&path, "blobs") {
        let len = std::fs::metadata(&file).unwrap().len() as usize;
        flip(&file, len / 2);
    }
    let mut shop = Shop::open(&path, options());
    let failed = (0..KEYS)
        .filter(|number| matches!(shop.value(&number.to_string()), Err(StoreError::Corrupt(_))));
    assert_eq!(failed.count(), 1);
    assert!(shop.storage.disk().is_damaged());
    shop.put("another", KEYS + 1, value(1));
    shop.storage.close().unwrap();
    let done = mend(&path, &options(), |_| Some(places())).unwrap().unwrap();
    assert_eq!((done.lost.len(), done.records, done.copied), (1, 1, true));
    assert_eq!(whole(&path, &done.lost), KEYS - 1);
}
