//! What is told of a job, and when.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use kinfold_protocol::replica::{StoreJob, Ticket};
use kinfold_protocol::store::StoreError;
use kinfold_storage::{Done, Durability, Options, Storage, StoreEvent};

use crate::support::{Shop, key, noise, options, put, read};

#[test]
fn a_write_is_done_and_then_synced() {
    let directory = tempfile::tempdir().unwrap();
    let mut shop = Shop::open(directory.path(), options());
    shop.put("a", 1, noise(1, 10_000));
    assert_eq!(shop.value("a"), Ok(Some(noise(1, 10_000))));
    assert_eq!(shop.read("b"), Ok(None));
    assert!(shop.storage.stats().unwrap().syncs >= 1);
}

#[test]
fn a_job_that_wrote_nothing_is_synced_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut shop = Shop::open(directory.path(), options());
    shop.put("a", 1, noise(1, 10));
    let commits = shop.storage.stats().unwrap().commits;
    // The same request again: a duplicate.
    shop.put("a", 1, noise(1, 10));
    assert_eq!(shop.storage.stats().unwrap().commits, commits);
}

#[test]
fn the_nodes_state_is_kept_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let mut shop = Shop::open(directory.path(), options());
    let save = |bytes: &'static [u8]| StoreJob::Save {
        name: "layout".into(),
        bytes: Bytes::from_static(bytes),
    };
    assert_eq!(shop.storage.load("layout"), Ok(None));
    assert_eq!(shop.run(save(b"one")), Ok(Done::Saved));
    assert_eq!(shop.run(save(b"two")), Ok(Done::Saved));
    let shop = shop.reopen(options());
    assert_eq!(shop.storage.load("layout"), Ok(Some(Bytes::from_static(b"two"))));
    assert_eq!(shop.storage.load("catalogue"), Ok(None));
}

#[test]
fn many_writes_share_an_fsync_and_closing_waits_for_all() {
    let directory = tempfile::tempdir().unwrap();
    let mut shop = Shop::open(directory.path(), options());
    let tickets: Vec<_> =
        (1..=300).map(|n| shop.submit(put(key(&n.to_string()), n, noise(n, 2_000)))).collect();
    let disk = shop.storage.disk();
    shop.storage.close().unwrap();
    let mut synced: Vec<_> = shop
        .events
        .iter()
        .filter_map(|event| match event {
            StoreEvent::Synced { ticket } => Some(ticket),
            StoreEvent::Done { result, .. } => {
                result.unwrap();
                None
            }
            StoreEvent::SyncFailed { error, .. } => panic!("{error}"),
        })
        .collect();
    synced.sort_unstable();
    assert_eq!(synced, tickets);
    let stats = disk.stats().unwrap();
    assert_eq!(stats.commits, 300);
    assert!(stats.syncs < 300, "every write paid for an fsync of its own");
}

/// A store whose threads stand still until the returned channel is dropped.
fn stuck(path: &std::path::Path, options: Options) -> (Storage, impl Drop, Receiver<StoreEvent>) {
    struct Release(Option<std::sync::mpsc::Sender<()>>);
    impl Drop for Release {
        fn drop(&mut self) {
            self.0.take();
        }
    }
    let (hold, held) = channel::<()>();
    let held = std::sync::Mutex::new(held);
    let (sender, events) = channel();
    let storage = Storage::open(path, options, move |event| {
        let _ = sender.send(event);
        let _ = held.lock().unwrap().recv();
    })
    .unwrap();
    (storage, Release(Some(hold)), events)
}

#[test]
fn a_full_queue_is_an_answer() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { queue: 4, workers: 1, ..options() };
    let (storage, release, events) = stuck(directory.path(), options);
    let mut taken = 0;
    let refused = loop {
        match storage.submit(Ticket(taken), put(key("a"), taken + 1, noise(taken, 10))) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, StoreError::Overloaded);
    assert!((4..=5).contains(&taken), "{taken} were taken");
    drop(release);
    storage.close().unwrap();
    let done = events.iter().filter(|event| matches!(event, StoreEvent::Done { .. })).count();
    assert_eq!(done as u64, taken, "what was taken is done");
}

#[test]
fn reads_do_not_wait_for_writers() {
    let directory = tempfile::tempdir().unwrap();
    let mut shop = Shop::open(directory.path(), options());
    shop.put("a", 1, noise(1, 1_000));
    shop.storage.close().unwrap();
    // The one writing thread is stuck in its first event, for as long as the test likes.
    let (let_go, wait) = channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let (sender, events) = channel();
    let storage =
        Storage::open(directory.path(), Options { workers: 1, ..options() }, move |event| {
            let wrote = matches!(&event, StoreEvent::Done { ticket: Ticket(1), .. });
            let _ = sender.send(event);
            if wrote {
                let _ = wait.lock().unwrap().recv();
            }
        })
        .unwrap();
    storage.submit(Ticket(1), put(key("b"), 2, noise(2, 10))).unwrap();
    assert!(matches!(events.recv().unwrap(), StoreEvent::Done { ticket: Ticket(1), .. }));
    storage.submit(Ticket(2), put(key("c"), 3, noise(3, 10))).unwrap();
    storage.submit(Ticket(3), read(key("a"))).unwrap();
    assert!(matches!(events.recv().unwrap(), StoreEvent::Done { ticket: Ticket(3), .. }));
    drop(let_go);
    storage.close().unwrap();
}

#[test]
fn with_an_interval_a_write_counts_at_once_and_closing_syncs_it() {
    let directory = tempfile::tempdir().unwrap();
    let durability = Durability::Interval(Duration::from_secs(3_600));
    let mut shop = Shop::open(directory.path(), Options { durability, ..options() });
    shop.put("a", 1, noise(1, 5_000));
    assert_eq!(shop.storage.stats().unwrap().syncs, 0);
    let disk = shop.storage.disk();
    shop.storage.close().unwrap();
    assert_eq!(disk.stats().unwrap().syncs, 1);
}
