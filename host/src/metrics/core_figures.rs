//! Figures of the core: what it coordinated, hints, exchanges, membership.

use std::collections::BTreeMap;

use kinfold_protocol::message::client::Reach;
use kinfold_protocol::node::{Figures, PaceFigures, PeerFigures};

use super::sheet::{Labels, Sheet, label};

/// A family that holds some of the core's counters: its name, what it counts, its label, and for each counter the label's value.
struct Named {
    name: &'static str,
    help: &'static str,
    label: &'static str,
    counters: &'static [(&'static str, &'static str)],
}

/// Every counter that is a family of its own, or shares one, has a line here. The rest are in `events`.
const NAMED: &[Named] = &[
    Named {
        name: "coordinated",
        help: "Gets, puts and deletes that this node took on as coordinator or passed on",
        label: "kind",
        counters: &[("gets", "get"), ("puts", "put"), ("deletes", "delete")],
    },
    Named {
        name: "quorum_shortfalls",
        help: "Requests for which too few nodes answered or acknowledged in time",
        label: "kind",
        counters: &[("answers_unavailable", "read"), ("answers_unknown", "write")],
    },
    Named {
        name: "requests_elsewhere",
        help: "Requests of keys that this node does not own: passed on to an owner, or stood in for",
        label: "how",
        counters: &[("requests_forwarded", "forwarded"), ("requests_stood_in_for", "stood_in")],
    },
    Named {
        name: "merges",
        help: "Merges of siblings that the core asked for",
        label: "outcome",
        counters: &[("merges", "merged"), ("merge_failures", "failed")],
    },
    Named {
        name: "hints",
        help: "Hints taken for owners that are away, handed over to them, and refused by them",
        label: "event",
        counters: &[
            ("hints_taken", "taken"),
            ("hints_handed_over", "handed_over"),
            ("hints_refused", "refused"),
        ],
    },
    Named {
        name: "exchanges",
        help: "Exchanges of this node with a peer that ended",
        label: "outcome",
        counters: &[("exchanges_completed", "completed"), ("exchanges_abandoned", "abandoned")],
    },
    Named {
        name: "exchange_trees",
        help: "Trees whose roots this node compared with a peer's",
        label: "outcome",
        counters: &[("exchange_trees", "compared"), ("exchange_trees_differing", "differing")],
    },
    Named {
        name: "exchange_keys",
        help: "Keys in which an exchange found a difference",
        label: "outcome",
        counters: &[("exchange_keys", "met"), ("exchange_keys_missed", "missed")],
    },
    Named {
        name: "refused",
        help: "What was refused for its content, or for the state of this node",
        label: "what",
        counters: &[
            ("requests_refused", "requests"),
            ("replications_refused", "replications"),
            ("clocks_refused", "clocks"),
            ("datagrams_refused", "datagrams"),
            ("twins_refused", "twins"),
        ],
    },
];

/// Counters that are a family of their own, without labels.
const ALONE: &[(&str, &str, &str)] = &[
    ("gets_hedged", "gets_hedged", "Gets that asked more nodes, since those asked first were slow"),
    ("read_repairs", "read_repairs", "Copies sent to replicas that a get found to be behind"),
    ("clashes", "clashes", "Objects with one dot or coverage and two contents: an alarm each"),
    ("store_failures", "store_failures", "Jobs that the store failed or refused"),
    (
        "trees_healed",
        "trees_healed",
        "Trees that had lost something and have it back from their other owners",
    ),
];

/// Counters that stand elsewhere: with the queues.
const ELSEWHERE: &[&str] = &["requests_shed"];

pub(super) fn add(sheet: &mut Sheet, figures: &Figures) {
    let Figures { counters, .. } = figures;
    let count = |name: &str| counters.get(name).copied().unwrap_or_default();
    for Named { name, help, label: key, counters } in NAMED {
        let counts = counters.iter().map(|(counter, value)| (label(key, *value), count(counter)));
        sheet.counts(name, help, counts);
    }
    for (counter, name, help) in ALONE {
        sheet.count(name, help, count(counter));
    }
    add_events(sheet, counters);
    sheet.spread("get_siblings", "Versions that a get found, before any merge", &figures.siblings);
    let discarded = figures.discarded.iter().map(|((bucket, reason), count)| {
        let labels = vec![("bucket", bucket.to_string()), ("reason", reason.word().to_owned())];
        (labels, *count)
    });
    sheet.counts("discarded", "Versions that this node no longer holds, and why", discarded);
    sheet.level("layout_version", "Version of the layout", figures.layout as f64);
    sheet.level("partitions", "Partitions that this node owns", figures.partitions as f64);
    sheet.level("trees", "Trees over the keys of this node", figures.trees as f64);
    sheet.level("buckets", "Buckets", figures.buckets as f64);
    let suspended = figures.suspended.len() as f64;
    let help = "Buckets that are not folded any more, since their plugin broke its laws";
    sheet.level("buckets_suspended", help, suspended);
    let help = "Is an exchange of this node in progress?";
    sheet.level("exchange_in_progress", help, f64::from(u8::from(figures.exchanging)));
    let help = "Partitions of which this node has lost something that it does not have back";
    sheet.level("partitions_lost", help, figures.lost as f64);
    add_pace(sheet, &figures.pace);
    add_peers(sheet, &figures.peers);
}

