//! What a node is told when it starts: a TOML file, then the environment, then flags, each over the one before.
//!
//! What must hold: a value that is misspelt, out of range or at odds with another stops the node before it touches
//! anything, with an error that names where the value came from and its key; and [`Config`] once made is valid, so nobody
//! checks again. `docs/kinfold.example.toml` shows every key with its default, and a test keeps it true.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;

use serde::{Deserialize, Serialize};

use crate::certificate::{NameError, check_name};

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
    /// What one request, and all of them, may take.
    pub limits: Limits,
    /// How plugins run.
    pub merge: Merge,
    /// What is logged.
    pub log: Log,
    /// Addresses to dial members by instead of those they advertise, for NAT and tunnels. Default: none.
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

impl Default for Limits {
    fn default() -> Self {
        Self {
            key_bytes: 4096,
            value_bytes: 16 * 1024 * 1024,
            siblings: 64,
            requests: 4096,
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

/// `HOST:PORT` to dial: an IPv4 address, an IPv6 address in brackets, or a DNS name, which is resolved at each dial.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

impl Address {
    /// The text, as `tokio::net::lookup_host` takes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        let dialable = match text.parse::<SocketAddr>() {
            Ok(socket) => !socket.ip().is_unspecified() && socket.port() != 0,
            Err(_) => is_dns_and_port(&text),
        };
        if dialable {
            return Ok(Self(text));
        }
        Err(AddressError(text))
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        text.to_owned().try_into()
    }
}

fn is_dns_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    // Digits and dots only is a misspelt IPv4 address, not a name.
    let name = host.bytes().any(|b| b.is_ascii_alphabetic());
    name && host.len() <= 253
        && host.split('.').all(label)
        && port.bytes().all(|b| b.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| port != 0)
}

/// A text that nobody could dial.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` can't be dialled: use HOST:PORT, where HOST is an IP address (not a wildcard) or a DNS name, and PORT is not 0"
)]
pub struct AddressError(pub String);

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

