//! Who is on the other end, and how much of this node they may take up.
//!
//! Every connection is QUIC with TLS 1.3, both ends show a certificate of the cluster's authority, and the application
//! protocol (ALPN) says what is spoken: [`Protocol`]. After the handshake [`Caller::of`] reads from the
//! certificate who it is; nothing may be done for a connection before that.
//!
//! What must hold:
//!
//! - No early data. A put that a client sent as 0-RTT could be replayed by anyone who recorded it, and a replayed put is
//!   a second write. Servers give out no session tickets and accept no early data, clients keep no sessions; so
//!   each connection checks certificates afresh, and a renewed or expired one takes effect at once.
//! - Only a node's certificate may speak the peer protocol.
//! - Everything a remote can make this node hold is bounded: streams, windows, datagrams, handshakes, idle time.
//!
//! Certificates can be replaced while the node runs: [`Credentials::load`] once more, then
//! `Endpoint::set_server_config` with the new configuration; connections that are open stay as they are.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig};
use quinn::{Connection, MtuDiscoveryConfig, TransportConfig, VarInt};
use rustls::RootCertStore;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::certificate::{self, PemFileError, Role};
use crate::config::Certificates;

const MIB: u32 = 1024 * 1024;

/// Bytes of one stream that a remote may have under way, unread. A 16 MiB value goes through in windows of this size; at a
/// round trip of 1 ms it allows 4 GB/s, at 50 ms 80 MB/s, and an idle reader costs no more than this.
pub const STREAM_WINDOW: u32 = 4 * MIB;

/// Requests that one client connection may have open: a client that wants more waits, or opens another connection.
pub const CLIENT_STREAMS: u32 = 256;

/// Bytes of all streams of a client connection that may be under way, unread, in either direction.
pub const CLIENT_WINDOW: u32 = 8 * MIB;

/// Streams of each kind that another node may have open on one connection.
pub const PEER_STREAMS: u32 = 1024;

/// Bytes of all streams of a peer connection that may be under way, unread, in either direction: four values of 16 MiB.
pub const PEER_WINDOW: u32 = 64 * MIB;

/// Bytes of datagrams (gossip) that wait on one connection in each direction; older ones are dropped beyond it.
pub const DATAGRAM_BUFFER: usize = 256 * 1024;

/// A connection on which nothing arrives for so long is closed; clients that want to stay send keep-alives.
pub const SERVER_IDLE: Duration = Duration::from_secs(30);

/// As [`SERVER_IDLE`], on connections that a node opened to another: three keep-alives lost in a row.
pub const PEER_IDLE: Duration = Duration::from_secs(15);

/// How often a node that opened a connection to another keeps it alive.
pub const PEER_KEEP_ALIVE: Duration = Duration::from_secs(5);

/// How far away another node is taken to be until that is measured. The first packet of a handshake is often lost, where a
/// peer is still starting, and is sent again after three times this; the usual 333 ms would make it a second.
pub const PEER_RTT: Duration = Duration::from_millis(50);

/// Connection attempts that wait to be accepted; more are refused at once, at the cost of one packet.
pub const MAX_INCOMING: usize = 1024;

/// Bytes that one attempt may send before it is accepted: a first flight is a few packets.
pub const INCOMING_BUFFER: u64 = 32 * 1024;

/// Bytes that all attempts together may send before they are accepted.
pub const INCOMING_BUFFER_TOTAL: u64 = 8 * 1024 * 1024;

/// Handshakes under way above which an attempt from an address that has not shown it can receive is answered with
/// `Incoming::retry` instead of accepted: the retry token costs no state here, and an attacker with forged addresses
/// never gets as far as a signature. Below it the round trip is saved. The accept loop counts and asks; quinn
/// checks the tokens, which live 15 seconds.
pub const RETRY_ABOVE: usize = 128;

/// The largest UDP payload that is taken, and looked for on the way to the other end. Every connection begins with 1200
/// bytes and probes for more, so this costs some lost probes where the network carries less. A datagram costs one pass
/// through encryption, loss detection and the system: on loopback, and where Ethernet has jumbo frames, a value of 10 KB
/// needs two instead of nine.
pub const MAX_DATAGRAM: u16 = 8_952;

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Requests of clients.
    Client,
    /// Messages between nodes.
    Peer,
}

impl Protocol {
    /// The name by which TLS negotiates it.
    #[must_use]
    pub const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Client => b"kinfold/1",
            Self::Peer => b"kinfold-peer/1",
        }
    }
}

/// Who a certificate says its holder is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Principal {
    /// As what the holder may act.
    pub role: Role,
    /// The holder's name: a node's, a client's or an operator's.
    pub name: String,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.role, self.name)
    }
}

