//! `kinfold ring`: a picture of who owns what.

use std::ffi::OsString;
use std::io::{self, Write};

use clap::Args;
use kinfold_client::Key;
use kinfold_client::MAX_COPIES;
use kinfold_client::{BucketName, Layout, Member, NodeId, Partition};
use serde::Serialize;

use crate::bytes_text;
use crate::cluster_args::ClusterArgs;
use crate::exit::{End, Failure};
use crate::output;
use crate::table::Table;

/// A larger ring is shown in bars only.
const LARGEST_PICTURE: u32 = 2_048;

/// Partitions in one line of the picture.
const LINE: u32 = 64;

/// The longest bar.
const BAR: u32 = 32;

/// What stands for the members in the picture, by the order of their names.
const SYMBOLS: &[u8] = b"123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Show who owns what, or who owns a key
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kinfold ring
  kinfold ring carts alice
  kinfold ring --json")]
pub(crate) struct Ring {
    /// A bucket, to ask for a key of it
    #[arg(requires = "key")]
    bucket: Option<String>,
    /// The key
    key: Option<OsString>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Serialize)]
struct JsonRing<'l> {
    layout: u64,
    partitions: u32,
    copies: u8,
    members: Vec<JsonMember<'l>>,
    /// The names of each partition's owners, in order.
    owners: Vec<Vec<&'l str>>,
}

#[derive(Serialize)]
struct JsonMember<'l> {
    name: &'l str,
    address: &'l str,
    zone: &'l str,
    capacity: u32,
    partitions: u32,
    first_of: u32,
}

#[derive(Serialize)]
struct JsonKey<'l> {
    layout: u64,
    partition: u32,
    leaf: u16,
    owners: Vec<&'l str>,
}

impl Ring {
    pub(crate) fn run(self) -> Result<End, Failure> {
        self.cluster.with_client(async |client| {
            let layout = client.fetch_layout().await?;
            match (self.bucket, self.key) {
                (Some(bucket), Some(key)) => {
                    let bucket =
                        BucketName::new(bucket).map_err(|e| Failure::Usage(e.to_string()))?;
                    let key = Key { bucket, key: bytes_text::argument(key) };
                    if self.json {
                        output::print_json(&json_key(&layout, &key))?;
                    } else {
                        output::print(|out| show_key(out, &layout, &key))?;
                    }
                }
                (Some(_), None) | (None, _) if self.json => {
                    output::print_json(&json_ring(&layout))?;
                }
                (Some(_), None) | (None, _) => {
                    output::print(|out| show_ring(out, client.cluster(), &layout))?;
                }
            }
            Ok(End::Done)
        })
    }
}

/// Of how many partitions a member is an owner, and of how many the first.
fn load(layout: &Layout, id: NodeId) -> (u32, u32) {
    (0..layout.ring().partitions()).fold((0, 0), |(any, first), partition| {
        let at = layout.owners(Partition(partition), MAX_COPIES).position(|owner| owner == id);
        (any + u32::from(at.is_some()), first + u32::from(at == Some(0)))
    })
}

fn name(layout: &Layout, id: NodeId) -> &str {
    layout.member(id).map_or("?", |member| member.name.as_str())
}

fn by_name(layout: &Layout) -> Vec<&Member> {
    let mut members: Vec<_> = layout.members().iter().collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    members
}

fn symbol(layout: &Layout, id: NodeId) -> char {
    let at = by_name(layout).iter().position(|member| member.id == id).unwrap_or_default();
    char::from(SYMBOLS[at % SYMBOLS.len()])
}

fn show_ring(out: &mut dyn Write, cluster: &str, layout: &Layout) -> io::Result<()> {
    let partitions = layout.ring().partitions();
    writeln!(
        out,
        "cluster {cluster}, layout {}: {} nodes, {partitions} partitions, {} copies of each\n",
        layout.version(),
        layout.members().len(),
        layout.copies()
    )?;
    let mut table = Table::new(["", "NODE", "ZONE", "OWNS", "", "", "FIRST OF"]);
    for member in by_name(layout) {
        let (any, first) = load(layout, member.id);
        let share = u64::from(any) * 100 / u64::from(partitions);
        let bar = (u64::from(any) * u64::from(BAR)).div_ceil(u64::from(partitions));
        let bar = (0..u64::from(BAR)).map(|at| if at < bar { '#' } else { '.' });
        table.row([
            symbol(layout, member.id).to_string(),
            member.name.clone(),
            member.zone.clone(),
            any.to_string(),
            format!("{share} %"),
            bar.collect(),
            first.to_string(),
        ]);
    }
    table.write(out)?;
    if partitions > LARGEST_PICTURE || layout.members().len() > SYMBOLS.len() {
        return Ok(());
    }
    writeln!(out, "\nThe ring clockwise, each partition as its first owner:\n")?;
    for start in (0..partitions).step_by(LINE as usize) {
        let line: String = (start..partitions.min(start + LINE))
            .filter_map(|partition| layout.owners(Partition(partition), 1).next())
            .map(|owner| symbol(layout, owner))
            .collect();
        writeln!(out, "{start:>6}  {line}")?;
    }
    Ok(())
}

