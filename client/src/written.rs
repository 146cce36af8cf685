//! What became of a write.

use crate::context::CausalContext;

/// A write is durable as often as was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What its writer has now seen: the context it sent, and its own write. A next write with it replaces this one.
    pub context: CausalContext,
    /// Owners that had acknowledged durably when the answer was sent.
    pub owners: u8,
    /// Nodes that stood in for owners.
    pub fallbacks: u8,
    /// Attempts that this took, the one that was answered among them. After more than one, several nodes may have made the write, each
    /// by itself: whoever reads both versions sees equal values.
    pub attempts: u32,
}
