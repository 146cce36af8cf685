//! What a merge takes and gives: the types that the core and the sandbox share, and the rule by which
//! siblings become the inputs of one call.
//!
//! The host sorts inputs by their bytes and drops equal values before any plugin sees them, so commutativity and
//! idempotence hold by construction; a plugin is never called with fewer than two inputs.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::causality::Object;
use crate::time::Timestamp;

/// One sibling as a plugin sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeInput {
    /// The bytes a client wrote, or that an earlier merge made; `None` is a delete.
    pub value: Option<Bytes>,
    /// The hybrid logical clock of the write; of a merged value, the greatest of its inputs.
    pub time: Timestamp,
}

/// One call of a bucket's plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeRequest {
    /// The plugin's name, as the bucket names it.
    pub plugin: String,
    /// The bucket of the key.
    pub bucket: String,
    /// The key.
    pub key: Bytes,
    /// Bytes that the operator set on the bucket for its plugin.
    pub config: Bytes,
    /// At least two inputs, in canonical order, without duplicates: see [`canonical`].
    pub inputs: Vec<MergeInput>,
}

/// The merged value, `None` where the inputs merged to a delete, or the reason why there is none.
pub type MergeResult = Result<Option<Bytes>, MergeFailure>;

/// A value that a client is about to write, for the bucket's plugin to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidateRequest {
    /// The plugin's name, as the bucket names it.
    pub plugin: String,
    /// The bucket of the key.
    pub bucket: String,
    /// The key.
    pub key: Bytes,
    /// Bytes that the operator set on the bucket for its plugin.
    pub config: Bytes,
    /// The value.
    pub value: Bytes,
}

/// What a plugin says of a value that is about to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It can be merged.
    Valid,
    /// It can't, in the plugin's words.
    Invalid(String),
    /// Nothing: it failed, or was not asked. The value may be written.
    Unknown(MergeFailure),
}

/// Why a merge gave no value. No variant has a meaning for the data: the siblings stay as they are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeFailure {
    /// This node has no plugin of that name.
    #[error("this node has no plugin `{0}`")]
    NoPlugin(String),
    /// The queue of merges is full.
    #[error("too many merges are waiting")]
    Overloaded,
    /// The plugin failed several times in a row and isn't called for a while.
    #[error("the plugin failed repeatedly and is not called for a while")]
    BreakerOpen,
    /// More inputs, or larger ones, than the bucket's limits let through.
    #[error("the inputs exceed the merge limits: {0}")]
    TooLarge(String),
    /// The plugin trapped.
    #[error("the plugin trapped: {0}")]
    Trap(String),
    /// The plugin used up its fuel.
    #[error("the plugin used up its fuel")]
    OutOfFuel,
    /// The plugin asked for more memory than it may have.
    #[error("the plugin exceeded its memory limit")]
    OutOfMemory,
    /// The plugin's answer broke a limit, or was not well formed.
    #[error("the plugin's result was refused: {0}")]
    BadResult(String),
    /// The plugin can't read one of its inputs.
    #[error("the plugin can't read sibling {index}: {reason}")]
    InvalidSibling {
        /// Position in [`MergeRequest::inputs`].
        index: u32,
        /// The plugin's words.
        reason: String,
    },
    /// The plugin declines: a person or an application has to choose.
    #[error("the plugin keeps the siblings: {0}")]
    KeepSiblings(String),
    /// The plugin reports an error of its own.
    #[error("the plugin failed: {0}")]
    Internal(String),
}

/// Sorts inputs by value bytes (a delete first) and keeps, of equal values, the one with the greatest time.
#[must_use]
pub fn canonical(mut inputs: Vec<MergeInput>) -> Vec<MergeInput> {
    inputs.sort_by(|a, b| a.value.cmp(&b.value).then(b.time.cmp(&a.time)));
    inputs.dedup_by(|later, first| later.value == first.value);
    inputs
}

/// An object's versions as the inputs of a merge, in canonical order and without duplicates. All bytes must be at hand: a
/// value without them would pass for a delete.
#[must_use]
pub fn inputs(object: &Object) -> Vec<MergeInput> {
    debug_assert!(!object.lacks_bytes(), "a merge needs all bytes");
    let inputs = object
        .versions
        .iter()
        .map(|v| MergeInput { value: v.content.bytes().cloned(), time: v.dot.time });
    canonical(inputs.collect())
}

/// What folding the versions of a lattice object into one takes: the inputs, fewer than two of them if no plugin is needed.
/// `None` where there is at most one version or bytes are not at hand, or where two with equal coverage are unequal: then the plugin broke its laws, and
/// asking it again would only pick one of them.
#[must_use]
pub fn fold(object: &Object) -> Option<Vec<MergeInput>> {
    (object.versions.len() > 1 && !object.has_clash() && !object.lacks_bytes())
        .then(|| inputs(object))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn input(value: Option<&'static [u8]>, time: u64) -> MergeInput {
        MergeInput { value: value.map(Bytes::from_static), time: Timestamp(time) }
    }

    #[test]
    fn inputs_are_sorted_and_equal_values_keep_the_greatest_time() {
        let mixed =
            vec![input(Some(b"b"), 1), input(None, 5), input(Some(b"a"), 3), input(Some(b"b"), 7)];
        assert_eq!(canonical(mixed), [input(None, 5), input(Some(b"a"), 3), input(Some(b"b"), 7)]);
    }
}
