//! What a node is told when it starts: a TOML file, then the environment, then flags, each over the one before.
//!
//! What must hold: a value that is misspelt, out of range or at odds with another stops the node before it touches
//! anything, with an error that names where the value came from and its key; and [`Config`] once made is valid, so nobody
//! checks again. `docs/kinfold.example.toml` shows every key with its default, and a test keeps it true.

mod address;
mod check;
mod draft;
mod endpoint;
mod error;
mod overrides;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;

use serde::{Deserialize, Serialize};

pub use address::{Address, AddressError};
use draft::Draft;
pub use endpoint::{Endpoint, EndpointError};
pub use error::{ConfigError, Origin};
pub use overrides::{Overrides, WordError};

/// A node's configuration, complete and valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Config {
    /// The cluster's name. Certificates and the data directory carry it, so that nodes of two clusters never mix.
    pub cluster: String,
    /// This node's name: its certificate's, and one of [`members`](Self::members).
    pub node: String,
    /// The folder for everything this node keeps; made with mode 0700 where there is none.
    pub data_dir: PathBuf,
    /// The UDP address to listen on.
    pub listen: SocketAddr,
    /// The address that others are told to dial. Default: `listen`, unless that is a wildcard or has port 0.
    pub advertise: Address,
    /// Ring partitions, a power of two up to 65536. Default 256: room for some 25 nodes at ten partitions each. Fixed when
    /// the cluster is made.
    pub partitions: u32,
    /// When a write counts as durable. Default `sync`.
    pub durability: Durability,
    /// Milliseconds between two syncs where `durability` is `interval`, 1 to 60000; a power cut loses up to so much of
    /// what was acknowledged. Default 50.
    pub interval_ms: u64,
    /// Seconds that running requests get to finish after a signal to stop, up to 3600. Default 10: less than
    /// the 30 after which most supervisors kill.
    pub shutdown_grace_s: u64,
    /// Where plugin components are kept. Default: the folder `plugins` in `data_dir`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugins_dir: Option<PathBuf>,
    /// The files that say who this node is.
    pub certificates: Certificates,
    /// What the store may take.
    pub storage: Storage,
    /// How the disk is read back.
    pub scrub: Scrub,
    /// How replicas are compared.
    pub repair: Repair,
    /// What one request, and all of them, may take.
    pub limits: Limits,
    /// How plugins run.
    pub merge: Merge,
    /// What is logged.
    pub log: Log,
    /// Where figures can be scraped.
    pub metrics: Metrics,
    /// Where traces of requests go.
    pub traces: Traces,
    /// Addresses to dial members by instead of those they advertise, for NAT and tunnels; also of nodes that join later. Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub dial: BTreeMap<String, Address>,
    /// The nodes that the cluster starts with, this one among them; the same on each of them.
    pub members: Vec<Member>,
}

/// The files that say who this node is, in PEM. They have no defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Certificates {
    /// The authority's certificate; two of them while it is being replaced.
    pub ca: PathBuf,
    /// This node's certificate.
    pub cert: PathBuf,
    /// This node's private key, with mode 0600 or narrower.
    pub key: PathBuf,
}

/// A node that the cluster starts with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The node's name.
    pub name: String,
    /// Where it is dialled, until it says otherwise.
    pub address: Address,
    /// What fails together: copies of a key go to different zones where they can. Default `default`.
    #[serde(default = "default_zone")]
    pub zone: String,
    /// Its share of the data, relative to the others', 1 to 1000. Default 1.
    #[serde(default = "default_capacity")]
    pub capacity: u32,
}

/// When a write counts as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// When it was synced to disk: an acknowledged write survives a power cut. Writes that wait share one sync.
    #[default]
    Sync,
    /// When the system has it: a crash of the process loses nothing, a power cut the last `interval_ms`.
    Interval,
}

/// What the store may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// Block cache, MiB, at least 8. Default 256: the heads of a few million keys.
    pub cache_mib: u64,
    /// Write buffer, MiB, at least 1; when full it is written out. Default 64: fewer, larger tables, at the cost of that
    /// much memory and of journal to replay after a crash.
    pub memtable_mib: u64,
    /// Free disk space, MiB, below which writes are refused while reads go on. Default 512: compaction needs room to make
    /// room.
    pub reserve_mib: u64,
}

/// How the disk is read back in the background, to find what is damaged before it is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scrub {
    /// Days that a pass over the whole disk takes, up to 365. Default 14: what decays on one disk should be found before another
    /// copy does too. 0: none, but for those that an operator asks for.
    pub days: u32,
    /// Megabytes (MiB) a second that it may read at most, 1 to 65536. Default 16. One that an operator asks for goes as fast as that,
    /// and yields to clients.
    pub mib_s: u64,
}

/// How replicas are compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Repair {
    /// Seconds from one exchange that a node begins to the next, 1 to 86400. It goes round the peers, and the peers begin
    /// exchanges too. Default 30. Deletes are collected by what exchanges find, so with longer ones tombstones stay longer.
    pub exchange_s: u32,
}