/// The file as it is read, where what must be given somewhere may still be missing.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Draft {
    cluster: Option<String>,
    node: Option<String>,
    data_dir: Option<PathBuf>,
    listen: Option<SocketAddr>,
    advertise: Option<Address>,
    partitions: Option<u32>,
    durability: Durability,
    interval_ms: Option<u64>,
    shutdown_grace_s: Option<u64>,
    plugins_dir: Option<PathBuf>,
    certificates: DraftCertificates,
    storage: Storage,
    limits: Limits,
    merge: Merge,
    log: Log,
    dial: BTreeMap<String, Address>,
    members: Vec<Member>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DraftCertificates {
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

/// Writes the list of values that the environment and flags can set once, for the three places that need it.
macro_rules! overrides {
    ($($field:ident: $type:ty, $variable:literal, $($path:ident).+;)+) => {
        /// Values that go over the file's: from the environment, or from flags. `None` leaves the value as it is. Members
        /// and dial addresses are lists, and come from the file only.
        #[derive(Clone, Debug, Default)]
        pub struct Overrides {
            $(
                #[doc = concat!("`", stringify!($($path).+), "`; environment: `", $variable, "`.")]
                pub $field: Option<$type>,
            )+
        }

        impl Overrides {
            /// The environment variables that [`from_environment`](Self::from_environment) reads.
            pub const VARIABLES: &[&str] = &[$($variable),+];

            /// Reads the known `KINFOLD_*` variables through `lookup`; an empty one counts as unset. Others are
            /// ignored, since a container platform sets some of that prefix for a service of that name.
            ///
            /// # Errors
            /// [`ConfigError::Variable`]: a value can't be understood.
            pub fn from_environment(
                lookup: impl Fn(&str) -> Option<OsString>,
            ) -> Result<Self, ConfigError> {
                Ok(Self { $($field: variable($variable, &lookup)?,)+ })
            }

            fn apply(self, draft: &mut Draft) {
                $(if let Some(value) = self.$field {
                    draft.$($path).+ = value.into();
                })+
            }
        }
    };
}

overrides! {
    cluster: String, "KINFOLD_CLUSTER", cluster;
    node: String, "KINFOLD_NODE", node;
    data_dir: PathBuf, "KINFOLD_DATA_DIR", data_dir;
    listen: SocketAddr, "KINFOLD_LISTEN", listen;
    advertise: Address, "KINFOLD_ADVERTISE", advertise;
    partitions: u32, "KINFOLD_PARTITIONS", partitions;
    durability: Durability, "KINFOLD_DURABILITY", durability;
    interval_ms: u64, "KINFOLD_INTERVAL_MS", interval_ms;
    shutdown_grace_s: u64, "KINFOLD_SHUTDOWN_GRACE_S", shutdown_grace_s;
    plugins_dir: PathBuf, "KINFOLD_PLUGINS_DIR", plugins_dir;
    ca: PathBuf, "KINFOLD_CERTIFICATES_CA", certificates.ca;
    cert: PathBuf, "KINFOLD_CERTIFICATES_CERT", certificates.cert;
    key: PathBuf, "KINFOLD_CERTIFICATES_KEY", certificates.key;
    cache_mib: u64, "KINFOLD_STORAGE_CACHE_MIB", storage.cache_mib;
    memtable_mib: u64, "KINFOLD_STORAGE_MEMTABLE_MIB", storage.memtable_mib;
    reserve_mib: u64, "KINFOLD_STORAGE_RESERVE_MIB", storage.reserve_mib;
    key_bytes: u32, "KINFOLD_LIMITS_KEY_BYTES", limits.key_bytes;
    value_bytes: u32, "KINFOLD_LIMITS_VALUE_BYTES", limits.value_bytes;
    siblings: u32, "KINFOLD_LIMITS_SIBLINGS", limits.siblings;
    requests: u32, "KINFOLD_LIMITS_REQUESTS", limits.requests;
    connections: u32, "KINFOLD_LIMITS_CONNECTIONS", limits.connections;
    merge_threads: u32, "KINFOLD_MERGE_THREADS", merge.threads;
    merge_queue: u32, "KINFOLD_MERGE_QUEUE", merge.queue;
    log_level: Level, "KINFOLD_LOG_LEVEL", log.level;
    log_format: LogFormat, "KINFOLD_LOG_FORMAT", log.format;
}

fn variable<T: FromStr<Err: fmt::Display>>(
    variable: &'static str,
    lookup: &impl Fn(&str) -> Option<OsString>,
) -> Result<Option<T>, ConfigError> {
    let refused = |reason: String| ConfigError::Variable { variable, reason };
    let Some(value) = lookup(variable).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let text = value
        .into_string()
        .map_err(|value| refused(format!("{} is not UTF-8", value.display())))?;
    match text.parse() {
        Ok(parsed) => Ok(Some(parsed)),
        Err(e) => Err(refused(format!("`{text}` is refused: {e}"))),
    }
}

/// A word that is none of those a value can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use {0}")]
pub struct WordError(&'static str);

/// Reads a value of a few words from the environment or a flag, with the words of the file.
macro_rules! from_words {
    ($type:ident, $choices:literal, $($word:literal => $variant:ident),+) => {
        impl FromStr for $type {
            type Err = WordError;

            fn from_str(text: &str) -> Result<Self, WordError> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(WordError($choices)),
                }
            }
        }
    };
}

