//! Membership: datagrams in and out, and what it says of the peers.

use alloc::collections::BTreeSet;

use crate::id::NodeId;
use crate::io::Output;
use crate::message::client::Reach;
use crate::node::Node;
use crate::time::Now;

impl Node {
    /// A datagram arrived. From nobody but members of the layout.
    pub(super) fn on_datagram(&mut self, now: Now, from: NodeId, bytes: &[u8]) {
        if self.peers.contains_key(&from) && !self.membership.heard(now, bytes) {
            self.count("datagrams_refused");
        }
    }

    pub(super) fn advance_membership(&mut self, now: Now) {
        self.membership.advance(now.time);
        while let Some((to, bytes)) = self.membership.poll() {
            self.outputs.push_back(Output::Datagram { to, bytes });
        }
    }

    /// Members that this node does not wait for, since they were declared down.
    #[must_use]
    pub fn down(&self) -> &BTreeSet<NodeId> {
        self.membership.down()
    }

    /// How this node sees another one.
    #[must_use]
    pub fn reach(&self, node: NodeId) -> Reach {
        self.membership.reach(node)
    }
}
