//! What is no request gets a clear answer, and the connection stays good.

use bytes::Bytes;
use kinfold_host::certificate::Role;
use kinfold_protocol::cbor;
use kinfold_protocol::id::{BucketName, RequestId};
use kinfold_protocol::message::client::{Code, Request, RequestHeader, Response, Write};
use kinfold_protocol::message::frame::{Frame, MAX_BODY, MAX_HEADER};

use crate::site::{Client, Site};

fn frame(header: &[u8], body_len: u32, body: &[u8]) -> Vec<u8> {
    let header_len = u32::try_from(header.len()).unwrap();
    let lengths = [header_len.to_be_bytes(), body_len.to_be_bytes()].concat();
    [&lengths, header, body].concat()
}

async fn refusal(client: &Client, bytes: &[u8], end: bool) -> (Code, String) {
    match client.say(bytes, end).await {
        (Response::Failed(failure), body) if body.is_empty() => (failure.code, failure.message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_no_request_is_told_why_and_the_connection_goes_on() {
    let site = Site::new(&["n1"]);
    let node = site.start("n1").await;
    let client = site.client(Role::Client, "n1").await;
    let header = cbor::encode(&RequestHeader {
        layout: 0,
        deadline_ms: 0,
        trace: None,
        request: Request::Layout,
    });
    let put = cbor::encode(&RequestHeader {
        layout: 0,
        deadline_ms: 0,
        trace: None,
        request: Request::Put(Write {
            ttl_ms: None,
            conditional: false,
            bucket: BucketName::new("things").unwrap(),
            key: Bytes::from_static(b"a"),
            context: None,
            w: None,
            request: RequestId([1; 16]),
        }),
    });
    let cases: [(&str, Vec<u8>, bool, Code, &str); 11] = [
        ("nothing", vec![], true, Code::Malformed, "ended before a frame"),
        ("half a prefix", vec![0, 0, 0], true, Code::Malformed, "3 of 8 bytes"),
        ("no header", vec![0; 8], true, Code::Malformed, "a header of 0 bytes"),
        (
            "a long header",
            [(MAX_HEADER + 1).to_be_bytes(), [0; 4]].concat(),
            false,
            Code::Malformed,
            "a header of 2097153 bytes",
        ),
        (
            "a body that nobody takes",
            [1u32.to_be_bytes(), (MAX_BODY + 1).to_be_bytes()].concat(),
            false,
            Code::Malformed,
            "a body of 67108865 bytes",
        ),
        (
            "a body above this node's limit",
            frame(&header, 1024 * 1024 + 1, b"the rest never comes"),
            false,
            Code::TooLarge,
            "at most 1048576",
        ),
        (
            "half a header",
            frame(&header, 0, b"")[..12].to_vec(),
            true,
            Code::Malformed,
            "its header has 4 of",
        ),
        ("half a body", frame(&put, 10, b"12345"), true, Code::Malformed, "5 of 10 bytes"),
        ("a body too many", frame(&header, 5, b"12345"), true, Code::Malformed, "has no body"),
        ("two frames", frame(&header, 0, &frame(&header, 0, b"")), true, Code::Malformed, "follow"),
        ("no CBOR", frame(b"\xff\xff", 0, b""), true, Code::Malformed, "header is malformed"),
    ];
    for (what, bytes, end, code, says) in cases {
        let (found, message) = refusal(&client, &bytes, end).await;
        assert_eq!(found, code, "{what}: {message}");
        assert!(message.contains(says), "{what}: {message}");
        let (response, _) = client.ask(Request::Layout, b"").await;
        assert!(matches!(response, Response::Layout(_)), "after {what}: {response:?}");
    }
    assert_eq!(node.counters()["requests_malformed"], 10);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_needs_no_end_of_its_stream() {
    let site = Site::new(&["n1"]);
    let node = site.start("n1").await;
    let client = site.client(Role::Client, "n1").await;
    let header = RequestHeader { layout: 0, deadline_ms: 0, trace: None, request: Request::Layout };
    let frame = Frame::new(&header, vec![Bytes::new()]).unwrap();
    let (response, _) = client.say(&frame.head, false).await;
    assert!(matches!(response, Response::Layout(_)), "{response:?}");
    drop(node);
}

#[tokio::test]
async fn more_requests_than_may_be_in_progress_are_overload() {
    let site = Site::new(&["n1"]);
    let mut config = site.config("n1");
    config.limits.requests = 1;
    let node = kinfold_host::start(config).await.unwrap();
    let client = site.client(Role::Client, "n1").await;
    let (mut send, _receive) = client.connection.open_bi().await.unwrap();
    // In progress: its prefix is here, and its header never comes.
    send.write_all(&[0, 0, 0, 9, 0, 0, 0, 0]).await.unwrap();
    loop {
        let header =
            RequestHeader { layout: 0, deadline_ms: 0, trace: None, request: Request::Layout };
        let frame = Frame::new(&header, vec![]).unwrap();
        if let Response::Failed(failure) = client.say(&frame.head, true).await.0 {
            assert_eq!(failure.code, Code::Overloaded);
            assert!(failure.retry_after_ms.is_some());
            break;
        }
        // The other stream's bytes were not there yet.
        tokio::task::yield_now().await;
    }
    assert_eq!(node.counters()["requests_turned_away"], 1);
}
