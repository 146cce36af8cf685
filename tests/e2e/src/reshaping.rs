//! Nodes come and go while clients write, and some of them are killed meanwhile: nothing that was acknowledged is lost.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::cluster::{asks, member, plan, status, token};
use crate::load::{Load, check, client};
use crate::site::{Node, Site, eventually};

/// Commits what is staged.
fn commit(site: &Site) {
    let shown = plan(site);
    site.boss(["cluster", "commit", &shown]).ends(0);
}

/// Waits until the change that is in progress is over, and everybody has dropped what is not theirs.
fn settle(site: &Site) -> Value {
    site.boss(["cluster", "status", "--wait"]).ends(0);
    let after = status(site);
    assert_eq!(after["phase"], "stable", "{after}");
    assert!(after["members"].as_array().unwrap().iter().all(|m| m["to_drop"] == 0), "{after}");
    after
}

/// A cluster of three with a bucket.
fn three() -> (Site, Vec<Node>) {
    let site = Site::new(3, "");
    let nodes = site.start_all();
    site.boss(["bucket", "create", "things"]).ends(0);
    (site, nodes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_joins_and_another_one_leaves_under_load() {
    let (site, mut nodes) = three();
    let client = client(&site).await;
    let load = Load::start(&client, "things", 2, "under");
    load.go_on(200);
    let _newcomer = asks(&site, "n4");
    commit(&site);
    load.go_on(50);
    let after = settle(&site);
    assert_eq!(member(&after, "n4").unwrap()["partitions"], 24);
    load.go_on(50);

    site.boss(["cluster", "leave", "n2"]).ends(0);
    commit(&site);
    let after = settle(&site);
    assert!(member(&after, "n2").is_none(), "{after}");
    let left = nodes.remove(1);
    eventually("it says that nobody needs it any more", || {
        left.log().contains("has left the ring")
    });
    left.crash();
    load.go_on(50);
    let acknowledged = load.end().await;
    check(&client.bucket("things").unwrap(), 2, &acknowledged).await;
}

/// Each kind of those who take part is killed once while a node joins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_killed_while_a_node_joins_goes_on_where_it_stopped() {
    let (site, mut nodes) = three();
    let client = client(&site).await;
    let load = Load::start(&client, "things", 2, "kill");
    load.go_on(300);
    let newcomer = asks(&site, "n4");
    commit(&site);
    // The one that copies.
    newcomer.crash();
    load.go_on(20);
    let _newcomer = site.join("n4", &token(&site, "n4"));
    // The one that an operator asks first, and another one that copies are made of.
    for (at, name) in ["n1", "n2"].into_iter().enumerate() {
        nodes.remove(at).crash();
        load.go_on(20);
        nodes.insert(at, site.start(name));
        load.go_on(20);
    }
    let after = settle(&site);
    assert_eq!(member(&after, "n4").unwrap()["partitions"], 24);
    let acknowledged = load.end().await;
    check(&client.bucket("things").unwrap(), 2, &acknowledged).await;
}

/// The step at which a change is.
fn step(site: &Site) -> &'static str {
    let run = site.boss(["cluster", "status", "--json"]);
    let Ok(status) = serde_json::from_slice::<Value>(&run.out) else { return "unknown" };
    let left = |what: &str| {
        let members = status["members"].as_array().into_iter().flatten();
        members.filter_map(|member| member[what].as_u64()).sum::<u64>()
    };
    match status["phase"].as_str() {
        Some("copying") if left("to_copy") > 0 => "copying",
        Some("handing") => "handing",
        Some("stable") if left("to_drop") > 0 => "dropping",
        _ => "unknown",
    }
}

