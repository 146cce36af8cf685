//! The plugins, as plain functions: what their components do is tested with the components themselves.
//!
//! A node may lack them for a while, and they may fail.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use bytes::Bytes;
use kinfold_protocol::merge::{MergeFailure, MergeInput, MergeRequest, MergeResult};

use crate::rng::Rng;

/// Name of the plugin that keeps the latest value.
pub const LATEST: &str = "last-write-wins";

/// Name of the plugin that unites sets of lines.
pub const UNION: &str = "set-union";

/// Another union of sets of lines, which can be installed: it writes them in the reverse order.
pub const REVERSED: &str = "set-union@2";

/// The same once more: it writes the longest lines first.
pub const LONGEST: &str = "set-union@3";

/// How a node's plugins are at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// They work.
    Working,
    /// They fail in so many cases of a thousand.
    Failing(u32),
    /// The node does not have them.
    Missing,
}

/// What a node's plugins make of a request.
pub fn merge(request: &MergeRequest, health: Health, rng: &mut Rng) -> MergeResult {
    match health {
        Health::Missing => return Err(MergeFailure::NoPlugin(request.plugin.clone())),
        Health::Failing(per_mille) if rng.chance(per_mille) => {
            return Err(rng.pick(&failures()).clone());
        }
        Health::Failing(_) | Health::Working => {}
    }
    match request.plugin.as_str() {
        LATEST => Ok(latest(&request.inputs)),
        UNION => Ok(Some(lines(&request.inputs).into_iter().flatten().copied().collect())),
        REVERSED => Ok(Some(lines(&request.inputs).into_iter().rev().flatten().copied().collect())),
        LONGEST => {
            let mut lines: Vec<&[u8]> = lines(&request.inputs).into_iter().collect();
            lines.sort_by_key(|line| (Reverse(line.len()), *line));
            Ok(Some(lines.into_iter().flatten().copied().collect()))
        }
        other => Err(MergeFailure::NoPlugin(other.to_owned())),
    }
}

fn failures() -> [MergeFailure; 4] {
    [
        MergeFailure::Overloaded,
        MergeFailure::OutOfFuel,
        MergeFailure::Trap("simulated".into()),
        MergeFailure::KeepSiblings("simulated".into()),
    ]
}

/// The value of the greatest time; of equal times, the greatest value.
fn latest(inputs: &[MergeInput]) -> Option<Bytes> {
    inputs.iter().max_by_key(|input| (input.time, &input.value))?.value.clone()
}

/// All lines of all values.
fn lines(inputs: &[MergeInput]) -> BTreeSet<&[u8]> {
    inputs
        .iter()
        .filter_map(|input| input.value.as_ref())
        .flat_map(|value| value.split_inclusive(|byte| *byte == b'\n'))
        .collect()
}
