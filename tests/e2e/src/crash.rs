//! Nodes that are killed while they take writes: what was acknowledged is there afterwards.

use crate::load::{Load, check, client};
use crate::site::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_of_three_can_be_killed_while_writes_go_on() {
    let site = Site::new(3, "");
    let mut nodes = site.start_all();
    site.boss(["bucket", "create", "things"]).ends(0);
    let client = client(&site).await;

    let load = Load::start(&client, "things", 2, "one");
    load.go_on(50);
    let second = nodes.remove(1);
    let first_life = second.actor();
    second.crash();
    load.go_on(100);
    let second = site.start("n2");
    site.meet();
    load.go_on(50);
    let acknowledged = load.end().await;
    check(&client.bucket("things").unwrap(), 2, &acknowledged).await;

    // What it had not synced may be gone, so it must not go on as who it was; and after a clean stop the directory may be a copy.
    let second_life = second.actor();
    assert_ne!(first_life, second_life);
    assert!(second.terminate().success());
    let second = site.start("n2");
    site.meet();
    assert_ne!(second.actor(), second_life);
    check(&client.bucket("things").unwrap(), 2, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_can_be_killed_at_once_and_every_acknowledged_write_is_there() {
    let site = Site::new(3, "");
    let mut nodes = site.start_all();
    site.boss(["bucket", "create", "things"]).ends(0);
    let mut acknowledged = Vec::new();
    for prefix in ["first", "second"] {
        let client = client(&site).await;
        let load = Load::start(&client, "things", 2, prefix);
        load.go_on(100);
        nodes.into_iter().for_each(crate::site::Node::crash);
        nodes = site.nodes.iter().map(|(name, _)| site.start(name)).collect();
        site.meet();
        acknowledged.extend(load.end().await);
        check(&client.bucket("things").unwrap(), 2, &acknowledged).await;
    }
    for node in nodes {
        assert!(node.terminate().success());
    }
    let _nodes = site.start_all();
    check(&client(&site).await.bucket("things").unwrap(), 2, &acknowledged).await;
}
