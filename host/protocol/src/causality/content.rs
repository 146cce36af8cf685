//! What a version holds: bytes, or the fact that they were deleted.

use core::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The blake3 hash of a value's bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(#[serde(with = "serde_bytes")] pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

/// In hexadecimal.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0[..4] {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// The content of a version. Two contents are equal if their digests are: whether the bytes are at hand makes no difference.
#[derive(Clone)]
pub enum Content {
    /// The key was deleted.
    Tombstone,
    /// A value.
    Value {
        /// Hash of the bytes.
        digest: Digest,
        /// Number of bytes.
        len: u32,
        /// The bytes; `None` in a head, where they stay on the disk or at the sender.
        bytes: Option<Bytes>,
    },
}

impl Content {
    /// A value whose bytes are at hand.
    #[must_use]
    pub fn value(bytes: Bytes) -> Self {
        Self::Value {
            digest: Digest::of(&bytes),
            len: u32::try_from(bytes.len()).expect("the rim refuses values above u32::MAX bytes"),
            bytes: Some(bytes),
        }
    }

    /// A value where there are bytes, a tombstone where there are none.
    #[must_use]
    pub fn from_option(bytes: Option<Bytes>) -> Self {
        bytes.map_or(Self::Tombstone, Self::value)
    }

    /// The bytes, if this is a value and they are at hand.
    #[must_use]
    pub fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Value { bytes, .. } => bytes.as_ref(),
            Self::Tombstone => None,
        }
    }

    /// The digest of the value; `None` for a tombstone.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Self::Value { digest, .. } => Some(*digest),
            Self::Tombstone => None,
        }
    }

    /// Length of the value in bytes; zero for a tombstone.
    #[must_use]
    pub fn len(&self) -> u32 {
        match self {
            Self::Value { len, .. } => *len,
            Self::Tombstone => 0,
        }
    }

    /// Is this value empty, or a tombstone?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Is this a tombstone?
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        matches!(self, Self::Tombstone)
    }

    /// Does this content need bytes that are not at hand?
    #[must_use]
    pub fn lacks_bytes(&self) -> bool {
        matches!(self, Self::Value { bytes: None, .. })
    }

    /// This content without its bytes.
    #[must_use]
    pub fn head(&self) -> Self {
        match self {
            Self::Tombstone => Self::Tombstone,
            Self::Value { digest, len, .. } => {
                Self::Value { digest: *digest, len: *len, bytes: None }
            }
        }
    }

    /// Takes over the bytes of an equal content, if they are at hand there and not here.
    pub(crate) fn adopt(&mut self, other: &Self) {
        if let (
            Self::Value { digest, bytes, .. },
            Self::Value { digest: same, bytes: Some(found), .. },
        ) = (self, other)
            && bytes.is_none()
            && digest == same
        {
            *bytes = Some(found.clone());
        }
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.digest() == other.digest()
    }
}

impl Eq for Content {}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tombstone => f.write_str("tombstone"),
            Self::Value { digest, len, bytes } => {
                write!(f, "{digest:?}[{len}]{}", if bytes.is_some() { "" } else { "?" })
            }
        }
    }
}
