//! Certificates of a cluster: one authority, and leaves that say who may act as what.
//!
//! Who somebody is stands in the DNS names of the leaf, since these are what every TLS library checks:
//!
//! | role | DNS names | extended key usage |
//! | --- | --- | --- |
//! | node | `NAME.node.CLUSTER.kinfold`, `node.CLUSTER.kinfold` | server, client |
//! | client | `NAME.client.CLUSTER.kinfold` | client |
//! | admin | `NAME.admin.CLUSTER.kinfold` | client |
//!
//! What must hold: a client's leaf never passes for a node's (it has neither the usage nor the names), and an authority
//! can't vouch for another cluster (a critical name constraint ties it to `CLUSTER.kinfold`). Private keys never
//! lie in a file that others can read, and a key file is never overwritten.

mod authority;
mod pem_file;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

pub use authority::{AUTHORITY_VALIDITY, Authority, Issued, LEAF_VALIDITY};
pub use pem_file::PemFileError;
pub(crate) use pem_file::{read_certificate_file, read_key_file};

/// What the holder of a certificate may act as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A storage node: serves clients and other nodes, and dials other nodes.
    Node,
    /// A client: may do what the access rules give its name.
    Client,
    /// An operator: may also administer the cluster.
    Admin,
}

impl Role {
    /// The label that stands for this role in DNS names.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Client => "client",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl FromStr for Role {
    type Err = CertificateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "node" => Ok(Self::Node),
            "client" => Ok(Self::Client),
            "admin" => Ok(Self::Admin),
            _ => Err(CertificateError::Role(text.to_owned())),
        }
    }
}

/// Why no certificate was made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A name that can't be part of a certificate. Nothing was made.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A word that is no role.
    #[error("`{0}` is not a role: use node, client or admin")]
    Role(String),
    /// A validity of zero, or longer than an authority's. Nothing was made.
    #[error("a certificate can be valid for 1 day up to 10 years, not for {} seconds", .0.as_secs())]
    Validity(Duration),
    /// A text that is not the authority of a cluster.
    #[error("this is not the authority of a Kinfold cluster: {0}")]
    NotAnAuthority(String),
    /// A private key that belongs to another authority.
    #[error(
        "the authority's key does not belong to its certificate: pass the pair that was made together"
    )]
    KeyMismatch,
    /// The certificate library failed. Nothing was made.
    #[error("the certificate could not be made: {0}")]
    Making(#[from] rcgen::Error),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] PemFileError),
}

/// A name that can't be a label of a DNS name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` is not a valid name: it {reason}; use 1 to 63 lowercase letters, digits and hyphens, with no hyphen first or last"
)]
pub struct NameError {
    /// What was refused.
    pub name: String,
    /// Which rule it breaks.
    pub reason: &'static str,
}

/// Checks a cluster's, node's or principal's name: 1 to 63 of `a-z`, `0-9` and `-`, with no hyphen first or last.
///
/// # Errors
/// [`NameError`], which says which rule the name breaks.
pub fn check_name(name: &str) -> Result<(), NameError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let reason = if name.is_empty() {
        "is empty"
    } else if name.len() > 63 {
        "is longer than 63 bytes"
    } else if !name.bytes().all(allowed) {
        "has a character that is not allowed"
    } else if name.starts_with('-') || name.ends_with('-') {
        "begins or ends with a hyphen"
    } else {
        return Ok(());
    };
    Err(NameError { name: name.to_owned(), reason })
}

/// The DNS name that says who somebody is: `NAME.ROLE.CLUSTER.kinfold`.
#[must_use]
pub fn dns_name(role: Role, name: &str, cluster: &str) -> String {
    format!("{name}.{role}.{cluster}.kinfold")
}

/// The DNS name that every node of a cluster answers to, for clients that dial any of them: `node.CLUSTER.kinfold`.
#[must_use]
pub fn any_node_dns_name(cluster: &str) -> String {
    format!("node.{cluster}.kinfold")
}
