//! Changes of the ring that an operator has staged, and not committed yet.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::causality::Dot;
use crate::layout::Member;

/// The most changes that may be staged at one time.
pub const MAX_STAGED: usize = 256;

/// What is to become of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberChange {
    /// It becomes one.
    Join(Member),
    /// It hands over what it owns, and is none any more. `lost`: it is lost, and not waited for.
    Leave {
        /// Is it lost?
        lost: bool,
    },
    /// Another node takes over all that it owns. `lost`: it is lost, and not waited for.
    Replace {
        /// The other node.
        by: Member,
        /// Is the member lost?
        lost: bool,
    },
    /// It is in another zone.
    SetZone(String),
    /// It has another capacity.
    SetCapacity(u32),
}

/// What is staged of one member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedEntry {
    /// The write that made this entry: the greater one wins.
    pub version: Dot,
    /// How many changes had been committed: after another one, this entry is void.
    pub change: u64,
    /// What is to become of it; none where that was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<MemberChange>,
}
