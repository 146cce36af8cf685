//! What is measured as it happens and has more than a name: how long requests and merges took, and what went between nodes.

use std::time::Duration;

use kinfold_protocol::merge::MergeResult;
use kinfold_protocol::message::client::Response;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// Two labels whose values are known words.
type Words = [(&'static str, &'static str); 2];

/// A plugin's name and a known word.
type Plugin = [(&'static str, String); 2];

type Times<Labels> = Family<Labels, Histogram, fn() -> Histogram>;

/// What is measured as it happens. The names and meanings are in docs/OPERATIONS.md.
#[derive(Debug)]
pub(crate) struct Meters {
    pub(crate) requests: Times<Words>,
    pub(crate) merges: Times<Plugin>,
    pub(crate) messages: Family<Words, Counter>,
    pub(crate) message_bytes: Family<Words, Counter>,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            requests: Family::new_with_constructor(times),
            merges: Family::new_with_constructor(times),
            messages: Family::default(),
            message_bytes: Family::default(),
        }
    }
}

/// From 100 µs, each bound twice the one before, to 13 s: longer than a client waits.
fn times() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 2.0, 18))
}

impl Meters {
    /// A request of a client was answered.
    pub(crate) fn answered(&self, kind: &'static str, response: &Response, took: Duration) {
        let outcome = match response {
            Response::Failed(failure) => failure.code.word(),
            Response::Conflict(_) => "conflict",
            Response::Found(_)
            | Response::Written(_)
            | Response::Listed(_)
            | Response::BucketSaved { .. }
            | Response::Buckets(_)
            | Response::Layout(_)
            | Response::Status(_)
            | Response::Explained(_)
            | Response::Cluster(_)
            | Response::Plugin(_) => "ok",
        };
        let labels = [("kind", kind), ("outcome", outcome)];
        self.requests.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A merge that was handed in is done.
    pub(crate) fn merged(&self, plugin: String, result: &MergeResult, took: Duration) {
        let outcome = if result.is_ok() { "merged" } else { "failed" };
        let labels = [("plugin", plugin), ("outcome", outcome.to_owned())];
        self.merges.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A message of so many bytes was written to a peer.
    pub(crate) fn sent(&self, kind: &'static str, bytes: usize) {
        self.message("sent", kind, bytes);
    }

    /// A message of so many bytes came from a peer.
    pub(crate) fn received(&self, kind: &'static str, bytes: usize) {
        self.message("received", kind, bytes);
    }

    fn message(&self, direction: &'static str, kind: &'static str, bytes: usize) {
        let labels = [("direction", direction), ("kind", kind)];
        self.messages.get_or_create(&labels).inc();
        self.message_bytes.get_or_create(&labels).inc_by(bytes as u64);
    }
}
