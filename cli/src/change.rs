//! How far a change of the ring has come, and how much there is to move.

use std::collections::BTreeMap;

use kinfold_client::record::{Phase, State};
use kinfold_client::{Client, ClusterStatus, NodeId, NodeStatus};

/// Has every member said, by the latest record, that it has nothing left to copy or to drop? No other change is taken before.
pub(crate) fn is_settled(status: &ClusterStatus) -> bool {
    let done = |id: &NodeId| {
        let said = status.progress.get(id).filter(|p| p.version == status.record.version);
        said.is_some_and(|p| p.to_copy == 0 && p.to_drop == 0)
    };
    phase(status) == "stable" && status.record.members().keys().all(done)
}

/// The same as every member that answers knows it: one hears of the others' progress a little later than another, and does not take the
/// next change before.
pub(crate) async fn is_settled_everywhere(client: &Client, status: &ClusterStatus) -> bool {
    for member in status.record.members().into_values() {
        let told = client.cluster_status_of(member).await;
        if told.is_ok_and(|status| !is_settled(&status)) {
            return false;
        }
    }
    true
}

/// Trees that are still to be copied and to be dropped, and the bytes that were copied.
pub(crate) fn moved(status: &ClusterStatus) -> (u64, u64, u64) {
    let progress = status.progress.values();
    progress.fold((0, 0, 0), |(to_copy, to_drop, bytes), p| {
        (to_copy + p.to_copy, to_drop + p.to_drop, bytes + p.bytes)
    })
}

/// At which step it is, in a word.
pub(crate) fn phase(status: &ClusterStatus) -> &'static str {
    match &status.record.state {
        State::Stable { leaving, .. } if leaving.is_empty() => "stable",
        State::Stable { .. } => "dropping",
        State::Changing { phase: Phase::Copying, .. } => "copying",
        State::Changing { phase: Phase::Handing, .. } => "handing over",
    }
}

/// What the nodes' stores hold, of those that tell.
pub(crate) async fn sizes(client: &Client) -> BTreeMap<NodeId, u64> {
    let nodes = client.status().await;
    let size = |node: NodeStatus| {
        let bytes = node.status.ok()?.counters.get("store_bytes").copied()?;
        Some((node.member.id, bytes))
    };
    nodes.into_iter().filter_map(size).collect()
}
