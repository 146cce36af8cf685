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
}
