//! The client against nodes that misbehave: what reaches whom, under which request id, and what the caller is told.
#![expect(clippy::unwrap_used, reason = "a test whose stage can't be set fails")]

mod node;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kinfold_client::{Client, Code, Error, Options};
use kinfold_protocol::id::RequestId;
use kinfold_protocol::message::client::{Failure, Found, Request, Response, Written};
use tokio::time::timeout;

use crate::node::{Authority, Node, Reaction, layout};

/// Longer than any machine should need.
const PATIENCE: Duration = Duration::from_secs(60);

fn options(authority: &Authority, seeds: &[&Node]) -> Options {
    let (cert, key) = authority.issue(&["me.client.test.kinfold"]);
    Options {
        cluster: "test".to_owned(),
        seeds: seeds.iter().map(|node| node.address.to_string()).collect(),
        ca: authority.pem.clone().into(),
        cert: cert.pem().into(),
        key: key.serialize_pem().into(),
        deadline: Duration::from_secs(3),
        addresses: BTreeMap::new(),
    }
}

fn found(values: &[&'static [u8]]) -> Reaction {
    let response = Response::Found(Found {
        context: Bytes::from_static(b"\x80"),
        values: values.iter().map(|v| u32::try_from(v.len()).unwrap()).collect(),
        expires: vec![],
        deleted: false,
        merged: false,
        merge_failure: None,
        owners: 2,
        fallbacks: 0,
    });
    Reaction::Answer(response, values.iter().map(|v| Bytes::from_static(v)).collect())
}

fn written() -> Reaction {
    let context = Bytes::from_static(b"\x80");
    Reaction::Answer(Response::Written(Written { context, owners: 2, fallbacks: 0 }), Vec::new())
}

fn failed(code: Code) -> Reaction {
    let failure = Failure { code, message: format!("{code:?}"), retry_after_ms: None };
    Reaction::Answer(Response::Failed(failure), Vec::new())
}

fn ids(node: &Node) -> Vec<RequestId> {
    let id = |request| match request {
        Request::Put(write) | Request::Delete(write) => Some(write.request),
        Request::Get(_)
        | Request::List(_)
        | Request::BucketCreate(_)
        | Request::BucketSet(_)
        | Request::BucketList
        | Request::Layout
        | Request::Plugin(_)
        | Request::Cluster(_)
        | Request::Explain(_)
        | Request::Scrub
        | Request::Status => None,
    };
    node.seen().into_iter().filter_map(id).collect()
}

/// Three nodes; the first is the first owner of every key.
async fn three(first: Reaction, others: Reaction) -> ([Node; 3], Client) {
    let authority = Authority::new();
    let mut nodes =
        [first, others.clone(), others].map(|reaction| Node::start(&authority, reaction));
    let draft = layout(&[&nodes[0], &nodes[1], &nodes[2]], None);
    let partition = kinfold_client::Partition(0);
    let first = draft.owners(partition, 1).next().unwrap();
    let at = draft.members().iter().position(|m| m.id == first).unwrap();
    for node in &nodes {
        node.learn(draft.clone());
    }
    // Reactions were given by place; what counts is who owns the key first.
    if at != 0 {
        let (was, other) = (nodes[0].reaction(), nodes[at].reaction());
        nodes[at].react(was);
        nodes[0].react(other);
        nodes.swap(0, at);
    }
    let client = Client::connect(options(&authority, &[&nodes[1]])).await.unwrap();
    (nodes, client)
}

#[tokio::test]
async fn values_come_back_as_they_were_sent() {
    let reaction = found(&[b"milk", b"", b"\x00\xff"]);
    let (_nodes, client) = three(reaction.clone(), reaction).await;
    let found = client.bucket("b").unwrap().get("k").await.unwrap();
    assert_eq!(found.values, [&b"milk"[..], b"", b"\x00\xff"]);
    assert_eq!(found.owners, 2);
}

#[tokio::test]
async fn a_write_goes_to_the_first_owner_and_from_a_silent_one_to_the_next_under_the_same_id() {
    let (nodes, client) = three(Reaction::Silence, written()).await;
    let bucket = client.bucket("b").unwrap();
    assert_eq!(bucket.put("k", "v").await.unwrap().owners, 2);
    let first = ids(&nodes[0]);
    let next: Vec<_> = [ids(&nodes[1]), ids(&nodes[2])].concat();
    assert_eq!((first.len(), next.len()), (1, 1));
    assert_eq!(first, next);
}

#[tokio::test]
async fn a_write_that_nobody_answers_is_unknown_and_names_its_id() {
    let (nodes, client) = three(Reaction::Silence, Reaction::Silence).await;
    let put = client.bucket("b").unwrap().put("k", "v").deadline(Duration::from_secs(3));
    let error = timeout(PATIENCE, put.into_future()).await.unwrap().unwrap_err();
    let Error::Unknown { request: Some(request), .. } = error else { panic!("{error}") };
    let seen: Vec<_> = nodes.iter().flat_map(ids).collect();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|id| id == &seen[0]));
    assert!(error.to_string().contains(&request.to_string()));
}

