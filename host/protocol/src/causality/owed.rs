//! For whom a replica keeps what it does not own.

use serde::{Deserialize, Serialize};

use crate::id::NodeId;
use crate::time::Timestamp;

/// A note that a fallback keeps beside an object and never sends: it stood in for this owner, and owes it the object until
/// the owner has it on its own disk. The hint of DeCandia et al. 2007, section 4.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// To whom.
    #[serde(rename = "o")]
    pub owner: NodeId,
    /// Since when, by this replica's wall clock.
    #[serde(rename = "t")]
    pub since: Timestamp,
    /// What the key and its values hold, in bytes, as of the last write.
    #[serde(rename = "b")]
    pub bytes: u64,
}

/// What is owed to one owner, all keys together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Debt {
    /// Keys.
    pub keys: u64,
    /// The sum of [`Owed::bytes`].
    pub bytes: u64,
    /// Since when there was always something; the earliest debt, as far as is known.
    pub since: Option<Timestamp>,
}

/// How one write changes what is owed to one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebtChange {
    /// To whom.
    pub owner: NodeId,
    /// What stood there before.
    pub before: Option<Owed>,
    /// What stands there now.
    pub after: Option<Owed>,
}

impl Debt {
    /// This debt after a change.
    pub fn apply(&mut self, change: &DebtChange) {
        if let Some(before) = change.before {
            self.keys = self.keys.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(before.bytes);
        }
        if let Some(after) = change.after {
            self.keys += 1;
            self.bytes += after.bytes;
            self.since = Some(self.since.map_or(after.since, |since| since.min(after.since)));
        }
        if self.keys == 0 {
            *self = Self::default();
        }
    }
}
