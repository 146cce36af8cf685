//! A cluster's folder, its nodes' configurations, and clients that speak in raw frames.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kinfold_host::certificate::{Authority, Role};
use kinfold_host::config::{
    Certificates, Config, Durability, Limits, Log, Member, Merge, Metrics, Repair, Scrub, Storage,
    Traces,
};
use kinfold_host::{Running, start};
use kinfold_protocol::cbor;
use kinfold_protocol::config::BucketConfig;
use kinfold_protocol::id::{BucketName, RequestId};
use kinfold_protocol::message::client::{
    BucketChange, Get, Request, RequestHeader, Response, ResponseHeader, Write,
};
use kinfold_protocol::message::frame::{Frame, PREFIX, Prefix};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, Endpoint};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// How long anything here may take.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A cluster on this machine.
pub(crate) struct Site {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) authority: Authority,
    members: Vec<Member>,
}

impl Site {
    /// A cluster of `c1` with nodes of these names, each with an address of its own.
    pub(crate) fn new(names: &[&str]) -> Self {
        Self::of("c1", names)
    }

    pub(crate) fn of(cluster: &str, names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create(cluster).unwrap();
        authority.save(folder.path()).unwrap();
        let members = names.iter().zip(Self::own_addresses()).map(|(name, address)| Member {
            name: (*name).to_owned(),
            address: address.to_string().parse().unwrap(),
            zone: "default".to_owned(),
            capacity: 1,
        });
        let members = members.collect();
        for name in names {
            authority.issue(Role::Node, name).unwrap().save(folder.path(), name).unwrap();
        }
        Self { folder, authority, members }
    }

    /// Addresses that no other test has. A port that the system chose could be another program's by the time it is used: so each
    /// process has a loopback address of its own, with ports below those that the system gives out.
    fn own_addresses() -> impl Iterator<Item = SocketAddr> {
        static PORT: AtomicU16 = AtomicU16::new(7401);
        let [_, high, middle, low] = std::process::id().to_be_bytes();
        let host = Ipv4Addr::new(127, 1 + high, middle, low);
        std::iter::repeat_with(move || (host, PORT.fetch_add(1, Ordering::Relaxed)).into())
    }

    pub(crate) fn address(&self, node: &str) -> SocketAddr {
        let member = self.members.iter().find(|member| member.name == node).unwrap();
        member.address.as_str().parse().unwrap()
    }

    pub(crate) fn config(&self, node: &str) -> Config {
        let at = |name: String| self.folder.path().join(name);
        Config {
            cluster: self.authority.cluster().to_owned(),
            node: node.to_owned(),
            data_dir: at(format!("data-{node}")),
            listen: self.address(node),
            advertise: self.address(node).to_string().parse().unwrap(),
            partitions: 8,
            durability: Durability::Sync,
            interval_ms: 50,
            shutdown_grace_s: 10,
            plugins_dir: None,
            certificates: Certificates {
                ca: at("ca.pem".to_owned()),
                cert: at(format!("{node}.pem")),
                key: at(format!("{node}.key")),
            },
            storage: Storage { cache_mib: 8, memtable_mib: 4, reserve_mib: 16 },
            scrub: Scrub::default(),
            repair: Repair::default(),
            limits: Limits { value_bytes: 1024 * 1024, ..Limits::default() },
            merge: Merge::default(),
            log: Log::default(),
            metrics: Metrics::default(),
            traces: Traces::default(),
            dial: BTreeMap::new(),
            members: self.members.clone(),
        }
    }

    pub(crate) async fn start(&self, node: &str) -> Running {
        start(self.config(node)).await.unwrap()
    }

