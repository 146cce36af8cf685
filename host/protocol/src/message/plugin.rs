//! Plugins on the wire: what clients ask about them, and how nodes pass components on.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::catalogue::{Component, Contract, Evidence, Release};
use crate::causality::Digest;
use crate::config::Tombstones;
use crate::id::{BucketName, NodeId};

/// The largest component that nodes keep and pass on, in bytes.
pub const MAX_COMPONENT: u32 = 32 * 1024 * 1024;

/// The most lines of a log in one answer.
pub const MAX_LOG_LINES: usize = 512;

/// What a client asks about plugins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginRequest {
    /// Has the laws tried on the component in the body, and installs it if it may be. Needs the admin role. Answer:
    /// [`PluginResponse::Installed`].
    Install(Install),
    /// Lists all plugins. Answer: [`PluginResponse::Listed`].
    List,
    /// Removes a release. Needs the admin role. Answer: [`PluginResponse::Changed`].
    Remove(Release),
    /// Asks this node how its plugins are doing. Answer: [`PluginResponse::Stats`].
    Stats,
    /// Asks this node what its plugins said. Answer: [`PluginResponse::Logs`].
    Logs {
        /// The number of the line after which to begin; zero for the oldest that is there.
        after: u64,
    },
    /// Asks this node for merges that a plugin failed on, with the siblings. Needs the admin role. Answer:
    /// [`PluginResponse::Failures`], and the siblings' values in the body.
    Failures {
        /// The plugin, by the name that buckets call it by.
        plugin: String,
    },
    /// Has a candidate run beside a bucket's plugin, or no more. Needs the admin role. Answer: [`PluginResponse::Changed`].
    Shadow {
        /// The bucket.
        bucket: BucketName,
        /// The candidate's name; none to end it.
        plugin: Option<String>,
    },
    /// Has a bucket merge as it did before its merge function last changed. Needs the admin role. Answer:
    /// [`PluginResponse::Changed`].
    Rollback {
        /// The bucket.
        bucket: BucketName,
    },
}

impl PluginRequest {
    /// Does it change something, or show what clients wrote?
    #[must_use]
    pub fn needs_admin(&self) -> bool {
        match self {
            Self::Install(_)
            | Self::Remove(_)
            | Self::Shadow { .. }
            | Self::Rollback { .. }
            | Self::Failures { .. } => true,
            Self::List | Self::Stats | Self::Logs { .. } => false,
        }
    }
}

/// How the laws are to be tried on a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Install {
    /// Where chance comes from.
    pub seed: u64,
    /// How many random sets of siblings to try.
    pub cases: u32,
    /// The plugin config that the merges get.
    #[serde(default, skip_serializing_if = "Bytes::is_empty")]
    pub config: Bytes,
    /// A bucket whose siblings are to be among those that are tried: those that this node merged lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<BucketName>,
}

/// What is answered about plugins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginResponse {
    /// A component was tried.
    Installed(Installed),
    /// All plugins.
    Listed(Listed),
    /// The catalogue is changed.
    Changed {
        /// Members that do not have the change yet; they get it when they are heard of again.
        missing: Vec<NodeId>,
    },
    /// How a node's plugins are doing.
    Stats(NodePlugins),
    /// What a node's plugins said.
    Logs(Logs),
    /// Merges that a plugin failed on, oldest first. The values of their siblings are in the body, one after the other.
    Failures(Vec<FailedMerge>),
}

/// What came of trying a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// The name and version that it goes by.
    pub release: Release,
    /// The hash of its bytes.
    pub hash: Digest,
    /// What was tried.
    pub evidence: Evidence,
    /// Was it refused? Then nothing was installed, and the evidence says why.
    pub refused: bool,
    /// Members that do not have the change yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<NodeId>,
}

/// All plugins, as one node sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Those that are installed in the cluster.
    pub installed: BTreeMap<Release, Component>,
    /// Those of this node alone, by name: they come with the program, or lie in its plugins folder.
    pub local: BTreeMap<String, LocalPlugin>,
}

/// A plugin of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalPlugin {
    /// Its version.
    pub version: String,
    /// The hash of its component.
    pub hash: Digest,
    /// Which laws it promises to keep.
    pub contract: Contract,
    /// How deletes join in the lattice buckets that it is made for.
    pub tombstones: Tombstones,
    /// A sentence for people.
    pub description: String,
}

/// How a node is with a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComponentState {
    /// It can merge with it.
    Ready,
    /// It does not have it yet.
    Missing,
    /// It can't use it, and why.
    Failed(String),
}

/// How a node's plugins are doing, since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePlugins {
    /// How the node is with each installed release.
    pub components: BTreeMap<Release, ComponentState>,
    /// Counts by plugin and bucket.
    pub merges: BTreeMap<String, BTreeMap<String, MergeCounts>>,
    /// Candidates that run beside a bucket's plugin, by bucket.
    pub shadows: BTreeMap<String, ShadowCounts>,
    /// Merges that were refused because too many were waiting.
    pub overloaded: u64,
    /// Merges for which there was no plugin.
    pub no_plugin: u64,
    /// Merges that wait now.
    pub waiting: u64,
}

