//! An explanation for people.

use std::collections::BTreeMap;
use std::io::{self, Write};

use bytes::Bytes;
use kinfold_client::explain::{Explanation, Merge, Outcome, Replica, VersionTold};
use kinfold_client::{Context, Digest, Discarded, Expiry, Mode, Timestamp};

use super::names::{Names, hex, time};
use super::origin;
use crate::table::Table;

type Values = BTreeMap<Digest, Bytes>;

/// Bytes of a value that a row has room for.
const PREVIEW: usize = 32;

/// Lines of a result that are shown.
const LINES: usize = 40;

pub(super) fn write(
    out: &mut dyn Write,
    title: &str,
    told: &Explanation,
    values: &Values,
    names: &Names,
) -> io::Result<()> {
    writeln!(out, "{title}: partition {}, {}", told.partition, mode(&told.mode))?;
    writeln!(out, "owners: {}", names.list(&told.owners))?;
    for (node, why) in &told.silent {
        writeln!(out, "{}: {why}", names.node(*node))?;
    }
    if told.versions.is_empty() {
        writeln!(out, "\nno replica holds anything of it")?;
    } else {
        writeln!(out, "\nversions")?;
        versions(told, values, names).write(out)?;
    }
    writeln!(out, "\nreplicas")?;
    replicas(told, names).write(out)?;
    if told.empty_handed > 0 {
        writeln!(out, "{} others hold nothing of it", told.empty_handed)?;
    }
    if let Some(told_merge) = &told.merge {
        writeln!(out)?;
        merge(out, told_merge, values)?;
    }
    discarded(out, told, names)
}

fn mode(mode: &Mode) -> String {
    match mode {
        Mode::Siblings => "siblings".to_owned(),
        Mode::Resolver { plugin } => format!("resolver {plugin}"),
        Mode::Lattice { plugin, .. } => format!("lattice {plugin}"),
    }
}

fn versions(told: &Explanation, values: &Values, names: &Names) -> Table {
    let mut table =
        Table::new(["#", "WRITTEN", "BY", "BYTES", "DIGEST", "HELD BY", "STATE", "VALUE"]);
    for (at, version) in (0..).zip(&told.versions) {
        let holders = told.replicas.iter().filter(|replica| replica.holds.contains(&at));
        table.row([
            (at + 1).to_string(),
            time(version.dot.time),
            names.actor(version.dot.actor),
            version.len.to_string(),
            short(version.digest.as_ref()),
            names.list(holders.map(|replica| &replica.node)),
            state(version, names),
            version.digest.and_then(|d| values.get(&d)).map_or_else(String::new, preview),
        ]);
    }
    table
}

fn state(version: &VersionTold, names: &Names) -> String {
    let mut state = match (version.stands, version.digest) {
        (true, Some(_)) => "stands".to_owned(),
        (true, None) => "stands: a delete".to_owned(),
        (false, _) => "replaced".to_owned(),
    };
    if let Some(Expiry(ms)) = version.expires {
        let at = time(Timestamp(ms.saturating_mul(1_000)));
        state += &match version.digest {
            Some(_) => format!(", expires {at}"),
            None => format!(", expired {at}"),
        };
    }
    if !version.gone_at.is_empty() {
        state += &format!(", let go by {}", names.list(&version.gone_at));
    }
    state
}

fn replicas(told: &Explanation, names: &Names) -> Table {
    let mut table = Table::new(["NODE", "AS", "ACTOR", "HOLDS", "HAS SEEN"]);
    for replica in &told.replicas {
        let holds: Vec<_> = replica.holds.iter().map(|at| (at + 1).to_string()).collect();
        let holds = if holds.is_empty() { "-".to_owned() } else { holds.join(" ") };
        let seen = replica.context.as_ref().map_or_else(|| "-".to_owned(), |c| seen(c, names));
        let role = role(told, replica, names);
        table.row([names.node(replica.node), role, names.actor(replica.actor), holds, seen]);
    }
    table
}

fn role(told: &Explanation, replica: &Replica, names: &Names) -> String {
    let role = if told.owners.contains(&replica.node) { "owner" } else { "fallback" };
    if replica.owed.is_empty() {
        return role.to_owned();
    }
    let owners = replica.owed.iter().map(|owed| &owed.owner);
    format!("{role}, keeps it for {}", names.list(owners))
}

