//! Why there is no configuration, with the file or variable and the key.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why there is no configuration. Nothing was touched.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("configuration {path} can't be read: {source}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not TOML, has a key that doesn't exist, or a value of the wrong kind.
    #[error("configuration {path}: {reason}", path = .path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, key and reason.
        reason: String,
    },
    /// An environment variable's value can't be understood.
    #[error("environment variable {variable}: {reason}")]
    Variable {
        /// The variable.
        variable: &'static str,
        /// What is wrong with its value.
        reason: String,
    },
    /// A value that has no default was given nowhere.
    #[error("{origin}: `{key}` is missing: set it in the file, or by {variable}, or by its flag")]
    Missing {
        /// Where the configuration came from.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// The environment variable for it.
        variable: &'static str,
    },
    /// A value is out of range, or at odds with another.
    #[error("{origin}: `{key}` {reason}")]
    Invalid {
        /// Where the configuration came from.
        origin: Origin,
        /// The key.
        key: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The configuration can't be written as TOML: a path is not UTF-8.
    #[error("the configuration can't be written as TOML: {0}")]
    Encode(#[from] toml::ser::Error),
}

/// Where a configuration came from, besides the environment and flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// There was none.
    NoFile,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "configuration {}", path.display()),
            Self::NoFile => f.write_str("configuration (no file)"),
        }
    }
}
