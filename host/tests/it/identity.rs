//! Who may speak what.

use kinfold_host::certificate::{Authority, Issued, Role};
use kinfold_host::{CloseCode, start};
use kinfold_protocol::config::BucketConfig;
use kinfold_protocol::message::client::{BucketChange, Code, Request, Response};
use quinn::ConnectionError;

use crate::site::{SOON, Site, dial, write};

/// How the node ends a connection on the peer protocol.
async fn refused(site: &Site, leaf: &Issued) -> ConnectionError {
    let dialled = dial(
        site.authority.cert_pem(),
        (&leaf.cert_pem, &leaf.key_pem),
        b"kinfold-peer/1",
        site.address("n1"),
        "n1.node.c1.kinfold",
    );
    match dialled.await {
        Ok(connection) => tokio::time::timeout(SOON, connection.closed()).await.unwrap(),
        Err(error) => error,
    }
}

fn code_and_reason(error: ConnectionError) -> (u64, String) {
    let ConnectionError::ApplicationClosed(close) = error else { panic!("{error}") };
    (close.error_code.into_inner(), String::from_utf8_lossy(&close.reason).into_owned())
}

#[tokio::test]
async fn only_other_members_speak_the_peer_protocol() {
    let site = Site::new(&["n1", "n2"]);
    let node = site.start("n1").await;
    for role in [Role::Client, Role::Admin] {
        let leaf = site.authority.issue(role, "n2").unwrap();
        let (code, reason) = code_and_reason(refused(&site, &leaf).await);
        assert_eq!(code, CloseCode::Identity.code().into_inner());
        assert!(reason.contains("can't speak the protocol between nodes"), "{reason}");
    }
    for (name, why) in
        [("n9", "node `n9` is not another member"), ("n1", "another process with its identity")]
    {
        let leaf = site.authority.issue(Role::Node, name).unwrap();
        let (code, reason) = code_and_reason(refused(&site, &leaf).await);
        assert_eq!(code, CloseCode::NotAMember.code().into_inner());
        assert!(reason.contains(why), "{reason}");
    }
    assert_eq!(node.counters()["peer_connections"], 0);
    assert_eq!(node.counters()["handshakes_failed"], 4);
}

#[tokio::test]
async fn a_client_too_many_is_told_so_and_the_others_go_on() {
    let site = Site::new(&["n1"]);
    let mut config = site.config("n1");
    config.limits.connections = 1;
    let node = start(config).await.unwrap();
    let first = site.admin("n1").await;
    first.make_bucket("b", 1).await;

    let second = site.client(Role::Client, "n1").await;
    let closed = tokio::time::timeout(SOON, second.connection.closed()).await.unwrap();
    let (code, reason) = code_and_reason(closed);
    assert_eq!(code, CloseCode::TooManyConnections.code().into_inner());
    assert!(reason.contains("try another node"), "{reason}");

    assert!(matches!(first.put("k", b"v").await, Response::Written(_)));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_node_of_a_foreign_cluster_is_refused() {
    let site = Site::new(&["n1", "n2"]);
    let node = site.start("n1").await;
    // The same names, under another cluster's authority.
    for cluster in ["c1", "c2"] {
        let leaf = Authority::create(cluster).unwrap().issue(Role::Node, "n2").unwrap();
        let error = refused(&site, &leaf).await;
        assert!(matches!(error, ConnectionError::ConnectionClosed(_)), "{error}");
    }
    assert_eq!(node.counters()["peer_connections"], 0);
}

#[tokio::test]
async fn only_operators_change_buckets() {
    let site = Site::new(&["n1"]);
    let node = site.start("n1").await;
    for role in [Role::Client, Role::Node] {
        let client = site.client(role, "n1").await;
        let change = BucketChange {
            bucket: write("k").bucket,
            config: BucketConfig { n: 1, r: 1, w: 1, ..Default::default() },
            force: false,
        };
        let (response, _) = client.ask(Request::BucketCreate(change), b"").await;
        let Response::Failed(failure) = response else { panic!("{response:?}") };
        assert_eq!(failure.code, Code::Forbidden);
    }
    site.admin("n1").await.make_bucket("b", 1).await;
    node.stop().await.unwrap();
}
