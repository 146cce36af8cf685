//! What can go wrong, by what the caller can do about it.

use std::time::Duration;

use kinfold_protocol::message::client::Code;

use crate::found::Found;
use crate::request_id::RequestId;

/// Why there is no answer. Only [`Error::Unknown`] leaves open whether something was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller's options or arguments can't be used. Nothing was sent.
    #[error("{0}")]
    Config(String),
    /// No node answered before the deadline. Nothing was changed: a write that ends so was never sent.
    #[error(
        "no node answered in time ({notes}); nothing was changed: check that the cluster runs and its addresses, or allow a longer deadline"
    )]
    Unreachable {
        /// What became of each attempt.
        notes: String,
    },
    /// A write that was sent, and whose fate nobody told before the deadline: it may have happened, or may yet happen.
    #[error(
        "the write may or may not have happened ({notes}): read to see, or repeat it{}, which is never a second write",
        .request.map_or_else(String::new, |id| format!(" with the same request id, {id}"))
    )]
    Unknown {
        /// The write's name, for a retry that can't become a second write. Changes of buckets have none: repeating one
        /// is harmless.
        request: Option<RequestId>,
        /// What became of each attempt.
        notes: String,
    },
    /// A node refused, and nothing was changed.
    #[error("{message}")]
    Refused {
        /// Why.
        code: Code,
        /// What happened and what to do, in the node's words.
        message: String,
        /// When to try again, where that makes sense.
        retry_after: Option<Duration>,
    },
    /// A conditional write was not made: the key's object is another one than was expected. Nothing was changed.
    #[error(
        "the key's object is another one than expected ({count} values); nothing was written: look at it, and write on the condition of its context",
        count = .found.values.len()
    )]
    Conflict {
        /// The object as it is, with the context for the next try.
        found: Box<Found>,
    },
    /// What nodes answered can't be understood. Nothing was changed.
    #[error(
        "the nodes' answers can't be understood ({notes}): client and cluster may be of versions that don't fit"
    )]
    Protocol {
        /// What became of each attempt.
        notes: String,
    },
    /// Several values, where the caller asked for one.
    #[error(
        "the key has {count} sibling values{}: choose or merge, and write the result with the context of this read",
        .merge_failure.as_ref().map_or_else(String::new, |why| format!(", since the plugin did not merge them ({why})"))
    )]
    Siblings {
        /// How many.
        count: usize,
        /// Why the bucket's plugin did not merge them, if it has one.
        merge_failure: Option<String>,
    },
    /// The key holds no value of the kind that was wanted.
    #[error("the key holds another kind of value: {0}")]
    Malformed(String),
}
