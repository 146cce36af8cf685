//! The laws by name.

use std::fmt;

use crate::laws::cases::Case;
use crate::manifest::Contract;

/// A law of merging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// The same siblings give the same bytes, in any instance, whatever was in its memory before.
    Deterministic,
    /// Any bytes get a value or an error, within the limits; never a trap.
    Total,
    /// Neither the order of the siblings nor the number of their copies matters. The host sees to it by sorting.
    Symmetric,
    /// Merging step by step gives the same bytes as merging at once, whatever the steps.
    Associative,
    /// Merging the result once more with something that is in it gives the same bytes again.
    Absorbing,
}

impl Law {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Self; 5] =
        [Self::Deterministic, Self::Total, Self::Symmetric, Self::Associative, Self::Absorbing];

    /// What the law says.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Deterministic => "the same siblings give the same bytes in every instance",
            Self::Total => "any bytes get a value or an error within the limits, never a trap",
            Self::Symmetric => "order and copies of the siblings don't matter",
            Self::Associative => "merging in any steps gives the same bytes as merging at once",
            Self::Absorbing => "merging again what is already in it changes no byte",
        }
    }

    /// Whether a plugin with this contract is refused for breaking it; it is only warned of otherwise.
    #[must_use]
    pub fn binds(self, contract: Contract) -> bool {
        match self {
            Self::Deterministic | Self::Total | Self::Symmetric => true,
            Self::Associative | Self::Absorbing => contract == Contract::Lattice,
        }
    }

    /// Whether the law is worth its price on this case.
    pub(super) fn wants(self, case: &Case) -> bool {
        match self {
            Self::Deterministic | Self::Total | Self::Associative => true,
            Self::Symmetric | Self::Absorbing => !case.is_costly(),
        }
    }
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Deterministic => "deterministic",
            Self::Total => "total",
            Self::Symmetric => "symmetric",
            Self::Associative => "associative",
            Self::Absorbing => "absorbing",
        })
    }
}
