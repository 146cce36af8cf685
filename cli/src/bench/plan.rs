//! What a bench is to do: the arguments, valid.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use kinfold_client::{BucketConfig, Mode};
use serde::Serialize;

use super::distribution::Distribution;
use super::floor::Shape;
use super::run::Until;
use super::values::Values;
use super::workload::{Workload, Writes};

/// What a bench is to do.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// Clients that ask at one time.
    pub(crate) clients: u64,
    /// Connections to each node, which the clients share.
    pub(crate) connections: u64,
    /// How long is counted, in every round, if no number of requests is given.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub(crate) time: Duration,
    /// How many requests are counted, in every round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requests: Option<u64>,
    /// How long requests are made before they count.
    #[serde(rename = "warm_up_seconds", serialize_with = "seconds")]
    pub(crate) warm_up: Duration,
    /// Rounds.
    pub(crate) rounds: u32,
    /// Puts, in proportion to gets.
    pub(crate) puts: u64,
    /// Gets, in proportion to puts.
    pub(crate) gets: u64,
    /// The length of values.
    pub(crate) value_bytes: usize,
    /// The length of keys.
    pub(crate) key_bytes: usize,
    /// Keys that are there before anything is counted, if the requests need any.
    pub(crate) keys: u64,
    /// How requests are spread over them.
    pub(crate) distribution: Distribution,
    /// Which keys puts write.
    pub(crate) writes: Writes,
    /// The bucket's mode.
    pub(crate) mode: Mode,
    /// Owners that a get waits for.
    pub(crate) r: u8,
    /// Owners that a put waits for.
    pub(crate) w: u8,
    /// Where chance comes from.
    pub(crate) seed: u64,
}

impl Plan {
    /// Why this can't be done.
    pub(crate) fn check(&self) -> Result<(), String> {
        let no = |why: &str| Err(why.to_owned());
        if self.puts + self.gets == 0 {
            return no("nothing to do: --puts and --gets are both 0");
        }
        if self.writes == Writes::Own && self.keys < self.clients {
            return no(
                "--writes own needs as many --keys as --clients, so that each client owns one",
            );
        }
        if self.writes == Writes::Blind && self.mode == Mode::Siblings && self.puts > 0 {
            return no(
                "--writes blind piles up siblings in a bucket that nothing merges: choose a --merge plugin, or --writes \
                 fresh or own",
            );
        }
        Ok(())
    }

    /// Do the requests need keys that are there?
    pub(crate) fn needs_keys(&self) -> bool {
        self.gets > 0 || self.writes != Writes::Fresh
    }

    /// The workload. Each target gets one of its own, and so the same requests as the other.
    pub(crate) fn workload(&self) -> Arc<Workload> {
        Arc::new(Workload {
            puts: self.puts,
            gets: self.gets,
            keys: self.keys,
            clients: self.clients,
            distribution: self.distribution,
            writes: self.writes,
            values: Values::new(self.seed, self.key_bytes, self.value_bytes),
            fresh: AtomicU64::new(self.keys),
            seed: self.seed,
        })
    }

    /// When a round ends.
    pub(crate) fn until(&self) -> Until {
        self.requests.map_or(Until::Time(self.time), Until::Requests)
    }

    /// How the floor's client asks.
    pub(crate) fn shape(&self) -> Shape {
        Shape { connections: self.connections, r: self.r, w: self.w }
    }

    /// The bucket that is written to.
    pub(crate) fn bucket(&self) -> BucketConfig {
        BucketConfig { mode: self.mode.clone(), r: self.r, w: self.w, ..BucketConfig::default() }
    }
}

fn seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}
