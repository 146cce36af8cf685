//! What every connection at the rim of the node shares: the bounds, the way to the core, and who may come in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use kinfold_protocol::message::client::{Code, Failure, Response, ResponseHeader};
use kinfold_sandbox::Merger;
use kinfold_storage::Disk;

use crate::components::Components;
use crate::config::Config;
use crate::counters::Counters;
use crate::gauge::Gauge;
use crate::inbox::{Inbox, Reply};
use crate::peers::Peers;

/// Bytes of requests that may be in progress: sixteen values of the default's greatest length, or 26 000 of 10 KB.
const REQUEST_BYTES: usize = 256 * 1024 * 1024;

/// Messages of peers that may wait for the core.
const PEER_MESSAGES: usize = 65_536;

/// Bytes of messages of peers that may wait for the core.
const PEER_BYTES: usize = 256 * 1024 * 1024;

/// Handshakes under way above which one more is refused: a signature each, on two cores about a second of work.
const HANDSHAKES: usize = 1_024;

/// When a client that was turned away may try again.
const RETRY_AFTER_MS: u32 = 100;

/// What every connection shares.
pub(crate) struct Rim {
    pub(crate) cluster: String,
    /// The other members.
    pub(crate) peers: Peers,
    /// The version of the layout, as the core last said, for answers that it has no part in.
    pub(crate) layout: AtomicU64,
    /// The longest body of a request, in bytes.
    pub(crate) value_bytes: u32,
    pub(crate) inbox: Inbox,
    /// The store, for its size.
    pub(crate) disk: Disk,
    /// The plugins, which a new bucket has to go with.
    pub(crate) merger: Arc<Merger>,
    /// The components of installed plugins.
    pub(crate) components: Arc<Components>,
    /// Requests in progress.
    pub(crate) requests: Arc<Gauge>,
    /// Messages of peers that wait for the core.
    pub(crate) peer_messages: Arc<Gauge>,
    /// Connections of clients.
    pub(crate) clients: Arc<Gauge>,
    /// Handshakes under way.
    pub(crate) handshakes: Arc<Gauge>,
    pub(crate) counters: Arc<Counters>,
    stopping: AtomicBool,
}

impl Rim {
    pub(crate) fn new(
        config: &Config,
        peers: Peers,
        inbox: Inbox,
        disk: Disk,
        merger: Arc<Merger>,
        components: Arc<Components>,
        counters: Arc<Counters>,
    ) -> Self {
        let most = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        Self {
            cluster: config.cluster.clone(),
            peers,
            layout: AtomicU64::new(0),
            value_bytes: config.limits.value_bytes,
            inbox,
            disk,
            merger,
            components,
            requests: Gauge::new(most(config.limits.requests), REQUEST_BYTES),
            peer_messages: Gauge::new(PEER_MESSAGES, PEER_BYTES),
            clients: Gauge::new(most(config.limits.connections), 0),
            handshakes: Gauge::new(HANDSHAKES, 0),
            counters,
            stopping: AtomicBool::new(false),
        }
    }

    /// Takes no more connections and requests from now on.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// An answer that the core has no part in.
    pub(crate) fn answer(&self, response: Response) -> Reply {
        let layout = self.layout.load(Ordering::Relaxed);
        Reply { header: ResponseHeader { layout, response }, body: Vec::new() }
    }

    /// A refusal that the core has no part in.
    pub(crate) fn failed(&self, code: Code, message: impl Into<String>) -> Reply {
        let retry_after_ms = (code == Code::Overloaded).then_some(RETRY_AFTER_MS);
        let failure = Failure { code, message: message.into(), retry_after_ms };
        self.answer(Response::Failed(failure))
    }
}
