//! Writers under which things happen to a cluster, and the check that nothing of what was acknowledged is lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kinfold_client::{Bucket, Client, Consistency};
use tokio::task::JoinSet;

use crate::site::{Site, eventually};

/// Writers that go on until they are told to stop.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<String>>>,
    writers: JoinSet<()>,
}

impl Load {
    /// Starts writers of keys of a bucket that begin with `prefix`, each write on so many disks.
    pub(crate) fn start(client: &Client, bucket: &str, w: u8, prefix: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let mut writers = JoinSet::new();
        for writer in 0..4 {
            let things = client.bucket(bucket).unwrap();
            let (stop, acknowledged) = (stop.clone(), acknowledged.clone());
            let prefix = prefix.to_owned();
            writers.spawn(async move {
                let mut n = 0;
                while !stop.load(Ordering::Acquire) {
                    n += 1;
                    let key = format!("{prefix}-{writer}-{n}");
                    // A write that was not acknowledged may have happened or not: nothing is said about it.
                    match things.put(&key, value(&key)).w(w).await {
                        Ok(_) => acknowledged.lock().unwrap().push(key),
                        // It says why, should the test fail.
                        Err(error) => eprintln!("{key}: {error}"),
                    }
                }
            });
        }
        Self { stop, acknowledged, writers }
    }

    /// The keys that are acknowledged until now.
    pub(crate) fn so_far(&self) -> Vec<String> {
        self.acknowledged.lock().unwrap().clone()
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Waits until so many more writes are acknowledged.
    #[track_caller]
    pub(crate) fn go_on(&self, more: usize) {
        let before = self.count();
        eventually("writes are acknowledged", || self.count() >= before + more);
    }

    /// Ends it, and gives the keys that were acknowledged.
    pub(crate) async fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::Release);
        self.writers.join_all().await;
        Arc::into_inner(self.acknowledged).unwrap().into_inner().unwrap()
    }
}

/// A value that nobody mistakes for another's, of about a kilobyte.
fn value(key: &str) -> String {
    format!("{key} ").repeat(1_000 / (key.len() + 1))
}

/// Readers that [`check`] has at once.
const READERS: usize = 16;

/// Reads all these keys strictly, from so many owners.
pub(crate) async fn check(things: &Bucket, r: u8, keys: &[String]) {
    let mut readers = JoinSet::new();
    for share in keys.chunks(keys.len().div_ceil(READERS).max(1)) {
        let (things, share) = (things.clone(), share.to_vec());
        readers.spawn(async move {
            let mut lost = Vec::new();
            for key in share {
                let get = things.get(&key).consistency(Consistency::Strict).r(r);
                if get.await.unwrap().values != [value(&key)] {
                    lost.push(key);
                }
            }
            lost
        });
    }
    let lost = readers.join_all().await.concat();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged writes are lost: {lost:?}",
        lost.len(),
        keys.len()
    );
}

/// A client that is patient.
pub(crate) async fn client(site: &Site) -> Client {
    let mut options = site.options();
    options.deadline = Duration::from_secs(10);
    Client::connect(options).await.unwrap()
}
