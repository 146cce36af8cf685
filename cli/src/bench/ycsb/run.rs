//! The clients: each asks, waits for the answer, and asks again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use kinfold_client::{Bucket, BucketConfig, Client, Mode, Options, Tombstones};
use serde::Serialize;
use tokio::task::JoinSet;

use super::mix::{Draw, Letter, Operation, Records};
use super::report::Report;
use crate::bench::chance::{Chance, scramble};
use crate::bench::cluster::Cluster;
use crate::bench::product::failed;
use crate::bench::run::{Failed, Until, Window};
use crate::bench::values::Values;
use crate::exit::Failure;

/// Digits that percentiles keep.
const DIGITS: u8 = 3;

/// What is to be done.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// The workloads, one after the other on the same records.
    pub(crate) workloads: Vec<Letter>,
    /// Records that are loaded first.
    pub(crate) records: u64,
    /// Clients that ask at one time.
    pub(crate) clients: u64,
    /// Connections to each node, which the clients share.
    pub(crate) connections: u64,
    /// The length of values.
    pub(crate) value_bytes: usize,
    /// The length of keys.
    pub(crate) key_bytes: usize,
    /// The lattice plugin that folds updates.
    pub(crate) plugin: String,
    /// Owners that a get waits for.
    pub(crate) r: u8,
    /// Owners that a put waits for.
    pub(crate) w: u8,
    /// Where chance comes from.
    pub(crate) seed: u64,
    /// How long operations are made before they count.
    #[serde(skip)]
    pub(crate) warm_up: Duration,
    /// When a workload ends.
    #[serde(skip)]
    pub(crate) until: Until,
}

/// What one workload came to.
pub(super) struct Measured {
    /// Latencies in microseconds, of what ended well.
    pub(super) latencies: BTreeMap<Operation, Histogram<u64>>,
    /// What ended otherwise, by a word.
    pub(super) errors: BTreeMap<String, u64>,
    pub(super) time: Duration,
}

impl Measured {
    fn new() -> Self {
        Self { latencies: BTreeMap::new(), errors: BTreeMap::new(), time: Duration::ZERO }
    }

    fn of(&mut self, operation: Operation) -> &mut Histogram<u64> {
        let empty = || Histogram::new(DIGITS).expect("as many digits as it allows");
        self.latencies.entry(operation).or_insert_with(empty)
    }

    fn count(&mut self, operation: Operation, took: Duration, outcome: Result<(), Failed>) {
        match outcome {
            Ok(()) => {
                let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                self.of(operation).record(us).expect("histograms grow");
            }
            Err(Failed(word)) => *self.errors.entry(word).or_default() += 1,
        }
    }

    fn add(&mut self, other: &Self) {
        for (operation, histogram) in &other.latencies {
            self.of(*operation).add(histogram).expect("histograms grow");
        }
        for (word, n) in &other.errors {
            *self.errors.entry(word.clone()).or_default() += n;
        }
    }
}

/// Runs the workloads on the cluster of these options.
pub(crate) async fn alone(plan: Plan, options: &Options) -> Result<Report, Failure> {
    let mut clients = Vec::new();
    for _ in 0..plan.connections.max(1) {
        clients.push(Client::connect(options.clone()).await?);
    }
    let name = format!("ycsb-{:016x}", plan.seed);
    let mode = Mode::Lattice { plugin: plan.plugin.clone(), tombstones: Tombstones::Pass };
    let config = BucketConfig { mode, r: plan.r, w: plan.w, ..BucketConfig::default() };
    if let [first, ..] = clients.as_slice() {
        first.bucket_create(&name, config).await?;
    }
    let buckets: Vec<_> =
        clients.iter().map(|client| client.bucket(&name)).collect::<Result<_, _>>()?;
    let values = Values::new(plan.seed, plan.key_bytes, plan.value_bytes);
    let records = Arc::new(Records::new(plan.records));
    let mut report = Report::new(&plan);
    report.loaded(&load(&plan, &buckets, &values).await);
    for (turn, letter) in (1..).zip(plan.workloads.clone()) {
        let measured = workload(&plan, letter, turn, &buckets, &values, &records).await;
        report.took(letter, measured);
    }
    for client in clients {
        client.close().await;
    }
    Ok(report)
}

