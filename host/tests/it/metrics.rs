//! The port for scrapers: what it tells is what docs/OPERATIONS.md and the dashboard name, no more and no less.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use bytes::Bytes;
use kinfold_host::{Running, start};
use kinfold_protocol::config::{BucketConfig, Mode};
use kinfold_protocol::id::BucketName;
use kinfold_protocol::message::client::{BucketChange, Get, Request, Response};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::site::{SOON, Site, write};

const OPERATIONS: &str = include_str!("../../../docs/OPERATIONS.md");
const DASHBOARD: &str = include_str!("../../../docs/grafana/kinfold.json");

/// A family as it is printed or documented: its type, and its labels.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

async fn http(address: SocketAddr, request: &str) -> (String, String) {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = tokio::time::timeout(SOON, exchange).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

async fn get(address: SocketAddr, path: &str) -> (String, String) {
    http(address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await
}

pub(crate) async fn scrape(node: &Running) -> String {
    let (head, body) = get(node.metrics_addr().unwrap(), "/metrics").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    body
}

/// The family that a sample belongs to.
fn family_of<'f>(families: &'f Families, sample: &str) -> Option<&'f str> {
    let suffixes = ["", "_bucket", "_sum", "_count"];
    let names = suffixes.iter().filter_map(|suffix| sample.strip_suffix(suffix));
    names.into_iter().find_map(|name| families.get_key_value(name)).map(|(name, _)| name.as_str())
}

/// The families of a text, with the labels that their samples have.
fn printed(text: &str) -> Families {
    let mut families = Families::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' ')) {
            let twice = families.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
            assert_eq!(twice, None, "{name} is printed twice");
        } else if !line.starts_with('#') {
            let end = line.find(['{', ' ']).unwrap();
            let name = family_of(&families, &line[..end]);
            let name = name.unwrap_or_else(|| panic!("no family of {line}")).to_owned();
            let labels = line[end..].strip_prefix('{').map(|rest| &rest[..rest.find('}').unwrap()]);
            let keys = labels.into_iter().flat_map(|labels| labels.split(','));
            let keys =
                keys.filter_map(|label| label.split_once('=')).map(|(key, _)| key.to_owned());
            families.get_mut(&name).unwrap().1.extend(keys.filter(|key| key != "le"));
        }
    }
    families
}

