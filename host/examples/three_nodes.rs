//! How fast three nodes in one process take writes, beside what bare quinn makes of the same traffic.
//!
//! `cargo run --release -p kinfold-host --example three_nodes -- [relay|nodes] [callers] [seconds] [bytes]`
//!
//! `relay`: a client sends values to one server, which passes each on to two others and answers after the first of them did:
//! the packets of a put with W = 2, without a store. `nodes`: the same, as puts to nodes.

#![allow(clippy::unwrap_used, reason = "a measurement that fails says so by a panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinfold_host::certificate::Role;
use kinfold_host::tls::Credentials;
use kinfold_protocol::message::client::Response;
use quinn::{Connection, Endpoint, EndpointConfig, TokioRuntime};

#[path = "../tests/it/site.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod site;

use site::{Client, Site};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |at: usize, default: usize| arguments.get(at).map_or(default, |text| text.parse().unwrap());
    let (callers, seconds, bytes) = (number(1, 64), number(2, 5), number(3, 10_000));
    let load = Load { callers, length: Duration::from_secs(seconds as u64) };
    let site = Site::new(&["n1", "n2", "n3"]);
    match arguments.first().map(String::as_str) {
        Some("relay") => relay(&site, load, bytes).await,
        _ => nodes(&site, load, bytes).await,
    }
}

struct Load {
    callers: usize,
    length: Duration,
}

impl Load {
    async fn run<F: Future<Output = ()> + Send>(
        self,
        what: &str,
        call: impl Fn(usize) -> F + Send + Sync + 'static,
    ) {
        let (call, done) = (Arc::new(call), Arc::new(AtomicUsize::new(0)));
        let start = Instant::now();
        let tasks: Vec<_> = (0..self.callers)
            .map(|_| {
                let (call, done) = (Arc::clone(&call), Arc::clone(&done));
                tokio::spawn(async move {
                    let mut took = Vec::new();
                    while start.elapsed() < self.length {
                        let before = Instant::now();
                        call(done.fetch_add(1, Ordering::Relaxed)).await;
                        took.push(before.elapsed());
                    }
                    took
                })
            })
            .collect();
        let mut took = Vec::new();
        for task in tasks {
            took.extend(task.await.unwrap());
        }
        took.sort();
        let rate = took.len() as f64 / start.elapsed().as_secs_f64();
        let at = |share: usize| took[took.len() * share / 1000];
        println!(
            "{what}: {rate:.0}/s with {} callers, p50 {:?}, p99 {:?}",
            self.callers,
            at(500),
            at(990)
        );
    }
}

async fn nodes(site: &Site, load: Load, bytes: usize) {
    let nodes = [site.start("n1").await, site.start("n2").await, site.start("n3").await];
    for node in &nodes {
        while node.counters()["peer_links"] < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    site.admin("n1").await.make_bucket("b", 3).await;
    let mut clients: Vec<Client> = Vec::new();
    for name in ["n1", "n2", "n3"] {
        clients.push(site.client(Role::Client, name).await);
    }
    let clients = Arc::new(clients);
    let value = Arc::new(incompressible(bytes));
    let call = move |n: usize| {
        let (clients, value) = (Arc::clone(&clients), Arc::clone(&value));
        async move {
            let written = clients[n % 3].put(&format!("key{n}"), &value).await;
            assert!(matches!(written, Response::Written(_)), "{written:?}");
        }
    };
    load.run("nodes", call).await;
    for node in nodes {
        println!("{:?}", node.counters());
        node.stop().await.unwrap();
    }
}

async fn relay(site: &Site, load: Load, bytes: usize) {
    let mut endpoints = Vec::new();
    for name in ["n1", "n2", "n3"] {
        let credentials = Credentials::load("c1", name, &site.config(name).certificates).unwrap();
        let socket = std::net::UdpSocket::bind(site.address(name)).unwrap();
        let mut config = EndpointConfig::default();
        config.max_udp_payload_size(kinfold_host::tls::MAX_DATAGRAM).unwrap();
        let server = Some(credentials.server_config());
        let endpoint = Endpoint::new(config, server, socket, Arc::new(TokioRuntime)).unwrap();
        endpoints.push((name, endpoint, credentials));
    }
    // Those that take what is passed on.
    for (_, endpoint, _) in &endpoints {
        let endpoint = endpoint.clone();
        let others: Vec<_> = Vec::new();
        tokio::spawn(serve(endpoint, Arc::new(tokio::sync::Mutex::new(others))));
    }
    let mut clients = Vec::new();
    for (name, endpoint, credentials) in &endpoints {
        let mut others = Vec::new();
        for (other, _, _) in endpoints.iter().filter(|(other, _, _)| other != name) {
            let dialled = endpoint
                .connect_with(
                    credentials.peer_config(),
                    site.address(other),
                    &credentials.server_name(other),
                )
                .unwrap();
            others.push(dialled.await.unwrap());
        }
        let client = site.client(Role::Client, name).await;
        RELAYS.lock().unwrap().push((endpoint.local_addr().unwrap().port(), others));
        clients.push(client.connection);
    }
    let clients = Arc::new(clients);
    let value = Arc::new(incompressible(bytes));
    let call = move |n: usize| {
        let (clients, value) = (Arc::clone(&clients), Arc::clone(&value));
        async move {
            let (mut send, mut receive) = clients[n % 3].open_bi().await.unwrap();
            send.write_chunk(Bytes::copy_from_slice(&value)).await.unwrap();
            send.finish().unwrap();
            assert_eq!(receive.read_to_end(100).await.unwrap().len(), 40);
        }
    };
    load.run("relay", call).await;
}

static RELAYS: std::sync::Mutex<Vec<(u16, Vec<Connection>)>> = std::sync::Mutex::new(Vec::new());

async fn serve(endpoint: Endpoint, _others: Arc<tokio::sync::Mutex<Vec<Connection>>>) {
    let port = endpoint.local_addr().unwrap().port();
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let connection = incoming.await.unwrap();
            let caller = kinfold_host::tls::Caller::of(&connection, "c1").unwrap();
            caller.apply_limits(&connection);
            let relays = caller.protocol == kinfold_host::tls::Protocol::Client;
            while let Ok((mut send, mut receive)) = connection.accept_bi().await {
                tokio::spawn(async move {
                    let value = receive.read_to_end(1 << 20).await.unwrap();
                    if relays {
                        let others = RELAYS
                            .lock()
                            .unwrap()
                            .iter()
                            .find(|relay| relay.0 == port)
                            .unwrap()
                            .1
                            .clone();
                        let value = Bytes::from(value);
                        let mut answers = others.into_iter().map(|other| {
                            let value = value.clone();
                            tokio::spawn(async move {
                                let (mut send, mut receive) = other.open_bi().await.unwrap();
                                send.write_chunk(value).await.unwrap();
                                send.finish().unwrap();
                                receive.read_to_end(100).await.unwrap();
                            })
                        });
                        let (first, second) = (answers.next().unwrap(), answers.next().unwrap());
                        tokio::select! { one = first => one.unwrap(), two = second => two.unwrap() }
                    }
                    send.write_all(&[0; 40]).await.unwrap();
                    send.finish().unwrap();
                });
            }
        });
    }
}

fn incompressible(bytes: usize) -> Vec<u8> {
    let mut value = vec![0; bytes];
    getrandom::fill(&mut value).unwrap();
    value
}
