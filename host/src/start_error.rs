//! Why a node did not start.

use std::net::SocketAddr;

use kinfold_protocol::cbor::CborError;
use kinfold_protocol::layout::LayoutError;
use kinfold_protocol::ring::BadRing;
use kinfold_protocol::store::StoreError;

use crate::data_dir::DataDirError;
use crate::joined::JoinedError;
use crate::kept_layout::LayoutChange;
use crate::tls::CredentialsError;

/// Why a node did not start. It has served nothing, and holds nothing any more.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder of installed components can't be made in the data directory.
    #[error("the folder for components in the data directory can't be used: {0}")]
    Components(std::io::Error),
    /// The process may open too few files.
    #[error(
        "this process may have {allowed} files and sockets open, and a node needs {least} at least: raise the limit (`ulimit -n 65536`, or `LimitNOFILE=65536` in its systemd unit); nothing was touched",
        least = crate::descriptors::LEAST
    )]
    Descriptors {
        /// How many it may.
        allowed: u64,
    },
    /// The certificates can't be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Another process has the address.
    #[error(
        "UDP address {0} is in use by another process: stop that process, or choose another `listen`"
    )]
    AddressInUse(SocketAddr),
    /// Another process is this node already.
    #[error(
        "another process answers as this node at {0}, where the others look for it: this data directory is a copy of one that is in service, or the node was started on two machines. Stop one of them; a machine that is to be a node of its own needs an empty data_dir and a token (`kinfold cluster token`)"
    )]
    Twin(SocketAddr),
    /// The system does not give the address.
    #[error("can't listen on UDP address {listen}: {source}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system does not give the address for scrapers.
    #[error(
        "can't listen on TCP address {listen} for scrapers of metrics: {source}; choose another `metrics.listen`, or none"
    )]
    Metrics {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The number of partitions can't be.
    #[error(transparent)]
    Ring(#[from] BadRing),
    /// The members can't form a cluster.
    #[error("the members can't form a cluster: {0}")]
    Layout(#[from] LayoutError),
    /// The data directory can't be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The store can't be opened.
    #[error(transparent)]
    Storage(#[from] kinfold_storage::OpenError),
    /// Plugins can't be run on this machine.
    #[error(transparent)]
    Engine(#[from] kinfold_sandbox::EngineError),
    /// A thread that was to bring up a part of the node failed, with a bug's message in the log.
    #[error("a part of the node could not be brought up: {0}")]
    Thread(#[from] tokio::task::JoinError),
    /// What the node was told when it joined can't be read.
    #[error(transparent)]
    Joined(#[from] JoinedError),
    /// The data directory was made under another layout.
    #[error(transparent)]
    LayoutChange(#[from] LayoutChange),
    /// A piece of the node's own state can't be read or made durable.
    #[error("the node's own state `{name}`: {source}")]
    State {
        /// Which piece.
        name: &'static str,
        /// What the store said.
        source: StoreError,
    },
    /// A piece of the node's own state is not what it should be.
    #[error(
        "the node's own state `{name}` is damaged ({source}): begin anew in an empty data_dir, and the other replicas will fill it"
    )]
    Damaged {
        /// Which piece.
        name: &'static str,
        /// What is wrong with it.
        source: CborError,
    },
    /// The system gave no random bits.
    #[error("no random bits for the node's life: {0}")]
    Random(getrandom::Error),
}

/// How a stop went wrong. The node has stopped all the same.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// Something was still in progress at the end of the grace period.
    #[error(
        "the node stopped before everything in progress was done: it will start as after a crash"
    )]
    Hasty,
    /// The core had ended before, with a bug's message in the log.
    #[error("the node's core had failed before: it will start as after a crash")]
    Failed,
    /// The life's end, or the data, may not be durable.
    #[error("not everything could be made durable: {0}; the node will start as after a crash")]
    Storage(#[from] StoreError),
}

impl StartError {
    /// Is something held by another process, or still by a node that has stopped in this one?
    #[must_use]
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others have other causes")]
    pub fn is_held(&self) -> bool {
        match self {
            Self::AddressInUse(_)
            | Self::Storage(kinfold_storage::OpenError::Locked)
            | Self::DataDir(DataDirError::InUse(_)) => true,
            Self::Metrics { source, .. } => source.kind() == std::io::ErrorKind::AddrInUse,
            _ => false,
        }
    }
}
