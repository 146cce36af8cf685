//! Makes what the catalogue wants so: one component after the other, from the data directory or from a peer, compiled one at a
//! time on a thread that nobody waits for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kinfold_protocol::catalogue::{PluginPlan, Release};
use kinfold_protocol::causality::Digest;
use tracing::{debug, info, warn};

use super::{Components, digest, fetch};
use crate::peers::Peers;

/// The first wait after a component could not be had; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest wait. Who has a component may come back at any time.
const LAST_PAUSE: Duration = Duration::from_secs(3);

/// Supplies components until the node ends.
pub(crate) async fn supply(components: Arc<Components>, peers: Peers) {
    let mut plans = components.plan.subscribe();
    // Not tried again until they are wanted anew: the same bytes fail the same way.
    let mut unusable: BTreeSet<Digest> = BTreeSet::new();
    let mut pause = FIRST_PAUSE;
    loop {
        let plan = plans.borrow_and_update().clone();
        unusable.retain(|hash| plan.components.values().any(|wanted| wanted == hash));
        let missing = provide(&components, &peers, &plan, &mut unusable).await;
        clear(&components, &plan).await;
        if missing == 0 {
            pause = FIRST_PAUSE;
            if plans.changed().await.is_err() {
                return;
            }
        } else if let Ok(Err(_ended)) = tokio::time::timeout(pause, plans.changed()).await {
            return;
        } else {
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}

/// Gets and compiles what is not there yet. How many components still are not.
async fn provide(
    components: &Components,
    peers: &Peers,
    plan: &PluginPlan,
    unusable: &mut BTreeSet<Digest>,
) -> usize {
    let mut missing = 0;
    for (release, hash) in &plan.components {
        let here = components.merger.hash(release.as_str()).map(digest);
        if here == Some(*hash) || unusable.contains(hash) {
            continue;
        }
        match get(components, peers, release, *hash).await {
            Some(bytes) => {
                if !components.compile(release, *hash, bytes).await {
                    unusable.insert(*hash);
                }
            }
            None => missing += 1,
        }
    }
    missing
}

/// A component's bytes, durable here.
async fn get(
    components: &Components,
    peers: &Peers,
    release: &Release,
    hash: Digest,
) -> Option<Vec<u8>> {
    match components.read(hash).await {
        Ok(Some(bytes)) => return Some(bytes),
        Ok(None) => {}
        Err(error) => {
            warn!(plugin = %release, %error, "a component can't be read");
            return None;
        }
    }
    for (name, peer) in peers.all() {
        let Some(connection) = peer.link.connection() else { continue };
        match fetch::fetch(&connection, hash).await {
            Ok(bytes) => {
                info!(plugin = %release, peer = name, bytes = bytes.len(), "component fetched");
                let bytes = Vec::from(bytes);
                return match components.keep(hash, bytes.clone()).await {
                    Ok(()) => Some(bytes),
                    Err(error) => {
                        warn!(plugin = %release, %error, "a component can't be kept");
                        None
                    }
                };
            }
            Err(error) => debug!(plugin = %release, peer = name, %error, "component not fetched"),
        }
    }
    None
}

/// Clears away components that are not wanted, unless one is just being tried and may be wanted in a moment.
async fn clear(components: &Components, plan: &PluginPlan) {
    let Ok(_nobody_tries) = components.trying.try_lock() else { return };
    let wanted: Vec<Digest> = plan.components.values().copied().collect();
    let store = Arc::clone(&components.store);
    let cleared = tokio::task::spawn_blocking(move || store.keep_only(wanted.into_iter())).await;
    if let Ok(Err(error)) = cleared {
        warn!(%error, "components that are not wanted any more can't be cleared away");
    }
}