/// How exchanges yield to the foreground.
fn add_pace(sheet: &mut Sheet, pace: &PaceFigures) {
    let help = "Bytes a second that exchanges may take at present";
    sheet.level("background_rate_bytes", help, pace.rate as f64);
    let seconds = |took: Option<kinfold_protocol::time::Duration>| took.map(|t| t.0 as f64 / 1e6);
    let p99 = [("quiet", seconds(pace.quiet)), ("latest", seconds(pace.latest))];
    let p99 = p99.into_iter().filter_map(|(when, took)| Some((label("when", when), took?)));
    let help = "p99 of the answers that this node coordinates: without exchanges, and lately";
    sheet.levels("foreground_p99_seconds", help, p99);
    let help = "Times that exchanges were slowed down, since the foreground's p99 had risen";
    sheet.count("background_yields", help, pace.yielded);
}

/// What a newer core counts and nobody has named yet.
fn add_events(sheet: &mut Sheet, counters: &BTreeMap<&'static str, u64>) {
    let named = NAMED.iter().flat_map(|named| named.counters).map(|(counter, _)| *counter);
    let alone = ALONE.iter().map(|(counter, _, _)| *counter);
    let known: Vec<&str> = named.chain(alone).chain(ELSEWHERE.iter().copied()).collect();
    let others = counters.iter().filter(|(name, _)| !known.contains(name));
    let counts = others.map(|(name, count)| (label("event", *name), *count));
    sheet.counts("events", "Counters of the core that have no family of their own", counts);
}

fn add_peers(sheet: &mut Sheet, peers: &[PeerFigures]) {
    let of = |peer: &PeerFigures| -> Labels { label("peer", peer.name.clone()) };
    let all = |figure: fn(&PeerFigures) -> Option<f64>| {
        peers.iter().filter_map(move |peer| figure(peer).map(|value| (of(peer), value)))
    };
    let states = peers.iter().flat_map(|peer| {
        [Reach::Unknown, Reach::Up, Reach::Suspect, Reach::Down].map(|reach| {
            let labels = vec![("peer", peer.name.clone()), ("state", word(reach).to_owned())];
            (labels, f64::from(u8::from(peer.reach == reach)))
        })
    });
    sheet.levels("peer_state", "1 for how this node sees the peer, 0 for the rest", states);
    let seconds = |duration: kinfold_protocol::time::Duration| duration.0 as f64 / 1e6;
    let heard = peers.iter().filter_map(|peer| Some((of(peer), seconds(peer.heard?))));
    sheet.levels("peer_heard_seconds", "Time since the peer was last heard of", heard);
    let paces = peers.iter().filter_map(|peer| Some((of(peer), seconds(peer.pace?))));
    let help = "Time within which the peer answers 95 of 100 questions about keys, lately";
    sheet.levels("peer_answer_p95_seconds", help, paces);
    let exchanged = peers.iter().filter_map(|peer| Some((of(peer), seconds(peer.exchanged?))));
    let help = "Time since an exchange of this node with the peer was completed";
    sheet.levels("exchange_age_seconds", help, exchanged);
    let help = "Keys that this node keeps for the peer, to be handed over";
    sheet.levels("hints_owed_keys", help, all(|peer| Some(peer.owed.keys as f64)));
    let help = "Bytes of keys and values that this node keeps for the peer";
    sheet.levels("hints_owed_bytes", help, all(|peer| Some(peer.owed.bytes as f64)));
}

fn word(reach: Reach) -> &'static str {
    match reach {
        Reach::Unknown => "unknown",
        Reach::Up => "up",
        Reach::Suspect => "suspect",
        Reach::Down => "down",
    }
}