/// Why a connection's other end is nobody to this node. Close the connection: nothing was done for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The handshake is not done, or was not this module's.
    #[error("the connection has no verified certificate and protocol: its handshake is not done")]
    NoHandshake,
    /// The certificate can't be parsed.
    #[error("the certificate can't be parsed: {0}")]
    Unreadable(String),
    /// The certificate is good for another cluster.
    #[error(
        "the certificate is of {principal} of cluster `{found}`, and this is cluster `{cluster}`: connect to its own cluster, or issue one here"
    )]
    OtherCluster {
        /// Who it is, there.
        principal: Principal,
        /// The cluster that the certificate names.
        found: String,
        /// This cluster.
        cluster: String,
    },
    /// The certificate says nothing that has a meaning here.
    #[error(
        "the certificate names nobody (NAME.node, NAME.client or NAME.admin, then .CLUSTER.kinfold): issue it with `kinfold cert`"
    )]
    Nobody,
    /// The certificate names more than one holder.
    #[error("the certificate names both {0} and {1}: issue one certificate for each")]
    Ambiguous(Principal, Principal),
    /// Somebody who is not a node spoke the protocol of nodes.
    #[error("{0} can't speak the protocol between nodes: only a node's certificate can")]
    NotANode(Principal),
}

impl Principal {
    /// Reads who a verified leaf certificate names in a cluster.
    ///
    /// # Errors
    /// [`IdentityError`]: it can't be parsed, is of another cluster, or names nobody or more than one.
    pub fn of_certificate(leaf: &CertificateDer<'_>, cluster: &str) -> Result<Self, IdentityError> {
        let leaf = webpki::EndEntityCert::try_from(leaf)
            .map_err(|e| IdentityError::Unreadable(e.to_string()))?;
        let mut found: Option<Self> = None;
        for name in leaf.valid_dns_names() {
            let Some((principal, of)) = Self::parse(name) else {
                continue;
            };
            if of != cluster {
                return Err(IdentityError::OtherCluster {
                    principal,
                    found: of.to_owned(),
                    cluster: cluster.to_owned(),
                });
            }
            match found {
                Some(first) if first != principal => {
                    return Err(IdentityError::Ambiguous(first, principal));
                }
                Some(_) | None => found = Some(principal),
            }
        }
        found.ok_or(IdentityError::Nobody)
    }

    /// Reads `NAME.ROLE.CLUSTER.kinfold`; the cluster comes apart.
    fn parse(dns: &str) -> Option<(Self, &str)> {
        let mut labels = dns.split('.');
        let (name, role, cluster) = (labels.next()?, labels.next()?, labels.next()?);
        if labels.next()? != "kinfold" || labels.next().is_some() {
            return None;
        }
        certificate::check_name(name).ok()?;
        let principal = Self { role: role.parse().ok()?, name: name.to_owned() };
        Some((principal, cluster))
    }
}

/// The other end of a connection whose handshake is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub principal: Principal,
    /// What it speaks.
    pub protocol: Protocol,
}

impl Caller {
    /// Tells who is on the other end. Both the accepting and the dialling end ask, before anything else.
    ///
    /// # Errors
    /// [`IdentityError`]: nobody of this cluster, or somebody who may not speak this protocol.
    pub fn of(connection: &Connection, cluster: &str) -> Result<Self, IdentityError> {
        let protocol = negotiated(connection).ok_or(IdentityError::NoHandshake)?;
        let chain = connection
            .peer_identity()
            .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok());
        let leaf =
            chain.as_deref().and_then(|chain| chain.first()).ok_or(IdentityError::NoHandshake)?;
        let principal = Principal::of_certificate(leaf, cluster)?;
        match (protocol, principal.role) {
            (Protocol::Client, _) | (Protocol::Peer, Role::Node) => {
                Ok(Self { principal, protocol })
            }
            (Protocol::Peer, Role::Client | Role::Admin) => Err(IdentityError::NotANode(principal)),
        }
    }

    /// Gives an accepted connection the limits of its protocol. A server starts every connection with a client's, the
    /// narrower ones, since it can't know better before the handshake.
    pub fn apply_limits(&self, connection: &Connection) {
        match self.protocol {
            Protocol::Client => {}
            Protocol::Peer => {
                connection.set_max_concurrent_bi_streams(VarInt::from_u32(PEER_STREAMS));
                connection.set_max_concurrent_uni_streams(VarInt::from_u32(PEER_STREAMS));
                connection.set_receive_window(VarInt::from_u32(PEER_WINDOW));
                connection.set_send_window(u64::from(PEER_WINDOW));
            }
        }
    }
}

fn negotiated(connection: &Connection) -> Option<Protocol> {
    let data = connection.handshake_data()?.downcast::<HandshakeData>().ok()?;
    let name = data.protocol?;
    [Protocol::Client, Protocol::Peer].into_iter().find(|protocol| protocol.alpn() == name)
}

