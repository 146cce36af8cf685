//! What operators ask of the ring: who owns what, changes that are staged, planned, committed, aborted, and how they go.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::catalogue::MemberChange;
use crate::causality::Digest;
use crate::id::NodeId;
use crate::message::vote::Progress;
use crate::plan::Plan;
use crate::record::Record;

/// A request about the ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterRequest {
    /// Asks how the ring is and how far a change has come. Answer: [`ClusterResponse::Status`].
    Status,
    /// Stages changes of members, each by the identity of the member that it concerns; none takes back what is staged of it.
    /// Needs the admin role. Answer: [`ClusterResponse::Staged`].
    Stage(Vec<(NodeId, Option<MemberChange>)>),
    /// Asks what would come of what is staged. Answer: [`ClusterResponse::Planned`].
    Plan,
    /// Makes the plan of this digest. Needs the admin role. Answer: [`ClusterResponse::Decided`].
    Commit {
        /// The digest that came with the plan.
        plan: Digest,
    },
    /// Takes a change back. Needs the admin role. Answer: [`ClusterResponse::Decided`].
    Abort,
}

impl ClusterRequest {
    /// Does it change something?
    #[must_use]
    pub fn needs_admin(&self) -> bool {
        match self {
            Self::Stage(_) | Self::Commit { .. } | Self::Abort => true,
            Self::Status | Self::Plan => false,
        }
    }
}

/// An answer about the ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterResponse {
    /// How the ring is.
    Status(Box<ClusterStatus>),
    /// The changes are staged.
    Staged {
        /// Members that do not have them yet; they get them when they are heard of again.
        missing: Vec<NodeId>,
    },
    /// What would come of what is staged.
    Planned {
        /// The plan.
        plan: Box<Plan>,
        /// Its digest, to commit it by.
        digest: Digest,
    },
    /// The members have decided: this is the version of the record from now on.
    Decided {
        /// The version.
        version: u64,
    },
}

/// How the ring is, as the node that answers knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// The record.
    pub record: Record,
    /// What is staged, by the member that it concerns.
    pub staged: BTreeMap<NodeId, MemberChange>,
    /// How far each member has come, as it last said. One that was not heard of since the node's start is missing.
    pub progress: BTreeMap<NodeId, Progress>,
}