/// What became of the merges of one bucket by one plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeCounts {
    /// Merges that were asked for.
    pub calls: u64,
    /// Those that gave a value or a delete.
    pub merged: u64,
    /// Those that failed, by reason.
    pub failed: BTreeMap<String, u64>,
    /// Inputs of a merge.
    pub inputs: Histogram,
    /// Fuel of a merge.
    pub fuel: Histogram,
    /// Time of a merge, in microseconds.
    pub micros: Histogram,
    /// Bytes that came in.
    pub bytes_in: u64,
    /// Bytes that came out.
    pub bytes_out: u64,
    /// Bytes by which results were smaller than what they were made of.
    pub bytes_discarded: u64,
    /// Merges that ran twice and were compared.
    pub compared: u64,
    /// Those whose two runs differed.
    pub mismatches: u64,
    /// Values that were validated before they were written.
    pub validated: u64,
    /// Those that were refused.
    pub invalid: u64,
    /// Does the breaker refuse calls now?
    pub breaker_open: bool,
    /// How often it opened.
    pub breaker_opened: u64,
}

/// What came of running a candidate beside a bucket's plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowCounts {
    /// The candidate.
    pub plugin: String,
    /// Merges that both ran.
    pub compared: u64,
    /// Those in which both gave the same.
    pub same: u64,
    /// Those in which they gave different values.
    pub different: u64,
    /// Those in which only the candidate failed.
    pub failed: u64,
    /// Those in which only the bucket's plugin failed.
    pub better: u64,
    /// Merges that the candidate did not run because it has fallen behind, or is not here.
    pub skipped: u64,
    /// The key and the two results of the last difference, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
}

/// Numbers by their magnitude: place `i` counts those with `i` bits, which are below 2^i and, but for 0, at least 2^(i-1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// The sum of all.
    pub sum: u64,
    /// Counts, without zeros at the end. At most 65 places.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// Takes in a number.
    pub fn note(&mut self, number: u64) {
        let place = (u64::BITS - number.leading_zeros()) as usize;
        if self.counts.len() <= place {
            self.counts.resize(place + 1, 0);
        }
        self.counts[place] += 1;
        self.sum = self.sum.saturating_add(number);
    }

    /// Takes in all numbers of another one.
    pub fn add(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// How many numbers there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// A bound that this many of a thousand numbers are not above, good to a factor of two; none where there are no numbers.
    #[must_use]
    pub fn below(&self, per_mille: u64) -> Option<u64> {
        let wanted = u128::from(self.count()) * u128::from(per_mille.min(1_000));
        let mut seen = 0u128;
        let place = self.counts.iter().position(|count| {
            seen += u128::from(*count) * 1_000;
            seen > 0 && seen >= wanted
        })?;
        Some(u64::MAX.checked_shr(u64::BITS.saturating_sub(place as u32)).unwrap_or(0))
    }
}

/// What a node's plugins said, from a bounded ring.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    /// The lines, oldest first.
    pub lines: Vec<LogLine>,
    /// The number of the last line that there is.
    pub last: u64,
}

/// One line of a plugin, or a failure of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its number: one more than that of the line before. Where some are missing, the ring had no room for them.
    pub number: u64,
    /// When, in milliseconds since 1970 by the node's clock.
    pub at_ms: u64,
    /// The plugin.
    pub plugin: String,
    /// The bucket.
    pub bucket: String,
    /// `debug`, `info`, `warn` or `error`, as the plugin said; or `failure`, and what is said is why a merge failed.
    pub level: String,
    /// The words.
    pub message: String,
}

/// A merge that a plugin failed on by a fault of its own, as it can be run again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedMerge {
    /// When it failed last, in milliseconds since 1970 by the node's clock.
    pub at_ms: u64,
    /// How often it failed: a key that is read again fails again.
    pub times: u64,
    /// The hash of the component.
    pub component: Digest,
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: Bytes,
    /// The plugin config of the bucket.
    pub config: Bytes,
    /// Why it failed.
    pub failure: String,
    /// The siblings, in the order in which they were merged.
    pub siblings: Vec<FailedSibling>,
}

/// A sibling of a merge that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedSibling {
    /// Its time.
    pub time: u64,
    /// The length of its value, in bytes; none if it is a delete.
    pub size: Option<u64>,
}

/// A node asks a peer for a component: the header of a frame on a bidirectional stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// The hash of its bytes.
    pub component: Digest,
}

/// The peer's answer; the component is the body of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// Is it here?
    pub found: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_counted_by_their_magnitude() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.below(500), None);
        for number in [0, 1, 2, 3, 4, 1_000] {
            histogram.note(number);
        }
        assert_eq!(histogram.counts, [1, 1, 2, 1, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!((histogram.count(), histogram.sum), (6, 1_010));
        assert_eq!([1, 500, 900, 1_000].map(|p| histogram.below(p)), [0, 3, 1023, 1023].map(Some));
        let mut twice = Histogram::default();
        twice.note(u64::MAX);
        assert_eq!(twice.below(1_000), Some(u64::MAX));
        twice.add(&histogram);
        assert_eq!((twice.count(), twice.sum), (7, u64::MAX));
    }
}
