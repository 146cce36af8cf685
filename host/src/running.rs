//! A node that runs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kinfold_protocol::cbor;
use kinfold_protocol::id::Actor;
use kinfold_protocol::io::saved;
use quinn::Endpoint;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use crate::close_code::CloseCode;
use crate::counters::Counters;
use crate::data_dir::DataDir;
use crate::endpoint::Bound;
use crate::inbox::Arrival;
use crate::node_loop::Remains;
use crate::rim::Rim;
use crate::start_error::StopError;

/// The last packets of closed connections get so long to be sent.
const FAREWELL: Duration = Duration::from_millis(500);

/// Letting the socket go needs one turn of each connection's task: so long only where the machine stands still.
const RELEASE: Duration = Duration::from_secs(10);

const HELD: &str = "the socket is still open: a start on the same address may find it in use";

/// A running node. Dropping it ends it as a crash would, except that the operating system lives on: what was acknowledged
/// is durable, and the next start is a new life. [`Running::stop`] ends it in good order.
pub struct Running {
    pub(crate) node: String,
    pub(crate) actor: Actor,
    pub(crate) local_addr: SocketAddr,
    pub(crate) metrics_addr: Option<SocketAddr>,
    pub(crate) grace: Duration,
    pub(crate) endpoint: Endpoint,
    /// Until it is released.
    pub(crate) bound: Option<Bound>,
    pub(crate) rim: Arc<Rim>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) core: Option<JoinHandle<(Remains, DataDir)>>,
    /// Aborted with the node: the core's loop, the accepting, and what keeps the ways to peers up.
    pub(crate) tasks: Vec<AbortHandle>,
    /// Its sender is gone once the core's loop has ended.
    pub(crate) ended: watch::Receiver<()>,
    /// Stopped before the store is closed.
    pub(crate) scrub: Option<std::thread::JoinHandle<()>>,
    /// Dropped to have the core's loop give up what is still in progress.
    pub(crate) patience: Option<watch::Sender<()>>,
}

impl Running {
    /// The UDP address that the node listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The TCP address at which scrapers are answered, if they are.
    #[must_use]
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_addr
    }

    /// The actor of this life.
    #[must_use]
    pub fn actor(&self) -> Actor {
        self.actor
    }

    /// What the shell counted since the start, by name. What the core counted stands beside it in the answer to a status
    /// request.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<&'static str, u64> {
        self.counters.read()
    }

    /// Resolves once the node can't go on, because its core failed. The log says why; [`Running::stop`] cleans up.
    pub async fn wait(&self) {
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }

    /// Resolves, with the name of the peer that says so, when another process with this node's identity is in service, and this
    /// one started later: it is to be stopped. What it took meanwhile and could not hand on stands in its data directory.
    pub async fn twin(&self) -> String {
        let mut twin = self.rim.peers.twin();
        // The sender lives as long as the node.
        let said = twin.wait_for(Option::is_some).await.ok().and_then(|said| said.clone());
        said.unwrap_or_default()
    }

    /// Resolves when the store is damaged and is to be mended, which a start does: the node is to be stopped and started again.
    /// Until then it goes on, and does not read what is damaged.
    pub async fn hurt(&self) {
        let mut hurt = self.rim.scrub.hurt();
        // The sender lives as long as the node.
        let _ = hurt.wait_for(|hurt| *hurt).await;
    }

    /// Stops in good order: takes no more requests, lets those in progress finish for up to the grace period, makes the end
    /// of this life durable, and closes the store and the socket: a node may start on the same address at once.
    ///
    /// # Errors
    /// [`StopError`]: the node has stopped, but its next start will be as after a crash.
    pub async fn stop(mut self) -> Result<(), StopError> {
        info!(node = %self.node, "stopping");
        let until = Instant::now() + self.grace;
        self.rim.stop();
        if timeout_at(until, self.rim.requests.emptied()).await.is_err() {
            let requests = self.rim.requests.items();
            warn!(requests, "the grace period is over, and requests are still in progress");
        }
        self.rim.scrub.stop();
        if let Some(thread) = self.scrub.take() {
            // It makes one more step.
            let _ = tokio::task::spawn_blocking(|| thread.join()).await;
        }
        let Some(mut core) = self.core.take() else { return Err(StopError::Failed) };
        let _ = self.rim.inbox.send(Arrival::End);
        let ended = match timeout_at(until, &mut core).await {
            Ok(ended) => ended,
            Err(_elapsed) => {
                self.patience.take();
                core.await
            }
        };
        // Else they would warn of peers that they can no longer reach.
        self.tasks.iter().for_each(AbortHandle::abort);
        self.rim.peers.stop();
        CloseCode::Stopping.close_all(&self.endpoint);
        let Ok((remains, data_dir)) = ended else { return Err(StopError::Failed) };
        let stopped = finish(remains).await;
        drop(data_dir);
        let _ = tokio::time::timeout(FAREWELL, self.endpoint.wait_idle()).await;
        info!(node = %self.node, clean = stopped.is_ok(), "stopped");
        let (bound, endpoint) = (self.bound.take(), self.endpoint.clone());
        // With it go its handles on connections, which keep the socket of one that has ended already.
        drop(self);
        if let Some(bound) = bound {
            match tokio::time::timeout(RELEASE, bound.release(&endpoint)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => warn!(%error, "{HELD}"),
                Err(_elapsed) => warn!("{HELD}"),
            }
        }
        stopped
    }
}

/// Makes the end of the life durable, and closes the store.
async fn finish(remains: Remains) -> Result<(), StopError> {
    let Remains { life, mut arrivals, hands } = remains;
    let saved = match life {
        Some(life) => {
            let bytes = cbor::encode(&life);
            hands.save(&mut arrivals, saved::LIFE, bytes).await.map_err(StopError::Storage)
        }
        None => Err(StopError::Hasty),
    };
    // It waits for its threads and the disk.
    let closed = tokio::task::spawn_blocking(|| hands.close()).await;
    saved?;
    match closed {
        Ok(closed) => Ok(closed?),
        Err(_panicked) => Err(StopError::Failed),
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.rim.scrub.stop();
        for task in &self.tasks {
            task.abort();
        }
        self.rim.peers.stop();
        CloseCode::Stopping.close_all(&self.endpoint);
    }
}
