//! What the shell counts since its start, for status and for metrics. The names are others than those of what the core
//! counts, since both stand in one list.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::meters::Meters;

/// Writes the list of counters once, for the three places that need it.
macro_rules! counters {
    ($($(#[$doc:meta])+ $field:ident;)+) => {
        /// Counts since the start. Each only rises.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $($(#[$doc])+ pub(crate) $field: Count,)+
            /// What has labels, or a size.
            pub(crate) meters: Meters,
        }

        impl Counters {
            /// All counts by name.
            pub(crate) fn read(&self) -> BTreeMap<&'static str, u64> {
                BTreeMap::from([$((stringify!($field), self.$field.read()),)+])
            }
        }
    };
}

counters! {
    /// Client connections whose handshake was done.
    client_connections;
    /// Connections of peers to this node whose handshake was done.
    peer_connections;
    /// Connections of this node to a peer that came about.
    peer_links;
    /// Streams that clients opened: one a request.
    client_streams;
    /// Streams that peers opened.
    peer_streams;
    /// Attempts to connect that were answered with a retry token.
    handshakes_retried;
    /// Attempts to connect that were refused, because too many were under way or the node stops.
    handshakes_refused;
    /// Attempts to connect that failed, or came from nobody of this cluster.
    handshakes_failed;
    /// Client requests that came in whole.
    requests;
    /// Client requests that were refused before the core saw them: too many, too large, or the node stops.
    requests_turned_away;
    /// Client requests whose frame or header was malformed.
    requests_malformed;
    /// Client requests that nobody was there any more to take the answer of.
    replies_unclaimed;
    /// Messages of peers that reached the core.
    peer_messages;
    /// Messages of peers that were dropped because too many were waiting.
    peer_messages_shed;
    /// Messages of peers that were not understood.
    peer_messages_malformed;
    /// Messages written to peers.
    link_messages;
    /// Writes that carried them: several small messages share one.
    link_writes;
    /// Messages to peers that were dropped: no connection, or too many waiting.
    link_messages_dropped;
    /// Datagrams of peers that reached the core.
    peer_datagrams;
    /// Datagrams of peers that were dropped because too much was waiting.
    peer_datagrams_shed;
    /// Datagrams given to a connection to a peer.
    link_datagrams;
    /// Datagrams to peers that were dropped: no connection.
    link_datagrams_dropped;
    /// Jobs given to the store.
    store_jobs;
    /// Merges given to plugins.
    merges_started;
    /// Alarms raised by the core.
    alarms;
    /// Spans of traces that were dropped: too many were open, or waited for the collector.
    spans_dropped;
    /// Turns of the core's loop.
    turns;
    /// Facts that the core took in. By turns: how well wake-ups are shared.
    facts;
}

/// One count.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// One more.
    pub(crate) fn one(&self) {
        self.add(1);
    }

    /// So many more.
    pub(crate) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
