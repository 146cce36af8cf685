//! What a plugin implements, and the values it is given. The manual is `wit/resolver.wit`; these are its types.

/// Merges siblings. Nothing is kept between two merges, so there is no `self`.
pub trait Resolver {
    /// Folds siblings into one value; `None` merges them to a delete.
    ///
    /// There are at least two siblings, sorted by their values (a delete first), with no two values equal. The answer
    /// has to depend on the arguments alone, and merging a merged value with the rest has to give the same bytes as
    /// merging all of them at once: ties go by the bytes of the values, never by position.
    ///
    /// # Errors
    /// Whatever the reason, the siblings stay as they are, and the operator sees the words.
    fn merge(ctx: Context, siblings: Vec<Sibling>) -> Result<Option<Vec<u8>>, MergeError>;
}

/// Refuses values that `merge` could not read, when a client writes them. A malformed value that gets into the store blocks
/// every merge of its key until someone overwrites it.
pub trait Validator {
    /// Accepts a value that a client is about to write.
    ///
    /// # Errors
    /// What is wrong with the value: the client gets these words, and nothing is stored. A panic has no meaning: the value
    /// is written.
    fn validate(ctx: Context, value: &[u8]) -> Result<(), String>;
}

/// One of the versions to be merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sibling {
    /// The bytes that a client wrote, or that an earlier merge made; `None` is a delete, which only a plugin with
    /// `tombstones = "pass"` is shown.
    pub value: Option<Vec<u8>>,
    /// When it was written: microseconds since 1970, below 2^53. A merged value carries the greatest time of its inputs.
    pub time: u64,
}

/// What is being merged: equal on every node that merges the same siblings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The name of the bucket.
    pub bucket: String,
    /// The key.
    pub key: Vec<u8>,
    /// The bytes that the operator set on the bucket for its plugin; empty where none are set.
    pub config: Vec<u8>,
}

/// Why there is no merged value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergeError {
    /// A sibling is not a value of the kind that this plugin merges.
    InvalidSibling {
        /// Its position among the siblings, from 0.
        index: u32,
        /// What is wrong with it.
        reason: String,
    },
    /// The siblings are fine, but a person or an application has to choose; and why.
    KeepSiblings(String),
    /// A fault of the plugin or of its configuration.
    Internal(String),
}
