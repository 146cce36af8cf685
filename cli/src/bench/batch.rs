//! What a key costs in a batch of gets or puts, beside one after the other.
//!
//! One client asks, and the four ways take turns round by round, so that whatever else the machine does hits all of them. A batch is
//! many requests at one time, so the ratio says what a client gains that has many keys to ask for.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinfold_client::{Bucket, BucketConfig, Client, Error};
use serde::Serialize;

use super::cluster::Cluster;
use crate::exit::Failure;
use crate::table::Table;

/// What is to be measured.
pub(crate) struct Plan {
    /// Keys in a batch.
    pub(crate) batch: u64,
    /// The length of a value, in bytes.
    pub(crate) bytes: usize,
    /// Keys that each way asks for in all; rounded up to whole batches.
    pub(crate) keys: u64,
    /// Owners that a get waits for.
    pub(crate) r: u8,
    /// Owners whose durable acknowledgement a put waits for.
    pub(crate) w: u8,
}

/// What was found: medians over the rounds, in microseconds a key.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Found {
    batch: u64,
    bytes: usize,
    rounds: u64,
    single_put: f64,
    batched_put: f64,
    single_get: f64,
    batched_get: f64,
    /// Single puts by batched ones.
    put_ratio: f64,
    /// Single gets by batched ones.
    get_ratio: f64,
}

impl Found {
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut table = Table::new(["A KEY", "ONE BY ONE", "IN BATCHES", "RATIO"]);
        for (what, single, batched, ratio) in [
            ("put", self.single_put, self.batched_put, self.put_ratio),
            ("get", self.single_get, self.batched_get, self.get_ratio),
        ] {
            let times = [single, batched].map(|time| format!("{time:.1} us"));
            let [single, batched] = times;
            table.row([what.into(), single, batched, format!("{ratio:.2}")]);
        }
        table.write(out)?;
        writeln!(
            out,
            "\nbatches of {} values of {} bytes, {} rounds of each",
            self.batch, self.bytes, self.rounds
        )
    }
}

/// Measures in a cluster of its own, which keeps everything in `folder`.
pub(crate) async fn measure(plan: Plan, folder: &Path) -> Result<Found, Failure> {
    let cluster = Cluster::start(folder).await?;
    let client = Client::connect(cluster.options()?).await?;
    let config = BucketConfig { r: plan.r, w: plan.w, ..BucketConfig::default() };
    client.bucket_create("batches", config).await?;
    let bucket = client.bucket("batches")?;
    let value = Bytes::from(vec![b'v'; plan.bytes]);
    let rounds = plan.keys.div_ceil(plan.batch).max(1);
    let mut times: [Vec<Duration>; 4] = Default::default();
    // The first round opens connections and is not counted.
    for round in 0..=rounds {
        let took = [
            put_one_by_one(&bucket, &keys("single", round, plan.batch), &value).await?,
            put_batch(&bucket, &keys("batched", round, plan.batch), &value).await?,
            get_one_by_one(&bucket, &keys("single", round, plan.batch), &value).await?,
            get_batch(&bucket, &keys("batched", round, plan.batch), &value).await?,
        ];
        if round > 0 {
            times.iter_mut().zip(took).for_each(|(times, took)| times.push(took));
        }
    }
    client.close().await;
    cluster.stop().await?;
    let [single_put, batched_put, single_get, batched_get] =
        times.map(|times| median(times) / plan.batch as f64);
    Ok(Found {
        batch: plan.batch,
        bytes: plan.bytes,
        rounds,
        single_put,
        batched_put,
        single_get,
        batched_get,
        put_ratio: single_put / batched_put,
        get_ratio: single_get / batched_get,
    })
}

fn keys(kind: &str, round: u64, count: u64) -> Vec<String> {
    (0..count).map(|n| format!("{kind} {round} {n}")).collect()
}

async fn put_one_by_one(
    bucket: &Bucket,
    keys: &[String],
    value: &Bytes,
) -> Result<Duration, Error> {
    let start = Instant::now();
    for key in keys {
        bucket.put(key, value.clone()).await?;
    }
    Ok(start.elapsed())
}

async fn put_batch(bucket: &Bucket, keys: &[String], value: &Bytes) -> Result<Duration, Error> {
    let start = Instant::now();
    for written in bucket.put_many(keys.iter().map(|key| bucket.put(key, value.clone()))).await {
        written?;
    }
    Ok(start.elapsed())
}

async fn get_one_by_one(
    bucket: &Bucket,
    keys: &[String],
    value: &Bytes,
) -> Result<Duration, Failure> {
    let start = Instant::now();
    for key in keys {
        check(key, bucket.get(key).await?.one()?, value)?;
    }
    Ok(start.elapsed())
}

async fn get_batch(bucket: &Bucket, keys: &[String], value: &Bytes) -> Result<Duration, Failure> {
    let start = Instant::now();
    for (key, found) in keys.iter().zip(bucket.get_many(keys).await) {
        check(key, found?.one()?, value)?;
    }
    Ok(start.elapsed())
}

fn check(key: &str, found: Option<&Bytes>, value: &Bytes) -> Result<(), Failure> {
    let fits = found == Some(value);
    fits.then_some(()).ok_or_else(|| Failure::Refused(format!("`{key}` is not what was put")))
}

/// In microseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}
