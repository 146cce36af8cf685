//! The plan of a change, before it is made, and making just that one.

use std::io::{self, Write};

use kinfold_client::moves::{Moves, Share};
use kinfold_client::{COPIES, Planned};
use serde::Serialize;

use crate::change::sizes;
use crate::cluster_args::ClusterArgs;
use crate::exit::{End, Failure};
use crate::output;
use crate::table::Table;

/// The longest bar.
const BAR: u32 = 24;

#[derive(Serialize)]
struct Json<'p> {
    plan: String,
    from_version: u64,
    copies_kept: u8,
    rate: u64,
    sizes_known: usize,
    #[serde(flatten)]
    moves: &'p Moves,
}

pub(super) fn show(cluster: ClusterArgs, rate: u64, json: bool) -> Result<End, Failure> {
    cluster.with_client(async |client| {
        let Planned { plan, digest } = client.plan().await?;
        let sizes = sizes(&client).await;
        let moves = Moves::between(&plan.old, &plan.new, COPIES, &sizes, Some(rate));
        if json {
            output::print_json(&Json {
                plan: digest.to_string(),
                from_version: plan.version,
                copies_kept: plan.new.copies(),
                rate,
                sizes_known: sizes.len(),
                moves: &moves,
            })?;
        } else {
            output::print(|out| print(out, &moves, rate, &digest.to_string()))?;
        }
        Ok(End::Done)
    })
}

pub(super) fn commit(cluster: ClusterArgs, named: String, json: bool) -> Result<End, Failure> {
    cluster.with_client(async |client| {
        if named.len() < 8 {
            let text = "name the plan by its first eight digits at least, as `plan` shows them";
            return Err(Failure::Usage(text.to_owned()));
        }
        let Planned { digest, .. } = client.plan().await?;
        if !digest.to_string().starts_with(&named) {
            return Err(Failure::Refused(format!(
                "plan {named} is out of date: the ring, or what is staged, is not what it was made from; nothing was changed: look at a new plan"
            )));
        }
        let version = client.commit(digest).await?;
        super::decided("committed; `kinfold cluster status` shows how it goes", version, json)
    })
}

fn print(out: &mut dyn Write, moves: &Moves, rate: u64, digest: &str) -> io::Result<()> {
    let most = moves.members.iter().map(|m| m.before.max(m.after)).max().unwrap_or(1).max(1);
    let mut table =
        Table::new(["NODE", "ZONE", "CAPACITY", "BEFORE", "", "AFTER", "", "GAINS", "LOSES"]);
    for Share { name, zone, capacity, before, after, gains, loses, gains_bytes, .. } in
        &moves.members
    {
        let gains =
            if *gains == 0 { "-".to_owned() } else { format!("{gains} ({})", human(*gains_bytes)) };
        table.row([
            name.clone(),
            zone.clone(),
            if *capacity == 0 { "leaves".to_owned() } else { capacity.to_string() },
            before.to_string(),
            bar(*before, most),
            after.to_string(),
            bar(*after, most),
            gains,
            if *loses == 0 { "-".to_owned() } else { loses.to_string() },
        ]);
    }
    table.write(out)?;
    writeln!(
        out,
        "\n{} copies of partitions move, {}{}",
        moves.copies,
        human(moves.bytes),
        moves.seconds.map_or_else(
            || "; how long it takes is not known without the nodes' sizes".to_owned(),
            |s| format!(", about {} at {} a second and node", span(s), human(rate))
        )
    )?;
    for warning in &moves.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    writeln!(
        out,
        "plan {digest}\nto make it: kinfold cluster commit {}",
        &digest[..8.min(digest.len())]
    )
}

fn bar(part: u32, most: u32) -> String {
    "#".repeat((part * BAR).div_ceil(most) as usize)
}

/// Bytes as people read them.
pub(super) fn human(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1_024.0 && unit + 1 < units.len() {
        value /= 1_024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// Seconds as people read them.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{:.1} h", seconds as f64 / 3_600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!([0, 1_023, 1_536, 5 << 30].map(human), ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]);
        assert_eq!([5, 150, 9_000].map(span), ["5 s", "3 min", "2.5 h"]);
        assert_eq!((bar(0, 9), bar(1, 1_000), bar(9, 9).len()), (String::new(), "#".into(), 24));
    }

    #[test]
    fn a_plan_shows_shares_moves_and_warnings() {
        let share = |name: &str, before, after| Share {
            id: kinfold_client::NodeId(1),
            name: name.to_owned(),
            zone: "z".to_owned(),
            capacity: 1,
            before,
            after,
            gains: u32::saturating_sub(after, before),
            loses: u32::saturating_sub(before, after),
            gains_bytes: 2_048,
        };
        let moves = Moves {
            members: vec![share("n1", 32, 24), share("n4", 0, 24)],
            copies: 24,
            bytes: 2_048,
            seconds: Some(3),
            warnings: vec![kinfold_client::moves::Warning::TooFewZones { zones: 1, copies: 3 }],
        };
        let mut out = Vec::new();
        print(&mut out, &moves, 1_024, "0123456789abcdef").unwrap();
        let text = String::from_utf8(out).unwrap();
        for part in
            ["24 (2.0 KiB)", "about 3 s at 1.0 KiB", "warning: all 3 copies", "commit 01234567"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
