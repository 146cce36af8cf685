//! Components of installed plugins: which of them this node should have, and how it comes to have them.
//!
//! ```text
//! store   the bytes of components, in the data directory, each under its hash
//! fetch   the bytes from a peer, and to a peer
//! supply  makes it so: gets what is missing, has it compiled, says what is ready
//! trial   tries the laws on a component that someone wants to install
//! ```
//!
//! What must hold: the plugin that has a release's name here is the component that the catalogue has under it, or none; nothing is
//! compiled on the core's loop or on a task that others wait for; bytes are used only if they have the hash that they should.

mod fetch;
mod store;
mod supply;
pub(crate) mod trial;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kinfold_protocol::catalogue::{PluginPlan, Release};
use kinfold_protocol::causality::Digest;
use kinfold_protocol::io::Input;
use kinfold_protocol::message::plugin::ComponentState;
use kinfold_sandbox::Merger;
use tokio::sync::{Mutex, Semaphore, watch};
use tracing::{info, warn};

use crate::inbox::{Arrival, Inbox};

pub(crate) use fetch::serve;
pub(crate) use store::ComponentStore;
pub(crate) use supply::supply;

/// Components that are passed on to peers at one time.
const MOST_FETCHES: usize = 4;

/// How long a start waits for components that lie in the data directory. The rest are loaded while the node serves already, and
/// their buckets answer siblings meanwhile.
const START: Duration = Duration::from_secs(10);

/// The components of this node.
pub(crate) struct Components {
    store: Arc<ComponentStore>,
    merger: Arc<Merger>,
    inbox: Inbox,
    plan: watch::Sender<PluginPlan>,
    /// Held while a component is tried and put into the catalogue: one at a time, and what it keeps is not cleared away.
    trying: Mutex<()>,
    serving: Semaphore,
}

impl Components {
    /// Those that lie in the data directory.
    ///
    /// # Errors
    /// Their folder can't be made.
    pub(crate) fn open(data_dir: &Path, merger: Arc<Merger>, inbox: Inbox) -> io::Result<Self> {
        Ok(Self {
            store: Arc::new(ComponentStore::open(data_dir)?),
            merger,
            inbox,
            plan: watch::Sender::new(PluginPlan::default()),
            trying: Mutex::new(()),
            serving: Semaphore::new(MOST_FETCHES),
        })
    }

    /// What the catalogue wants from now on. What it wants no more is gone when this returns, before any merge that is asked
    /// for later; what is missing comes in time.
    pub(crate) fn plan(&self, plan: PluginPlan) {
        for (name, _, hash) in self.merger.named_plugins() {
            let wanted = plan.components.get(name.as_str());
            if Release::is_meant_by(&name) && wanted != Some(&digest(hash)) {
                self.merger.uninstall(&name);
                info!(plugin = name, %hash, "plugin removed");
            }
        }
        let shadows =
            plan.shadows.iter().map(|(b, plugin)| (b.as_str().to_owned(), plugin.clone()));
        self.merger.set_shadows(shadows.collect());
        self.plan.send_replace(plan);
        self.tell_validators();
    }

    /// Loads what lies in the data directory already, so that a node that comes back merges as soon as it serves.
    pub(crate) async fn load_kept(&self, plan: PluginPlan) {
        self.plan.send_replace(plan.clone());
        let load = async {
            for (release, hash) in &plan.components {
                if let Ok(Some(bytes)) = self.read(*hash).await {
                    self.compile(release, *hash, bytes).await;
                }
            }
        };
        if tokio::time::timeout(START, load).await.is_err() {
            warn!(
                "compiling the installed plugins takes long: the rest are compiled while the node serves"
            );
        }
    }

    /// Compiles a component and has it merge under the release's name, if the catalogue still wants it. Says whether it can be used.
    async fn compile(&self, release: &Release, hash: Digest, bytes: Vec<u8>) -> bool {
        let (merger, name) = (Arc::clone(&self.merger), release.to_string());
        let compiled = tokio::task::spawn_blocking(move || {
            merger.install(&name, &bytes).map_err(|error| error.to_string())
        });
        // The sandbox catches panics of the compiler; what is left is a runtime that ends.
        let compiled =
            compiled.await.unwrap_or_else(|_ended| Err("the node is stopping".to_owned()));
        if self.plan.borrow().components.get(release) != Some(&hash) {
            self.merger.uninstall(release.as_str());
            return true;
        }
        let state = match compiled {
            Ok(_manifest) => {
                info!(plugin = %release, %hash, "plugin ready");
                ComponentState::Ready
            }
            Err(error) => {
                warn!(plugin = %release, %hash, error, "an installed plugin can't be used here: its buckets keep their siblings");
                ComponentState::Failed(error)
            }
        };
        let ready = state == ComponentState::Ready;
        self.tell_validators();
        self.tell(Input::Component { hash, state });
        ready
    }

    async fn read(&self, hash: Digest) -> io::Result<Option<Vec<u8>>> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || store.read(hash)).await.map_err(io::Error::other)?
    }

    /// Keeps a component durably.
    async fn keep(&self, hash: Digest, bytes: Vec<u8>) -> io::Result<()> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || store.keep(hash, &bytes))
            .await
            .map_err(io::Error::other)?
    }

    fn tell_validators(&self) {
        self.tell(Input::Validators(self.merger.validators()));
    }

    fn tell(&self, fact: Input) {
        // Nobody listens any more only once the node has ended.
        let _ = self.inbox.send(Arrival::Fact(fact));
    }
}

fn digest(hash: blake3::Hash) -> Digest {
    Digest(*hash.as_bytes())
}

/// The names of this node's own plugins, those that were not installed, with what they say of themselves.
pub(crate) fn local(
    merger: &Merger,
) -> BTreeMap<String, kinfold_protocol::message::plugin::LocalPlugin> {
    let local = merger.named_plugins().into_iter().filter(|(name, ..)| !Release::is_meant_by(name));
    local
        .map(|(name, manifest, hash)| {
            let plugin = kinfold_protocol::message::plugin::LocalPlugin {
                version: manifest.version.clone(),
                hash: digest(hash),
                contract: trial::contract(&manifest),
                tombstones: trial::tombstones(&manifest),
                description: manifest.description,
            };
            (name, plugin)
        })
        .collect()
}
