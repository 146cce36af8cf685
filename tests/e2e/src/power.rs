//! Power cuts of whole nodes that take writes: what was acknowledged before the cut is there afterwards.
//!
//! Only what was acknowledged before the cut counts: an fsync that was under way may return success although its bytes are gone.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use crash::image::Image;

use crate::load::{Load, check, client};
use crate::program::skip;
use crate::site::{Node, Site};

/// How many cuts a test makes.
fn cuts() -> usize {
    std::env::var("KINFOLD_POWER_CUTS").map_or(3, |cuts| cuts.parse().unwrap())
}

/// A file system that can lose power, where this machine has one.
fn image() -> Option<Image> {
    let image = Image::new(1_024);
    image.inspect_err(|why| skip(&format!("power cuts of whole nodes: {why}"))).ok()
}

/// All nodes are on one file system, as in one rack: all of them lose power at one moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_lose_power_at_once_and_every_acknowledged_write_is_there() {
    let Some(image) = image() else { return };
    let site = Site::below(&image.path(), "e2e", 3, "");
    // Certificates and configurations are not what this is about.
    rustix::fs::sync();
    let mut nodes = site.start_all();
    site.boss(["bucket", "create", "things"]).ends(0);
    let (mut acknowledged, mut actors) = (Vec::new(), BTreeSet::new());
    for cut in 0..cuts() {
        let client = client(&site).await;
        let load = Load::start(&client, "things", 2, &format!("cut-{cut}"));
        load.go_on(100);
        actors.extend(nodes.iter().map(Node::actor));
        let switch = image.switch().unwrap();
        acknowledged.extend(load.so_far());
        switch.cut().unwrap();
        nodes.into_iter().for_each(Node::crash);
        image.restart().unwrap();
        nodes = site.nodes.iter().map(|(name, _)| site.start(name)).collect();
        site.meet();
        load.end().await;
        check(&client.bucket("things").unwrap(), 2, &acknowledged).await;
    }
    actors.extend(nodes.iter().map(Node::actor));
    assert_eq!(actors.len(), 3 * (cuts() + 1), "no life is lived twice: {actors:?}");
}

/// One node loses power while the others go on. Of a third of the keys of `single` it has the only copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_loses_power_while_writes_go_on_and_every_acknowledged_write_is_there() {
    let Some(image) = image() else { return };
    let site = Site::new(3, "");
    let folder = image.path().join("n2");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    symlink(folder, site.path("n2")).unwrap();
    let mut nodes = site.start_all();
    site.boss(["bucket", "create", "things"]).ends(0);
    let one = ["--n", "1", "--w", "1", "--r", "1", "--consistency", "strict"];
    site.boss([&["bucket", "create", "single"], &one[..]].concat()).ends(0);
    let client = client(&site).await;
    let (things, single) = (client.bucket("things").unwrap(), client.bucket("single").unwrap());
    let (mut replicated, mut only, mut actors) = (Vec::new(), Vec::new(), BTreeSet::new());
    for cut in 0..cuts() {
        let prefix = format!("cut-{cut}");
        let load = Load::start(&client, "things", 2, &prefix);
        let alone = Load::start(&client, "single", 1, &prefix);
        load.go_on(100);
        alone.go_on(100);
        let second = nodes.remove(1);
        actors.insert(second.actor());
        let switch = image.switch().unwrap();
        only.extend(alone.so_far());
        switch.cut().unwrap();
        // The two others take writes meanwhile.
        load.go_on(20);
        second.crash();
        image.restart().unwrap();
        nodes.insert(1, site.start("n2"));
        site.meet();
        load.go_on(20);
        alone.end().await;
        replicated.extend(load.end().await);
        check(&things, 2, &replicated).await;
        check(&single, 1, &only).await;
    }
    actors.insert(nodes[1].actor());
    assert_eq!(actors.len(), cuts() + 1, "no life is lived twice: {actors:?}");
    // Before the file system that one of them is on.
    drop(nodes);
}
