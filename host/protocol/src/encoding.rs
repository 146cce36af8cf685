//! The encoding of objects, on the disk and on the wire.
//!
//! Small values stand in the record; larger ones stand beside it, so that they are never walked byte by byte: on the disk
//! under a key of their own, on the wire behind the header.

use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::causality::{
    Acceptor, Ballot, Content, Context, Digest, Dot, Epoch, Generation, Marks, Object, Opened,
    Owed, Stored, Version,
};
use crate::cbor::{self, CborError};
use crate::id::RequestId;
use crate::time::Expiry;

/// Where the bytes of a version are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum BodyRecord {
    /// There are none: a delete.
    #[serde(rename = "t")]
    Tombstone,
    /// Not here; only their digest and length.
    #[serde(rename = "h")]
    Head(Digest, u32),
    /// Beside the record, in order.
    #[serde(rename = "b")]
    Beside(Digest, u32),
    /// Here.
    #[serde(rename = "i")]
    Inline(Bytes),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct VersionRecord {
    #[serde(rename = "d")]
    dot: Dot,
    #[serde(rename = "b")]
    body: BodyRecord,
    #[serde(rename = "c", default, skip_serializing_if = "Context::is_empty")]
    covers: Context,
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    generation: Generation,
    #[serde(rename = "e", default, skip_serializing_if = "Epoch::is_default")]
    epoch: Epoch,
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    expires: Option<Expiry>,
}

/// An object as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRecord {
    #[serde(rename = "c")]
    context: Context,
    #[serde(rename = "v")]
    versions: Vec<VersionRecord>,
    #[serde(rename = "q", default, skip_serializing_if = "Vec::is_empty")]
    requests: Vec<(Dot, RequestId)>,
    #[serde(rename = "m", default, skip_serializing_if = "Marks::is_empty")]
    marks: Marks,
}

#[derive(Serialize, Deserialize)]
struct StoredRecord {
    #[serde(rename = "o")]
    object: ObjectRecord,
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    opened: Option<Opened>,
    #[serde(rename = "w", default, skip_serializing_if = "Vec::is_empty")]
    owed: Vec<Owed>,
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    acceptor: Option<AcceptorRecord>,
}

#[derive(Serialize, Deserialize)]
struct AcceptorRecord {
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    promised: Option<Ballot>,
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    accepted: Option<Ballot>,
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    proposal: Option<ObjectRecord>,
}

/// A record that is no object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not the CBOR of an object.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// The bytes beside the record are not as long as it says.
    #[error("the bytes of the values are {found} long, the record says {expected}")]
    Length {
        /// What the record says.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// The bytes of a value do not have its digest.
    #[error("the bytes of a value do not have its digest")]
    Digest,
}

impl ObjectRecord {
    /// The record of `object` with values up to `inline` bytes in it, and the bytes of larger ones in order. Values whose
    /// bytes are not at hand become heads.
    #[must_use]
    pub fn new(object: &Object, inline: u32) -> (Self, Vec<Bytes>) {
        let mut beside = Vec::new();
        let versions = object
            .versions
            .iter()
            .map(|v| VersionRecord {
                dot: v.dot,
                body: match &v.content {
                    Content::Tombstone => BodyRecord::Tombstone,
                    Content::Value { digest, len, bytes: None } => BodyRecord::Head(*digest, *len),
                    Content::Value { len, bytes: Some(bytes), .. } if *len <= inline => {
                        BodyRecord::Inline(bytes.clone())
                    }
                    Content::Value { digest, len, bytes: Some(bytes) } => {
                        beside.push(bytes.clone());
                        BodyRecord::Beside(*digest, *len)
                    }
                },
                covers: v.covers.clone(),
                generation: v.generation,
                epoch: v.epoch,
                expires: v.expires,
            })
            .collect();
        let record = Self {
            context: object.context.clone(),
            versions,
            requests: object.requests.clone(),
            marks: object.marks.latest(Marks::IN_MESSAGE),
        };
        (record, beside)
    }