#[tokio::test]
async fn a_write_cut_off_and_then_refused_is_still_unknown() {
    let (_nodes, client) = three(Reaction::Cut, failed(Code::Forbidden)).await;
    let error = client.bucket("b").unwrap().put("k", "v").await.unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }), "{error}");
}

#[tokio::test]
async fn a_refusal_comes_back_in_the_nodes_words() {
    let (nodes, client) = three(failed(Code::TooLarge), written()).await;
    let error = client.bucket("b").unwrap().put("k", "v").await.unwrap_err();
    assert!(matches!(&error, Error::Refused { code: Code::TooLarge, .. }), "{error}");
    assert_eq!(error.to_string(), "TooLarge");
    assert_eq!(nodes[1].seen().len() + nodes[2].seen().len(), 0);
}

#[tokio::test]
async fn overload_is_tried_elsewhere() {
    let (nodes, client) = three(failed(Code::Overloaded), written()).await;
    client.bucket("b").unwrap().put("k", "v").await.unwrap();
    assert_eq!(nodes[0].seen().len(), 1);
}

#[tokio::test]
async fn a_write_is_unreachable_when_all_nodes_are_gone() {
    let (nodes, client) = three(written(), written()).await;
    for node in &nodes {
        node.stop();
    }
    let bucket = client.bucket("b").unwrap();
    let error = bucket.put("k", "v").deadline(Duration::from_secs(2)).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn reads_take_turns_and_a_lost_connection_is_made_anew() {
    let (nodes, client) = three(found(&[b"v"]), found(&[b"v"])).await;
    let bucket = client.bucket("b").unwrap();
    for _ in 0..6 {
        bucket.get("k").await.unwrap();
    }
    assert!(nodes.iter().all(|node| node.seen().len() == 2));
    for node in &nodes {
        node.react(Reaction::Cut);
    }
    let get = bucket.get("k").deadline(Duration::from_millis(200));
    assert!(matches!(get.await, Err(Error::Unreachable { .. })));
    for node in &nodes {
        node.react(found(&[b"v"]));
    }
    bucket.get("k").await.unwrap();
}

#[tokio::test]
async fn a_delete_without_a_context_deletes_what_a_read_finds() {
    let reaction = Reaction::Either(Box::new(found(&[b"v"])), Box::new(written()));
    let (nodes, client) = three(reaction.clone(), reaction).await;
    client.bucket("b").unwrap().delete("k").await.unwrap();
    let seen: Vec<_> = nodes.iter().flat_map(Node::seen).collect();
    assert_eq!(seen.len(), 2);
    let delete = seen.iter().find_map(|request| match request {
        Request::Delete(write) => Some(write),
        Request::Get(_)
        | Request::List(_)
        | Request::Put(_)
        | Request::BucketCreate(_)
        | Request::BucketSet(_)
        | Request::BucketList
        | Request::Layout
        | Request::Plugin(_)
        | Request::Cluster(_)
        | Request::Explain(_)
        | Request::Scrub
        | Request::Status => None,
    });
    assert_eq!(delete.unwrap().context.as_deref(), Some(&b"\x80"[..]));
}

#[tokio::test]
async fn a_newer_layout_is_fetched_when_a_node_speaks_of_it() {
    let (nodes, client) = three(written(), written()).await;
    let old = client.layout();
    let newer = layout(&[&nodes[0], &nodes[1]], Some(&old));
    nodes.iter().for_each(|node| node.learn(newer.clone()));
    client.bucket("b").unwrap().put("k", "v").await.unwrap();
    let refreshed = async {
        while client.layout().version() != newer.version() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, refreshed).await.unwrap();
}

#[tokio::test]
async fn a_stranger_is_told_about_its_certificate() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let node = Node::start(&ours, written());
    node.learn(layout(&[&node], None));
    let mut options = options(&theirs, &[&node]);
    options.ca = ours.pem.clone().into();
    options.deadline = Duration::from_secs(3);
    let error = Client::connect(options).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
}

/// Without a hedge each get would wait for a share of its deadline of ten minutes.
#[tokio::test]
async fn a_read_that_one_node_does_not_answer_is_put_to_another() {
    let (nodes, client) = three(Reaction::Silence, found(&[b"v"])).await;
    let bucket = client.bucket("b").unwrap();
    let reads = async {
        for _ in 0..6 {
            let get = bucket.get("k").deadline(Duration::from_secs(600));
            assert_eq!(get.await.unwrap().values, [&b"v"[..]]);
        }
    };
    timeout(PATIENCE, reads).await.unwrap();
    assert!(!nodes[0].seen().is_empty(), "it was asked, and did not answer");
}

/// What one node refuses, another one that was asked meanwhile may have.
#[tokio::test]
async fn a_hedge_that_is_refused_leaves_the_other_answer() {
    let (nodes, client) = three(Reaction::Silence, failed(Code::Unavailable)).await;
    let get = client.bucket("b").unwrap().get("k").deadline(Duration::from_secs(3));
    let error = get.await.unwrap_err();
    assert!(matches!(error, Error::Refused { code: Code::Unavailable, .. }), "{error}");
    assert!(nodes.iter().all(|node| !node.seen().is_empty()));
}
