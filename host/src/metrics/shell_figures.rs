//! Figures of the shell: connections, queues and what was shed, QUIC.

use std::collections::BTreeMap;

use quinn::{ConnectionStats, Endpoint};

use super::Look;
use super::sheet::{Labels, Sheet, label};
use crate::rim::Rim;

pub(super) fn add(sheet: &mut Sheet, rim: &Rim, endpoint: &Endpoint, look: &Look) {
    let counters = rim.counters.read();
    let count = |name: &str| counters.get(name).copied().unwrap_or_default();
    let one = |key, value: &str, counter: &str| (label(key, value), count(counter));
    sheet.counts(
        "connections",
        "QUIC connections that came about",
        [
            one("side", "client", "client_connections"),
            one("side", "peer", "peer_connections"),
            one("side", "link", "peer_links"),
        ],
    );
    sheet.counts(
        "handshakes",
        "Attempts to connect to this node that did not come about at once",
        [
            one("outcome", "retried", "handshakes_retried"),
            one("outcome", "refused", "handshakes_refused"),
            one("outcome", "failed", "handshakes_failed"),
        ],
    );
    sheet.counts(
        "quic_streams",
        "Streams that others opened: one a request of a client, few a peer",
        [one("side", "client", "client_streams"), one("side", "peer", "peer_streams")],
    );
    sheet.counts(
        "malformed",
        "Messages that were not understood",
        [
            one("from", "client", "requests_malformed"),
            one("from", "peer", "peer_messages_malformed"),
        ],
    );
    sheet.counts(
        "shed",
        "What was turned away or dropped, since a queue was full or its other end away",
        [
            one("queue", "requests", "requests_turned_away"),
            (label("queue", "operations"), requests_shed(look)),
            one("queue", "peer_messages", "peer_messages_shed"),
            one("queue", "peer_datagrams", "peer_datagrams_shed"),
            one("queue", "link_messages", "link_messages_dropped"),
            one("queue", "spans", "spans_dropped"),
            one("queue", "link_datagrams", "link_datagrams_dropped"),
        ],
    );
    sheet.counts(
        "datagrams",
        "Datagrams of gossip",
        [
            one("direction", "received", "peer_datagrams"),
            one("direction", "sent", "link_datagrams"),
        ],
    );
    sheet.count("link_writes", "Writes to peers: small messages share one", count("link_writes"));
    let help = "Answers that nobody was there any more to take";
    sheet.count("replies_unclaimed", help, count("replies_unclaimed"));
    sheet.count("alarms", "Alarms raised: each is in the log", count("alarms"));
    sheet.count("store_jobs", "Jobs given to the store", count("store_jobs"));
    sheet.count("loop_turns", "Turns of the core's loop", count("turns"));
    sheet.count("loop_facts", "Facts that the core took in", count("facts"));
    let open = endpoint.open_connections() as f64;
    sheet.level("quic_connections_open", "QUIC connections open now, of all kinds", open);
    add_queues(sheet, rim, look);
    add_links(sheet, rim);
}

fn requests_shed(look: &Look) -> u64 {
    look.figures.counters.get("requests_shed").copied().unwrap_or_default()
}

fn add_queues(sheet: &mut Sheet, rim: &Rim, look: &Look) {
    let merges = rim.merger.stats().waiting;
    let gauges = [
        ("requests", &rim.requests),
        ("peer_messages", &rim.peer_messages),
        ("clients", &rim.clients),
        ("handshakes", &rim.handshakes),
    ];
    let lengths = gauges.iter().map(|(name, gauge)| (*name, gauge.items()));
    let others = [
        ("operations", look.figures.operations),
        ("keys", look.figures.keys_in_work),
        ("store_jobs", look.store_jobs_waiting),
        ("merges", merges),
    ];
    let lengths = lengths.chain(others).map(|(name, n)| (label("queue", name), n as f64));
    let peers = rim.peers.all();
    let links = peers.iter().map(|(name, peer)| {
        let labels = vec![("queue", "link".to_owned()), ("peer", name.clone())];
        (labels, peer.link.queue.waiting() as f64)
    });
    let help = "What waits or is in progress; the queue `link` has one a peer";
    sheet.levels("queue_length", help, lengths.chain(links));
    let limits = gauges.iter().map(|(name, gauge)| (*name, gauge.most_items()));
    let limits = limits.chain([("operations", look.figures.most_operations)]);
    let limits = limits.map(|(name, most)| (label("queue", name), most as f64));
    sheet.levels("queue_limit", "How much of it there may be: more is shed", limits);
    let bytes = [("requests", &rim.requests), ("peer_messages", &rim.peer_messages)];
    let bytes = bytes.map(|(name, gauge)| (label("queue", name), gauge.bytes() as f64));
    sheet.levels("queue_bytes", "Bytes of what waits or is in progress", bytes);
}

/// The connections that this node keeps up to its peers.
fn add_links(sheet: &mut Sheet, rim: &Rim) {
    let peers = rim.peers.all();
    let links: BTreeMap<&String, ConnectionStats> =
        peers.iter().filter_map(|(name, peer)| Some((name, peer.link.stats()?))).collect();
    let up = peers
        .keys()
        .map(|name| (label("peer", name.clone()), f64::from(u8::from(links.contains_key(name)))));
    sheet.levels("link_up", "Is this node connected to the peer?", up);
    let levels = |figure: fn(&ConnectionStats) -> f64| {
        let each = links.iter();
        each.map(move |(name, stats)| (label("peer", (*name).clone()), figure(stats)))
    };
    let counts = |figure: fn(&ConnectionStats) -> u64| {
        let each = links.iter();
        each.map(move |(name, stats)| (label("peer", (*name).clone()), figure(stats)))
    };
    let help = "Round trip of the connection to the peer, smoothed";
    sheet.levels("quic_rtt_seconds", help, levels(|s| s.path.rtt.as_secs_f64()));
    let help = "Congestion window of the connection to the peer";
    sheet.levels("quic_congestion_window_bytes", help, levels(|s| s.path.cwnd as f64));
    let help = "Packets sent to the peer on the present connection";
    sheet.counts("quic_packets_sent", help, counts(|s| s.path.sent_packets));
    let help = "Packets to the peer that were lost on the present connection";
    sheet.counts("quic_packets_lost", help, counts(|s| s.path.lost_packets));
    let help = "Times that the connection to the peer met congestion";
    sheet.counts("quic_congestion_events", help, counts(|s| s.path.congestion_events));
    let both = links.iter().flat_map(|(name, stats)| {
        [("sent", stats.udp_tx.bytes), ("received", stats.udp_rx.bytes)].map(|(way, bytes)| {
            let labels: Labels = vec![("peer", (*name).clone()), ("direction", way.to_owned())];
            (labels, bytes)
        })
    });
    let help = "Bytes of UDP on the present connection to the peer";
    sheet.counts("quic_udp_bytes", help, both);
}
