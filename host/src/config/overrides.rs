//! The environment and flags, which go over the file.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use super::draft::Draft;
use super::{Address, ConfigError, Durability, Endpoint, Level, LogFormat};

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

            pub(super) fn apply(self, draft: &mut Draft) {
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
    scrub_days: u32, "KINFOLD_SCRUB_DAYS", scrub.days;
    scrub_mib_s: u64, "KINFOLD_SCRUB_MIB_S", scrub.mib_s;
    exchange_s: u32, "KINFOLD_REPAIR_EXCHANGE_S", repair.exchange_s;
    key_bytes: u32, "KINFOLD_LIMITS_KEY_BYTES", limits.key_bytes;
    value_bytes: u32, "KINFOLD_LIMITS_VALUE_BYTES", limits.value_bytes;
    siblings: u32, "KINFOLD_LIMITS_SIBLINGS", limits.siblings;
    requests: u32, "KINFOLD_LIMITS_REQUESTS", limits.requests;
    discarded: u32, "KINFOLD_LIMITS_DISCARDED", limits.discarded;
    delete_age_s: u32, "KINFOLD_LIMITS_DELETE_AGE_S", limits.delete_age_s;
    clocks_apart_s: u32, "KINFOLD_LIMITS_CLOCKS_APART_S", limits.clocks_apart_s;
    connections: u32, "KINFOLD_LIMITS_CONNECTIONS", limits.connections;
    merge_threads: u32, "KINFOLD_MERGE_THREADS", merge.threads;
    merge_queue: u32, "KINFOLD_MERGE_QUEUE", merge.queue;
    metrics_listen: SocketAddr, "KINFOLD_METRICS_LISTEN", metrics.listen;
    traces_endpoint: Endpoint, "KINFOLD_TRACES_ENDPOINT", traces.endpoint;
    traces_per_million: u32, "KINFOLD_TRACES_PER_MILLION", traces.per_million;
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
