//! `kinfold status`: how all nodes are.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::Args;
use kinfold_client::{NodeId, NodeStatus, Reach, ScrubStatus, Status as Told};
use serde::Serialize;

use crate::cluster_args::ClusterArgs;
use crate::exit::{End, Failure};
use crate::output;
use crate::table::Table;

/// With no more nodes than this the table of who sees whom is shown unasked.
const FEW: usize = 6;

/// A peer that was not heard of for longer counts as away: nodes greet each other every second.
const AWAY_MS: u64 = 5_000;

/// Show how all nodes are
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold status
  kinfold status --peers
  kinfold status --counters
  kinfold status --json

Exit code 1: a node can't be reached, or something needs an operator's eye; the table says what.")]
pub(crate) struct Status {
    /// Show who sees whom in a large cluster too
    #[arg(long)]
    peers: bool,
    /// Show every node's counters, and what became of versions that it no longer holds
    #[arg(long)]
    counters: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Whose writes hold deletes back: so many are named.
const MOST_HOLDERS: usize = 4;

#[derive(Serialize)]
struct Json {
    name: String,
    address: String,
    zone: String,
    capacity: u32,
    reachable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(flatten)]
    told: Option<JsonTold>,
}

#[derive(Serialize)]
struct JsonTold {
    version: String,
    layout: u64,
    peers_heard: usize,
    peers: usize,
    catalogue_same: bool,
    suspended: Vec<String>,
    sees: Vec<JsonPeer>,
    exchanging: bool,
    discarded: BTreeMap<String, BTreeMap<String, u64>>,
    /// Keys of which nothing but a delete is left.
    deletes_waiting: u64,
    /// By node, or by `former` where no node is that actor any more: how many of them its writes hold back.
    deletes_held_back: BTreeMap<String, u64>,
    /// How far the node is with reading its disk back.
    #[serde(skip_serializing_if = "Option::is_none")]
    scrub: Option<ScrubStatus>,
    /// Partitions of which it has lost something that it does not have back.
    partitions_lost: u64,
    counters: BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct JsonPeer {
    name: String,
    state: &'static str,
    heard_ms: Option<u64>,
    rtt_us: Option<u64>,
    answer_p95_us: Option<u64>,
    catalogue_same: bool,
    hints: u64,
    hint_bytes: u64,
    exchanged_ms: Option<u64>,
}

impl Status {
    pub(crate) fn run(self) -> Result<End, Failure> {
        self.cluster.with_client(async |client| {
            let nodes = client.status().await;
            if self.json {
                output::print_json(
                    &nodes.iter().map(|node| json(node, &nodes)).collect::<Vec<_>>(),
                )?;
            } else {
                output::print(|out| {
                    table(&nodes).write(out)?;
                    if self.peers || nodes.len() <= FEW {
                        writeln!(out)?;
                        sight(&nodes).write(out)?;
                    }
                    nodes.iter().try_for_each(|node| remarks(out, node, &nodes))?;
                    if self.counters { counters(out, &nodes) } else { Ok(()) }
                })?;
            }
            Ok(if nodes.iter().all(is_well) { End::Done } else { End::NotWell })
        })
    }
}

fn is_well(node: &NodeStatus) -> bool {
    node.status.as_ref().is_ok_and(|told| {
        let damaged = told.scrub.as_ref().is_some_and(|scrub| scrub.damaged);
        told.suspended.is_empty() && lost(told) == 0 && !damaged
    })
}

fn table(nodes: &[NodeStatus]) -> Table {
    let mut table =
        Table::new(["NODE", "ADDRESS", "ZONE", "STATE", "VERSION", "LAYOUT", "PEERS", "BUCKETS"]);
    for NodeStatus { member, status } in nodes {
        let (state, version, layout, peers, buckets) = match status {
            Ok(told) => (
                "up",
                told.version.clone(),
                told.layout.to_string(),
                format!("{}/{}", heard(told), told.peers.len()),
                if same(told) { "same" } else { "differ" },
            ),
            Err(_) => ("away", "-".to_owned(), "-".to_owned(), "-".to_owned(), "-"),
        };
        table.row([
            member.name.clone(),
            member.address.clone(),
            member.zone.clone(),
            state.to_owned(),
            version,
            layout,
            peers,
            buckets.to_owned(),
        ]);
    }
    table
}

/// Who sees whom how: a row for each pair.
fn sight(nodes: &[NodeStatus]) -> Table {
    let headings =
        ["NODE", "SEES", "AS", "HEARD", "ROUND TRIP", "ANSWERS IN", "KEEPS FOR IT", "EXCHANGED"];
    let mut table = Table::new(headings);
    let dash = || "-".to_owned();
    let micros = |us: Option<u64>| us.map_or_else(dash, |us| format!("{:.1} ms", us as f64 / 1e3));
    let ago = |ms: Option<u64>| ms.map_or_else(dash, |ms| format!("{:.1} s ago", ms as f64 / 1e3));
    for node in nodes {
        let Ok(told) = &node.status else { continue };
        for peer in &told.peers {
            table.row([
                node.member.name.clone(),
                name_of(nodes, peer.node),
                word(peer.reach).to_owned(),
                ago(peer.heard_ms),
                micros(peer.rtt_us),
                micros(peer.answer_p95_us),
                if peer.hints == 0 { dash() } else { format!("{} keys", peer.hints) },
                ago(peer.exchanged_ms),
            ]);
        }
    }
    table
}

fn name_of(nodes: &[NodeStatus], id: NodeId) -> String {
    let node = nodes.iter().find(|other| other.member.id == id);
    node.map_or_else(|| id.to_string(), |other| other.member.name.clone())
}

fn word(reach: Reach) -> &'static str {
    match reach {
        Reach::Unknown => "unknown",
        Reach::Up => "up",
        Reach::Suspect => "suspect",
        Reach::Down => "down",
    }
}

