//! The questions and answers of a ballot: what the coordinator of a conditional put and the key's owners say to each other.
//! See [`Acceptor`](crate::causality::Acceptor).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::causality::{Ballot, Object};
use crate::encoding::{DecodeError, ObjectRecord};
use crate::time::Timestamp;

/// A question to an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BallotQuestion {
    /// Will it accept nothing before this ballot?
    Prepare,
    /// Does it accept this?
    Accept(Object),
    /// This was chosen, by this ballot or before it: it is to join it.
    Commit {
        /// What was chosen.
        object: Object,
        /// By this ballot?
        chosen: bool,
    },
    /// The ballot is over. No answer is wanted.
    Settled {
        /// Has every owner joined what it chose?
        by_all: bool,
    },
}

/// An owner's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BallotReply {
    /// It will accept nothing before the ballot.
    Promised {
        /// The latest ballot under which it accepted something.
        accepted: Option<Ballot>,
        /// What it accepted, unless its object has joined it.
        proposal: Option<Object>,
        /// What it holds; larger values as heads.
        object: Object,
    },
    /// It has accepted.
    Accepted,
    /// It has joined what was chosen.
    Committed,
    /// It has promised a later ballot to another one, or knows that the time of this one is over.
    Outbid(Ballot),
}

impl BallotQuestion {
    /// The object that it brings.
    fn object(&self) -> Option<&Object> {
        match self {
            Self::Accept(object) | Self::Commit { object, .. } => Some(object),
            Self::Prepare | Self::Settled { .. } => None,
        }
    }

    /// The latest time that it names, besides its ballot's.
    #[must_use]
    pub fn latest(&self) -> Timestamp {
        self.object().map(Object::latest).unwrap_or_default()
    }

    /// Bytes of values in it.
    #[must_use]
    pub fn value_bytes(&self) -> u64 {
        self.object().map(Object::value_bytes).unwrap_or_default()
    }
}

impl BallotReply {
    /// The latest time that it names.
    #[must_use]
    pub fn latest(&self) -> Timestamp {
        match self {
            Self::Promised { accepted, proposal, object } => {
                let accepted = accepted.map(|ballot| ballot.time).unwrap_or_default();
                let proposed = proposal.as_ref().map(Object::latest).unwrap_or_default();
                object.latest().max(proposed).max(accepted)
            }
            Self::Outbid(later) => later.time,
            Self::Accepted | Self::Committed => Timestamp::default(),
        }
    }

    /// Bytes of values in it.
    #[must_use]
    pub fn value_bytes(&self) -> u64 {
        match self {
            Self::Promised { proposal, object, .. } => {
                proposal.iter().chain([object]).map(Object::value_bytes).sum()
            }
            Self::Accepted | Self::Committed | Self::Outbid(_) => 0,
        }
    }
}

/// [`BallotQuestion`] as it stands in a header; bytes of values stand in the body.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireBallotQuestion {
    Prepare,
    Accept(ObjectRecord),
    Commit { object: ObjectRecord, chosen: bool },
    Settled { by_all: bool },
}

/// [`BallotReply`] as it stands in a header.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireBallotReply {
    Promised {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        accepted: Option<Ballot>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        proposal: Option<ObjectRecord>,
        object: ObjectRecord,
    },
    Accepted,
    Committed,
    Outbid(Ballot),
}

impl WireBallotQuestion {
    pub(super) fn new(
        question: BallotQuestion,
        mut record: impl FnMut(&Object) -> ObjectRecord,
    ) -> Self {
        match question {
            BallotQuestion::Prepare => Self::Prepare,
            BallotQuestion::Accept(object) => Self::Accept(record(&object)),
            BallotQuestion::Commit { object, chosen } => {
                Self::Commit { object: record(&object), chosen }
            }
            BallotQuestion::Settled { by_all } => Self::Settled { by_all },
        }
    }

    pub(super) fn with_bodies(self, body: Bytes) -> Result<BallotQuestion, DecodeError> {
        Ok(match self {
            Self::Prepare => {
                nothing_left(&body)?;
                BallotQuestion::Prepare
            }
            Self::Accept(object) => BallotQuestion::Accept(object.with_bodies(body)?),
            Self::Commit { object, chosen } => {
                BallotQuestion::Commit { object: object.with_bodies(body)?, chosen }
            }
            Self::Settled { by_all } => {
                nothing_left(&body)?;
                BallotQuestion::Settled { by_all }
            }
        })
    }
}

impl WireBallotReply {
    pub(super) fn new(reply: BallotReply, mut record: impl FnMut(&Object) -> ObjectRecord) -> Self {
        match reply {
            BallotReply::Promised { accepted, proposal, object } => Self::Promised {
                accepted,
                proposal: proposal.as_ref().map(&mut record),
                object: record(&object),
            },
            BallotReply::Accepted => Self::Accepted,
            BallotReply::Committed => Self::Committed,
            BallotReply::Outbid(ballot) => Self::Outbid(ballot),
        }
    }

    pub(super) fn with_bodies(self, mut body: Bytes) -> Result<BallotReply, DecodeError> {
        let reply = match self {
            Self::Promised { accepted, proposal, object } => {
                let proposal = match proposal {
                    Some(record) => {
                        let (expected, found) = (record.beside_len(), body.len() as u64);
                        if expected > found {
                            return Err(DecodeError::Length { expected, found });
                        }
                        let beside = body.split_to(usize::try_from(expected).unwrap_or(usize::MAX));
                        Some(record.with_bodies(beside)?)
                    }
                    None => None,
                };
                let object = object.with_bodies(core::mem::take(&mut body))?;
                BallotReply::Promised { accepted, proposal, object }
            }
            Self::Accepted => BallotReply::Accepted,
            Self::Committed => BallotReply::Committed,
            Self::Outbid(ballot) => BallotReply::Outbid(ballot),
        };
        nothing_left(&body)?;
        Ok(reply)
    }
}

fn nothing_left(body: &Bytes) -> Result<(), DecodeError> {
    match body.len() as u64 {
        0 => Ok(()),
        found => Err(DecodeError::Length { expected: 0, found }),
    }
}
