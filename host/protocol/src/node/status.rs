//! What a node says of itself.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};

use super::Node;
use crate::id::BucketName;
use crate::message::client::{PeerStatus, Status};
use crate::time::Time;

impl Node {
    pub(super) fn status(&self, now: Time) -> Status {
        let members = self.ring.acting.members();
        let me = members.get(&self.boot.id);
        let mut counters: BTreeMap<String, u64> =
            self.counters.iter().map(|(name, n)| ((*name).to_string(), *n)).collect();
        counters.insert("operations_in_progress".to_string(), self.operations.len() as u64);
        let lost = self.healing.lost().len() as u64;
        counters.insert("partitions_lost".to_string(), lost);
        counters.insert("keys_in_work".to_string(), self.keys.in_work() as u64);
        let owed = self.handoff.total();
        counters.insert("hints".to_string(), owed.keys);
        counters.insert("hint_bytes".to_string(), owed.bytes);
        let deletes = self.delete_status();
        counters.insert("tombstones_waiting".to_string(), deletes.waiting);
        counters.insert("tombstones_stable".to_string(), deletes.stable);
        Status {
            node: self.boot.id,
            name: me.map(|m| m.name.clone()).unwrap_or_default(),
            cluster: self.boot.cluster.clone(),
            version: self.boot.version.clone(),
            layout: self.ring.acting.version,
            peers: self
                .peers
                .iter()
                .map(|(node, peer)| PeerStatus {
                    node: *node,
                    heard_ms: peer.heard.map(|at| now.since(at).as_millis()),
                    same_catalogue: peer.same_catalogue,
                    hints: self.handoff.debt(*node).keys,
                    hint_bytes: self.handoff.debt(*node).bytes,
                    reach: self.membership.reach(*node),
                    // The shell knows.
                    rtt_us: None,
                    answer_p95_us: self.pace(*node).map(|pace| pace.0),
                    exchanged_ms: self.repair.exchanged(*node).map(|at| now.since(at).as_millis()),
                })
                .collect(),
            counters,
            suspended: self.suspended.iter().cloned().collect(),
            discarded: self.discarded_by_bucket(),
            exchanging: self.repair.is_exchanging(),
            deletes,
            // The shell knows.
            scrub: None,
        }
    }

    fn discarded_by_bucket(&self) -> BTreeMap<BucketName, BTreeMap<String, u64>> {
        let mut all: BTreeMap<BucketName, BTreeMap<String, u64>> = BTreeMap::new();
        for ((bucket, reason), count) in self.ledger.counts() {
            all.entry(bucket.clone()).or_default().insert(reason.word().to_string(), *count);
        }
        all
    }
}
