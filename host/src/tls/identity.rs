//! Who is on the other end of a connection: what its certificate says, and what it may speak.

use std::fmt;

use quinn::crypto::rustls::HandshakeData;
use quinn::{Connection, VarInt};
use rustls::pki_types::CertificateDer;

use super::transport::{PEER_STREAMS, PEER_WINDOW};
use crate::certificate::{self, Role};

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
