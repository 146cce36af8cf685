//! How the ring is, and how far a change has come.

use std::io::{self, Write};
use std::time::Instant;

use kinfold_client::record::State;
use kinfold_client::{Client, ClusterStatus, MemberChange, NodeId};
use serde::Serialize;

use super::plan::human;
use crate::change::{moved, phase, settled, unheard};
use crate::cluster_args::ClusterArgs;
use crate::exit::{End, Failure};
use crate::output;
use crate::table::Table;

#[derive(Serialize)]
struct Json {
    version: u64,
    changes: u64,
    phase: &'static str,
    members: Vec<JsonMember>,
    staged: Vec<String>,
}

#[derive(Serialize)]
struct JsonMember {
    id: String,
    name: String,
    address: String,
    zone: String,
    capacity: u32,
    partitions_before: u32,
    partitions: u32,
    known_version: Option<u64>,
    to_copy: Option<u64>,
    to_drop: Option<u64>,
    keys_copied: Option<u64>,
    bytes_copied: Option<u64>,
}

pub(super) fn show(cluster: ClusterArgs, wait: bool, json: bool) -> Result<End, Failure> {
    cluster.with_client(async |client| {
        let status = if wait {
            wait_and_tell(&client, json).await?
        } else {
            client.cluster_status().await?
        };
        if json {
            output::print_json(&to_json(&status))?;
        } else {
            output::print(|out| print(out, &status))?;
        }
        Ok(End::Done)
    })
}

/// Waits until nothing changes, and says meanwhile how it goes.
async fn wait_and_tell(client: &Client, quiet: bool) -> Result<ClusterStatus, Failure> {
    let mut before: Option<(u64, Instant)> = None;
    let end = settled(client, |status| {
        let (to_copy, to_drop, bytes) = moved(status);
        if !quiet {
            let rate = before.map_or_else(String::new, |(then, at)| {
                let rate =
                    bytes.saturating_sub(then) as f64 / at.elapsed().as_secs_f64().max(0.001);
                format!(", {} a second", human(rate as u64))
            });
            let unheard = match unheard(status) {
                0 => String::new(),
                n => format!("; {n} of {} nodes have not said yet", status.record.members().len()),
            };
            output::note(&format!(
                "{}: {to_copy} trees to copy, {to_drop} to hand over and drop, {} copied{rate}{unheard}",
                phase(status),
                human(bytes)
            ));
        }
        before = Some((bytes, Instant::now()));
    });
    Ok(end.await?)
}

/// Partitions that each member owned before, and owns after, the change.
fn shares(status: &ClusterStatus, id: NodeId) -> (u32, u32) {
    let of = |layout: &kinfold_client::Layout| {
        let at = layout.members().iter().position(|member| member.id == id);
        at.and_then(|at| layout.loads().get(at).map(|load| load.0)).unwrap_or(0)
    };
    match &status.record.state {
        State::Stable { layout, .. } => (of(layout), of(layout)),
        State::Changing { old, new, .. } => (of(old), of(new)),
    }
}

fn staged(status: &ClusterStatus) -> Vec<String> {
    let members = status.record.members();
    let name = |id: &NodeId| members.get(id).map_or_else(|| id.to_string(), |m| m.name.clone());
    let lost = |lost: bool| if lost { ", which is lost" } else { "" };
    let text = |(id, change): (&NodeId, &MemberChange)| match change {
        MemberChange::Join(member) => {
            format!("{} at {} joins zone {}", member.name, member.address, member.zone)
        }
        MemberChange::Leave { lost: is } => format!("{}{} leaves", name(id), lost(*is)),
        MemberChange::Replace { by, lost: is } => {
            format!("{} takes the place of {}{}", by.name, name(id), lost(*is))
        }
        MemberChange::SetZone(zone) => format!("{} moves to zone {zone}", name(id)),
        MemberChange::SetCapacity(capacity) => format!("{} gets capacity {capacity}", name(id)),
    };
    status.staged.iter().map(text).collect()
}

fn to_json(status: &ClusterStatus) -> Json {
    let member = |member: &kinfold_client::Member| {
        let (before, after) = shares(status, member.id);
        let told = status.progress.get(&member.id);
        JsonMember {
            id: member.id.to_string(),
            name: member.name.clone(),
            address: member.address.clone(),
            zone: member.zone.clone(),
            capacity: member.capacity,
            partitions_before: before,
            partitions: after,
            known_version: told.map(|p| p.version),
            to_copy: told.map(|p| p.to_copy),
            to_drop: told.map(|p| p.to_drop),
            keys_copied: told.map(|p| p.keys),
            bytes_copied: told.map(|p| p.bytes),
        }
    };
    let mut members: Vec<_> = status.record.members().into_values().map(member).collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Json {
        version: status.record.version,
        changes: status.record.change,
        phase: phase(status),
        members,
        staged: staged(status),
    }
}

fn print(out: &mut dyn Write, status: &ClusterStatus) -> io::Result<()> {
    let Json { version, phase, members, staged, .. } = to_json(status);
    writeln!(out, "version {version} of the ring, {phase}\n")?;
    let mut table = Table::new([
        "NODE", "ADDRESS", "ZONE", "CAPACITY", "OWNED", "OWNS", "KNOWS", "TO COPY", "TO DROP",
        "COPIED",
    ]);
    let dash = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    for m in members {
        table.row([
            m.name,
            m.address,
            m.zone,
            m.capacity.to_string(),
            m.partitions_before.to_string(),
            m.partitions.to_string(),
            dash(m.known_version),
            dash(m.to_copy),
            dash(m.to_drop),
            m.bytes_copied.map_or_else(|| "-".to_owned(), human),
        ]);
    }
    table.write(out)?;
    for change in staged {
        writeln!(out, "staged: {change}")?;
    }
    Ok(())
}
