//! A write that fails: the store takes nothing more, even if the disk would.
//!
//! The failure is real: a process forbids itself files longer than they are, and the journal's next write fails with
//! `EFBIG`. It meets the same code as a failed fsync, which no unprivileged test can bring about.

use kinfold_protocol::replica::StoreJob;
use kinfold_protocol::store::StoreError;
use kinfold_storage::StoreEvent;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{Shop, child, child_path, key, noise, options, put, read};

fn run_child(name: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let output = child(name, directory.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("reached the end"), "{said}");
    directory
}

fn poisoned<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Poisoned(_))), "{result:?}");
}

/// Lets files grow to `bytes` and no further.
fn limit_files(bytes: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum }).unwrap();
}

fn nothing_more_is_taken(shop: &mut Shop) {
    for _ in 0..2 {
        poisoned(shop.run(put(key("c"), 9, noise(9, 10))));
        poisoned(shop.run(read(key("a"))));
        poisoned(shop.run(StoreJob::Save { name: "layout".into(), bytes: "x".into() }));
        poisoned(shop.storage.load("layout"));
        // Also when the disk is well again.
        limit_files(None);
    }
}

/// What was acknowledged before is still there after a restart.
fn the_first_write_is_there(directory: &tempfile::TempDir) {
    let mut shop = Shop::open(directory.path(), options());
    assert_eq!(shop.value("a"), Ok(Some(noise(1, 100))));
    shop.put("d", 10, noise(10, 100));
}

#[test]
fn a_failed_group_commit_stops_the_store() {
    let directory = run_child("poison::child_fails_to_sync");
    the_first_write_is_there(&directory);
}

#[test]
#[ignore = "run by the test above, in a process whose files may not grow"]
fn child_fails_to_sync() {
    let Some(path) = child_path() else { return };
    let mut shop = Shop::open(&path, options());
    shop.put("a", 1, noise(1, 100));
    limit_files(Some(1));
    // Small enough for the journal's buffer: applied, and then it can't be made durable.
    let ticket = shop.submit(put(key("b"), 2, noise(2, 100)));
    let done = shop.events.recv().unwrap();
    assert!(matches!(done, StoreEvent::Done { result: Ok(_), .. }), "{done:?}");
    let StoreEvent::SyncFailed { ticket: failed, error } = shop.events.recv().unwrap() else {
        panic!("a write is called durable that is not");
    };
    assert_eq!(failed, ticket);
    poisoned::<()>(Err(error));
    nothing_more_is_taken(&mut shop);
    poisoned(shop.storage.close());
    println!("reached the end");
}

#[test]
fn a_failed_commit_stops_the_store() {
    let directory = run_child("poison::child_fails_to_commit");
    the_first_write_is_there(&directory);
}

#[test]
#[ignore = "run by the test above, in a process whose files may not grow"]
fn child_fails_to_commit() {
    let Some(path) = child_path() else { return };
    let mut shop = Shop::open(&path, options());
    shop.put("a", 1, noise(1, 100));
    limit_files(Some(1));
    // Larger than the journal's buffer: the commit itself fails.
    poisoned(shop.run(put(key("b"), 2, noise(2, 100_000))));
    nothing_more_is_taken(&mut shop);
    println!("reached the end");
}