/// What a table has no room for.
fn remarks(out: &mut dyn Write, node: &NodeStatus, nodes: &[NodeStatus]) -> io::Result<()> {
    let told = match &node.status {
        Err(why) => return writeln!(out, "{}: {why}", node.member.name),
        Ok(told) => told,
    };
    for peer in &told.peers {
        let peer_name = nodes.iter().find(|other| other.member.id == peer.node);
        let peer_name = peer_name.map_or("an unknown node", |other| other.member.name.as_str());
        match peer.reach {
            Reach::Up | Reach::Unknown => {}
            Reach::Suspect => writeln!(out, "{}: suspects {peer_name}", node.member.name)?,
            Reach::Down => writeln!(out, "{}: {peer_name} is down", node.member.name)?,
        }
        if peer.hints > 0 {
            writeln!(out, "{}: keeps {} keys for {peer_name}", node.member.name, peer.hints)?;
        }
    }
    deletes(out, node, told, nodes)?;
    scrub(out, &node.member.name, told)?;
    told.suspended.iter().try_for_each(|bucket| {
        writeln!(
            out,
            "{}: bucket {bucket} is not folded any more, since its plugin broke its laws",
            node.member.name
        )
    })
}

fn lost(told: &Told) -> u64 {
    told.counters.get("partitions_lost").copied().unwrap_or_default()
}

/// What reading the disk back found.
fn scrub(out: &mut dyn Write, name: &str, told: &Told) -> io::Result<()> {
    let lost = lost(told);
    if lost > 0 {
        writeln!(
            out,
            "{name}: has lost something of {lost} partitions, and gets it back from the other owners"
        )?;
    }
    let Some(scrub) = &told.scrub else { return Ok(()) };
    if scrub.damaged {
        writeln!(out, "{name}: stored data is damaged; the node starts again to mend it")?;
    }
    if let Some(last) = scrub.last.as_ref().filter(|last| last.damage + last.leaves > 0) {
        writeln!(
            out,
            "{name}: the last reading of its disk found {} files or partitions damaged, and {} leaves wrong",
            last.damage, last.leaves
        )?;
    }
    if scrub.hurried {
        let percent = 100 * scrub.pass.bytes / scrub.whole.max(1);
        writeln!(out, "{name}: reads its disk back, {}% of it so far", percent.min(99))?;
    }
    Ok(())
}