    /// Starts a node that was dropped, once what it held is free.
    pub(crate) async fn start_after_drop(&self, node: &str) -> Running {
        tokio::time::timeout(SOON, async {
            loop {
                match start(self.config(node)).await {
                    Ok(running) => return running,
                    Err(_not_yet) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        })
        .await
        .unwrap()
    }

    pub(crate) async fn client(&self, role: Role, node: &str) -> Client {
        let leaf = self.authority.issue(role, "alice").unwrap();
        let name = format!("{node}.node.{}.kinfold", self.authority.cluster());
        let connection = dial(
            self.authority.cert_pem(),
            (&leaf.cert_pem, &leaf.key_pem),
            b"kinfold/1",
            self.address(node),
            &name,
        );
        Client { connection: connection.await.unwrap() }
    }

    pub(crate) async fn admin(&self, node: &str) -> Client {
        self.client(Role::Admin, node).await
    }
}

/// Dials with any certificate and any protocol.
pub(crate) async fn dial(
    ca: &str,
    (cert, key): (&str, &str),
    alpn: &[u8],
    address: SocketAddr,
    name: &str,
) -> Result<Connection, quinn::ConnectionError> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    tls.alpn_protocols = vec![alpn.to_vec()];
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    endpoint.connect_with(config, address, name).unwrap().await
}

/// A client of one node.
pub(crate) struct Client {
    pub(crate) connection: Connection,
}

impl Client {
    pub(crate) async fn ask(&self, request: Request, body: &[u8]) -> (Response, Bytes) {
        let header = RequestHeader { layout: 0, deadline_ms: 0, trace: None, request };
        let frame = Frame::new(&header, vec![Bytes::copy_from_slice(body)]).unwrap();
        let bytes: Vec<u8> = frame.head.iter().chain(body).copied().collect();
        self.say(&bytes, true).await
    }

    /// Writes bytes on a new stream, ends it if told so, and reads the answer.
    pub(crate) async fn say(&self, bytes: &[u8], end: bool) -> (Response, Bytes) {
        let (mut send, mut receive) = self.connection.open_bi().await.unwrap();
        // The node may stop reading before the end.
        let _ = send.write_all(bytes).await;
        if end {
            let _ = send.finish();
        }
        let answer = tokio::time::timeout(SOON, receive.read_to_end(64 * 1024 * 1024));
        let mut answer = Bytes::from(answer.await.unwrap().unwrap());
        let prefix = answer.split_to(PREFIX);
        let prefix = Prefix::decode(prefix[..].try_into().unwrap()).unwrap();
        let header = answer.split_to(prefix.header as usize);
        assert_eq!(answer.len(), prefix.body as usize);
        let header: ResponseHeader = cbor::decode(&header).unwrap();
        (header.response, answer)
    }

    pub(crate) async fn make_bucket(&self, name: &str, copies: u8) {
        let quorum = copies / 2 + 1;
        let config = BucketConfig { n: copies, r: quorum, w: quorum, ..BucketConfig::default() };
        let change = BucketChange { bucket: BucketName::new(name).unwrap(), config, force: false };
        let (response, _) = self.ask(Request::BucketCreate(change), b"").await;
        assert!(matches!(response, Response::BucketSaved { .. }), "{response:?}");
    }

    pub(crate) async fn put(&self, key: &str, value: &[u8]) -> Response {
        self.ask(Request::Put(write(key)), value).await.0
    }

    pub(crate) async fn get(&self, key: &str) -> (Response, Bytes) {
        let bucket = BucketName::new("b").unwrap();
        let key = Bytes::copy_from_slice(key.as_bytes());
        self.ask(Request::Get(Get { bucket, key, r: None, consistency: None }), b"").await
    }
}

/// A write of a key in the bucket `b`.
pub(crate) fn write(key: &str) -> Write {
    let mut request = [0; 16];
    getrandom::fill(&mut request).unwrap();
    Write {
        ttl_ms: None,
        conditional: false,
        bucket: BucketName::new("b").unwrap(),
        key: Bytes::copy_from_slice(key.as_bytes()),
        context: None,
        w: None,
        request: RequestId(request),
    }
}