/// Runs them on a cluster of its own, in `folder`.
pub(crate) async fn own(plan: Plan, folder: &Path) -> Result<Report, Failure> {
    let cluster = Cluster::start(folder).await?;
    let report = alone(plan, &cluster.options()?).await;
    cluster.stop().await?;
    report
}

/// Puts all records once.
async fn load(plan: &Plan, buckets: &[Bucket], values: &Values) -> Measured {
    let mut tasks = JoinSet::new();
    for (number, bucket) in (0..plan.clients).zip(buckets.iter().cycle()) {
        let (bucket, values, clients) = (bucket.clone(), values.clone(), plan.clients);
        let share = (number..plan.records).step_by(usize::try_from(clients).unwrap_or(1));
        tasks.spawn(async move {
            let mut measured = Measured::new();
            for record in share {
                let began = Instant::now();
                let put = bucket.put(values.key(record), values.value(record, 0)).await;
                let outcome = put.map(drop).map_err(|error| failed(&error));
                measured.count(Operation::Insert, began.elapsed(), outcome);
            }
            measured
        });
    }
    gather(tasks).await
}

async fn workload(
    plan: &Plan,
    letter: Letter,
    turn: u64,
    buckets: &[Bucket],
    values: &Values,
    records: &Arc<Records>,
) -> Measured {
    let window = Arc::new(Window::new(plan.warm_up, plan.until));
    let mut tasks = JoinSet::new();
    for (number, bucket) in (0..plan.clients).zip(buckets.iter().cycle()) {
        let (bucket, values) = (bucket.clone(), values.clone());
        let (window, records) = (Arc::clone(&window), Arc::clone(records));
        let mut draw = Draw::new(letter, records.count());
        let mut chance = Chance::new(scramble(plan.seed ^ scramble(number + (turn << 32))));
        tasks.spawn(async move {
            let mut measured = Measured::new();
            while let Some(turn) = window.next() {
                let (operation, record) = draw.next(&records, &mut chance);
                let value = values.value(record, chance.next());
                let began = Instant::now();
                let outcome = ask(&bucket, operation, values.key(record), value).await;
                let ended = Instant::now();
                if operation == Operation::Insert {
                    records.ended(record);
                }
                if window.counts(turn, ended) {
                    measured.count(operation, ended - began, outcome);
                }
            }
            measured
        });
    }
    let mut measured = gather(tasks).await;
    measured.time = match window.end {
        Some(end) => end.duration_since(window.begin),
        None => window.begin.elapsed(),
    };
    measured
}

async fn ask(
    bucket: &Bucket,
    operation: Operation,
    key: bytes::Bytes,
    value: bytes::Bytes,
) -> Result<(), Failed> {
    let put = match operation {
        Operation::Update | Operation::Insert => bucket.put(key, value),
        Operation::Read | Operation::ReadModifyWrite => {
            let found = bucket.get(&key).await.map_err(|error| failed(&error))?;
            match found.values.as_slice() {
                [_one] => {}
                [] => return Err(Failed("missing".to_owned())),
                [..] => return Err(Failed("siblings".to_owned())),
            }
            if operation == Operation::Read {
                return Ok(());
            }
            bucket.put(key, value).context(found.context)
        }
    };
    put.await.map(drop).map_err(|error| failed(&error))
}

async fn gather(mut tasks: JoinSet<Measured>) -> Measured {
    let mut all = Measured::new();
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(part) => all.add(&part),
            Err(broken) => std::panic::resume_unwind(broken.into_panic()),
        }
    }
    all
}