/// The families of the tables in docs/OPERATIONS.md.
fn documented() -> Families {
    let mut families = Families::new();
    for row in OPERATIONS.lines().filter_map(|line| line.strip_prefix("| `kinfold_")) {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        let [name, kind, labels, meaning, ""] = columns[..] else { panic!("{row}") };
        assert!(!meaning.is_empty(), "{row}");
        let labels = labels.split(',').map(|label| label.trim().trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        let name = format!("kinfold_{}", name.trim_end_matches('`'));
        assert_eq!(families.insert(name.clone(), (kind.to_owned(), labels)), None, "{name} twice");
    }
    families
}

/// The value of a sample, by the start of its line.
fn value(text: &str, start: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(start));
    let line = line.unwrap_or_else(|| panic!("no {start} in\n{text}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

/// Three nodes that answer scrapers, and have written, merged and read something.
async fn busy() -> (Site, Vec<Running>) {
    let site = Site::new(&["n1", "n2", "n3"]);
    let mut nodes = Vec::new();
    for name in ["n1", "n2", "n3"] {
        let mut config = site.config(name);
        config.metrics.listen = Some((config.listen.ip(), 0).into());
        nodes.push(start(config).await.unwrap());
    }
    let admin = site.admin("n1").await;
    let mode = Mode::Resolver { plugin: "set-union".to_owned() };
    let config = BucketConfig { mode, ..BucketConfig::default() };
    let change = BucketChange { bucket: BucketName::new("b").unwrap(), config, force: false };
    let (made, _) = admin.ask(Request::BucketCreate(change), b"").await;
    assert!(matches!(made, Response::BucketSaved { .. }), "{made:?}");
    for value in [&b"milk\n"[..], b"eggs\n"] {
        let written = admin.ask(Request::Put(write("k")), value).await.0;
        assert!(matches!(written, Response::Written(_)), "{written:?}");
    }
    let bucket = BucketName::new("b").unwrap();
    let key = Bytes::from_static(b"k");
    let get = Get { bucket, key, r: None, consistency: None };
    let (Response::Found(found), body) = admin.ask(Request::Get(get), b"").await else {
        panic!("nothing was found")
    };
    assert!(found.merged && body == "eggs\nmilk\n", "{found:?}");
    (site, nodes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_printed_is_what_is_documented_and_the_other_way_round() {
    let (_site, nodes) = busy().await;
    let mut all = Families::new();
    for node in &nodes {
        for (name, (kind, labels)) in printed(&scrape(node).await) {
            all.entry(name).or_insert((kind, BTreeSet::new())).1.extend(labels);
        }
    }
    let documented = documented();
    let names = |families: &Families| families.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&all), names(&documented), "printed on the left, documented on the right");
    for (name, (kind, labels)) in &all {
        let (documented_kind, documented_labels) = &documented[name];
        assert_eq!(kind, documented_kind, "{name}");
        // Without a sample there are no labels: not everything happens here.
        assert!(labels.is_empty() || labels == documented_labels, "{name} has {labels:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_say_what_happened() {
    let (_site, nodes) = busy().await;
    let text = scrape(&nodes[0]).await;
    let count = |start: &str| value(&text, start);
    assert_eq!(count("kinfold_request_seconds_count{kind=\"put\",outcome=\"ok\"}"), 2.0);
    assert_eq!(count("kinfold_request_seconds_count{kind=\"get\",outcome=\"ok\"}"), 1.0);
    assert_eq!(count("kinfold_coordinated_total{kind=\"put\"}"), 2.0);
    assert_eq!(count("kinfold_get_siblings_bucket{le=\"1\"}"), 0.0);
    assert_eq!(count("kinfold_get_siblings_sum"), 2.0);
    assert_eq!(count("kinfold_plugin_merged_total{plugin=\"set-union\"}"), 1.0);
    assert!(count("kinfold_plugin_fuel_total{plugin=\"set-union\"}") > 0.0);
    assert!(count("kinfold_message_bytes_total{direction=\"sent\",kind=\"replicate\"}") > 0.0);
    assert!(count("kinfold_quic_rtt_seconds{peer=\"n2\"}") > 0.0);
    assert!(count("kinfold_store_syncs_total") >= 2.0);
    assert_eq!(count("kinfold_queue_limit{queue=\"requests\"}"), 4096.0);
    assert_eq!(count("kinfold_partitions"), 8.0);
    // A second scrape counts on.
    let again = scrape(&nodes[0]).await;
    assert!(value(&again, "kinfold_loop_facts_total") > count("kinfold_loop_facts_total"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_port_answers_nothing_else_and_is_closed_by_default() {
    let site = Site::new(&["n1"]);
    let node = site.start("n1").await;
    assert_eq!(node.metrics_addr(), None);
    node.stop().await.unwrap();
    let mut config = site.config("n1");
    config.metrics.listen = Some((config.listen.ip(), 0).into());
    let node = start(config.clone()).await.unwrap();
    let address = node.metrics_addr().unwrap();
    assert!(get(address, "/").await.0.starts_with("HTTP/1.1 404"));
    let post =
        "POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    assert!(http(address, post).await.0.starts_with("HTTP/1.1 405"));
    // Another node can't have the same address, and says so before it touches anything.
    let other = Site::new(&["n1"]);
    let mut taken = other.config("n1");
    taken.metrics.listen = Some(address);
    let error = start(taken).await.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("metrics.listen"), "{error}");
    node.stop().await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "closed with the node");
}

/// All strings under the key `expr`.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str() {
                    Some(text)
                        if key == "expr" || (key == "query" && text.contains("kinfold_")) =>
                    {
                        found.push(text.to_owned())
                    }
                    Some(_) | None => expressions(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_dashboard_shows_all_that_is_there_and_nothing_else() {
    let documented = documented();
    let mut queries = Vec::new();
    expressions(&serde_json::from_str(DASHBOARD).unwrap(), &mut queries);
    let mut shown = BTreeSet::new();
    for query in &queries {
        let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let names: Vec<&str> = words.filter(|word| word.starts_with("kinfold_")).collect();
        assert!(!names.is_empty(), "{query}");
        for name in names {
            let family = family_of(&documented, name);
            shown.insert(family.unwrap_or_else(|| panic!("{name} in {query} is not there")));
        }
    }
    let missing: Vec<&String> =
        documented.keys().filter(|name| !shown.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "the dashboard lacks {missing:?}");
}