/// Why a node's certificates can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file could not be read, or its mode lets others read a key.
    #[error(transparent)]
    File(#[from] PemFileError),
    /// A file is not the PEM that it should be.
    #[error("{path} holds no usable {what}: {reason}", path = .path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Key and certificate are not a pair.
    #[error("{key} is not the key of {cert}: pass the pair that was made together", key = .key.display(), cert = .cert.display())]
    KeyMismatch {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// The node's own certificate would be refused by everybody else.
    #[error("{cert} is refused by the authority in {ca}: {reason}", cert = .cert.display(), ca = .ca.display())]
    Untrusted {
        /// The certificate file.
        cert: PathBuf,
        /// The authority's file.
        ca: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// The node's own certificate names nobody of the cluster.
    #[error("{path}: {source}", path = .path.display())]
    Identity {
        /// The certificate file.
        path: PathBuf,
        /// What is wrong.
        source: IdentityError,
    },
    /// The certificate is somebody else's.
    #[error("{path} is the certificate of {found}, and this is node `{node}`: issue one with role node and this name", path = .path.display())]
    NotThisNode {
        /// The certificate file.
        path: PathBuf,
        /// Whose it is.
        found: Principal,
        /// Who wanted to use it.
        node: String,
    },
}

/// A node's certificate and key, and the authority that it trusts, checked against each other.
#[derive(Clone)]
pub struct Credentials {
    cluster: String,
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    own: Arc<CertifiedKey>,
}

impl Credentials {
    /// Reads the files and checks that they fit: a certificate of this node of this cluster, valid now, vouched for by the
    /// authority (or one of several: while an authority is being replaced, `ca` holds both), with its key.
    ///
    /// # Errors
    /// [`CredentialsError`], which names the file and what to do.
    pub fn load(cluster: &str, node: &str, files: &Certificates) -> Result<Self, CredentialsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        for root in read_chain(&files.ca)? {
            let added = roots.add(root);
            added.map_err(|e| content(&files.ca, "authority certificate", &e))?;
        }
        let own = read_pair(&files.cert, &files.key, &provider)?;
        check_trust(&own.cert, &roots).map_err(|reason| CredentialsError::Untrusted {
            cert: files.cert.clone(),
            ca: files.ca.clone(),
            reason,
        })?;
        let leaf =
            own.cert.first().ok_or_else(|| content(&files.cert, "certificate", &"it is empty"))?;
        let found = Principal::of_certificate(leaf, cluster)
            .map_err(|source| CredentialsError::Identity { path: files.cert.clone(), source })?;
        if found.role != Role::Node || found.name != node {
            return Err(CredentialsError::NotThisNode {
                path: files.cert.clone(),
                found,
                node: node.to_owned(),
            });
        }
        Ok(Self {
            cluster: cluster.to_owned(),
            provider,
            roots: Arc::new(roots),
            own: Arc::new(own),
        })
    }

    /// The DNS name to dial another node by, which its certificate must carry.
    #[must_use]
    pub fn server_name(&self, node: &str) -> String {
        certificate::dns_name(Role::Node, node, &self.cluster)
    }

    /// The configuration of the endpoint that clients and other nodes dial.
    #[must_use]
    pub fn server_config(&self) -> quinn::ServerConfig {
        server(self.server_tls())
    }

    /// The configuration for dialling another node, under the name of [`server_name`](Self::server_name).
    #[must_use]
    pub fn peer_config(&self) -> quinn::ClientConfig {
        let mut tls = client_tls(&self.provider, &self.roots, Some(&self.own));
        tls.alpn_protocols = vec![Protocol::Peer.alpn().to_vec()];
        let mut config = client(tls);
        config.transport_config(Arc::new(peer_transport()));
        config
    }

    fn server_tls(&self) -> rustls::ServerConfig {
        let verifier = WebPkiClientVerifier::builder_with_provider(
            Arc::clone(&self.roots),
            Arc::clone(&self.provider),
        )
        .build()
        .expect("there is at least one root, since it verified our own certificate");
        let mut tls = rustls::ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("ring has the cipher suites of TLS 1.3")
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&self.own))));
        tls.alpn_protocols = vec![Protocol::Client.alpn().to_vec(), Protocol::Peer.alpn().to_vec()];
        tls.max_early_data_size = 0;
        tls.send_tls13_tickets = 0;
        tls.session_storage = Arc::new(NoServerSessionStorage {});
        tls
    }
}

fn client_tls(
    provider: &Arc<CryptoProvider>,
    roots: &Arc<RootCertStore>,
    own: Option<&Arc<CertifiedKey>>,
) -> rustls::ClientConfig {
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring has the cipher suites of TLS 1.3")
        .with_root_certificates(Arc::clone(roots));
    let mut tls = match own {
        Some(own) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(own))))
        }
        None => builder.with_no_client_auth(),
    };
    tls.enable_early_data = false;
    tls.resumption = Resumption::disabled();
    tls
}

fn server(tls: rustls::ServerConfig) -> quinn::ServerConfig {
    let crypto =
        QuicServerConfig::try_from(tls).expect("ring has AES-128-GCM, which Initial packets need");
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(server_transport()))
        // A migrating connection could move its traffic to an address that never shook hands; nodes don't roam.
        .migration(false)
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BUFFER)
        .incoming_buffer_size_total(INCOMING_BUFFER_TOTAL);
    config
}

