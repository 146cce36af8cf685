//! Installed plugins: what the catalogue says of each. The component itself is fetched by its hash.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::causality::{Digest, Dot};
use crate::config::Tombstones;

/// The most releases that can be installed at one time: the catalogue travels as a whole.
pub const MAX_INSTALLED: usize = 128;

/// Texts in an [`Evidence`] are cut here, in bytes, for the same reason.
pub const MAX_EVIDENCE_TEXT: usize = 1_024;

/// One release, as of one change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginEntry {
    /// The change that made it so.
    pub version: Dot,
    /// What is installed under the name; none if it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Component>,
}

/// An installed component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// The blake3 hash of its bytes, which is its identity.
    pub hash: Digest,
    /// Its size, in bytes.
    pub size: u64,
    /// Which laws it promises to keep.
    pub contract: Contract,
    /// How deletes join in the lattice buckets that it is made for.
    pub tombstones: Tombstones,
    /// A sentence for people, in its author's words.
    #[serde(default)]
    pub description: String,
    /// The name of the certificate that installed it.
    pub installed_by: String,
    /// What was tried before it was let in.
    pub evidence: Evidence,
}

/// Which laws a plugin promises to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contract {
    /// Those of a function: its merges are deterministic and total.
    Resolver,
    /// Those of a join as well: its merges are associative and absorbing.
    Lattice,
}

impl Contract {
    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolver => "resolver",
            Self::Lattice => "lattice",
        }
    }
}

/// What a node tried on a component. It tests, it does not prove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Repeats the check.
    pub seed: u64,
    /// Sets of siblings that were tried.
    pub cases: u64,
    /// Merges that were run.
    pub merges: u64,
    /// Those that gave a value or a delete.
    pub merged: u64,
    /// Values that were taken from merges of a bucket, where that was asked for.
    #[serde(default)]
    pub sampled: u64,
    /// Did the time for it end before all of it was tried?
    #[serde(default)]
    pub cut_short: bool,
    /// Each law, in the order of the check.
    pub laws: Vec<LawEvidence>,
    /// Siblings that show a plugin whose results are far smaller than what they were made of: a warning, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collapse: Option<String>,
    /// The fuel of the merge that came closest to what it was allowed, and that.
    #[serde(default)]
    pub fuel: (u64, u64),
    /// The most memory of a merge and what all were allowed, in bytes.
    #[serde(default)]
    pub memory: (u64, u64),
}

/// What was found of one law.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LawEvidence {
    /// The law's name.
    pub law: String,
    /// On how many sets of siblings it was tried.
    pub tried: u64,
    /// What that showed.
    pub verdict: LawVerdict,
    /// The smallest siblings that break it, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counterexample: Option<String>,
}

/// What trying a law showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LawVerdict {
    /// It held each time.
    Held,
    /// It does not hold, and the contract does not ask for it.
    Warned,
    /// It does not hold.
    Broken,
    /// There was nothing to try it on.
    Untried,
}

impl LawVerdict {
    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Warned => "warned",
            Self::Broken => "broken",
            Self::Untried => "untried",
        }
    }
}

impl Evidence {
    /// Should an operator look at something?
    #[must_use]
    pub fn warns(&self) -> bool {
        self.collapse.is_some()
            || self.cut_short
            || self.laws.iter().any(|law| law.verdict == LawVerdict::Warned)
    }
}
