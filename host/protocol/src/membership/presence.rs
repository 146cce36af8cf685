//! A member in one of its lives.

use foca::Identity;

use crate::id::NodeId;
use crate::time::Timestamp;

/// A member in one of its lives: a later one replaces an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Presence {
    pub(crate) node: NodeId,
    /// The lease of its clock when it started, which grows from start to start; one more each time that it was declared down
    /// and was not.
    pub(crate) since: Timestamp,
}

impl Identity for Presence {
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        Some(Self { since: Timestamp(self.since.0 + 1), ..*self })
    }

    fn addr(&self) -> NodeId {
        self.node
    }

    fn win_addr_conflict(&self, other: &Self) -> bool {
        self.since > other.since
    }
}
