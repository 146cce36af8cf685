//! Names of things: nodes, actors, requests, keys, buckets.

use alloc::string::String;
use core::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A member of the cluster: the identity of its data directory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u64);

impl NodeId {
    /// The identity of the member that the configuration calls `name`.
    ///
    /// While membership is fixed by configuration, every node must reach the same identities from the same names.
    #[must_use]
    pub fn from_name(cluster: &str, name: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("kinfold 2026 node id from name");
        hasher.update(cluster.as_bytes());
        hasher.update(&[0]);
        hasher.update(name.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        Self(u64::from_be_bytes(first))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{:x}", self.0)
    }
}

/// One life of a data directory: minted with it, and anew at every start that no clean stop preceded.
///
/// Dots carry it. A node that lost what it had not synced must not continue its old sequence of dots: it would claim to
/// have seen writes that it no longer holds, and so kill them elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Actor(pub u64);

impl Actor {
    /// As whom the same life makes conditional writes.
    ///
    /// Whether one of those is made is decided by a majority, and perhaps long after its dot was given out. An interval of plain
    /// dots that went over it would claim to have seen it, and kill it.
    ///
    /// It can be told from all others: no mark may ever be set for it, neither while it is present nor after.
    #[must_use]
    pub fn conditional(self) -> Self {
        Self(self.0 | Self::CONDITIONAL)
    }

    /// Is it one that makes conditional writes?
    #[must_use]
    pub fn is_conditional(self) -> bool {
        self.0 & Self::CONDITIONAL != 0
    }

    /// The actor of a life, of these random bits.
    #[must_use]
    pub fn plain(bits: u64) -> Self {
        Self(bits & !Self::CONDITIONAL)
    }

    const CONDITIONAL: u64 = 1 << 63;
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a{:x}", self.0)
    }
}

/// What a client calls one write, whatever number of times it has to send it. Chosen at random by the client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(#[serde(with = "serde_bytes")] pub [u8; 16]);

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{:x}", u128::from_be_bytes(self.0))
    }
}

/// Names a client's request towards the shell, from its arrival to its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(pub u64);

/// The name of a bucket: 1 to [`crate::config::MAX_BUCKET_NAME`] bytes of letters, digits, `-`, `_` and `.`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BucketName(String);

/// A bucket name that breaks the rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no bucket name: use 1 to 64 letters, digits, `-`, `_` or `.`, starting with a letter or digit"
)]
pub struct BadBucketName(pub String);

impl BucketName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`BadBucketName`] if it breaks the rules.
    pub fn new(name: impl Into<String>) -> Result<Self, BadBucketName> {
        let name = name.into();
        let fits = (1..=crate::config::MAX_BUCKET_NAME).contains(&name.len());
        let letters =
            name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        let starts = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if fits && letters && starts { Ok(Self(name)) } else { Err(BadBucketName(name)) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for BucketName {
    type Error = BadBucketName;
    fn try_from(name: String) -> Result<Self, BadBucketName> {
        Self::new(name)
    }
}

impl From<BucketName> for String {
    fn from(name: BucketName) -> Self {
        name.0
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key in its bucket.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The bucket.
    pub bucket: BucketName,
    /// The key's bytes, any.
    pub key: Bytes,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bucket, self.key.escape_ascii())
    }
}