from_words!(Durability, "sync or interval", "sync" => Sync, "interval" => Interval);
from_words!(LogFormat, "text or json", "text" => Text, "json" => Json);
from_words!(Level, "error, warn, info, debug or trace",
    "error" => Error, "warn" => Warn, "info" => Info, "debug" => Debug, "trace" => Trace);

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

    /// This configuration as the file that gives it, for a node that somebody else starts.
    ///
    /// # Errors
    /// [`ConfigError::Encode`]: a path is not UTF-8.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        Ok(toml::to_string(self)?)
    }

    fn check(&self) -> Result<(), Refused> {
        check_names(self)?;
        if !self.partitions.is_power_of_two() || self.partitions > 65_536 {
            let reason = format!("must be a power of two from 1 to 65536, not {}", self.partitions);
            return Err(refused("partitions", reason));
        }
        let ranges: [(&str, u64, u64, u64); 13] = [
            ("interval_ms", self.interval_ms, 1, 60_000),
            ("shutdown_grace_s", self.shutdown_grace_s, 0, 3_600),
            ("storage.cache_mib", self.storage.cache_mib, 8, 1 << 24),
            ("storage.memtable_mib", self.storage.memtable_mib, 1, 1 << 16),
            ("storage.reserve_mib", self.storage.reserve_mib, 0, 1 << 24),
            ("limits.key_bytes", self.limits.key_bytes.into(), 1, 65_535),
            ("limits.value_bytes", self.limits.value_bytes.into(), 1, 64 << 20),
            ("limits.siblings", self.limits.siblings.into(), 2, 1_024),
            ("limits.requests", self.limits.requests.into(), 1, 1 << 20),
            ("limits.connections", self.limits.connections.into(), 1, 1 << 20),
            ("merge.threads", self.merge.threads.into(), 1, 1_024),
            ("merge.queue", self.merge.queue.into(), 1, 1 << 20),
            ("members", self.members.len() as u64, 1, u64::from(self.partitions)),
        ];
        for (key, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                let reason = format!("must be from {least} to {most}, not {value}");
                return Err(refused(key, reason));
            }
        }
        Ok(())
    }
}

/// A key and what is wrong with it, before it is known where it came from.
struct Refused {
    key: String,
    reason: String,
}

fn refused(key: impl Into<String>, reason: impl Into<String>) -> Refused {
    Refused { key: key.into(), reason: reason.into() }
}

fn check_names(config: &Config) -> Result<(), Refused> {
    let name = |key: &str, name: &str| {
        check_name(name).map_err(|e: NameError| refused(key, format!("is refused: {e}")))
    };
    name("cluster", &config.cluster)?;
    name("node", &config.node)?;
    let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for (i, member) in config.members.iter().enumerate() {
        name(&format!("members[{i}].name"), &member.name)?;
        name(&format!("members[{i}].zone"), &member.zone)?;
        if !(1..=1000).contains(&member.capacity) {
            let reason = format!("must be from 1 to 1000, not {}", member.capacity);
            return Err(refused(format!("members[{i}].capacity"), reason));
        }
        if !names.insert(member.name.as_str()) {
            let reason = format!("names `{}` a second time", member.name);
            return Err(refused(format!("members[{i}].name"), reason));
        }
        if !addresses.insert(&member.address) {
            let reason = format!("is {}, which is another member's", member.address);
            return Err(refused(format!("members[{i}].address"), reason));
        }
    }
    if !names.contains(config.node.as_str()) {
        let reason = format!("don't name this node, `{}`: add it", config.node);
        return Err(refused("members", reason));
    }
    match config.dial.keys().find(|to| !names.contains(to.as_str())) {
        Some(to) => Err(refused(format!("dial.{to}"), "is not the name of a member")),
        None => Ok(()),
    }
}

