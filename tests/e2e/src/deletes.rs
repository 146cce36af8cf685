//! Deletes until nothing is left of them, with real processes and disks: the tombstones are collected, and what was deleted stays
//! away after that.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use kinfold_client::{Bucket, Client, Consistency};
use serde_json::Value;

use crate::site::{Node, Site};

/// As soon as it can be: an operator's settings, which are 300 and 30 s by default.
const SOON: &str = "limits = { delete_age_s = 1 }\nrepair = { exchange_s = 1 }";

/// A collection takes some exchanges of every node with every other one.
const PATIENCE: Duration = Duration::from_secs(180);

/// A cluster in which tombstones are collected soon, and its clients.
struct Stage {
    site: Site,
    nodes: Vec<(String, Node)>,
    things: Bucket,
}

impl Stage {
    async fn new(nodes: usize) -> Self {
        let site = Site::new(nodes, SOON);
        let started = site.start_all();
        site.boss(["bucket", "create", "things"]).ends(0);
        let client = Client::connect(site.options()).await.unwrap();
        let things = client.bucket("things").unwrap();
        let names = site.nodes.iter().map(|(name, _)| name.clone());
        let nodes = names.zip(started).collect();
        Self { site, nodes, things }
    }

    /// What the nodes that are up say of themselves.
    fn status(&self) -> Vec<Value> {
        let told = self.site.boss(["status", "--json"]).json();
        let nodes = told.as_array().unwrap().iter();
        nodes.filter(|node| node["reachable"] == true).cloned().collect()
    }

    fn counts(&self, counter: &str) -> Vec<u64> {
        self.status().iter().map(|n| n["counters"][counter].as_u64().unwrap_or_default()).collect()
    }

    /// Waits until each node that is up has compared its trees so many times more: by then the marks cover what was written.
    fn exchange(&self, times: u64) {
        let before = self.counts("exchanges_completed");
        self.eventually("the nodes exchange", || {
            let now = self.counts("exchanges_completed");
            now.len() == before.len() && now.iter().zip(&before).all(|(n, b)| *n >= b + times)
        });
    }

    /// Waits until no node that is up stores a tombstone.
    fn collected(&self) {
        self.eventually("the tombstones are collected", || {
            self.counts("tombstones_stored").iter().all(|count| *count == 0)
        });
    }

    /// Waits until no node has anything of these keys.
    fn gone(&self, keys: &[String]) {
        for key in keys {
            self.eventually("nobody has anything of the key", || {
                self.site.app(["explain", "things", key]).code == Some(3)
            });
        }
    }

    #[track_caller]
    fn eventually(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !holds() {
            if begun.elapsed() > PATIENCE {
                panic!("not within {PATIENCE:?}: {what}: {}", self.site.boss(["status"]));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    async fn put(&self, keys: &[String], value: &str) {
        for key in keys {
            self.things.put(key, value.to_owned()).w(3).await.unwrap();
        }
    }

    async fn delete(&self, keys: &[String]) {
        for key in keys {
            let found = self.things.get(key).await.unwrap();
            self.things.delete(key).context(found.context).await.unwrap();
        }
    }

    /// Reads the keys from all owners.
    async fn read(&self, keys: &[String]) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for key in keys {
            let get = self.things.get(key).consistency(Consistency::Strict).r(3);
            all.extend(get.await.unwrap().values.iter().map(|value| value.to_vec()));
        }
        all
    }

    fn take(&mut self, name: &str) -> Node {
        let at = self.nodes.iter().position(|(node, _)| node == name).unwrap();
        self.nodes.remove(at).1
    }

    fn start(&mut self, name: &str) {
        self.nodes.push((name.to_owned(), self.site.start(name)));
    }

    /// So many keys that node `n4` does not own.
    fn keys_without_n4(&self, prefix: &str, count: usize) -> Vec<String> {
        let named = (0..).map(|n| format!("{prefix} {n}"));
        let without = |key: &String| {
            let told = self.site.app(["explain", "--json", "things", key]);
            // Nobody has it yet, and still its owners are told.
            let owners = told.json()["owners"].as_array().unwrap().clone();
            owners.iter().all(|owner| owner != "n4")
        };
        named.filter(without).take(count).collect()
    }
}

fn keys(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix} {n}")).collect()
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_down_across_the_collection_brings_nothing_back() {
    let mut stage = Stage::new(3).await;
    let (gone, again) = (keys("gone", 10), keys("again", 10));
    stage.put(&gone, "old").await;
    stage.put(&again, "old").await;
    stage.exchange(6);
    stage.take("n2").crash();
    stage.delete(&gone).await;
    stage.delete(&again).await;
    assert!(stage.counts("tombstones_stored").iter().sum::<u64>() > 0);
    stage.collected();
    // A key that is made again while the old one still lies at the replica that is down.
    for key in &again {
        stage.things.put(key, "new").await.unwrap();
    }
    stage.start("n2");
    stage.site.meet();
    assert_eq!(stage.read(&gone).await, Vec::<Vec<u8>>::new());
    assert_eq!(stage.read(&again).await, vec![b"new".to_vec(); 10]);
    stage.gone(&gone);
    stage.collected();
    assert_eq!(stage.read(&again).await, vec![b"new".to_vec(); 10]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_copy_of_a_directory_brings_nothing_back() {
    let mut stage = Stage::new(3).await;
    let keys = keys("key", 10);
    stage.put(&keys, "old").await;
    assert!(stage.take("n3").terminate().success());
    copy(&stage.site.path("n3"), &stage.site.path("backup"));
    stage.start("n3");
    stage.site.meet();
    stage.delete(&keys).await;
    stage.collected();
    stage.gone(&keys);
    assert!(stage.take("n3").terminate().success());
    fs::remove_dir_all(stage.site.path("n3")).unwrap();
    fs::rename(stage.site.path("backup"), stage.site.path("n3")).unwrap();
    stage.start("n3");
    stage.site.meet();
    assert_eq!(stage.read(&keys).await, Vec::<Vec<u8>>::new());
    stage.gone(&keys);
    stage.collected();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_that_comes_after_the_collection_brings_nothing_back() {
    let mut stage = Stage::new(4).await;
    let keys = stage.keys_without_n4("key", 8);
    stage.take("n2").crash();
    // Its copy goes to the only one that does not own the key.
    stage.put(&keys, "old").await;
    let owed = stage.counts("hints");
    assert_eq!(owed.iter().sum::<u64>(), 8, "{owed:?}");
    stage.take("n4").crash();
    stage.start("n2");
    stage.eventually("the owners are there", || stage.counts("hints").len() == 3);
    stage.exchange(6);
    assert_eq!(stage.read(&keys).await, vec![b"old".to_vec(); 8]);
    stage.delete(&keys).await;
    stage.collected();
    stage.start("n4");
    stage.site.meet();
    stage.eventually("nothing is owed", || stage.counts("hints").iter().all(|owed| *owed == 0));
    assert_eq!(stage.read(&keys).await, Vec::<Vec<u8>>::new());
    stage.gone(&keys);
    stage.collected();
}
