//! One client that takes all it can get: the node's memory stays bounded, and others are served meanwhile.
//!
//! The flood comes under the name `app`; what is asked of the node meanwhile, under `boss`. Memory is what the process holds above
//! what it held before, after as many requests of the same kind.

use std::fs;
use std::net::UdpSocket;
use std::time::Duration;

use bytes::Bytes;
use kinfold_client::Client;
use kinfold_protocol::cbor;
use kinfold_protocol::message::client::{Request, RequestHeader};
use quinn::{Connection, RecvStream, SendStream};

use crate::frames::{dial, frame};
use crate::site::{Node, Site};

const MIB: u64 = 1024 * 1024;

/// Requests that show that others are served.
const SERVED: u32 = 50;

pub(crate) struct Stage {
    pub(crate) site: Site,
    node: Node,
    other: Client,
    quiet: u64,
}

impl Stage {
    pub(crate) async fn set(settings: &str) -> Self {
        let site = Site::new(1, settings);
        let node = site.start_all().remove(0);
        site.boss(["bucket", "create", "things"]).ends(0);
        let other = Client::connect(site.options()).await.unwrap();
        let mut stage = Self { site, node, other, quiet: 0 };
        // What a node allocates once, for its first requests, is no part of the flood.
        for _ in 0..4 {
            stage.serves().await;
        }
        stage.quiet = stage.resident();
        stage
    }

    async fn dial(&self) -> Connection {
        dial(&self.site, b"kinfold/1").await.unwrap()
    }

    /// Asks as another client does: each put and get has its answer.
    pub(crate) async fn serves(&self) {
        let things = self.other.bucket("things").unwrap();
        for number in 0..SERVED {
            let (key, value) = (format!("key {number}"), Bytes::from(vec![b'v'; 10_000]));
            let seen = things.get(&key).await.unwrap().context;
            things.put(&key, value.clone()).context(seen).await.unwrap();
            assert_eq!(things.get(&key).await.unwrap().values, [value]);
        }
    }

    /// Bytes of the node's process that are in memory.
    fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.node.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().unwrap();
        kilobytes * 1024
    }

    #[track_caller]
    pub(crate) fn holds_less_than(&self, mib: u64) {
        let more = self.resident().saturating_sub(self.quiet);
        assert!(more < mib * MIB, "{} MiB more than in a quiet run", more / MIB);
    }
}

fn status() -> Vec<u8> {
    cbor::encode(&RequestHeader {
        layout: 0,
        deadline_ms: 0,
        trace: None,
        request: Request::Status,
    })
}

/// Opens as many streams as it may on each connection, and says this on each.
async fn streams(
    connections: &[Connection],
    each: u32,
    bytes: &[u8],
) -> Vec<(SendStream, RecvStream)> {
    let mut open = Vec::new();
    for connection in connections {
        for _ in 0..each {
            let (mut send, receive) = connection.open_bi().await.unwrap();
            send.write_all(bytes).await.unwrap();
            open.push((send, receive));
        }
    }
    open
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_are_announced_and_never_sent() {
    let stage = Stage::set("").await;
    let connections = [stage.dial().await];
    // Sixteen of the longest value are all that a node takes in at one time.
    let announced = [100_u32.to_be_bytes(), (16 * 1024 * 1024_u32).to_be_bytes()].concat();
    let _open = streams(&connections, 64, &announced).await;
    stage.serves().await;
    stage.holds_less_than(64);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_never_end_their_header() {
    let stage = Stage::set("").await;
    let mut connections = Vec::new();
    for _ in 0..20 {
        connections.push(stage.dial().await);
    }
    let header = status();
    // More than the requests that a node takes at one time, in streams of which each lacks its last byte.
    let _open = streams(&connections, 250, &frame(&header, 0)[..header.len() + 7]).await;
    stage.serves().await;
    stage.holds_less_than(128);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_a_byte_at_a_time() {
    let stage = Stage::set("").await;
    let connection = stage.dial().await;
    // A header of a megabyte, of which each byte comes in a packet of its own.
    let mut open = streams(&[connection], 100, &[0, 16, 0, 0, 0, 0, 0, 0]).await;
    for _ in 0..100 {
        for (send, _) in &mut open {
            send.write_all(&[0x80]).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stage.serves().await;
    stage.holds_less_than(64);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_there_may_be() {
    let stage = Stage::set("limits = { connections = 64 }").await;
    let mut held = Vec::new();
    for _ in 0..200 {
        held.push(stage.dial().await);
    }
    stage.serves().await;
    // One that comes new finds a place, too, since the flood has one name.
    let late = Client::connect(stage.site.options()).await.unwrap();
    late.bucket("things").unwrap().get("key 0").await.unwrap();
    let mut refused = held.iter().filter(|connection| connection.close_reason().is_some()).count();
    // The last of them may not have been told yet.
    while refused < 200 - 48 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        refused = held.iter().filter(|connection| connection.close_reason().is_some()).count();
    }
    assert_eq!(refused, 200 - 48, "three quarters are for one name");
    stage.holds_less_than(128);
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_are_begun_and_left() {
    let stage = Stage::set("").await;
    for _ in 0..2_000 {
        // Each sends its first flight, and is gone before it is answered.
        let dialled = dial(&stage.site, b"kinfold/1");
        let _ = tokio::time::timeout(Duration::from_micros(500), dialled).await;
    }
    stage.serves().await;
    stage.holds_less_than(256);
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_of_garbage() {
    let stage = Stage::set("").await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut seed = 0x6b69_6e66_u64;
    for number in 0..50_000_u32 {
        let mut datagram = vec![0; 1_200];
        for piece in datagram.chunks_mut(8) {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            piece.copy_from_slice(&seed.to_be_bytes()[..piece.len()]);
        }
        // Half of them look like the first packet of a connection of QUIC 1, or of a version that nobody knows.
        match number % 4 {
            0 => datagram[..6].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8]),
            1 => datagram[..6].copy_from_slice(&[0xc3, 0x1a, 0x2a, 0x3a, 0x4a, 8]),
            _ => {}
        }
        socket.send_to(&datagram, stage.site.nodes[0].1).unwrap();
    }
    stage.serves().await;
    stage.holds_less_than(64);
}
