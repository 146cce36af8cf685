//! A node that answers as a test tells it to, behind a real socket and real certificates.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use kinfold_protocol::cbor;
use kinfold_protocol::id::NodeId;
use kinfold_protocol::layout::{Layout, Member};
use kinfold_protocol::message::client::{Request, RequestHeader, Response, ResponseHeader};
use kinfold_protocol::message::frame::{Frame, PREFIX, Prefix};
use kinfold_protocol::ring::Ring;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, RecvStream, SendStream, ServerConfig, VarInt};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;

/// What a node does with a request.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "a test has a handful of them")]
pub(crate) enum Reaction {
    /// Answers it, with a body.
    Answer(Response, Vec<Bytes>),
    /// The first to a get, the second to anything else.
    Either(Box<Reaction>, Box<Reaction>),
    /// Never answers.
    Silence,
    /// Closes the connection.
    Cut,
}

/// Who vouches for the nodes and clients of one cluster.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["ca.test.kinfold".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate and its key, for a node or a client.
    pub(crate) fn issue(&self, names: &[&str]) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }
}

/// A node that answers as it is told.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    endpoint: Endpoint,
    inner: Arc<Inner>,
}

struct Inner {
    react: Mutex<Reaction>,
    layout: Mutex<Option<Layout>>,
    seen: Mutex<Vec<Request>>,
}

impl Node {
    pub(crate) fn start(authority: &Authority, react: Reaction) -> Self {
        let (cert, key) = authority.issue(&["node.test.kinfold"]);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        let ca = rustls::pki_types::pem::PemObject::from_pem_slice(authority.pem.as_bytes());
        roots.add(ca.unwrap()).unwrap();
        let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
            .build()
            .unwrap();
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(
                vec![cert.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        tls.alpn_protocols = vec![b"kinfold/1".to_vec()];
        let config = QuicServerConfig::try_from(tls).unwrap();
        let endpoint = Endpoint::server(
            ServerConfig::with_crypto(Arc::new(config)),
            (Ipv4Addr::LOCALHOST, 0).into(),
        )
        .unwrap();
        let inner = Arc::new(Inner {
            react: Mutex::new(react),
            layout: Mutex::default(),
            seen: Mutex::default(),
        });
        let (accepting, shared) = (endpoint.clone(), inner.clone());
        tokio::spawn(async move {
            while let Some(incoming) = accepting.accept().await {
                let inner = shared.clone();
                tokio::spawn(async move {
                    if let Ok(connection) = incoming.await {
                        serve(connection, inner).await;
                    }
                });
            }
        });
        Self { address: endpoint.local_addr().unwrap(), endpoint, inner }
    }

    /// Tells it what to do from now on.
    pub(crate) fn react(&self, react: Reaction) {
        *self.inner.react.lock().unwrap() = react;
    }

    /// What it was told last.
    pub(crate) fn reaction(&self) -> Reaction {
        self.inner.react.lock().unwrap().clone()
    }

    /// Gives it the layout that it tells of.
    pub(crate) fn learn(&self, layout: Layout) {
        *self.inner.layout.lock().unwrap() = Some(layout);
    }

    /// The requests that reached it, but for those for the layout.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.inner.seen.lock().unwrap().clone()
    }

    /// Vanishes without a word.
    pub(crate) fn stop(&self) {
        self.endpoint.close(VarInt::from_u32(0), b"");
    }
}

async fn serve(connection: Connection, inner: Arc<Inner>) {
    while let Ok((send, recv)) = connection.accept_bi().await {
        let (connection, inner) = (connection.clone(), inner.clone());
        tokio::spawn(async move { answer(&connection, send, recv, &inner).await });
    }
}

async fn answer(
    connection: &Connection,
    mut send: SendStream,
    mut recv: RecvStream,
    inner: &Inner,
) {
    let bytes = recv.read_to_end(1 << 20).await.unwrap();
    let prefix = Prefix::decode(bytes[..PREFIX].try_into().unwrap()).unwrap();
    let body = PREFIX + prefix.header as usize;
    assert_eq!(bytes.len(), body + prefix.body as usize);
    let header: RequestHeader = cbor::decode(&bytes[PREFIX..body]).unwrap();
    let layout = inner.layout.lock().unwrap().clone().unwrap();
    let version = layout.version();
    let reaction = if header.request == Request::Layout {
        Reaction::Answer(Response::Layout(layout), Vec::new())
    } else {
        let reaction = inner.react.lock().unwrap().clone();
        let reading = matches!(header.request, Request::Get(_));
        inner.seen.lock().unwrap().push(header.request);
        match reaction {
            Reaction::Either(read, write) => *if reading { read } else { write },
            other @ (Reaction::Answer(..) | Reaction::Silence | Reaction::Cut) => other,
        }
    };
    match reaction {
        Reaction::Answer(response, body) => {
            let header = ResponseHeader { layout: version, response };
            let frame = Frame::new(&header, body).unwrap();
            let mut pieces = vec![frame.head];
            pieces.extend(frame.body);
            send.write_all_chunks(&mut pieces).await.unwrap();
            send.finish().unwrap();
            let _ = send.stopped().await;
        }
        Reaction::Either(..) | Reaction::Silence => std::future::pending().await,
        Reaction::Cut => connection.close(VarInt::from_u32(9), b"cut"),
    }
}

/// The layout of these nodes, the first being the first owner of everything; `after` makes it a later one.
pub(crate) fn layout(nodes: &[&Node], after: Option<&Layout>) -> Layout {
    let members = (1..).zip(nodes).map(|(n, node)| Member {
        id: NodeId(n),
        name: format!("n{n}"),
        address: node.address.to_string(),
        zone: format!("z{n}"),
        capacity: 1,
    });
    Layout::compute(members.collect(), Ring::new(1).unwrap(), 3, after).unwrap()
}