fn show_key(out: &mut dyn Write, layout: &Layout, key: &Key) -> io::Result<()> {
    let (partition, leaf) = layout.ring().place(key);
    writeln!(
        out,
        "{key:?} lies in partition {} of {} (leaf {}), as of layout {}\n",
        partition.0,
        layout.ring().partitions(),
        leaf,
        layout.version()
    )?;
    let mut table = Table::new(["", "OWNER", "ADDRESS", "ZONE"]);
    for (place, owner) in (1..).zip(layout.owners(partition, MAX_COPIES)) {
        let Some(member) = layout.member(owner) else { continue };
        table.row([
            place.to_string(),
            member.name.clone(),
            member.address.clone(),
            member.zone.clone(),
        ]);
    }
    table.write(out)
}

fn json_ring(layout: &Layout) -> JsonRing<'_> {
    let owners = |partition| -> Vec<&str> {
        layout.owners(Partition(partition), MAX_COPIES).map(|id| name(layout, id)).collect()
    };
    JsonRing {
        layout: layout.version(),
        partitions: layout.ring().partitions(),
        copies: layout.copies(),
        members: layout
            .members()
            .iter()
            .map(|member| {
                let (partitions, first_of) = load(layout, member.id);
                JsonMember {
                    name: &member.name,
                    address: &member.address,
                    zone: &member.zone,
                    capacity: member.capacity,
                    partitions,
                    first_of,
                }
            })
            .collect(),
        owners: (0..layout.ring().partitions()).map(owners).collect(),
    }
}

fn json_key<'l>(layout: &'l Layout, key: &Key) -> JsonKey<'l> {
    let (partition, leaf) = layout.ring().place(key);
    JsonKey {
        layout: layout.version(),
        partition: partition.0,
        leaf,
        owners: layout.owners(partition, MAX_COPIES).map(|id| name(layout, id)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinfold_client::Ring as Partitions;

    fn layout(nodes: u64) -> Layout {
        let member = |n: u64| Member {
            id: NodeId(n),
            name: format!("n{n}"),
            address: format!("10.0.0.{n}:7401"),
            zone: format!("z{n}"),
            capacity: 1,
        };
        let ring = Partitions::new(8).unwrap();
        Layout::compute((1..=nodes).map(member).collect(), ring, 2, None).unwrap()
    }

    fn text(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_picture_has_a_bar_for_each_node_and_a_sign_for_each_partition() {
        let layout = layout(4);
        let shown = text(|out| show_ring(out, "c1", &layout));
        let head = "cluster c1, layout 1: 4 nodes, 8 partitions, 2 copies of each\n";
        assert!(shown.starts_with(head), "{shown}");
        assert!(
            shown.contains("n3    z3    4     50 %  ################................"),
            "{shown}"
        );
        let ring = shown.lines().last().unwrap().trim_start().trim_start_matches("0  ");
        assert_eq!(ring.len(), 8);
        assert!("1234".chars().all(|sign| ring.contains(sign)), "{ring}");
    }

    #[test]
    fn a_key_has_its_owners_in_order() {
        let layout = layout(4);
        let key = Key { bucket: BucketName::new("b").unwrap(), key: "k".into() };
        let json = json_key(&layout, &key);
        assert_eq!(json.owners.len(), 2);
        let shown = text(|out| show_key(out, &layout, &key));
        let at = |owner: &str| shown.find(owner).unwrap();
        assert!(at(json.owners[0]) < at(json.owners[1]), "{shown}");
    }

    #[test]
    fn json_counts_every_partition() {
        let layout = layout(3);
        let json = json_ring(&layout);
        assert_eq!(json.owners.len(), 8);
        assert_eq!(json.members.iter().map(|m| m.partitions).sum::<u32>(), 16);
        assert_eq!(json.members.iter().map(|m| m.first_of).sum::<u32>(), 8);
    }
}
