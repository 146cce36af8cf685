//! Starting, stopping and dying.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;

use bytes::Bytes;
use kinfold_host::certificate::Role;
use kinfold_host::{StartError, start};
use kinfold_protocol::message::client::{Code, Request, RequestHeader, Response};
use kinfold_protocol::message::frame::Frame;

use crate::metrics::scrape;
use crate::site::{SOON, Site, dial, write};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_and_a_crash_keep_the_data_and_every_start_is_another_actor() {
    let site = Site::new(&["n1"]);
    let first = site.start("n1").await;
    let actor = first.actor();
    let client = site.admin("n1").await;
    client.make_bucket("b", 1).await;
    assert!(matches!(client.put("k", b"v").await, Response::Written(_)));
    first.stop().await.unwrap();

    let second = site.start("n1").await;
    assert_ne!(second.actor(), actor);
    let client = site.client(Role::Client, "n1").await;
    let (response, body) = client.get("k").await;
    assert!(matches!(response, Response::Found(_)), "{response:?}");
    assert_eq!(body, "v");
    assert!(matches!(client.put("k2", b"v2").await, Response::Written(_)));
    drop(second);

    let third = site.start_after_drop("n1").await;
    assert_ne!(third.actor(), actor);
    let client = site.client(Role::Client, "n1").await;
    assert_eq!(client.get("k2").await.1, "v2");
    third.stop().await.unwrap();
}

/// A handshake that never ends keeps its connection, and with it the socket, for seconds after it was closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_frees_the_address_though_a_handshake_hangs() {
    let site = Site::new(&["n1"]);
    let node = site.start("n1").await;
    let address = site.address("n1");
    // It passes on what the client says, and nothing that the node answers.
    let relay = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let dead_end = relay.local_addr().unwrap();
    let (answered, mut shaking) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let mut packet = [0; 2048];
        while let Ok((size, from)) = relay.recv_from(&mut packet) {
            let gone = if from == address {
                answered.send(()).is_err()
            } else {
                relay.send_to(&packet[..size], address).is_err()
            };
            if gone {
                return;
            }
        }
    });
    let leaf = site.authority.issue(Role::Client, "alice").unwrap();
    let ca = site.authority.cert_pem().to_owned();
    tokio::spawn(async move {
        let own = (leaf.cert_pem.as_str(), leaf.key_pem.as_str());
        let _ = dial(&ca, own, b"kinfold/1", dead_end, "n1.node.c1.kinfold").await;
    });
    tokio::time::timeout(SOON, shaking.recv()).await.unwrap().unwrap();
    node.stop().await.unwrap();
    UdpSocket::bind(address).unwrap();
}

/// The copy of a directory that ended well looks just like the directory: nothing in it could tell that the node has lived on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_copy_of_a_directory_that_ended_well_is_another_actor() {
    let site = Site::new(&["n1"]);
    let first = site.start("n1").await;
    let client = site.admin("n1").await;
    client.make_bucket("b", 1).await;
    assert!(matches!(client.put("k", b"old").await, Response::Written(_)));
    first.stop().await.unwrap();
    let directory = site.config("n1").data_dir;
    let copy = site.folder.path().join("copy");
    copy_all(&directory, &copy);

    let second = site.start("n1").await;
    let actor = second.actor();
    let client = site.admin("n1").await;
    assert!(matches!(client.put("k2", b"new").await, Response::Written(_)));
    second.stop().await.unwrap();
    fs::remove_dir_all(&directory).unwrap();
    copy_all(&copy, &directory);

    let third = site.start("n1").await;
    assert_ne!(third.actor(), actor);
    let client = site.client(Role::Client, "n1").await;
    assert_eq!(client.get("k").await.1, "old");
    third.stop().await.unwrap();
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_stops_the_start_with_a_reason() {
    let site = Site::new(&["n1", "n2", "n3"]);
    let held = UdpSocket::bind(site.address("n1")).unwrap();
    let error = start(site.config("n1")).await.err().unwrap();
    assert!(matches!(error, StartError::AddressInUse(_)), "{error}");
    assert!(!site.config("n1").data_dir.exists(), "nothing is touched before everything fits");
    drop(held);

    let running = site.start("n1").await;
    let mut config = site.config("n1");
    config.listen.set_port(0);
    let error = start(config.clone()).await.err().unwrap().to_string();
    assert!(error.contains("in use by another process"), "{error}");
    running.stop().await.unwrap();

    let mut other = config.clone();
    other.partitions = 16;
    let error = start(other).await.err().unwrap().to_string();
    assert!(error.contains("set `partitions = 8`"), "{error}");

    let mut other = config.clone();
    other.members.pop();
    let error = start(other).await.err().unwrap().to_string();
    assert!(error.contains("`n1`, `n2`, `n3`"), "{error}");

    let mut other = config.clone();
    other.certificates.cert = site.folder.path().join("n2.pem");
    other.certificates.key = site.folder.path().join("n2.key");
    let error = start(other).await.err().unwrap().to_string();
    assert!(error.contains("certificate of node `n2`"), "{error}");

    let mut other = Site::of("c2", &["n1"]).config("n1");
    let foreign = Site::of("c2", &["n1"]);
    other.certificates = foreign.config("n1").certificates;
    other.data_dir.clone_from(&config.data_dir);
    let error = start(other).await.err().unwrap().to_string();
    assert!(error.contains("belongs to node `n1` of cluster `c1`"), "{error}");

    // None of them left anything behind that stops a good start.
    start(config).await.unwrap().stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_requests_finish_and_takes_no_more() {
    let site = Site::new(&["n1"]);
    let mut config = site.config("n1");
    config.metrics.listen = Some((config.listen.ip(), 0).into());
    let node = start(config).await.unwrap();
    let client = site.admin("n1").await;
    client.make_bucket("b", 1).await;
    let (mut send, mut receive) = client.connection.open_bi().await.unwrap();
    let request = Request::Put(write("k"));
    let header = RequestHeader { layout: 0, deadline_ms: 0, trace: None, request };
    let frame = Frame::new(&header, vec![Bytes::from_static(b"value")]).unwrap();
    send.write_all(&frame.head).await.unwrap();
    // The node has to have begun with it before it stops.
    let begun = async {
        while !scrape(&node).await.contains("kinfold_queue_length{queue=\"requests\"} 1") {}
    };
    tokio::time::timeout(SOON, begun).await.unwrap();
    let stopping = tokio::spawn(node.stop());
    loop {
        if let Response::Failed(failure) = client.get("k").await.0 {
            assert_eq!(failure.code, Code::Unavailable);
            break;
        }
        tokio::task::yield_now().await;
    }
    send.write_all(b"value").await.unwrap();
    let answer = tokio::time::timeout(SOON, receive.read_to_end(1024)).await.unwrap();
    assert!(answer.unwrap().len() > 8);
    stopping.await.unwrap().unwrap();
}