/// The intervals of a context: whose writes, from when to when.
fn seen(context: &Context, names: &Names) -> String {
    let intervals = context.intervals().iter().map(|interval| {
        let (actor, from, to) = (names.actor(interval.actor), interval.from, interval.to);
        if from == to {
            format!("{actor} {}", time(to))
        } else {
            format!("{actor} {}..{}", time(from), time(to))
        }
    });
    intervals.collect::<Vec<_>>().join(", ")
}

fn merge(out: &mut dyn Write, merge: &Merge, values: &Values) -> io::Result<()> {
    let numbers = |versions: &[u32]| {
        let numbers = versions.iter().map(|at| (at + 1).to_string());
        numbers.collect::<Vec<_>>().join("=")
    };
    let inputs: Vec<_> = merge.inputs.iter().map(|input| numbers(&input.versions)).collect();
    write!(out, "{} made of {}: ", merge.plugin, inputs.join(", "))?;
    let (digest, len) = match &merge.outcome {
        Outcome::Failed(why) => return writeln!(out, "nothing, and the siblings stay: {why}"),
        Outcome::Delete => return writeln!(out, "a delete"),
        Outcome::Value { digest, len, equals } => {
            write!(out, "{len} bytes, digest {}", short(Some(digest)))?;
            let equal = equals.and_then(|at| inputs.get(at as usize));
            match equal {
                Some(input) => writeln!(out, ", equal to {input}")?,
                None => writeln!(out)?,
            }
            (digest, len)
        }
    };
    let of = |digest: &Option<Digest>| digest.as_ref().map(|d| values.get(d).map(Bytes::as_ref));
    let bytes: Option<Vec<Option<&[u8]>>> = merge
        .inputs
        .iter()
        .map(|input| match of(&input.digest) {
            None => Some(None),
            Some(found) => found.map(Some),
        })
        .collect();
    let lines = values.get(digest).zip(bytes);
    let Some(lines) = lines.and_then(|(result, inputs)| origin::lines(result, &inputs)) else {
        return if *len > 0 {
            writeln!(out, "  (no value of lines: which part came from where can't be told)")
        } else {
            Ok(())
        };
    };
    for line in lines.iter().take(LINES) {
        let from: Vec<_> = line.inputs.iter().map(|at| inputs[*at].as_str()).collect();
        let from = match from.as_slice() {
            [] => "made by the plugin".to_owned(),
            from => format!("from {}", from.join(", ")),
        };
        writeln!(out, "  {:40}  {from}", line.text)?;
    }
    match lines.len().saturating_sub(LINES) {
        0 => Ok(()),
        more => writeln!(out, "  ... and {more} lines more: --json has them all"),
    }
}

fn discarded(out: &mut dyn Write, told: &Explanation, names: &Names) -> io::Result<()> {
    let remembering = told.replicas.iter().filter(|replica| replica.discarded.is_some());
    if remembering.clone().next().is_none() {
        return writeln!(
            out,
            "\nno node remembers what it discarded (`limits.discarded` in its configuration)"
        );
    }
    writeln!(out, "\ndiscarded, as far as nodes remember")?;
    let mut table = Table::new(["AT", "BY NODE", "WRITTEN", "BY", "BYTES", "DIGEST", "WHY"]);
    for replica in remembering {
        for (at, gone) in replica.discarded.iter().flatten() {
            table.row([
                time(*at),
                names.node(replica.node),
                time(gone.dot.time),
                names.actor(gone.dot.actor),
                gone.len.to_string(),
                short(gone.digest.as_ref()),
                why(gone, names),
            ]);
        }
    }
    table.write(out)
}

fn why(gone: &Discarded, names: &Names) -> String {
    let word = gone.reason.word().replace('_', " ");
    let by = |at: Timestamp, actor: String| format!("{word}, gave way to {} {actor}", time(at));
    gone.by.map_or_else(|| word.clone(), |dot| by(dot.time, names.actor(dot.actor)))
}

fn short(digest: Option<&Digest>) -> String {
    digest.map_or_else(|| "delete".to_owned(), |digest| hex(digest)[..12].to_owned())
}

fn preview(bytes: &Bytes) -> String {
    let shown = bytes[..bytes.len().min(PREVIEW)].escape_ascii();
    format!("{shown}{}", if bytes.len() > PREVIEW { "..." } else { "" })
}