fn client(tls: rustls::ClientConfig) -> quinn::ClientConfig {
    let crypto =
        QuicClientConfig::try_from(tls).expect("ring has AES-128-GCM, which Initial packets need");
    quinn::ClientConfig::new(Arc::new(crypto))
}

fn server_transport() -> TransportConfig {
    let mut transport = bounded(SERVER_IDLE);
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(CLIENT_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .receive_window(VarInt::from_u32(CLIENT_WINDOW))
        .send_window(u64::from(CLIENT_WINDOW));
    transport
}

fn peer_transport() -> TransportConfig {
    let mut transport = bounded(PEER_IDLE);
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(PEER_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(PEER_STREAMS))
        .receive_window(VarInt::from_u32(PEER_WINDOW))
        .send_window(u64::from(PEER_WINDOW))
        .initial_rtt(PEER_RTT)
        .keep_alive_interval(Some(PEER_KEEP_ALIVE));
    transport
}

fn bounded(idle: Duration) -> TransportConfig {
    let idle = idle.try_into().expect("idle times are seconds, far below 2^62 milliseconds");
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(MAX_DATAGRAM);
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(idle))
        .mtu_discovery_config(Some(mtu))
        // One answer after the other is whole earlier, on average, than all of them a little at a time.
        .send_fairness(false)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_BUFFER);
    transport
}

fn content(path: &Path, what: &'static str, reason: &dyn fmt::Display) -> CredentialsError {
    CredentialsError::Content { path: path.to_owned(), what, reason: reason.to_string() }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let bytes = certificate::read_certificate_file(path)?;
    let chain = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| content(path, "certificate", &e))?;
    if chain.is_empty() {
        let reason = "it has no `BEGIN CERTIFICATE` section";
        return Err(content(path, "certificate", &reason));
    }
    Ok(chain)
}

fn read_pair(
    cert: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, CredentialsError> {
    let chain = read_chain(cert)?;
    let bytes = certificate::read_key_file(key)?;
    let private =
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|e| content(key, "private key", &e))?;
    let signer = provider
        .key_provider
        .load_private_key(private)
        .map_err(|e| content(key, "private key", &e))?;
    let pair = CertifiedKey::new(chain, signer);
    match pair.keys_match() {
        Ok(()) => Ok(pair),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(CredentialsError::KeyMismatch { cert: cert.to_owned(), key: key.to_owned() })
        }
        Err(e) => Err(content(cert, "certificate", &e)),
    }
}

/// Checks what every peer will check, so that a node with a bad certificate says so when it starts.
fn check_trust(chain: &[CertificateDer<'static>], roots: &RootCertStore) -> Result<(), String> {
    let (leaf, rest) = chain.split_first().ok_or("it is empty")?;
    let leaf = webpki::EndEntityCert::try_from(leaf).map_err(|e| explain(&e))?;
    for usage in [webpki::KeyUsage::client_auth(), webpki::KeyUsage::server_auth()] {
        leaf.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &roots.roots,
            rest,
            UnixTime::now(),
            usage,
            None,
            None,
        )
        .map_err(|e| explain(&e))?;
    }
    Ok(())
}

