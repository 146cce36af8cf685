//! How a command ends: its exit code, and what it says on standard error.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use kinfold_client::Error as ClientError;
use kinfold_host::certificate::CertificateError;
use kinfold_host::config::ConfigError;
use kinfold_host::{StartError, StopError};
use kinfold_sandbox::laws::CheckError;
use kinfold_sandbox::{EngineError, LoadError, MergeFailure};

use crate::toolchain::BuildError;

/// What the help says about exit codes.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done
  1  refused, or failed and nothing was changed
  2  wrong usage or configuration; nothing was sent
  3  the key has no value
  4  a write may or may not have happened
  5  the key has several values (they are printed), which nothing has merged
  6  a condition did not hold, and nothing was written";

/// A command that ran to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All is well.
    Done,
    /// It said on its output what is not well.
    NotWell,
    /// The key has no value.
    NotFound,
    /// The key has several values.
    Siblings,
    /// A condition did not hold.
    Conflict,
    /// Of many writes, some may or may not have happened.
    PartlyUnknown,
}

/// Why a command did not run to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The cluster did not do it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The command can't be meant so.
    #[error("{0}")]
    Usage(String),
    /// What was named is not there, or can't be meant so; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// A certificate was not made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A node's configuration can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A node did not start.
    #[error("{node} did not start: {source}")]
    Start {
        /// Which.
        node: String,
        /// Why.
        source: Box<StartError>,
    },
    /// A node stopped, but not in good order.
    #[error("{node}: {source}")]
    Stop {
        /// Which.
        node: String,
        /// Why.
        source: StopError,
    },
    /// A node could not go on.
    #[error("{0} could not go on; its log says why")]
    Ended(String),
    /// A node stopped, since another process is that node.
    #[error(
        "{node} stopped: {peer} says that another process is {node}, and runs for longer. This data directory is a copy of one that is in service. What clients wrote to this process alone (with w = 1) may stand in it only: keep it until you have looked. A machine that is to be a node of its own needs an empty data_dir and a token (`kinfold cluster token`)"
    )]
    Twin {
        /// Which.
        node: String,
        /// Who says so.
        peer: String,
    },
    /// The bench's floor did not run.
    #[error(transparent)]
    Floor(#[from] crate::bench::floor::FloorError),
    /// A file could not be read or written.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A plugin was not built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A component can't be loaded, so no node would load it either.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A plugin gave no merged value.
    #[error(transparent)]
    Merge(#[from] MergeFailure),
    /// This machine can't run plugins.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The process may open too few files.
    #[error(
        "this process can't open a dozen more files and sockets, and needs them ({0}): raise the limit (`ulimit -n 1024`, or `LimitNOFILE` in its systemd unit); nothing was touched"
    )]
    Descriptors(io::Error),
    /// The output could not be written.
    #[error("the output can't be written: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// A failure to read or write `path`.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::File { path, source }
    }

    /// The node did not start.
    pub(crate) fn start(node: &str, source: StartError) -> Self {
        Self::Start { node: node.to_owned(), source: Box::new(source) }
    }

    fn code(&self) -> u8 {
        match self {
            Self::Client(ClientError::Unknown { .. }) => 4,
            Self::Client(ClientError::Config(_)) | Self::Usage(_) | Self::Config(_) => 2,
            // Whoever reads our output has read enough.
            Self::Output(e) if e.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Client(_)
            | Self::Refused(_)
            | Self::Certificate(_)
            | Self::Start { .. }
            | Self::Stop { .. }
            | Self::Ended(_)
            | Self::Twin { .. }
            | Self::Floor(_)
            | Self::File { .. }
            | Self::Build(_)
            | Self::Load(_)
            | Self::Merge(_)
            | Self::Engine(_)
            | Self::Descriptors(_)
            | Self::Output(_) => 1,
        }
    }
}

impl From<CheckError> for Failure {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Engine(error) => error.into(),
            CheckError::Load(error) => error.into(),
        }
    }
}

/// Says why, if there is something to say, and gives the exit code.
pub(crate) fn report(end: Result<End, Failure>) -> ExitCode {
    match end {
        Ok(end) => ExitCode::from(end.code()),
        Err(failure) => {
            let code = failure.code();
            if code != 0 {
                // Standard error may be closed too; the exit code still tells.
                let _ = std::io::Write::write_fmt(
                    &mut io::stderr().lock(),
                    format_args!("error: {failure}\n"),
                );
            }
            ExitCode::from(code)
        }
    }
}

impl End {
    fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::NotWell => 1,
            Self::NotFound => 3,
            Self::Siblings => 5,
            Self::Conflict => 6,
            Self::PartlyUnknown => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_happened_has_a_code_of_its_own() {
        let unknown = ClientError::Unknown { request: None, notes: "n1: silent".to_owned() };
        let unreachable = ClientError::Unreachable { notes: "n1: away".to_owned() };
        let gone = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(Failure::from(unknown).code(), 4);
        assert_eq!(Failure::from(unreachable).code(), 1);
        assert_eq!(Failure::Usage("what?".to_owned()).code(), 2);
        assert_eq!(Failure::from(gone).code(), 0);
        assert_eq!(
            [End::Done, End::NotFound, End::Siblings, End::Conflict].map(End::code),
            [0, 3, 5, 6]
        );
    }
}
