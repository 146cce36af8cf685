//! A way to say something to the operator.

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the author, while writing the plugin.
    Debug,
    /// Worth knowing, nothing wrong.
    Info,
    /// Something is off, but the merge goes on.
    Warn,
    /// The merge is about to fail. If the plugin traps, the last of these is reported as the reason.
    Error,
}

/// Writes a message to the node's log. The host cuts it at 1024 bytes and drops what follows the 16th message of a merge.
/// Outside of WebAssembly it goes to the standard error stream.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::component::write(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?}: {message}");
}