/// What is left of deleted keys, and who holds it back.
fn deletes(
    out: &mut dyn Write,
    node: &NodeStatus,
    told: &Told,
    nodes: &[NodeStatus],
) -> io::Result<()> {
    let held: u64 = told.deletes.held.iter().map(|held| held.tombstones).sum();
    if held == 0 {
        return Ok(());
    }
    let name =
        |id| nodes.iter().find(|other| other.member.id == id).map(|n| n.member.name.as_str());
    let mut whom: Vec<String> = told
        .deletes
        .held
        .iter()
        .map(|held| match held.node.and_then(name) {
            Some(name) => format!("{} by writes of {name}", held.tombstones),
            None => format!("{} by writes of a former life {}", held.tombstones, held.actor),
        })
        .collect();
    whom.truncate(MOST_HOLDERS);
    let waits: Vec<&str> =
        told.deletes.rounds_wait_for.iter().filter_map(|(id, _)| name(*id)).collect();
    let waits = match waits.as_slice() {
        [] => String::new(),
        names => format!("; waits to hear of {}", names.join(", ")),
    };
    let (me, waiting) = (&node.member.name, told.deletes.waiting);
    writeln!(out, "{me}: {waiting} deletes are not collected yet: {}{waits}", whom.join(", "))
}

fn held_back(told: &Told) -> BTreeMap<String, u64> {
    let mut by: BTreeMap<String, u64> = BTreeMap::new();
    for held in &told.deletes.held {
        let node = held.node.map_or_else(|| "former".to_owned(), |node| node.to_string());
        *by.entry(node).or_default() += held.tombstones;
    }
    by
}

fn counters(out: &mut dyn Write, nodes: &[NodeStatus]) -> io::Result<()> {
    for node in nodes {
        let Ok(told) = &node.status else { continue };
        writeln!(out, "\n{}", node.member.name)?;
        for (bucket, reasons) in &told.discarded {
            for (reason, count) in reasons {
                writeln!(out, "  discarded from {bucket}, {}: {count}", reason.replace('_', " "))?;
            }
        }
        let width = told.counters.keys().map(String::len).max().unwrap_or_default();
        for (name, count) in &told.counters {
            writeln!(out, "  {name:width$}  {count}")?;
        }
    }
    Ok(())
}

fn heard(told: &Told) -> usize {
    told.peers.iter().filter(|peer| peer.heard_ms.is_some_and(|ms| ms < AWAY_MS)).count()
}

/// Have all peers that were heard of the same buckets?
fn same(told: &Told) -> bool {
    told.peers.iter().all(|peer| peer.same_catalogue || peer.heard_ms.is_none())
}