/// At each step of a change one of those who take part is cut off until the others take it for down, and comes back with all that it
/// had in mind before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_cut_off_at_a_step_of_a_change_goes_on_after_it() {
    let (site, nodes) = three();
    let client = client(&site).await;
    let load = Load::start(&client, "things", 2, "cut");
    load.go_on(300);
    let newcomer = asks(&site, "n4");
    commit(&site);
    // Handing over may be done between two looks.
    let copying = ["copying"].as_slice();
    let after = ["handing", "dropping"].as_slice();
    for (steps, node) in [(copying, &newcomer), (copying, &nodes[2]), (after, &nodes[1])] {
        eventually(steps[0], || steps.contains(&step(&site)));
        node.freeze();
        std::thread::sleep(Duration::from_secs(4));
        load.go_on(20);
        node.wake();
    }
    let after = settle(&site);
    assert_eq!(member(&after, "n4").unwrap()["partitions"], 24);
    let acknowledged = load.end().await;
    check(&client.bucket("things").unwrap(), 2, &acknowledged).await;
}

/// A member gets another share of the ring, and one comes to lie in another zone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_and_zones_change_under_load() {
    let site = Site::new(4, "");
    let _nodes = site.start_all();
    site.boss(["bucket", "create", "things"]).ends(0);
    let client = client(&site).await;
    let load = Load::start(&client, "things", 2, "share");
    load.go_on(100);
    // Half as much as the others: three copies of 32 partitions, a seventh of them here.
    for name in ["n1", "n2", "n3"] {
        site.boss(["cluster", "set-capacity", name, "2"]).ends(0);
    }
    commit(&site);
    let after = settle(&site);
    let n4 = member(&after, "n4").unwrap();
    assert!((13..=14).contains(&n4["partitions"].as_u64().unwrap()), "{after}");
    load.go_on(50);
    // With n1 and n2 in one zone and two zones more, each of these two holds all, and the first one half.
    for (name, zone) in [("n1", "east"), ("n2", "east"), ("n3", "west"), ("n4", "south")] {
        site.boss(["cluster", "set-zone", name, zone]).ends(0);
    }
    commit(&site);
    let after = settle(&site);
    for name in ["n3", "n4"] {
        assert_eq!(member(&after, name).unwrap()["partitions"], 32, "{after}");
    }
    load.go_on(50);
    let acknowledged = load.end().await;
    check(&client.bucket("things").unwrap(), 2, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_disk_is_lost_is_replaced_under_load() {
    let (site, mut nodes) = three();
    let client = client(&site).await;
    let load = Load::start(&client, "things", 2, "lost");
    load.go_on(200);
    nodes.remove(2).crash();
    fs::remove_dir_all(site.path("n3")).unwrap();
    let _newcomer = asks(&site, "n4");
    site.boss(["cluster", "replace", "n3", "--by", "n4", "--lost"]).ends(0);
    commit(&site);
    load.go_on(50);
    let after = settle(&site);
    assert!(member(&after, "n3").is_none() && member(&after, "n4").is_some(), "{after}");
    // With another copy gone, the replacement has to answer.
    nodes.remove(1).crash();
    load.go_on(50);
    let acknowledged = load.end().await;
    check(&client.bucket("things").unwrap(), 2, &acknowledged).await;
}

/// A copy of a directory from before the change knows an old record: its node learns the new one before it counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_from_before_the_change_is_brought_up_to_date() {
    let (site, mut nodes) = three();
    let client = client(&site).await;
    let load = Load::start(&client, "things", 2, "old");
    load.go_on(100);
    assert!(nodes.remove(1).terminate().success());
    copy(&site, "n2", "n2-before");
    nodes.insert(1, site.start("n2"));
    site.meet();
    let _newcomer = asks(&site, "n4");
    commit(&site);
    settle(&site);
    load.go_on(50);
    nodes.remove(1).crash();
    fs::remove_dir_all(site.path("n2")).unwrap();
    copy(&site, "n2-before", "n2");
    nodes.insert(1, site.start("n2"));
    let version = status(&site)["version"].clone();
    eventually("the old directory knows the record", || {
        member(&status(&site), "n2").is_some_and(|n2| n2["known_version"] == version)
    });
    load.go_on(50);
    let acknowledged = load.end().await;
    check(&client.bucket("things").unwrap(), 2, &acknowledged).await;
}

fn copy(site: &Site, from: &str, to: &str) {
    let copied = Command::new("cp").arg("-a").args([site.path(from), site.path(to)]).status();
    assert!(copied.unwrap().success());
}
