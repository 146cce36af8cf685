//! How far a change of the ring has come, and how much there is to move.

use std::collections::BTreeMap;
use std::time::Duration;

use kinfold_client::record::{Phase, State};
use kinfold_client::{Client, ClusterStatus, Error, NodeId, NodeStatus};
use tokio::task::JoinSet;

/// How often somebody who waits looks again.
const PAUSE: Duration = Duration::from_millis(500);

/// Waits until every member that answers knows that every one has nothing left to copy or to drop: one hears of the others' progress a
/// little later than another, and takes no other change before. `tell` is told how it is meanwhile.
pub(crate) async fn settled(
    client: &Client,
    mut tell: impl FnMut(&ClusterStatus),
) -> Result<ClusterStatus, Error> {
    loop {
        let status = client.cluster_status().await?;
        if is_settled(&status) && is_known_everywhere(client, &status).await {
            return Ok(status);
        }
        tell(&status);
        tokio::time::sleep(PAUSE).await;
    }
}

/// Has every member said, by the latest record, that it has nothing left to copy or to drop?
fn is_settled(status: &ClusterStatus) -> bool {
    phase(status) == "stable" && unheard(status) == 0 && matches!(moved(status), (0, 0, _))
}

/// Members of which the node that was asked has not heard how far they are by the latest record.
pub(crate) fn unheard(status: &ClusterStatus) -> usize {
    let heard = |id: &NodeId| {
        status.progress.get(id).is_some_and(|said| said.version == status.record.version)
    };
    status.record.members().keys().filter(|id| !heard(id)).count()
}

/// Do all members that answer know so?
async fn is_known_everywhere(client: &Client, status: &ClusterStatus) -> bool {
    let mut asked = JoinSet::new();
    for member in status.record.members().into_values() {
        let (client, member) = (client.clone(), member.clone());
        asked.spawn(async move { client.cluster_status_of(&member).await });
    }
    asked.join_all().await.into_iter().flatten().all(|status| is_settled(&status))
}

/// Trees that members are still to copy and to drop, and the bytes that they have copied.
pub(crate) fn moved(status: &ClusterStatus) -> (u64, u64, u64) {
    let members = status.record.members();
    let progress = members.keys().filter_map(|id| status.progress.get(id));
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