/// What one request, and all of them, may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The longest key, bytes, 1 to 65535. Default 4096: heads, trees and hints all repeat it.
    pub key_bytes: u32,
    /// The longest value, bytes, 1 to 64 MiB. Default 16 MiB: a value is held in memory whole, several times.
    pub value_bytes: u32,
    /// Siblings of one key, 2 to 1024; a write that would add one more is refused. Default 64: more means that
    /// nobody resolves them.
    pub siblings: u32,
    /// Requests in flight on this node, at least 1; one more is answered `overloaded`. Default 4096: at 10 KB
    /// a value, some tens of MiB.
    pub requests: u32,
    /// Versions that were discarded lately and are remembered, without their bytes, for `kinfold explain`; up to a million.
    /// Default 0: none. Each takes some hundred bytes of memory.
    pub discarded: u32,
    /// How long what deletes leave is kept at least, however well all nodes know of it; seconds, 1 to 2 592 000. Default 300: so
    /// long a retry of a write is recognised by what is left of its key.
    pub delete_age_s: u32,
    /// How far apart the clocks of the nodes may be; seconds, 0 to 86 400. Default 300: so long after its time the space of an
    /// expired value is given free. Readers do not see it by then.
    pub clocks_apart_s: u32,
    /// Client connections, at least 1; one more is refused. Default 1024: each may hold a receive window.
    pub connections: u32,
}

/// How plugins run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Merge {
    /// Threads that run plugins, 1 to 1024. Default: half of the cores, at least 1, so that slow plugins leave the other
    /// half to requests.
    pub threads: u32,
    /// Merges that may wait, at least 1; one more is answered with its siblings. Default 1024.
    pub queue: u32,
}

/// What is logged, to standard error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least severe level that is logged. Default `info`.
    pub level: Level,
    /// How a line looks. Default `text`.
    pub format: LogFormat,
}

/// Where the node's figures can be scraped, in the text format of Prometheus over plain HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// The TCP address to answer scrapers on. Default: none. It has neither encryption nor names: keep it on loopback, or
    /// where only scrapers reach it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
}

/// Where traces of requests go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    /// The collector: OTLP over plain HTTP, in JSON. Default: none, and nothing is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// Requests that are recorded of a million that bring no trace context, up to a million. Default 1000. Those that bring one
    /// say themselves whether they are.
    pub per_million: u32,
}

impl Default for Traces {
    fn default() -> Self {
        Self { endpoint: None, per_million: 1_000 }
    }
}

/// How severe a log line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something is broken and needs a person.
    Error,
    /// Something went wrong and was dealt with.
    Warn,
    /// What the node does: start, join, hand over, stop.
    #[default]
    Info,
    /// What happens to single requests.
    Debug,
    /// Everything.
    Trace,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for log collectors.
    Json,
}

impl Default for Storage {
    fn default() -> Self {
        Self { cache_mib: 256, memtable_mib: 64, reserve_mib: 512 }
    }
}

impl Default for Scrub {
    fn default() -> Self {
        Self { days: 14, mib_s: 16 }
    }
}

impl Default for Repair {
    fn default() -> Self {
        Self { exchange_s: 30 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            key_bytes: 4096,
            value_bytes: 16 * 1024 * 1024,
            siblings: 64,
            requests: 4096,
            discarded: 0,
            delete_age_s: 300,
            clocks_apart_s: 300,
            connections: 1024,
        }
    }
}

impl Default for Merge {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self { threads: u32::try_from(cores / 2).unwrap_or(u32::MAX).clamp(1, 1024), queue: 1024 }
    }
}

fn default_zone() -> String {
    "default".to_owned()
}

const fn default_capacity() -> u32 {
    1
}

impl Config {
    /// Reads the file (if there is one), puts the environment over it and the flags over both, and checks the whole. Relative
    /// paths in the file are taken from the file's folder, others from the working directory.
    ///
    /// `environment` looks a variable up: `|name| std::env::var_os(name)`.
    ///
    /// # Errors
    /// [`ConfigError`], which names the file or variable and the key.
    pub fn load(
        file: Option<&Path>,
        environment: impl Fn(&str) -> Option<OsString>,
        flags: Overrides,
    ) -> Result<Self, ConfigError> {
        let (mut draft, origin) = match file {
            Some(path) => (Draft::read(path)?, Origin::File(path.to_owned())),
            None => (Draft::default(), Origin::NoFile),
        };
        Overrides::from_environment(environment)?.apply(&mut draft);
        flags.apply(&mut draft);
        draft.complete(&origin)
    }

    /// Where this node dials a member.
    #[must_use]
    pub fn address_of(&self, member: &str, advertised: &str) -> String {
        self.dial.get(member).map_or_else(|| advertised.to_owned(), ToString::to_string)
    }

    /// This configuration as the file that gives it, for a node that somebody else starts.
    ///
    /// # Errors
    /// [`ConfigError::Encode`]: a path is not UTF-8.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        Ok(toml::to_string(self)?)
    }
}