    /// The object, with the bytes that stand beside the record.
    ///
    /// # Errors
    /// [`DecodeError`] if `beside` does not have the length or a digest that the record names.
    pub fn with_bodies(self, mut beside: Bytes) -> Result<Object, DecodeError> {
        let expected = self.beside_len();
        if expected != beside.len() as u64 {
            return Err(DecodeError::Length { expected, found: beside.len() as u64 });
        }
        self.build(|digest, len| {
            let bytes = beside.split_to(len as usize);
            if Digest::of(&bytes) == digest { Ok(Some(bytes)) } else { Err(DecodeError::Digest) }
        })
    }

    /// The object, with every value that stands beside the record as a head.
    #[must_use]
    pub fn without_bodies(self) -> Object {
        self.build(|_, _| Ok(None)).expect("no body is looked at")
    }

    /// How many bytes stand beside the record.
    #[must_use]
    pub fn beside_len(&self) -> u64 {
        self.versions
            .iter()
            .map(|v| match v.body {
                BodyRecord::Beside(_, len) => u64::from(len),
                BodyRecord::Tombstone | BodyRecord::Head(..) | BodyRecord::Inline(_) => 0,
            })
            .sum()
    }

    fn build(
        self,
        mut body: impl FnMut(Digest, u32) -> Result<Option<Bytes>, DecodeError>,
    ) -> Result<Object, DecodeError> {
        let versions = self
            .versions
            .into_iter()
            .map(|v| {
                let content = match v.body {
                    BodyRecord::Tombstone => Content::Tombstone,
                    BodyRecord::Inline(bytes) => Content::value(bytes),
                    BodyRecord::Head(digest, len) => Content::Value { digest, len, bytes: None },
                    BodyRecord::Beside(digest, len) => {
                        Content::Value { digest, len, bytes: body(digest, len)? }
                    }
                };
                Ok(Version {
                    dot: v.dot,
                    content,
                    covers: v.covers,
                    generation: v.generation,
                    epoch: v.epoch,
                    expires: v.expires,
                })
            })
            .collect::<Result<Vec<_>, DecodeError>>()?;
        let Self { context, requests, marks, .. } = self;
        Ok(Object { context, versions, requests, marks })
    }
}

/// The record of what a replica stores, with values up to `inline` bytes in it. Larger ones stand under keys of their own.
#[must_use]
pub fn encode_stored(stored: &Stored, inline: u32) -> Vec<u8> {
    let record = |object: &Object| ObjectRecord {
        marks: Marks::default(),
        ..ObjectRecord::new(object, inline).0
    };
    cbor::encode(&StoredRecord {
        object: record(&stored.object),
        opened: stored.opened,
        owed: stored.owed.clone(),
        acceptor: stored.acceptor.as_ref().map(|acceptor| AcceptorRecord {
            promised: acceptor.promised,
            accepted: acceptor.accepted,
            proposal: acceptor.proposal.as_ref().map(record),
        }),
    })
}

/// What a replica stores, from its record; larger values as heads.
///
/// # Errors
/// [`DecodeError`] if the record is damaged.
pub fn decode_stored(bytes: &[u8]) -> Result<Stored, DecodeError> {
    let record: StoredRecord = cbor::decode(bytes)?;
    Ok(Stored {
        object: record.object.without_bodies(),
        opened: record.opened,
        owed: record.owed,
        acceptor: record.acceptor.map(|acceptor| Acceptor {
            promised: acceptor.promised,
            accepted: acceptor.accepted,
            proposal: acceptor.proposal.map(ObjectRecord::without_bodies),
        }),
    })
}

/// A context as bytes that mean nothing to a client but are to be sent back.
#[must_use]
pub fn encode_context(context: &Context) -> Bytes {
    cbor::encode(context).into()
}

/// A context from the bytes that a client sent back.
///
/// # Errors
/// [`CborError`] if they are not what a node made.
pub fn decode_context(bytes: &[u8]) -> Result<Context, CborError> {
    if bytes.is_empty() {
        return Ok(Context::new());
    }
    let context: Context = cbor::decode(bytes)?;
    // To serde a byte string is a sequence too, of small numbers.
    if cbor::encode(&context) == bytes {
        Ok(context)
    } else {
        Err(CborError::NotCanonical(0, "a context that no node wrote so"))
    }
}
