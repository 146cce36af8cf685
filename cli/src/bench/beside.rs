//! What clients notice of an exchange: the p99 of their requests while one brings a node up to date, beside that of the same
//! requests while nothing goes on in the background.
//!
//! In each round the two take turns, so that whatever else the machine does hits both. Before the busy half a node is stopped,
//! keys are written that it misses, and it is started again; the half begins when the first of them is exchanged.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use indicatif::ProgressBar;
use kinfold_client::{Bucket, Client};
use serde::Serialize;
use tokio::task::JoinSet;

use super::cluster::Cluster;
use super::measure::Measured;
use super::plan::Plan;
use super::product::Product;
use crate::exit::Failure;
use crate::meeting;
use crate::output;
use crate::table::Table;

const BUCKET: &str = "bench";

/// The node that falls behind.
const BEHIND: usize = 2;

/// Puts on their way at one time.
const PUTS: u64 = 64;

/// Between two looks at how far exchanges are.
const LOOK: Duration = Duration::from_millis(200);

/// Nothing is exchanged any more if nothing was for so long.
const REST: Duration = Duration::from_secs(2);

/// An exchange begins, and ends, within this.
const PATIENCE: Duration = Duration::from_secs(300);

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Found {
    plan: Plan,
    rounds: Vec<Round>,
    /// The median of the rounds' ratios.
    ratio: f64,
}

/// A quiet half and a busy one.
#[derive(Clone, Copy, Debug, Serialize)]
struct Round {
    quiet_p99_us: u64,
    busy_p99_us: u64,
    quiet_per_second: f64,
    busy_per_second: f64,
    /// Keys that were exchanged during the busy half, by second.
    exchanged_per_second: f64,
    /// Was something still to be exchanged when the busy half ended?
    busy_to_its_end: bool,
    ratio: f64,
}

impl Found {
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let headings = ["ROUND", "QUIET P99", "P99 BESIDE AN EXCHANGE", "RATIO", "KEYS EXCHANGED"];
        let mut table = Table::new(headings);
        for (number, round) in (1..).zip(&self.rounds) {
            let ms = |us: u64| format!("{:.2} ms", us as f64 / 1e3);
            let end = if round.busy_to_its_end { "" } else { ", and then none" };
            table.row([
                number.to_string(),
                ms(round.quiet_p99_us),
                ms(round.busy_p99_us),
                format!("{:.2}", round.ratio),
                format!("{:.0} a second{end}", round.exchanged_per_second),
            ]);
        }
        table.write(out)?;
        writeln!(out, "\nmedian of the ratios: {:.2}", self.ratio)
    }
}

/// Measures in a cluster of its own, which keeps everything in `folder`. The node that falls behind misses as many keys as the
/// plan has.
pub(crate) async fn measure(plan: Plan, folder: &Path) -> Result<Found, Failure> {
    let mut cluster = Cluster::start(folder).await?;
    let options = cluster.options()?;
    let (product, mut clients) = Product::begin(&options, &plan, BUCKET).await?;
    let client = Client::connect(options).await?;
    let hidden = ProgressBar::hidden();
    if plan.needs_keys() {
        clients.fill(&hidden).await;
    }
    let mut rounds = Vec::new();
    for number in 0..plan.rounds {
        let tell = |what: &str| {
            output::note(&format!("round {} of {}: {what}", number + 1, plan.rounds));
        };
        tell("until nothing is exchanged any more");
        rest(&client).await;
        tell("quiet");
        let quiet = clients.run(plan.warm_up, plan.until(), &hidden).await;
        tell("a node is stopped, and misses keys");
        cluster.stop_one(BEHIND).await?;
        miss(&client, number, &plan).await?;
        cluster.start_one(BEHIND).await?;
        meeting::meet(&client).await;
        tell("until it begins to exchange");
        let before = exchanged(&client).await;
        wait(&client, |now| now > before).await;
        tell("beside the exchange");
        let (begun, before) = (Instant::now(), exchanged(&client).await);
        let busy = clients.run(plan.warm_up, plan.until(), &hidden).await;
        let (took, after) = (begun.elapsed(), exchanged(&client).await);
        tokio::time::sleep(LOOK).await;
        let busy_to_its_end = exchanged(&client).await > after;
        let (quiet_p99_us, busy_p99_us) = (p99(&quiet), p99(&busy));
        rounds.push(Round {
            quiet_p99_us,
            busy_p99_us,
            quiet_per_second: quiet.per_second(),
            busy_per_second: busy.per_second(),
            exchanged_per_second: (after - before) as f64 / took.as_secs_f64(),
            busy_to_its_end,
            ratio: busy_p99_us as f64 / quiet_p99_us.max(1) as f64,
        });
    }
    client.close().await;
    product.close().await;
    cluster.stop().await?;
    let mut ratios: Vec<f64> = rounds.iter().map(|round| round.ratio).collect();
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios.get(ratios.len() / 2).copied().unwrap_or_default();
    Ok(Found { plan, rounds, ratio })
}

/// Of puts and gets together.
fn p99(measured: &Measured) -> u64 {
    measured.both().value_at_quantile(0.99)
}

/// Writes the keys of this round to the nodes that are there.
async fn miss(client: &Client, round: u32, plan: &Plan) -> Result<(), Failure> {
    let bucket = client.bucket(BUCKET)?;
    let mut puts = JoinSet::new();
    for number in 0..plan.keys {
        puts.spawn(put(bucket.clone(), format!("missed {round} {number}"), plan.value_bytes));
        if number >= PUTS
            && let Some(put) = puts.join_next().await
        {
            put.map_err(io::Error::from)??;
        }
    }
    while let Some(put) = puts.join_next().await {
        put.map_err(io::Error::from)??;
    }
    Ok(())
}

async fn put(bucket: Bucket, key: String, bytes: usize) -> Result<(), Failure> {
    let value = Bytes::from(key.bytes().cycle().take(bytes).collect::<Vec<u8>>());
    bucket.put(key, value).w(2).await?;
    Ok(())
}

/// Keys that exchanges have brought together, at all nodes.
async fn exchanged(client: &Client) -> u64 {
    let nodes = client.status().await;
    let counters = nodes.iter().filter_map(|node| node.status.as_ref().ok());
    counters.filter_map(|status| status.counters.get("exchange_keys")).sum()
}

/// Waits until the keys exchanged are such.
async fn wait(client: &Client, holds: impl Fn(u64) -> bool) {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE && !holds(exchanged(client).await) {
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until nothing is exchanged any more.
async fn rest(client: &Client) {
    let begun = Instant::now();
    let (mut last, mut since) = (exchanged(client).await, Instant::now());
    while begun.elapsed() < PATIENCE && since.elapsed() < REST {
        tokio::time::sleep(LOOK).await;
        let now = exchanged(client).await;
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
}