fn explain(error: &webpki::Error) -> String {
    let known = if matches!(error, webpki::Error::CertExpired { .. }) {
        "it has expired; issue a new one"
    } else if matches!(error, webpki::Error::CertNotValidYet { .. }) {
        "it is not valid yet; check this machine's clock"
    } else if matches!(
        error,
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey
    ) {
        "another authority issued it; use the authority's file that came with it"
    } else if matches!(error, webpki::Error::RequiredEkuNotFoundContext(_)) {
        "it is not for a node, which both serves and dials; issue one with role node"
    } else {
        return error.to_string();
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::{Ipv4Addr, SocketAddr};
    use std::os::unix::fs::PermissionsExt;

    use quinn::{ConnectionError, Endpoint, TransportErrorCode};
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::server::ServerSessionMemoryCache;

    use super::*;
    use crate::certificate::Authority;

    const UNSUPPORTED_CERTIFICATE: u8 = 43;
    /// Authorities of one cluster's name have one subject, so that only the signature tells them apart.
    const DECRYPT_ERROR: u8 = 51;
    const CERTIFICATE_REQUIRED: u8 = 116;
    const NO_APPLICATION_PROTOCOL: u8 = 120;

    /// A folder with the authority's certificate and one leaf.
    fn files(ca: &str, cert: &str, key: &str) -> (tempfile::TempDir, Certificates) {
        let folder = tempfile::tempdir().unwrap();
        let files = Certificates {
            ca: folder.path().join("ca.pem"),
            cert: folder.path().join("own.pem"),
            key: folder.path().join("own.key"),
        };
        fs::write(&files.ca, ca).unwrap();
        fs::write(&files.cert, cert).unwrap();
        fs::write(&files.key, key).unwrap();
        fs::set_permissions(&files.key, PermissionsExt::from_mode(0o600)).unwrap();
        (folder, files)
    }

    fn node(authority: &Authority, name: &str) -> Credentials {
        let own = authority.issue(Role::Node, name).unwrap();
        let (_folder, files) = files(authority.cert_pem(), &own.cert_pem, &own.key_pem);
        Credentials::load(authority.cluster(), name, &files).unwrap()
    }

    /// Any leaf with any roots, unchecked: what a stranger may turn up with.
    fn stranger(ca: &str, cert: &str, key: &str) -> Credentials {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(ca.as_bytes()).unwrap();
        roots.add(root).unwrap();
        let (_folder, files) = files(ca, cert, key);
        let own = read_pair(&files.cert, &files.key, &provider).unwrap();
        Credentials {
            cluster: "c1".to_owned(),
            provider,
            roots: Arc::new(roots),
            own: Arc::new(own),
        }
    }

    fn holder(authority: &Authority, role: Role, name: &str) -> Credentials {
        let own = authority.issue(role, name).unwrap();
        stranger(authority.cert_pem(), &own.cert_pem, &own.key_pem)
    }

    fn dialler(who: &Credentials, alpn: &[u8]) -> quinn::ClientConfig {
        let mut tls = client_tls(&who.provider, &who.roots, Some(&who.own));
        tls.alpn_protocols = vec![alpn.to_vec()];
        client(tls)
    }

    fn endpoint(config: quinn::ServerConfig) -> (Endpoint, SocketAddr) {
        let endpoint = Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = endpoint.local_addr().unwrap();
        (endpoint, address)
    }

    fn dialling() -> Endpoint {
        Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap()
    }

    /// What both ends make of one handshake: the server's view, then the dialler's.
    async fn shake(
        server: quinn::ServerConfig,
        config: quinn::ClientConfig,
        name: &str,
    ) -> (Result<Connection, ConnectionError>, Result<Connection, ConnectionError>) {
        let (server, address) = endpoint(server);
        let dialled = dialling();
        let connecting = dialled.connect_with(config, address, name).unwrap();
        let accept = async { server.accept().await.unwrap().await };
        let both = async { tokio::join!(accept, connecting) };
        tokio::time::timeout(Duration::from_secs(10), both).await.unwrap()
    }

    /// The TLS alert with which this end itself refused a handshake.
    fn alert(result: Result<Connection, ConnectionError>) -> TransportErrorCode {
        let error = result.unwrap_err();
        if let ConnectionError::TransportError(error) = &error {
            return error.code;
        }
        panic!("closed by no alert of this end: {error}");
    }

    #[tokio::test]
    async fn each_protocol_is_accepted_from_whom_it_is_for() {
        let authority = Authority::create("c1").unwrap();
        let (n1, n2) = (node(&authority, "n1"), node(&authority, "n2"));
        let name = n2.server_name("n1");
        let (at_server, at_peer) = shake(n1.server_config(), n2.peer_config(), &name).await;
        let caller = Caller::of(&at_server.unwrap(), "c1").unwrap();
        assert_eq!(caller.protocol, Protocol::Peer);
        assert_eq!(caller.principal.to_string(), "node `n2`");
        let callee = Caller::of(&at_peer.unwrap(), "c1").unwrap();
        assert_eq!(callee.principal.to_string(), "node `n1`");

        for role in [Role::Client, Role::Admin] {
            let config = dialler(&holder(&authority, role, "alice"), b"kinfold/1");
            let (at_server, at_client) = shake(n1.server_config(), config, "node.c1.kinfold").await;
            let caller = Caller::of(&at_server.unwrap(), "c1").unwrap();
            assert_eq!(caller.protocol, Protocol::Client);
            assert_eq!((caller.principal.role, caller.principal.name.as_str()), (role, "alice"));
            assert!(at_client.is_ok());
        }
    }

    #[tokio::test]
    async fn a_client_can_not_speak_as_a_node() {
        let authority = Authority::create("c1").unwrap();
        for role in [Role::Client, Role::Admin] {
            let config = dialler(&holder(&authority, role, "n2"), b"kinfold-peer/1");
            let server = node(&authority, "n1").server_config();
            let (at_server, _at_client) = shake(server, config, "n1.node.c1.kinfold").await;
            let refused = Caller::of(&at_server.unwrap(), "c1").unwrap_err();
            assert!(matches!(refused, IdentityError::NotANode(_)), "{refused}");
        }
    }

    #[tokio::test]
    async fn an_unknown_protocol_is_refused() {
        let authority = Authority::create("c1").unwrap();
        let config = dialler(&holder(&authority, Role::Client, "alice"), b"kinfold/2");
        let server = node(&authority, "n1").server_config();
        let (at_server, _) = shake(server, config, "n1.node.c1.kinfold").await;
        assert_eq!(alert(at_server), TransportErrorCode::crypto(NO_APPLICATION_PROTOCOL));
    }

    #[tokio::test]
    async fn no_certificate_no_connection() {
        let authority = Authority::create("c1").unwrap();
        let n1 = node(&authority, "n1");
        let mut tls = client_tls(&n1.provider, &n1.roots, None);
        tls.alpn_protocols = vec![Protocol::Client.alpn().to_vec()];
        let (at_server, _) = shake(n1.server_config(), client(tls), "n1.node.c1.kinfold").await;
        assert_eq!(alert(at_server), TransportErrorCode::crypto(CERTIFICATE_REQUIRED));
    }

    #[tokio::test]
    async fn another_authority_is_refused_by_both_ends() {
        let (ours, theirs) = (Authority::create("c1").unwrap(), Authority::create("c1").unwrap());
        let (n1, name) = (node(&ours, "n1"), "n1.node.c1.kinfold");
        let foreign = theirs.issue(Role::Node, "n2").unwrap();

        // It trusts our authority, so that only we can refuse.
        let in_disguise = stranger(ours.cert_pem(), &foreign.cert_pem, &foreign.key_pem);
        let (at_server, _) = shake(n1.server_config(), in_disguise.peer_config(), name).await;
        assert_eq!(alert(at_server), TransportErrorCode::crypto(DECRYPT_ERROR));

        let foreign = theirs.issue(Role::Node, "n1").unwrap();
        let in_disguise = stranger(ours.cert_pem(), &foreign.cert_pem, &foreign.key_pem);
        let (_, at_peer) = shake(in_disguise.server_config(), n1.peer_config(), name).await;
        assert_eq!(alert(at_peer), TransportErrorCode::crypto(DECRYPT_ERROR));
    }

    /// A company's own authority, not tied to one cluster, as other tools make it.
    fn company() -> (String, Issuer<'static, KeyPair>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        (pem, Issuer::new(params, key))
    }

    fn company_leaf(names: &[&str]) -> (String, Credentials) {
        let (ca, issuer) = company();
        let key = KeyPair::generate().unwrap();
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).unwrap();
        let cert = params.signed_by(&key, &issuer).unwrap().pem();
        let own = stranger(&ca, &cert, &key.serialize_pem());
        (cert, own)
    }

    #[tokio::test]
    async fn a_node_of_another_cluster_is_refused_under_a_shared_authority() {
        let (_, both) = company_leaf(&["n1.node.c2.kinfold"]);
        let name = "n1.node.c2.kinfold";
        let (at_server, at_peer) = shake(both.server_config(), both.peer_config(), name).await;
        for connection in [at_server.unwrap(), at_peer.unwrap()] {
            let refused = Caller::of(&connection, "c1").unwrap_err();
            assert!(matches!(refused, IdentityError::OtherCluster { .. }), "{refused}");
            let said = refused.to_string();
            assert!(said.contains("node `n1` of cluster `c2`") && said.contains("`c1`"), "{said}");
            assert!(Caller::of(&connection, "c2").is_ok());
        }
    }

    #[tokio::test]
    async fn a_client_can_not_serve() {
        let authority = Authority::create("c1").unwrap();
        let n1 = node(&authority, "n1");
        for role in [Role::Client, Role::Admin] {
            // Dialled by the very name it has, so that only the key usage is against it.
            let name = certificate::dns_name(role, "alice", "c1");
            let server = holder(&authority, role, "alice").server_config();
            let (_, at_peer) = shake(server, n1.peer_config(), &name).await;
            assert_eq!(alert(at_peer), TransportErrorCode::crypto(UNSUPPORTED_CERTIFICATE));
        }
    }

    #[tokio::test]
    async fn a_node_is_only_itself() {
        let authority = Authority::create("c1").unwrap();
        let (n1, n2) = (node(&authority, "n1"), node(&authority, "n2"));
        let name = n1.server_name("n3");
        let (_, at_peer) = shake(n2.server_config(), n1.peer_config(), &name).await;
        assert!(at_peer.unwrap_err().to_string().contains("n3.node.c1.kinfold"));
    }

    #[test]
    fn a_certificate_names_one_holder() {
        let of = |names: &[&str]| {
            let (pem, _) = company_leaf(names);
            let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            Principal::of_certificate(&der, "c1")
        };
        let n1 = Principal { role: Role::Node, name: "n1".to_owned() };
        assert_eq!(of(&["n1.node.c1.kinfold", "node.c1.kinfold"]), Ok(n1.clone()));
        assert_eq!(of(&["host.example.com", "n1.node.c1.kinfold"]), Ok(n1));
        for nobody in [
            "node.c1.kinfold",
            "host.example.com",
            "*.node.c1.kinfold",
            "n1.boss.c1.kinfold",
            "a.n1.node.c1.kinfold",
            "n1.node.c1.kinfold.com",
        ] {
            assert_eq!(of(&[nobody]), Err(IdentityError::Nobody), "{nobody}");
        }
        for two in ["n2.node.c1.kinfold", "n1.client.c1.kinfold"] {
            let refused = of(&["n1.node.c1.kinfold", two]);
            assert!(matches!(refused, Err(IdentityError::Ambiguous(..))), "{two}");
        }
    }

    /// Whether a dialler that comes back, and would send early data, finds that it may.
    async fn offers_early_data(server: quinn::ServerConfig, who: &Credentials) -> bool {
        let mut tls = client_tls(&who.provider, &who.roots, Some(&who.own));
        tls.alpn_protocols = vec![Protocol::Client.alpn().to_vec()];
        tls.enable_early_data = true;
        tls.resumption = Resumption::in_memory_sessions(8);
        let config = client(tls);
        let (server, address) = endpoint(server);
        let dialled = dialling();
        let connect = || dialled.connect_with(config.clone(), address, "n1.node.c1.kinfold");
        let accepting = tokio::spawn(async move {
            while let Some(incoming) = server.accept().await {
                let connection = incoming.await.unwrap();
                // Follows the tickets, if there are any: whoever has read it has them.
                let (mut send, _receive) = connection.accept_bi().await.unwrap();
                send.write_all(b"after").await.unwrap();
                send.finish().unwrap();
                connection.closed().await;
            }
        });
        let first = connect().unwrap().await.unwrap();
        let (mut send, mut receive) = first.open_bi().await.unwrap();
        send.write_all(b"x").await.unwrap();
        assert_eq!(receive.read_to_end(16).await.unwrap(), b"after");
        first.close(0u32.into(), b"");
        let offered = connect().unwrap().into_0rtt().is_ok();
        accepting.abort();
        offered
    }

    #[tokio::test]
    async fn early_data_is_never_offered() {
        let authority = Authority::create("c1").unwrap();
        let n1 = node(&authority, "n1");
        let alice = holder(&authority, Role::Client, "alice");
        assert!(!offers_early_data(n1.server_config(), &alice).await);

        // The same dialler does find it where a server offers it: the answer above is the server's doing.
        let mut careless = n1.server_tls();
        careless.max_early_data_size = u32::MAX;
        careless.send_tls13_tickets = 2;
        careless.session_storage = ServerSessionMemoryCache::new(8);
        assert!(offers_early_data(server(careless), &alice).await);
    }

    /// Bytes of one stream that a writer gets rid of while nobody reads.
    async fn unread(connection: &Connection) -> usize {
        let (mut send, _receive) = connection.open_bi().await.unwrap();
        let (chunk, mut sent) = (vec![0; 64 * 1024], 0);
        let quiet = Duration::from_millis(500);
        while let Ok(written) = tokio::time::timeout(quiet, send.write(&chunk)).await {
            sent += written.unwrap();
        }
        sent
    }

    #[tokio::test]
    async fn an_unread_stream_stops_at_its_window() {
        let authority = Authority::create("c1").unwrap();
        let (n1, n2) = (node(&authority, "n1"), node(&authority, "n2"));
        let name = n2.server_name("n1");
        let (_at_server, at_peer) = shake(n1.server_config(), n2.peer_config(), &name).await;
        assert_eq!(unread(&at_peer.unwrap()).await, STREAM_WINDOW as usize);
    }

    #[tokio::test]
    async fn a_large_value_passes_on_one_stream() {
        let authority = Authority::create("c1").unwrap();
        let (n1, n2) = (node(&authority, "n1"), node(&authority, "n2"));
        let name = n2.server_name("n1");
        let (at_server, at_peer) = shake(n1.server_config(), n2.peer_config(), &name).await;
        let (at_server, at_peer) = (at_server.unwrap(), at_peer.unwrap());
        let value = vec![7; 16 * MIB as usize];
        let send = async {
            let (mut send, _receive) = at_peer.open_bi().await.unwrap();
            send.write_all(&value).await.unwrap();
            send.finish().unwrap();
            send.stopped().await.unwrap();
        };
        let receive = async {
            let (_send, mut receive) = at_server.accept_bi().await.unwrap();
            receive.read_to_end(value.len()).await.unwrap()
        };
        let both = async { tokio::join!(send, receive) };
        let (_, got) = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
        assert!(got == value);
    }

    #[tokio::test]
    async fn only_peers_may_open_one_way_streams() {
        let authority = Authority::create("c1").unwrap();
        let (n1, n2) = (node(&authority, "n1"), node(&authority, "n2"));
        let name = n2.server_name("n1");
        let (at_server, at_peer) = shake(n1.server_config(), n2.peer_config(), &name).await;
        let (at_server, at_peer) = (at_server.unwrap(), at_peer.unwrap());
        let wait = Duration::from_millis(300);
        assert!(tokio::time::timeout(wait, at_peer.open_uni()).await.is_err());
        Caller::of(&at_server, "c1").unwrap().apply_limits(&at_server);
        let wait = Duration::from_secs(10);
        assert!(tokio::time::timeout(wait, at_peer.open_uni()).await.is_ok());

        let alice = dialler(&holder(&authority, Role::Client, "alice"), b"kinfold/1");
        let (at_server, at_client) = shake(n1.server_config(), alice, &name).await;
        let (at_server, at_client) = (at_server.unwrap(), at_client.unwrap());
        Caller::of(&at_server, "c1").unwrap().apply_limits(&at_server);
        let wait = Duration::from_millis(300);
        assert!(tokio::time::timeout(wait, at_client.open_uni()).await.is_err());
    }

    /// Whether a connection outlives a change of its dialler's address.
    async fn migrates(server: quinn::ServerConfig, who: &Credentials) -> bool {
        let (server, address) = endpoint(server);
        let dialled = dialling();
        let name = who.server_name("n1");
        let connecting = dialled.connect_with(who.peer_config(), address, &name);
        let accept = async { server.accept().await.unwrap().await };
        let (at_server, at_peer) = tokio::join!(accept, connecting.unwrap());
        let (at_server, at_peer) = (at_server.unwrap(), at_peer.unwrap());
        let elsewhere = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        dialled.rebind(elsewhere).unwrap();
        let (mut send, _receive) = at_peer.open_bi().await.unwrap();
        send.write_all(b"x").await.unwrap();
        let wait = Duration::from_secs(1);
        tokio::time::timeout(wait, at_server.accept_bi())
            .await
            .is_ok_and(|accepted| accepted.is_ok())
    }

    #[tokio::test]
    async fn connections_do_not_move() {
        let authority = Authority::create("c1").unwrap();
        let (n1, n2) = (node(&authority, "n1"), node(&authority, "n2"));
        assert!(!migrates(n1.server_config(), &n2).await);
        let mut roaming = n1.server_config();
        roaming.migration(true);
        assert!(migrates(roaming, &n2).await);
    }

    /// How loading fails for node `n1` of cluster `c1`.
    fn refused(ca: &str, cert: &str, key: &str) -> CredentialsError {
        let (_folder, files) = files(ca, cert, key);
        Credentials::load("c1", "n1", &files).err().unwrap()
    }

    #[test]
    fn credentials_that_do_not_fit_are_refused_at_start() {
        let (ours, theirs) = (Authority::create("c1").unwrap(), Authority::create("c1").unwrap());
        let ca = ours.cert_pem();
        let own = ours.issue(Role::Node, "n1").unwrap();
        let other = ours.issue(Role::Node, "n2").unwrap();
        let admin = ours.issue(Role::Admin, "n1").unwrap();
        let foreign = theirs.issue(Role::Node, "n1").unwrap();
        let foreign_ca = Authority::create("c2").unwrap().cert_pem().to_owned();
        let cases = [
            (refused(ca, &own.cert_pem, &other.key_pem), "own.key is not the key of"),
            (refused(ca, &other.cert_pem, &other.key_pem), "certificate of node `n2`"),
            (refused(ca, &admin.cert_pem, &admin.key_pem), "it is not for a node"),
            (refused(ca, &foreign.cert_pem, &foreign.key_pem), "another authority issued it"),
            (refused(&foreign_ca, &own.cert_pem, &own.key_pem), "another authority issued it"),
            (refused("", &own.cert_pem, &own.key_pem), "ca.pem holds no usable certificate"),
            (refused(ca, "nothing", &own.key_pem), "own.pem holds no usable certificate"),
            (refused(ca, &own.cert_pem, ca), "own.key holds no usable private key"),
        ];
        for (error, expected) in cases {
            assert!(error.to_string().contains(expected), "{expected}: {error}");
        }
        let elsewhere = Authority::create("c2").unwrap();
        let own = elsewhere.issue(Role::Node, "n1").unwrap();
        let error = refused(elsewhere.cert_pem(), &own.cert_pem, &own.key_pem);
        assert!(error.to_string().contains("cluster `c2`"), "{error}");
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let authority = Authority::create("c1").unwrap();
        let own = authority.issue(Role::Node, "n1").unwrap();
        let (_folder, files) = files(authority.cert_pem(), &own.cert_pem, &own.key_pem);
        let load = |mode| {
            fs::set_permissions(&files.key, PermissionsExt::from_mode(mode)).unwrap();
            Credentials::load("c1", "n1", &files)
        };
        assert!(load(0o600).is_ok() && load(0o400).is_ok());
        for mode in [0o640, 0o604, 0o700] {
            let said = load(mode).err().unwrap().to_string();
            assert!(said.contains("own.key") && said.contains("chmod 600"), "{said}");
        }
        fs::remove_file(&files.key).unwrap();
        let missing = Credentials::load("c1", "n1", &files).err().unwrap().to_string();
        assert!(missing.contains("own.key can't be read"), "{missing}");
    }

    #[test]
    fn both_authorities_count_while_one_replaces_the_other() {
        let (old, new) = (Authority::create("c1").unwrap(), Authority::create("c1").unwrap());
        let own = old.issue(Role::Node, "n1").unwrap();
        let both = format!("{}{}", new.cert_pem(), old.cert_pem());
        let (_folder, files) = files(&both, &own.cert_pem, &own.key_pem);
        assert!(Credentials::load("c1", "n1", &files).is_ok());
    }
}
