//! When the nodes of a cluster that was just started, or cut, have found each other.

use std::time::{Duration, Instant};

use kinfold_client::{Client, NodeStatus};

/// So long the nodes get.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until every node has heard of every other since now and knows the same buckets. If that takes too long: who has not.
pub(crate) async fn meet(client: &Client) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let asked = begun.elapsed();
        let nodes = client.status().await;
        let apart: Vec<_> = nodes.iter().flat_map(|node| not_heard(node, asked)).collect();
        if apart.is_empty() || begun.elapsed() > PATIENCE {
            return apart;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The peers that a node has not heard of within this time, in words.
fn not_heard(node: &NodeStatus, within: Duration) -> Vec<String> {
    let name = &node.member.name;
    match &node.status {
        Err(why) => vec![format!("{name} does not answer: {why}")],
        Ok(status) => status
            .peers
            .iter()
            .filter(|peer| {
                let heard = peer.heard_ms.is_some_and(|ms| u128::from(ms) <= within.as_millis());
                !heard || !peer.same_catalogue
            })
            .map(|peer| format!("{name} has not heard of its peer {}", peer.node))
            .collect(),
    }
}
