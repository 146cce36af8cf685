use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use quinn::{Connection, ConnectionError, Endpoint, TransportErrorCode};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::*;
use crate::certificate::Authority;
use crate::tls::transport::{client, server};
use crate::tls::{Caller, STREAM_WINDOW};

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
    Credentials { cluster: "c1".to_owned(), provider, roots: Arc::new(roots), own: Arc::new(own) }
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
    if planted::CAN_BE_PLANTED {
        planted::plant(Some(Bug::EarlyData));
        let slipped = n1.server_config();
        planted::plant(None);
        assert!(offers_early_data(slipped, &alice).await, "nothing saw it");
    }

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
    let value = vec![7; 16 << 20];
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
    tokio::time::timeout(wait, at_server.accept_bi()).await.is_ok_and(|accepted| accepted.is_ok())
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