fn json(node: &NodeStatus, nodes: &[NodeStatus]) -> Json {
    Json {
        name: node.member.name.clone(),
        address: node.member.address.clone(),
        zone: node.member.zone.clone(),
        capacity: node.member.capacity,
        reachable: node.status.is_ok(),
        error: node.status.as_ref().err().map(ToString::to_string),
        told: node.status.as_ref().ok().map(|told| JsonTold {
            version: told.version.clone(),
            layout: told.layout,
            peers_heard: heard(told),
            peers: told.peers.len(),
            catalogue_same: same(told),
            suspended: told.suspended.iter().map(ToString::to_string).collect(),
            sees: told
                .peers
                .iter()
                .map(|peer| JsonPeer {
                    name: name_of(nodes, peer.node),
                    state: word(peer.reach),
                    heard_ms: peer.heard_ms,
                    rtt_us: peer.rtt_us,
                    answer_p95_us: peer.answer_p95_us,
                    catalogue_same: peer.same_catalogue,
                    hints: peer.hints,
                    hint_bytes: peer.hint_bytes,
                    exchanged_ms: peer.exchanged_ms,
                })
                .collect(),
            exchanging: told.exchanging,
            discarded: told.discarded.iter().map(|(b, r)| (b.to_string(), r.clone())).collect(),
            deletes_waiting: told.deletes.waiting,
            deletes_held_back: held_back(told).into_iter().collect(),
            scrub: told.scrub.clone(),
            partitions_lost: lost(told),
            counters: told.counters.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinfold_client::{Actor, DeleteStatus, Error, HeldBack, Member, PeerStatus};

    fn member(name: &str) -> Member {
        Member {
            id: NodeId(1),
            name: name.to_owned(),
            address: "127.0.0.1:7401".to_owned(),
            zone: "a".to_owned(),
            capacity: 1,
        }
    }

    fn up(name: &str) -> NodeStatus {
        let peer = |heard_ms, same_catalogue| PeerStatus {
            node: NodeId(2),
            heard_ms,
            same_catalogue,
            reach: if heard_ms.is_some() { Reach::Up } else { Reach::Unknown },
            hints: 0,
            hint_bytes: 0,
            rtt_us: heard_ms.map(|_| 1_250),
            answer_p95_us: None,
            exchanged_ms: heard_ms.map(|_| 12_340),
        };
        let told = Told {
            node: NodeId(1),
            name: name.to_owned(),
            cluster: "c1".to_owned(),
            version: "0.1.0".to_owned(),
            layout: 3,
            peers: vec![peer(Some(10), true), peer(Some(60_000), false), peer(None, false)],
            counters: BTreeMap::from([("requests".to_owned(), 7)]),
            suspended: Vec::new(),
            discarded: BTreeMap::new(),
            exchanging: false,
            deletes: DeleteStatus::default(),
            scrub: None,
        };
        NodeStatus { member: member(name), status: Ok(told) }
    }

    fn away(name: &str) -> NodeStatus {
        let error = Error::Unreachable { notes: "timed out".to_owned() };
        NodeStatus { member: member(name), status: Err(error) }
    }

    #[test]
    fn nodes_that_are_away_stand_in_the_table_too() {
        let mut out = Vec::new();
        table(&[up("n1"), away("n2")]).write(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "NODE  ADDRESS         ZONE  STATE  VERSION  LAYOUT  PEERS  BUCKETS\n\
             n1    127.0.0.1:7401  a     up     0.1.0    3       1/3    differ\n\
             n2    127.0.0.1:7401  a     away   -        -       -      -\n"
        );
        assert!(is_well(&up("n1")) && !is_well(&away("n2")));
    }

    #[test]
    fn who_sees_whom_has_a_row_for_each_pair() {
        let mut out = Vec::new();
        sight(&[up("n1"), away("n2")]).write(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let rows: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows.len(), 4);
        let id = NodeId(2).to_string();
        let first = ["n1", &id, "up", "0.0", "s", "ago", "1.2", "ms", "-", "-", "12.3", "s", "ago"];
        assert_eq!(rows[1], first);
        assert_eq!(rows[3], ["n1", &id, "unknown", "-", "-", "-", "-", "-"]);
    }

    #[test]
    fn deletes_that_wait_are_told_with_whom_they_wait_for() {
        let mut node = up("n1");
        let actor = Actor(7);
        let held = vec![
            HeldBack { actor, node: Some(NodeId(1)), tombstones: 2 },
            HeldBack { actor, node: None, tombstones: 3 },
        ];
        let deletes =
            DeleteStatus { waiting: 9, stable: 4, held, rounds_wait_for: vec![(NodeId(1), 8)] };
        node.status.as_mut().unwrap().deletes = deletes;
        let mut out = Vec::new();
        remarks(&mut out, &node, &[up("n1")]).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.contains(
                "n1: 9 deletes are not collected yet: 2 by writes of n1, 3 by writes of a former life \
                 0000000000000007; waits to hear of n1\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn json_says_who_is_reachable() {
        let text = |node| serde_json::to_string(&json(&node, &[])).unwrap();
        assert!(
            text(up("n1"))
                .contains(r#""reachable":true,"version":"0.1.0","layout":3,"peers_heard":1"#)
        );
        assert!(text(away("n2")).contains(r#""reachable":false,"error":"no node answered"#));
    }
}
