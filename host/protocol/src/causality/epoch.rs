//! Which merge function folded a value.
//!
//! A lattice bucket's plugin can change while the bucket is in use, and nodes learn of it one after the other. Meanwhile two
//! replicas may fold the same writes by two functions, or one of them may fold on from a value that the earlier function made.
//! Their bytes then differ rightly, and calling that a breach of the laws would be a false alarm. So a folded version says by
//! which function it was made:
//!
//! - Of two values for the same writes, the one of the later epoch stands: it is the join of those writes as the bucket means
//!   it now.
//! - Of the same epoch, one that was made of plain writes alone stands over one that has a value of another epoch in it.
//! - If both have, they are two elements of one lattice, and the plugin joins them. With a plugin that keeps its laws that ends
//!   after as many joins as there are different values; after [`MOST_BLENDS`] it counts as a breach.
//! - Only if neither has, the plugin broke its laws.

use serde::{Deserialize, Serialize};

use crate::causality::Dot;

/// So often are values for the same writes joined before the plugin counts as lawless.
pub const MOST_BLENDS: u8 = u8::MAX;

/// Which merge function folded a value. As of a bucket that has merged by one function all its life: the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// The change of the bucket that began the epoch; none before the first one.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Dot>,
    /// Zero if the value was made of plain writes and values of this epoch alone; otherwise one, and one more for every time
    /// that different values for the same writes were joined.
    #[serde(rename = "n", default, skip_serializing_if = "is_zero")]
    pub blends: u8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_zero(n: &u8) -> bool {
    *n == 0
}

impl Epoch {
    /// Is there nothing to write down?
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Is the value made of plain writes and values of its epoch alone?
    #[must_use]
    pub fn is_pure(self) -> bool {
        self.blends == 0
    }

    /// Of two values for the same writes: does the one of this epoch stand over that of the other?
    #[must_use]
    pub fn stands_over(self, other: Self) -> bool {
        self.since > other.since
            || (self.since == other.since && self.is_pure() && !other.is_pure())
    }

    /// Two different values for the same writes, of these epochs: does that show that the plugin broke its laws?
    #[must_use]
    pub fn clashes(self, other: Self) -> bool {
        let both = |holds: fn(Self) -> bool| holds(self) && holds(other);
        self.since == other.since
            && (both(Self::is_pure) || both(|epoch| epoch.blends == MOST_BLENDS))
    }
}
