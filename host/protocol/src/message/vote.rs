//! The questions and answers of a vote on the ring's next record. See `coordinator::vote`.

use serde::{Deserialize, Serialize};

use crate::causality::Ballot;
use crate::record::Record;
use crate::time::Timestamp;

/// A question to a voter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoteQuestion {
    /// Will it accept nothing before this ballot?
    Prepare,
    /// Does it accept this?
    Accept(Record),
}

/// A voter's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoteReply {
    /// It will accept nothing before the ballot.
    Promised {
        /// The latest ballot under which it accepted something, and what that was.
        accepted: Option<(Ballot, Record)>,
    },
    /// It has accepted.
    Accepted,
    /// It has promised a later ballot to another one.
    Outbid(Ballot),
    /// The vote is over: it knows this record.
    Over(Record),
    /// It does not know the record before, or is no voter.
    Behind,
}

impl VoteReply {
    /// The latest time that it names.
    #[must_use]
    pub fn latest(&self) -> Timestamp {
        match self {
            Self::Promised { accepted: Some((ballot, _)) } | Self::Outbid(ballot) => ballot.time,
            Self::Promised { accepted: None } | Self::Accepted | Self::Over(_) | Self::Behind => {
                Timestamp::default()
            }
        }
    }
}

/// How far a member has come with the ring's record, told with every greeting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The version of the record that it acts by.
    pub version: u64,
    /// Trees of which it has no whole copy yet.
    pub to_copy: u64,
    /// Trees that it does not own any more, and still holds something of.
    pub to_drop: u64,
    /// Keys that it has copied since it knows the record, or since its start.
    pub keys: u64,
    /// Bytes of their values.
    pub bytes: u64,
}
