//! Bytes that are no request, over real QUIC to a real process: an answer that says so, or a closed stream, and the node
//! goes on.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use kinfold_protocol::cbor;
use kinfold_protocol::message::client::{Code, Request, RequestHeader, Response, ResponseHeader};
use kinfold_protocol::message::frame::{PREFIX, Prefix};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, Endpoint};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::site::{PATIENCE, Site};

/// Dials a node as `app`, with any protocol.
pub(crate) async fn dial(site: &Site, alpn: &[u8]) -> Result<Connection, ConnectionError> {
    let certificate = |name: &str| CertificateDer::from_pem_file(site.path(name)).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate("ca.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(site.path("app.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate("app.pem")], key)
        .unwrap();
    tls.alpn_protocols = vec![alpn.to_vec()];
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    endpoint.connect_with(config, site.nodes[0].1, "node.e2e.kinfold").unwrap().await
}

/// Says `bytes` on a new stream, and gives what the node answers.
pub(crate) async fn say(connection: &Connection, bytes: &[u8]) -> Response {
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    // The node may stop reading before the end.
    let _ = send.write_all(bytes).await;
    let _ = send.finish();
    let answer = tokio::time::timeout(PATIENCE, receive.read_to_end(1024 * 1024));
    let answer = answer.await.unwrap().unwrap();
    let (prefix, rest) = answer.split_at(PREFIX);
    let prefix = Prefix::decode(prefix.try_into().unwrap()).unwrap();
    cbor::decode::<ResponseHeader>(&rest[..prefix.header as usize]).unwrap().response
}

pub(crate) fn frame(header: &[u8], body: u32) -> Vec<u8> {
    let length = u32::try_from(header.len()).unwrap();
    [&length.to_be_bytes(), &body.to_be_bytes(), header].concat()
}

#[tokio::test]
async fn what_is_no_request_is_answered_so_and_the_node_goes_on() {
    let site = Site::new(1, "");
    let _nodes = site.start_all();
    site.boss(["bucket", "create", "things"]).ends(0);
    site.app(["put", "things", "a", "one"]).ends(0);

    let connection = dial(&site, b"kinfold/1").await.unwrap();
    let status = RequestHeader { layout: 0, deadline_ms: 0, trace: None, request: Request::Status };
    let good = cbor::encode(&status);
    let mut cases = vec![
        Vec::new(),
        vec![0; 3],
        vec![0; 8],
        vec![0xff; 64],
        frame(b"", 0),
        frame(b"no CBOR at all", 0),
        frame(&[0x9f; 4096], 0),
        // An array of 2^63 elements, a string of 2^32 bytes.
        frame(&[0x9b, 0x80, 0, 0, 0, 0, 0, 0, 0], 0),
        frame(&[0x7a, 0xff, 0xff, 0xff, 0xff], 0),
        frame(&good, 10),
        [frame(&good, 0), vec![1]].concat(),
    ];
    cases.extend((0..good.len() + 8).map(|cut| frame(&good, 0)[..cut].to_vec()));
    for bytes in cases {
        let response = say(&connection, &bytes).await;
        let malformed = matches!(&response, Response::Failed(f) if f.code == Code::Malformed);
        assert!(malformed, "{}: {response:?}", bytes.escape_ascii());
    }
    // Half a request that nobody ends costs nobody else anything.
    let (mut half, _receive) = connection.open_bi().await.unwrap();
    half.write_all(&frame(&good, 0)[..9]).await.unwrap();
    // A stream that only nodes may open.
    let uni = tokio::time::timeout(Duration::from_millis(200), connection.open_uni()).await;
    assert!(uni.is_err(), "a client may open no such stream");

    assert!(matches!(say(&connection, &frame(&good, 0)).await, Response::Status(_)));
    assert_eq!(site.app(["get", "--quiet", "things", "a"]).ends(0).out, b"one");
}

#[tokio::test]
async fn a_client_can_not_speak_as_a_node() {
    let site = Site::new(1, "");
    let _nodes = site.start_all();
    assert!(dial(&site, b"no-such-protocol").await.is_err());
    // The handshake may succeed on our side before the node has looked at who we are.
    if let Ok(connection) = dial(&site, b"kinfold-peer/1").await {
        let closed = tokio::time::timeout(PATIENCE, connection.closed()).await.unwrap();
        assert!(matches!(
            closed,
            ConnectionError::ApplicationClosed(_) | ConnectionError::ConnectionClosed(_)
        ));
    }
    site.boss(["status"]).ends(0);
}
