//! A trace across nodes, as a collector gets it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use kinfold_host::start;
use kinfold_protocol::cbor;
use kinfold_protocol::id::BucketName;
use kinfold_protocol::message::client::{Get, Request, RequestHeader, Response};
use kinfold_protocol::message::frame::Frame;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::site::{SOON, Site, write};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// A span with the node that it came from.
#[derive(Clone, Debug)]
struct Got {
    node: String,
    span: Value,
}

type Spans = Arc<Mutex<Vec<Got>>>;

/// A collector that keeps what it gets.
async fn collector() -> (String, Spans) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let spans = Spans::default();
    let kept = Arc::clone(&spans);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(take(stream, Arc::clone(&kept)));
        }
    });
    (endpoint, spans)
}

async fn take(stream: TcpStream, spans: Spans) {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    stream.read_line(&mut first).await.unwrap();
    assert_eq!(first.trim_end(), "POST /v1/traces HTTP/1.1");
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        match line.trim_end().to_ascii_lowercase().split_once(": ") {
            Some(("content-length", text)) => length = text.parse().unwrap(),
            Some(("content-type", text)) => assert_eq!(text, "application/json"),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    for of_node in body["resourceSpans"].as_array().unwrap() {
        let attributes = of_node["resource"]["attributes"].as_array().unwrap();
        let name = attributes.iter().find(|a| a["key"] == "service.instance.id").unwrap();
        let node = name["value"]["stringValue"].as_str().unwrap();
        let new = of_node["scopeSpans"][0]["spans"].as_array().unwrap().iter();
        let new = new.map(|span| Got { node: node.to_owned(), span: span.clone() });
        spans.lock().unwrap().extend(new);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
}

/// A request that brings this trace context.
fn traced(request: Request, trace: &str, body: &[u8]) -> Vec<u8> {
    let header =
        RequestHeader { layout: 0, deadline_ms: 0, trace: Some(trace.to_owned()), request };
    let body = if body.is_empty() { Vec::new() } else { vec![Bytes::copy_from_slice(body)] };
    let frame = Frame::new(&header, body).unwrap();
    [&frame.head[..], &frame.body.concat()].concat()
}

fn get() -> Request {
    let key = Bytes::from_static(b"k");
    Request::Get(Get { bucket: BucketName::new("b").unwrap(), key, r: Some(3), consistency: None })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_has_spans_of_every_node_that_took_part() {
    let (endpoint, spans) = collector().await;
    let site = Site::new(&["n1", "n2", "n3"]);
    let mut nodes = Vec::new();
    for name in ["n1", "n2", "n3"] {
        let mut config = site.config(name);
        config.traces.endpoint = Some(endpoint.parse().unwrap());
        // Only what brings a context is recorded.
        config.traces.per_million = 0;
        nodes.push(start(config).await.unwrap());
    }
    let met = async {
        for node in &nodes {
            while node.counters()["peer_links"] < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    tokio::time::timeout(SOON, met).await.unwrap();
    let client = site.admin("n1").await;
    client.make_bucket("b", 3).await;
    let sampled = format!("00-{TRACE}-{SPAN}-01");
    let put = traced(Request::Put(write("k")), &sampled, b"value");
    assert!(matches!(client.say(&put, true).await.0, Response::Written(_)));
    let (found, body) = client.say(&traced(get(), &sampled, b""), true).await;
    assert!(matches!(found, Response::Found(_)) && body == "value", "{found:?}");
    // Not recorded: no context, one that says so, and one that can't be read.
    assert!(matches!(client.get("k").await.0, Response::Found(_)));
    for other in [format!("00-{}-{SPAN}-00", "1".repeat(32)), "nonsense".to_owned()] {
        let found = client.say(&traced(get(), &other, b""), true).await.0;
        assert!(matches!(found, Response::Found(_)), "{found:?}");
    }

    let complete = async {
        loop {
            let got = spans.lock().unwrap().clone();
            let count = |name: &str| got.iter().filter(|got| got.span["name"] == name).count();
            let least = [("put", 1), ("replicate", 2), ("get", 1), ("read", 2)];
            if least.iter().all(|(name, least)| count(name) >= *least) {
                return got;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let Ok(got) = tokio::time::timeout(SOON, complete).await else {
        panic!("{:?}", spans.lock().unwrap())
    };
    assert!(got.iter().all(|got| got.span["traceId"] == TRACE), "{got:?}");
    let nodes_of = |name: &str| -> BTreeSet<&str> {
        let named = got.iter().filter(|got| got.span["name"] == name);
        named.map(|got| got.node.as_str()).collect()
    };
    assert_eq!(nodes_of("put"), BTreeSet::from(["n1"]));
    assert_eq!(nodes_of("replicate"), BTreeSet::from(["n2", "n3"]));
    assert_eq!(nodes_of("read"), BTreeSet::from(["n2", "n3"]));
    for (parent, child) in [("put", "replicate"), ("get", "read")] {
        let above = got.iter().find(|got| got.span["name"] == parent).unwrap();
        assert_eq!(above.span["parentSpanId"], SPAN, "the client's");
        for below in got.iter().filter(|got| got.span["name"] == child) {
            assert_eq!(below.span["parentSpanId"], above.span["spanId"], "{got:?}");
        }
    }
    drop(nodes);
}

/// A node of before traces were there skips the field, and one of now reads a header without it.
#[test]
fn a_header_reads_with_and_without_the_field() {
    #[derive(serde::Deserialize)]
    struct Before {
        layout: u64,
    }
    let header =
        RequestHeader { layout: 7, deadline_ms: 0, trace: Some("x".to_owned()), request: get() };
    let with: Before = cbor::decode(&cbor::encode(&header)).unwrap();
    assert_eq!(with.layout, 7);
    let without = RequestHeader { trace: None, ..header };
    let bytes = cbor::encode(&without);
    assert!(!bytes.windows(5).any(|window| window == b"trace"));
    assert_eq!(cbor::decode::<RequestHeader>(&bytes).unwrap(), without);
}
