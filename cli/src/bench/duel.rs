//! The rounds: the floor and the product take turns, so that whatever else the machine does hits both.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use kinfold_client::Options;

use super::cluster::Cluster;
use super::floor::Floor;
use super::measure::{Measured, cpu_time};
use super::plan::Plan;
use super::product::Product;
use super::report::{Report, Side};
use super::run::{Loop, Target, Until};
use crate::exit::Failure;

/// The bucket that is written to.
const BUCKET: &str = "bench";

/// What a target put off, such as writing memtables out, gets this long to be done before the other's turn.
const SETTLE: Duration = Duration::from_secs(10);

/// The process counts as quiet when it takes less than a twentieth of a core for so long.
const QUIET: Duration = Duration::from_millis(250);

/// Benches a cluster that runs somewhere else.
pub(crate) async fn alone(plan: Plan, options: &Options) -> Result<Report, Failure> {
    let bucket = format!("{BUCKET}-{:016x}", plan.seed);
    let (product, mut loop_) = Product::begin(options, &plan, &bucket).await?;
    let mut report = Report::new(plan);
    fill(&mut report, &mut loop_, Side::Product).await;
    for _ in 0..report.plan.rounds {
        round(&mut report, &mut loop_, Side::Product).await;
    }
    product.close().await;
    Ok(report)
}

/// Benches a cluster of its own in `folder`, beside the floor if that is asked for.
pub(crate) async fn own(plan: Plan, folder: &Path, with_floor: bool) -> Result<Report, Failure> {
    let cluster = Cluster::start(folder).await?;
    let options = cluster.options()?;
    let (product, mut products) = Product::begin(&options, &plan, BUCKET).await?;
    let floor = match with_floor {
        true => Some(Floor::start(cluster.name(), &cluster.members(), folder).await?),
        false => None,
    };
    let caller = match &floor {
        Some(floor) => Some(floor.caller(&options, plan.shape()).await?),
        None => None,
    };
    let mut floors = caller.clone().map(|caller| Loop::new(caller, plan.workload()));
    let mut report = Report::new(plan);
    report.look_at(folder);

    if let Some(floors) = &mut floors {
        fill(&mut report, floors, Side::Floor).await;
    }
    fill(&mut report, &mut products, Side::Product).await;
    for _ in 0..report.plan.rounds {
        if let Some(floors) = &mut floors {
            round(&mut report, floors, Side::Floor).await;
        }
        round(&mut report, &mut products, Side::Product).await;
    }

    product.close().await;
    if let Some(caller) = caller {
        caller.close().await;
    }
    if let Some(floor) = floor {
        floor.stop().await;
    }
    cluster.stop().await?;
    Ok(report)
}

/// Writes the keys that the requests need.
async fn fill<T: Target>(report: &mut Report, target: &mut Loop<T>, side: Side) {
    if report.plan.needs_keys() {
        let bar = bar(&format!("{side}: filling"), Some(report.plan.keys));
        let filled = target.fill(&bar).await;
        bar.finish_and_clear();
        report.filled(side, &filled);
        settle().await;
    }
}

/// One round of one target.
async fn round<T: Target>(report: &mut Report, target: &mut Loop<T>, side: Side) {
    let until = report.plan.until();
    let length = match until {
        Until::Time(_) => None,
        Until::Requests(n) => Some(n),
    };
    let bar = bar(&format!("{side}: measuring"), length);
    let mut measured: Measured = target.run(report.plan.warm_up, until, &bar).await;
    bar.finish_and_clear();
    measured.afterwards = settle().await;
    report.round(side, &measured);
}

/// Waits until what was put off is done; gives the processor time that it took.
async fn settle() -> Duration {
    let (started, from) = (Instant::now(), cpu_time());
    while started.elapsed() < SETTLE {
        let before = cpu_time();
        tokio::time::sleep(QUIET).await;
        if cpu_time().saturating_sub(before) < QUIET / 20 {
            break;
        }
    }
    cpu_time().saturating_sub(from)
}

/// Progress on a terminal; nothing elsewhere.
fn bar(what: &str, length: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), "{msg} {wide_bar} {pos}/{len} ({per_sec})"),
        None => {
            (ProgressBar::new_spinner(), "{msg} {spinner} {pos} requests ({per_sec}) {elapsed}")
        }
    };
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.expect("the template is valid, which a test checks"));
    bar.set_message(what.to_owned());
    bar
}
