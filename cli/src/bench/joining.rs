//! What clients notice of a node that joins: the p99 of their requests while it copies what it is to own, beside that of the same
//! requests before it, and after all is done.
//!
//! Nodes and clients share this machine's processors and its disk, and so does the node that joins, which on a machine of its own would
//! bring both with it.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use indicatif::{HumanBytes, ProgressBar};
use kinfold_client::moves::Moves;
use kinfold_client::{COPIES, Client, Planned};
use serde::Serialize;

use super::cluster::Cluster;
use super::plan::Plan;
use super::product::Product;
use super::run::Loop;
use crate::change::{moved, settled, sizes};
use crate::exit::Failure;
use crate::output;
use crate::table::Table;

const BUCKET: &str = "bench";

/// The node that joins.
const NEWCOMER: &str = "n4";

/// Between two looks at how far the copies are.
const LOOK: Duration = Duration::from_millis(200);

/// The node asks to join within this.
const PATIENCE: Duration = Duration::from_secs(60);

/// When something was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum When {
    /// Three nodes, at rest.
    Before,
    /// The fourth one copies.
    Beside,
    /// Four nodes, at rest.
    After,
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before => "before",
            Self::Beside => "beside the copies",
            Self::After => "after",
        })
    }
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Found {
    plan: Plan,
    /// What the plan of the change said, from what the stores held.
    planned_bytes: u64,
    /// What was copied: values of all keys that moved, those written meanwhile too.
    copied_bytes: u64,
    /// From the commit until everybody had dropped what it owned no more.
    seconds: f64,
    rounds: Vec<Round>,
    /// Median of the p99s beside the copies by the median of those before; none of what was not asked.
    puts_ratio: Option<f64>,
    gets_ratio: Option<f64>,
    /// Of puts and gets together.
    ratio: Option<f64>,
}

/// One look at the clients.
#[derive(Clone, Copy, Debug, Serialize)]
struct Round {
    when: When,
    puts_p99_us: u64,
    gets_p99_us: u64,
    p99_us: u64,
    per_second: f64,
    failed: u64,
    /// Bytes copied meanwhile, by second.
    copied_per_second: f64,
}

impl Found {
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut table =
            Table::new(["", "P99 OF PUTS", "OF GETS", "OF BOTH", "REQUESTS", "FAILED", "COPIED"]);
        let ms = |us: u64| format!("{:.2} ms", us as f64 / 1e3);
        for round in &self.rounds {
            table.row([
                round.when.to_string(),
                ms(round.puts_p99_us),
                ms(round.gets_p99_us),
                ms(round.p99_us),
                format!("{:.0} a second", round.per_second),
                round.failed.to_string(),
                format!("{} a second", HumanBytes(round.copied_per_second as u64)),
            ]);
        }
        table.write(out)?;
        let ratio =
            |ratio: Option<f64>| ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        writeln!(
            out,
            "\nbeside the copies by before, medians: puts {}, gets {}, both {}",
            ratio(self.puts_ratio),
            ratio(self.gets_ratio),
            ratio(self.ratio)
        )?;
        writeln!(
            out,
            "planned {}, copied {} of values in all; {:.0} s until all was dropped",
            HumanBytes(self.planned_bytes),
            HumanBytes(self.copied_bytes),
            self.seconds
        )
    }

    /// Did every request end as asked for?
    pub(crate) fn is_clean(&self) -> bool {
        self.rounds.iter().all(|round| round.failed == 0)
    }
}

/// Measures in a cluster of its own, which keeps everything in `folder`.
pub(crate) async fn measure(plan: Plan, folder: &Path) -> Result<Found, Failure> {
    let mut cluster = Cluster::start(folder).await?;
    let options = cluster.options()?;
    let (product, mut clients) = Product::begin(&options, &plan, BUCKET).await?;
    let client = Client::connect(options).await?;
    output::note(&format!("writing {} keys", plan.keys));
    clients.fill(&ProgressBar::hidden()).await;

    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        rounds.push(round(&mut clients, &client, &plan, When::Before).await?);
    }
    output::note("the fourth node asks to join");
    cluster.join_one(NEWCOMER).await?;
    let Planned { plan: change, digest } = asked(&client).await?;
    let sizes = sizes(&client).await;
    let moves = Moves::between(&change.old, &change.new, COPIES, &sizes, None);
    client.commit(digest).await?;
    let begun = Instant::now();
    for _ in 0..plan.rounds {
        let beside = round(&mut clients, &client, &plan, When::Beside).await?;
        if moved(&client.cluster_status().await?).0 == 0 {
            output::note("the copies ended before the round did, which is not counted");
            break;
        }
        rounds.push(beside);
    }
    output::note("until everything is where it belongs");
    let settled = settled(&client, |_| {}).await?;
    let seconds = begun.elapsed().as_secs_f64();
    for _ in 0..plan.rounds {
        rounds.push(round(&mut clients, &client, &plan, When::After).await?);
    }
    client.close().await;
    product.close().await;
    cluster.stop().await?;
    let ratio = |p99: fn(&Round) -> u64| {
        let of = |when| median(rounds.iter().filter(|r| r.when == when).map(p99).collect());
        Some(of(When::Beside)? as f64 / of(When::Before)? as f64)
    };
    Ok(Found {
        planned_bytes: moves.bytes,
        copied_bytes: moved(&settled).2,
        seconds,
        puts_ratio: ratio(|round| round.puts_p99_us),
        gets_ratio: ratio(|round| round.gets_p99_us),
        ratio: ratio(|round| round.p99_us),
        rounds,
        plan,
    })
}

/// Has the clients ask for one round.
async fn round(
    clients: &mut Loop<Product>,
    client: &Client,
    plan: &Plan,
    when: When,
) -> Result<Round, Failure> {
    output::note(&format!("a round {when}"));
    let (begun, copied) = (Instant::now(), moved(&client.cluster_status().await?).2);
    let found = clients.run(plan.warm_up, plan.until(), &ProgressBar::hidden()).await;
    let copied = moved(&client.cluster_status().await?).2.saturating_sub(copied);
    let p99 = |histogram: &Histogram<u64>| histogram.value_at_quantile(0.99);
    Ok(Round {
        when,
        puts_p99_us: p99(&found.puts),
        gets_p99_us: p99(&found.gets),
        p99_us: p99(&found.both()),
        per_second: found.per_second(),
        failed: found.errors.values().sum(),
        copied_per_second: copied as f64 / begun.elapsed().as_secs_f64(),
    })
}

/// The plan that has the newcomer, once it has asked to join.
async fn asked(client: &Client) -> Result<Planned, Failure> {
    let begun = Instant::now();
    while client.cluster_status().await?.staged.is_empty() && begun.elapsed() < PATIENCE {
        tokio::time::sleep(LOOK).await;
    }
    Ok(client.plan().await?)
}

/// The middle one, of those that were asked at all.
fn median(mut figures: Vec<u64>) -> Option<u64> {
    figures.sort_unstable();
    figures.get(figures.len() / 2).copied().filter(|figure| *figure > 0)
}
