//! The contract's types as wasmtime sees them, by hand rather than generated: what the host passes is borrowed, so that
//! inputs are copied once, into the component's memory. `wit/` has the meaning of each.

use wasmtime::component::{ComponentType, Lift, Lower};

/// The interface that every plugin exports.
pub(crate) const RESOLVER: &str = "kinfold:merge/resolver@0.1.0";
/// The one function of it.
pub(crate) const MERGE: &str = "merge";
/// The interface that a plugin exports to help the checker of the laws.
pub(crate) const LAWS: &str = "kinfold:merge/laws@0.1.0";
/// Its two functions.
pub(crate) const SAMPLE: &str = "sample";
pub(crate) const EQUIVALENT: &str = "equivalent";
/// The interface that a plugin exports to look at values before they are written.
pub(crate) const VALIDATOR: &str = "kinfold:merge/validator@0.1.0";
/// The one function of it.
pub(crate) const VALIDATE: &str = "validate";
/// The only interface that a plugin may import.
pub(crate) const LOG: &str = "kinfold:merge/log@0.1.0";
/// The one function of it.
pub(crate) const WRITE: &str = "write";

/// `context`
#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct Context<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a [u8],
    pub(crate) config: &'a [u8],
}

/// `sibling`
#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct Sibling<'a> {
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) time: u64,
}

/// `merge-error`
#[derive(ComponentType, Lift)]
#[component(variant)]
pub(crate) enum MergeError {
    #[component(name = "invalid-sibling")]
    InvalidSibling((u32, String)),
    #[component(name = "keep-siblings")]
    KeepSiblings(String),
    #[component(name = "internal")]
    Internal(String),
}

/// The arguments of `merge`.
pub(crate) type Arguments<'a> = (Context<'a>, &'a [Sibling<'a>]);
/// The results of `merge`: a tuple, as of every function.
pub(crate) type Answer = (Result<Option<Vec<u8>>, MergeError>,);

/// The arguments of `validate`.
pub(crate) type ValidateArguments<'a> = (Context<'a>, &'a [u8]);
/// The results of `validate`.
pub(crate) type ValidateAnswer = (Result<(), String>,);

/// How much a plugin's message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
pub enum Level {
    /// For the plugin's author.
    #[component(name = "debug")]
    Debug,
    /// Nothing wrong.
    #[component(name = "info")]
    Info,
    /// Something is off, but the merge went on.
    #[component(name = "warn")]
    Warn,
    /// The merge was about to fail.
    #[component(name = "error")]
    Error,
}

/// One message of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// The plugin's words, cut at 1024 bytes.
    pub message: String,
}
