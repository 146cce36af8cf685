//! What keeps a run from being judged at all.

use std::io;
use std::path::Path;

/// What keeps a run from being judged: nothing is said about the nodes then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call of the system failed.
    #[error("{what}: {error}")]
    Io {
        /// What was to be done.
        what: String,
        /// Why it could not.
        error: io::Error,
    },
    /// The cluster can't be set up or asked.
    #[error("{0}")]
    Stage(String),
    /// Somebody asked for an end.
    #[error("interrupted: nothing was judged")]
    Interrupted,
}

impl Error {
    /// A call of the system that failed on a path.
    pub fn at(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let what = format!("{what} {}", path.display());
        move |error| Self::Io { what, error }
    }
}

impl From<kinfold_client::Error> for Error {
    fn from(error: kinfold_client::Error) -> Self {
        Self::Stage(error.to_string())
    }
}
