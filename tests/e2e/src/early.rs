//! A client that sends a put as early data (0-RTT), which anybody who records it could send again: it is never carried out.
//!
//! A node gives out no tickets, so an honest client has nothing to begin with. This one has a ticket from a server of its own, with the
//! cluster's certificates, and shows it to the node.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use kinfold_protocol::cbor;
use kinfold_protocol::id::{BucketName, RequestId};
use kinfold_protocol::message::client::{Request, RequestHeader, Response, Write};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, Incoming, ServerConfig, WriteError,
};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::floods::Stage;
use crate::frames::{frame, say};
use crate::site::Site;

const ALPN: &[u8] = b"kinfold/1";

fn certificate(site: &Site, name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(site.path(&format!("{name}.pem"))).unwrap()
}

fn key(site: &Site, name: &str) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_file(site.path(&format!("{name}.key"))).unwrap()
}

/// A client that keeps tickets, and sends early data wherever it has one.
fn hasty(site: &Site) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(site, "ca")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate(site, "app")], key(site, "app"))
        .unwrap();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.enable_early_data = true;
    ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()))
}

/// A server that looks like a node, gives out tickets, and takes early data.
fn careless(site: &Site) -> Endpoint {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate(site, "n1")], key(site, "n1"))
        .unwrap();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.max_early_data_size = u32::MAX;
    let config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    let endpoint = Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let accepting = endpoint.clone();
    tokio::spawn(async move {
        while let Some(incoming) = accepting.accept().await {
            tokio::spawn(greet(incoming));
        }
    });
    endpoint
}

/// Says a word behind the tickets, and stays until the client closes. One that has left already, as whoever only asks whether its early
/// data is taken may, hears nothing.
async fn greet(incoming: Incoming) -> Result<(), ConnectionError> {
    let connection = incoming.await?;
    let mut greeting = connection.open_uni().await?;
    let _ = greeting.write_all(b"hello").await;
    let _ = greeting.finish();
    connection.closed().await;
    Ok(())
}

/// The client, with a ticket.
struct Hasty {
    endpoint: Endpoint,
    config: ClientConfig,
    careless: SocketAddr,
}

impl Hasty {
    async fn new(site: &Site) -> (Self, Endpoint) {
        let server = careless(site);
        let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let careless = server.local_addr().unwrap();
        (Self { endpoint, config: hasty(site), careless }, server)
    }

    /// Gets a ticket. It is good for one try.
    async fn get_ticket(&self) {
        let dialling =
            self.endpoint.connect_with(self.config.clone(), self.careless, "node.e2e.kinfold");
        let connection = dialling.unwrap().await.unwrap();
        // Tickets come behind the handshake, and before this.
        connection.accept_uni().await.unwrap().read_to_end(16).await.unwrap();
        connection.close(0_u32.into(), b"");
    }

    /// Dials, and says `bytes` before it has heard anything. The connection, and whether they were taken.
    async fn say_early(&self, to: SocketAddr, bytes: &[u8]) -> (Connection, bool) {
        self.get_ticket().await;
        let dialling = self.endpoint.connect_with(self.config.clone(), to, "node.e2e.kinfold");
        let early = dialling.unwrap().into_0rtt();
        let (connection, taken) = early.unwrap_or_else(|_| panic!("there is a ticket"));
        let (mut send, _receive) = connection.open_bi().await.unwrap();
        send.write_all(bytes).await.unwrap();
        let _ = send.finish();
        let taken = taken.await;
        if !taken && connection.close_reason().is_none() {
            let error = send.write_all(b"more").await.unwrap_err();
            assert!(matches!(error, WriteError::ZeroRttRejected | WriteError::ClosedStream));
        }
        (connection, taken)
    }
}

fn put(value: &[u8]) -> Vec<u8> {
    let request = Request::Put(Write {
        bucket: BucketName::new("things").unwrap(),
        key: "early".into(),
        context: None,
        w: None,
        request: RequestId([7; 16]),
        conditional: false,
        ttl_ms: None,
    });
    let header = RequestHeader { layout: 0, deadline_ms: 0, trace: None, request };
    [frame(&cbor::encode(&header), u32::try_from(value.len()).unwrap()), value.to_vec()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_in_early_data_is_not_carried_out_and_the_same_one_after_the_handshake_is() {
    let site = Site::new(1, "");
    let _nodes = site.start_all();
    site.boss(["bucket", "create", "things"]).ends(0);
    let (client, server) = Hasty::new(&site).await;
    // The client can do it: a server that lets it finds out.
    let (_, taken) = client.say_early(server.local_addr().unwrap(), b"early").await;
    assert!(taken, "a careless server takes early data");

    let (connection, taken) = client.say_early(site.nodes[0].1, &put(b"one")).await;
    assert!(!taken, "a node takes none");
    site.app(["get", "--quiet", "--strict", "things", "early"]).ends(3);
    // The handshake went on without it.
    let answer = say(&connection, &put(b"two")).await;
    assert!(matches!(answer, Response::Written(_)), "{answer:?}");
    let read = site.app(["get", "--quiet", "--strict", "things", "early"]).ends(0);
    assert_eq!(read.out, b"two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_early_data_costs_bounded_memory_and_others_are_served() {
    let stage = Stage::set("").await;
    let (client, _server) = Hasty::new(&stage.site).await;
    let node = stage.site.nodes[0].1;
    // As much as a client may send before it is answered.
    let bytes = put(&vec![b'v'; 1024 * 1024]);
    for _ in 0..300 {
        client.get_ticket().await;
        let dialling =
            client.endpoint.connect_with(client.config.clone(), node, "node.e2e.kinfold");
        let Ok((connection, _)) = dialling.unwrap().into_0rtt() else {
            panic!("there is a ticket")
        };
        let bytes = bytes.clone();
        tokio::spawn(async move {
            if let Ok((mut send, _receive)) = connection.open_bi().await {
                let _ = send.write_all(&bytes).await;
            }
        });
    }
    stage.serves().await;
    stage.holds_less_than(128);
}
