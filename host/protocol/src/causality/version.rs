//! A version: what one write left.

use crate::causality::{Content, Context, Digest, Dot, Epoch};
use crate::time::Expiry;

/// In a lattice bucket whose deletes reset: the delete that the values were written after; `None` before the first.
///
/// Generations compare by time first, as dots do; values join only within one.
pub type Generation = Option<Dot>;

/// One version of a key: what one write left, or in a lattice bucket what several writes were folded to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The write; of a folded version, the latest write that is folded in.
    pub dot: Dot,
    /// Its bytes, or that it is a delete.
    pub content: Content,
    /// Lattice buckets only: every write whose value is folded into this one. Empty elsewhere.
    pub covers: Context,
    /// Lattice buckets with resetting deletes only.
    pub generation: Generation,
    /// Lattice buckets only: by which merge function it was folded.
    pub epoch: Epoch,
    /// When it expires; none in lattice buckets. An expired version becomes a tombstone with the same dot and this same time,
    /// which is what tells it from one that was damaged.
    pub expires: Option<Expiry>,
}

impl Version {
    /// A version as a plain write makes it.
    #[must_use]
    pub fn new(dot: Dot, content: Content) -> Self {
        Self {
            dot,
            content,
            covers: Context::new(),
            generation: None,
            epoch: Epoch::default(),
            expires: None,
        }
    }

    /// Is it still to expire?
    #[must_use]
    pub fn due(&self) -> Option<Expiry> {
        self.expires.filter(|_| !self.content.is_tombstone())
    }

    /// Is this what `other` becomes when it expires?
    #[must_use]
    pub fn is_end_of(&self, other: &Self) -> bool {
        self.dot == other.dot
            && self.expires.is_some()
            && self.expires == other.expires
            && self.content.is_tombstone()
            && !other.content.is_tombstone()
    }

    /// What distinguishes versions: a dot with two different contents is two versions, and an alarm.
    pub(super) fn identity(&self) -> (Dot, Option<Digest>) {
        (self.dot, self.content.digest())
    }
}