impl Draft {
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let mut draft: Self = toml::from_str(&text)
            .map_err(|e| ConfigError::Parse { path: path.to_owned(), reason: e.to_string() })?;
        if let Some(folder) = path.parent() {
            let certificates = &mut draft.certificates;
            let paths = [
                &mut draft.data_dir,
                &mut draft.plugins_dir,
                &mut certificates.ca,
                &mut certificates.cert,
                &mut certificates.key,
            ];
            for path in paths.into_iter().flatten() {
                *path = folder.join(&*path);
            }
        }
        Ok(draft)
    }

    fn complete(self, origin: &Origin) -> Result<Config, ConfigError> {
        let missing =
            |key, variable| ConfigError::Missing { origin: origin.clone(), key, variable };
        let invalid = |refused: Refused| ConfigError::Invalid {
            origin: origin.clone(),
            key: refused.key,
            reason: refused.reason,
        };
        let given = self.certificates;
        let listen = self.listen.ok_or_else(|| missing("listen", "KINFOLD_LISTEN"))?;
        let told = self.advertise.map_or_else(|| listen.to_string().parse(), Ok);
        let advertise = told.map_err(|_: AddressError| {
            let reason = format!("is needed, since others can't dial `listen`, which is {listen}");
            invalid(refused("advertise", reason))
        })?;
        let ca = given.ca.ok_or_else(|| missing("certificates.ca", "KINFOLD_CERTIFICATES_CA"))?;
        let cert =
            given.cert.ok_or_else(|| missing("certificates.cert", "KINFOLD_CERTIFICATES_CERT"))?;
        let key =
            given.key.ok_or_else(|| missing("certificates.key", "KINFOLD_CERTIFICATES_KEY"))?;
        let config = Config {
            cluster: self.cluster.ok_or_else(|| missing("cluster", "KINFOLD_CLUSTER"))?,
            node: self.node.ok_or_else(|| missing("node", "KINFOLD_NODE"))?,
            data_dir: self.data_dir.ok_or_else(|| missing("data_dir", "KINFOLD_DATA_DIR"))?,
            listen,
            advertise,
            partitions: self.partitions.unwrap_or(256),
            durability: self.durability,
            interval_ms: self.interval_ms.unwrap_or(50),
            shutdown_grace_s: self.shutdown_grace_s.unwrap_or(10),
            plugins_dir: self.plugins_dir,
            certificates: Certificates { ca, cert, key },
            storage: self.storage,
            limits: self.limits,
            merge: self.merge,
            log: self.log,
            dial: self.dial,
            members: self.members,
        };
        config.check().map_err(invalid)?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../docs/kinfold.example.toml");

    const LEAST: &str = r#"
        cluster = "c1"
        node = "n1"
        data_dir = "data"
        listen = "127.0.0.1:7401"
        certificates = { ca = "/tls/ca.pem", cert = "n1.pem", key = "n1.key" }
        members = [{ name = "n1", address = "127.0.0.1:7401" }, { name = "n2", address = "n2.example:7401" }]
    "#;

    fn load_with(
        text: &str,
        environment: &[(&str, &str)],
        flags: Overrides,
    ) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kinfold.toml");
        fs::write(&path, text).unwrap();
        let environment: BTreeMap<_, _> = environment.iter().copied().collect();
        Config::load(Some(&path), |name| environment.get(name).map(OsString::from), flags)
    }

    fn load(text: &str) -> Result<Config, ConfigError> {
        load_with(text, &[], Overrides::default())
    }

    /// What is said about the least configuration with one text replaced.
    fn said(from: &str, to: &str) -> String {
        assert!(LEAST.contains(from), "{from}");
        let error = load(&LEAST.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains("kinfold.toml"), "{error}");
        error
    }

    #[test]
    fn defaults_are_those_documented() {
        let config = load(LEAST).unwrap();
        assert_eq!(config.advertise.as_str(), "127.0.0.1:7401");
        assert_eq!((config.partitions, config.durability), (256, Durability::Sync));
        assert_eq!(config.storage.cache_mib, 256);
        assert_eq!(config.storage.reserve_mib, 512);
        assert_eq!(config.limits.value_bytes, 16 << 20);
        assert_eq!((config.limits.key_bytes, config.limits.siblings), (4096, 64));
        assert!(config.merge.threads >= 1);
        assert_eq!((config.members[1].zone.as_str(), config.members[1].capacity), ("default", 1));
    }

    #[test]
    fn the_example_shows_every_key_with_its_default() {
        let example: Draft = toml::from_str(EXAMPLE).unwrap();
        let example = example.complete(&Origin::NoFile).unwrap();
        let least = Draft {
            cluster: Some(example.cluster.clone()),
            node: Some(example.node.clone()),
            data_dir: Some(example.data_dir.clone()),
            listen: Some(example.listen),
            advertise: Some(example.advertise.clone()),
            certificates: DraftCertificates {
                ca: Some(example.certificates.ca.clone()),
                cert: Some(example.certificates.cert.clone()),
                key: Some(example.certificates.key.clone()),
            },
            members: example.members.clone(),
            ..Draft::default()
        };
        assert_eq!(example, least.complete(&Origin::NoFile).unwrap());

        let mut full = example;
        full.plugins_dir = Some("plugins".into());
        full.dial.insert("n2".to_owned(), "localhost:1".parse().unwrap());
        for line in full.to_toml().unwrap().lines() {
            let key = line.split(" = ").next().unwrap();
            let shown = |shown: &str| shown.trim_start_matches("# ").starts_with(key);
            assert!(EXAMPLE.lines().any(shown), "the example lacks `{key}`");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut config = load(LEAST).unwrap();
        config.dial.insert("n2".to_owned(), "[::1]:7".parse().unwrap());
        config.log.format = LogFormat::Json;
        config.durability = Durability::Interval;
        config.plugins_dir = Some("/plugins".into());
        assert_eq!(load(&config.to_toml().unwrap()).unwrap(), config);
    }

    #[test]
    fn flags_go_over_the_environment_over_the_file() {
        let text = LEAST.replace("[{", "[{ name = \"n3\", address = \"n3:1\" }, {");
        let environment =
            [("KINFOLD_NODE", "n2"), ("KINFOLD_STORAGE_CACHE_MIB", "100"), ("KINFOLD_LISTEN", "")];
        let flags = || Overrides { node: Some("n3".to_owned()), ..Overrides::default() };
        let node = |environment: &[_], flags| load_with(&text, environment, flags).unwrap().node;
        assert_eq!(node(&[], Overrides::default()), "n1");
        assert_eq!(node(&environment, Overrides::default()), "n2");
        assert_eq!(node(&environment, flags()), "n3");
        let both = load_with(&text, &environment, flags()).unwrap();
        assert_eq!(both.storage.cache_mib, 100);
        assert_eq!(both.listen.port(), 7401, "an empty variable counts as unset");
    }

    /// Every value of a configuration by its dotted key.
    fn flatten(config: &Config) -> BTreeMap<String, String> {
        let table: toml::Table = toml::from_str(&config.to_toml().unwrap()).unwrap();
        let mut flat = BTreeMap::new();
        for (key, value) in table {
            let Some(section) = value.as_table() else {
                flat.insert(key, value.to_string());
                continue;
            };
            for (inner, value) in section {
                flat.insert(format!("{key}.{inner}"), value.to_string());
            }
        }
        flat
    }

    #[test]
    fn each_variable_sets_the_key_of_its_name_and_no_other() {
        let text = LEAST
            .replace("\"data\"", "\"/data\"\nadvertise = \"n1:1\"")
            .replace("\"n1.", "\"/tls/n1.");
        let base = flatten(&load(&text).unwrap());
        for variable in Overrides::VARIABLES {
            let values = ["9", "n2", "n2:9", "127.0.0.1:9", "interval", "debug", "json", "4"];
            let set = values
                .iter()
                .find_map(|value| load_with(&text, &[(variable, value)], Overrides::default()).ok())
                .unwrap_or_else(|| panic!("{variable} takes none of the values"));
            let changed: Vec<_> = flatten(&set)
                .into_iter()
                .filter(|(key, value)| base.get(key) != Some(value))
                .map(|(key, _)| format!("KINFOLD_{}", key.replace('.', "_").to_uppercase()))
                .collect();
            assert_eq!(changed, [*variable]);
        }
    }

    #[test]
    fn a_bad_variable_is_named() {
        for (variable, value, word) in [
            ("KINFOLD_LISTEN", "nowhere", "nowhere"),
            ("KINFOLD_DURABILITY", "never", "sync or interval"),
            ("KINFOLD_STORAGE_CACHE_MIB", "-1", "-1"),
        ] {
            let error = load_with(LEAST, &[(variable, value)], Overrides::default());
            let said = error.unwrap_err().to_string();
            assert!(said.contains(variable) && said.contains(word), "{said}");
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(said("cluster", "colour = 1\ncluster").contains("`colour`"));
        assert!(said("ca =", "bad = 1, ca =").contains("`bad`"));
        assert!(said("name = \"n2\"", "weight = 2, name = \"n2\"").contains("`weight`"));
        for section in ["storage", "limits", "merge", "log"] {
            let text = format!("{section} = {{ other = 1 }}\ncluster");
            assert!(said("cluster", &text).contains("`other`"), "{section}");
        }
    }

    #[test]
    fn what_has_no_default_must_be_given() {
        for key in ["cluster", "node", "data_dir", "listen"] {
            let kept: Vec<_> = LEAST.lines().filter(|l| !l.trim().starts_with(key)).collect();
            let error = load(&kept.join("\n")).unwrap_err();
            assert!(matches!(error, ConfigError::Missing { key: k, .. } if k == key), "{error}");
        }
        let error = load(&LEAST.replace(", key = \"n1.key\"", "")).unwrap_err();
        assert!(error.to_string().contains("`certificates.key`"), "{error}");
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for (text, key) in [
            ("partitions = 0", "partitions"),
            ("partitions = 100", "partitions"),
            ("partitions = 131072", "partitions"),
            ("partitions = 1", "members"),
            ("interval_ms = 0", "interval_ms"),
            ("limits = { value_bytes = 67108865 }", "limits.value_bytes"),
            ("limits = { siblings = 1 }", "limits.siblings"),
            ("merge = { threads = 0 }", "merge.threads"),
            ("storage = { cache_mib = 1 }", "storage.cache_mib"),
            ("dial = { n9 = \"n9:1\" }", "dial.n9"),
        ] {
            let said = said("cluster", &format!("{text}\ncluster"));
            assert!(said.contains(&format!("`{key}`")), "{text}: {said}");
        }
    }

    #[test]
    fn names_and_members_must_fit_together() {
        assert!(said("\"c1\"", "\"C1\"").contains("`cluster`"));
        assert!(said("node = \"n1\"", "node = \"n7\"").contains("don't name this node, `n7`"));
        assert!(said("name = \"n2\"", "name = \"n1\"").contains("a second time"));
        assert!(said("n2.example:7401", "127.0.0.1:7401").contains("another member's"));
        assert!(
            said("name = \"n2\"", "capacity = 0, name = \"n2\"").contains("members[1].capacity")
        );
        assert!(said("name = \"n2\"", "zone = \"\", name = \"n2\"").contains("members[1].zone"));
    }

    #[test]
    fn a_wildcard_is_never_advertised() {
        assert!(said("127.0.0.1:7401", "0.0.0.0:7401").contains("`advertise` is needed"));
        assert!(said("127.0.0.1:7401", "127.0.0.1:0").contains("`advertise` is needed"));
        let text =
            LEAST.replacen("\"127.0.0.1:7401\"", "\"[::]:7401\"\nadvertise = \"n1.example:1\"", 1);
        assert_eq!(load(&text).unwrap().advertise.as_str(), "n1.example:1");
    }

    #[test]
    fn relative_paths_start_at_the_file() {
        let config = load(LEAST).unwrap();
        assert!(config.data_dir.is_absolute() && config.data_dir.ends_with("data"));
        assert!(config.certificates.cert.is_absolute());
        assert_eq!(config.certificates.ca, Path::new("/tls/ca.pem"));
        let flags = Overrides { data_dir: Some("here".into()), ..Overrides::default() };
        assert_eq!(load_with(LEAST, &[], flags).unwrap().data_dir, Path::new("here"));
    }

    #[test]
    fn addresses_can_be_dialled() {
        for good in ["127.0.0.1:1", "[::1]:65535", "n1:7401", "n1.eu_west.example:7401"] {
            assert!(good.parse::<Address>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "n1",
            "n1:",
            "n1:0",
            "n1:65536",
            "n1:+1",
            ":1",
            "::1:1",
            "0.0.0.0:1",
            "[::]:1",
            "127.0.0.1:0",
            "10.0.0:1",
            "a..b:1",
            "a b:1",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
