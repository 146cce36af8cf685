//! What operators scrape: all figures of a node, in the text format of Prometheus, over plain HTTP.
//!
//! Figures are read when they are asked for. The core gives its own as values, between two facts; what the shell measures as
//! it happens is in [`crate::meters`] and [`crate::counters`]. docs/OPERATIONS.md names every family, and a test compares.
//!
//! The port is apart from the one that nodes and clients talk QUIC on, is closed unless it is configured, and whoever reaches
//! it may read: keep it on loopback or behind a firewall. It tells names of peers, buckets' plugins and numbers, and no keys
//! or values.

mod core_figures;
mod listener;
mod plugin_figures;
mod scrub_figures;
mod sheet;
mod shell_figures;
mod store_figures;

use std::sync::Arc;
use std::time::Duration;

use kinfold_protocol::node::Figures;
use kinfold_storage::Disk;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::registry::Registry;
use quinn::Endpoint;
use tokio::sync::oneshot;

use crate::inbox::Arrival;
use crate::rim::Rim;
use sheet::Sheet;

pub(crate) use listener::serve;

/// A core that does not answer within this is stuck, and a scraper gives up too.
const PATIENCE: Duration = Duration::from_secs(5);

/// What only the core's loop can see.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) figures: Figures,
    /// Jobs that wait for a thread of the store.
    pub(crate) store_jobs_waiting: usize,
}

/// Where figures come from.
pub(crate) struct Sources {
    pub(crate) rim: Arc<Rim>,
    pub(crate) endpoint: Endpoint,
    pub(crate) disk: Disk,
    pub(crate) version: &'static str,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScrapeError {
    #[error("the node's core did not answer within {} s, or has ended", PATIENCE.as_secs())]
    Core,
    #[error("the store's figures can't be read: {0}")]
    Store(#[from] kinfold_protocol::store::StoreError),
    #[error("the text could not be made")]
    Text(#[from] std::fmt::Error),
}

impl Sources {
    /// All figures as text.
    ///
    /// # Errors
    /// [`ScrapeError`]: nothing is told, rather than a part.
    async fn scrape(&self) -> Result<String, ScrapeError> {
        let (tell, told) = oneshot::channel();
        self.rim.inbox.send(Arrival::Look(tell)).map_err(|_gone| ScrapeError::Core)?;
        let look = tokio::time::timeout(PATIENCE, told).await;
        let look = look.ok().and_then(Result::ok).ok_or(ScrapeError::Core)?;
        let disk = self.disk.clone();
        // It asks the file system.
        let stats = tokio::task::spawn_blocking(move || disk.stats()).await;
        let stats = stats.map_err(|_panicked| ScrapeError::Core)??;

        let mut sheet = Sheet::default();
        let about = vec![("version", self.version.to_owned())];
        sheet.levels("build", "Always 1: the version of the program", [(about, 1.0)]);
        core_figures::add(&mut sheet, &look.figures);
        shell_figures::add(&mut sheet, &self.rim, &self.endpoint, &look);
        store_figures::add(&mut sheet, &stats);
        scrub_figures::add(&mut sheet, &self.rim.scrub.status(), self.rim.scrub.rate());
        plugin_figures::add(&mut sheet, &self.rim.merger.stats());
        let mut text = String::with_capacity(64 * 1024);
        prometheus_text::encode(&mut text, &self.registry(sheet))?;
        Ok(text)
    }

    /// Everything under its name. The parts are handles, so a registry for each scrape costs little.
    fn registry(&self, sheet: Sheet) -> Registry {
        let meters = &self.rim.counters.meters;
        let mut registry = Registry::with_prefix("kinfold");
        let help = "Time from a client's whole request to its answer, by kind and outcome";
        registry.register("request_seconds", help, meters.requests.clone());
        let help = "Time from handing a merge in to its result, waiting included";
        registry.register("merge_seconds", help, meters.merges.clone());
        let help = "Messages between this node and its peers, by kind";
        registry.register("messages", help, meters.messages.clone());
        let help = "Bytes of messages between this node and its peers, by kind";
        registry.register("message_bytes", help, meters.message_bytes.clone());
        registry.register_collector(Box::new(sheet));
        registry
    }
}
