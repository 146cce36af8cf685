//! A dot: the name of one write.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::id::Actor;
use crate::time::Timestamp;

/// The name of one write: who made it, and when by that actor's hybrid logical clock. Unique, and rising for one actor.
///
/// Dots are ordered by time first, so that the greatest dot of a set is also its latest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dot {
    /// When the write was made.
    pub time: Timestamp,
    /// Who coordinated the write.
    pub actor: Actor,
}

impl fmt::Debug for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}@{}", self.actor, self.time.0)
    }
}
