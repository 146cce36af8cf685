//! Two processes with one identity: a data directory that was copied, as with a virtual machine, and started beside its node.

use std::fs;
use std::process::Command;

use kinfold_client::{Client, Consistency};

use crate::program::{command, run};
use crate::site::{Node, Site, eventually};

/// Copies `n2`'s directory while it is stopped, and writes a configuration for the copy, with an address of its own.
fn copy_of_n2(site: &Site, second: Node, settings: &str) -> Node {
    assert!(second.terminate().success());
    let (from, to) = (site.path("n2"), site.path("copy"));
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
    let text = fs::read_to_string(site.config("n2")).unwrap();
    let text = text.replace("data_dir = 'n2'", "data_dir = 'copy'");
    let text = text.replace(
        &format!("listen = '{}'", site.nodes[1].1),
        &format!("listen = '{}'\n{settings}", address(site)),
    );
    fs::write(site.config("copy"), text).unwrap();
    site.start("n2")
}

/// One that nobody else has: the second node's, at another port.
fn address(site: &Site) -> std::net::SocketAddr {
    let mut address = site.nodes[1].1;
    address.set_port(address.port() + 1_000);
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_sees_its_node_does_not_start() {
    let site = Site::new(3, "");
    let mut nodes = site.start_all();
    site.boss(["bucket", "create", "things"]).ends(0);
    let second = copy_of_n2(&site, nodes.remove(1), "");
    site.meet();
    let mut serve = command();
    serve.arg("serve").arg("--config").arg(site.config("copy"));
    let ran = run(serve, b"").ends(1);
    assert!(ran.err.contains("another process answers as this node at"), "{ran}");
    assert!(ran.err.contains(&site.nodes[1].1.to_string()), "{ran}");
    eventually("the node itself says so too", || {
        second.log().contains("another process has this node's own certificate")
    });
    site.app(["put", "--w", "3", "things", "key", "value"]).ends(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_does_not_see_its_node_is_told_by_the_others_and_stops() {
    let site = Site::new(3, "");
    let mut nodes = site.start_all();
    site.boss(["bucket", "create", "things"]).ends(0);
    // As behind a firewall: nobody answers there.
    let nowhere = format!("dial = {{ n2 = '{}:1' }}", site.nodes[1].1.ip());
    let _second = copy_of_n2(&site, nodes.remove(1), &nowhere);
    site.meet();
    let copy = site.start("copy");
    copy.actor();
    // A client that knows no other node writes while the copy serves. One disk is enough for it.
    let mut options = site.options();
    options.seeds = vec![address(&site).to_string()];
    let mut taken = Vec::new();
    if let Ok(client) = Client::connect(options).await {
        let things = client.bucket("things").unwrap();
        for n in 0..200 {
            let key = format!("key {n}");
            if things.put(&key, key.clone()).w(1).await.is_ok() {
                taken.push(key);
            }
        }
    }
    eventually("the copy is told and stops", || {
        copy.log().contains("another process is n2, and runs for longer")
    });
    eventually("the others say so", || {
        nodes.iter().all(|node| node.log().contains("two processes are this node"))
    });
    site.meet();
    let client = Client::connect(site.options()).await.unwrap();
    let things = client.bucket("things").unwrap();
    for key in taken {
        let found = things.get(&key).consistency(Consistency::Strict).r(3).await.unwrap();
        assert_eq!(found.values, [key]);
    }
    site.app(["put", "--w", "3", "things", "key", "value"]).ends(0);
}
