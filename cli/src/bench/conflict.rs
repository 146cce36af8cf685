//! What a get costs whose siblings have to be merged, beside its twin: a get of the value that they merge to.
//!
//! One client asks, one request at a time. The two and the merge alone, in the same process, take turns, so that whatever else the
//! machine does hits all three, and none is measured with everything that it needs still at hand from the time before. A get with a
//! conflict should cost little more than its twin and the merge together.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinfold_client::{Bucket, BucketConfig, Client, Mode};
use kinfold_sandbox::{
    BUILT_IN, Engine, Limits, MergeInput, MergeRequest, Plugin, Timestamp, canonical,
};
use serde::Serialize;
use tokio::task::JoinSet;

use super::cluster::Cluster;
use crate::exit::Failure;
use crate::table::Table;

const SIBLINGS: u64 = 3;
/// Puts on their way at one time.
const PUTS: u64 = 64;

/// What is to be measured.
pub(crate) struct Plan {
    /// A built-in plugin.
    pub(crate) plugin: String,
    /// The size of a sibling, in bytes.
    pub(crate) bytes: u32,
    /// Keys with a conflict; each is read once.
    pub(crate) keys: u64,
    /// Owners that a get waits for.
    pub(crate) r: u8,
}

/// What was found: medians, in microseconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Found {
    plugin: String,
    siblings: u64,
    bytes: usize,
    gets: u64,
    /// A get of the merged value.
    twin: f64,
    /// The merge alone.
    merge: f64,
    /// A get of the siblings.
    conflict: f64,
    /// The last by the sum of the others.
    ratio: f64,
}

impl Found {
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut table = Table::new(["WHAT", "MEDIAN"]);
        table.row(["a get of one value".into(), format!("{:.1} us", self.twin)]);
        table.row(["the merge alone".into(), format!("{:.1} us", self.merge)]);
        table.row(["a get of siblings to be merged".into(), format!("{:.1} us", self.conflict)]);
        table.write(out)?;
        writeln!(
            out,
            "\n{} siblings of {} bytes in all, {} gets each: {:.2} of the value and the merge together",
            self.siblings, self.bytes, self.gets, self.ratio
        )
    }
}

/// Measures in a cluster of its own, which keeps everything in `folder`.
pub(crate) async fn measure(plan: Plan, folder: &Path) -> Result<Found, Failure> {
    let component = BUILT_IN.iter().find(|(name, _)| *name == plan.plugin);
    let Some((_, component)) = component else {
        return Err(Failure::Usage(format!("there is no built-in plugin `{}`", plan.plugin)));
    };
    let plugin = Plugin::load(&Engine::new(Limits::default(), 1)?, component)?;
    let request = request(&plugin, plan.bytes, Bytes::new());
    let merged = plugin.merge(&request).result?.unwrap_or_default();

    let cluster = Cluster::start(folder).await?;
    let client = Client::connect(cluster.options()?).await?;
    let mode = Mode::Resolver { plugin: plan.plugin.clone() };
    client
        .bucket_create("conflict", BucketConfig { mode, r: plan.r, ..BucketConfig::default() })
        .await?;
    let bucket = client.bucket("conflict")?;
    for sibling in request.inputs.iter().filter_map(|input| input.value.clone()) {
        fill(&bucket, "siblings", plan.keys, &sibling).await?;
    }
    fill(&bucket, "one", plan.keys, &merged).await?;

    let (mut twins, mut merges, mut conflicts) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..plan.keys {
        let start = Instant::now();
        drop(plugin.merge(&request));
        merges.push(start.elapsed());
        for (kind, times) in [("one", &mut twins), ("siblings", &mut conflicts)] {
            let start = Instant::now();
            let found = bucket.get(format!("{kind} {number}")).await?;
            times.push(start.elapsed());
            if found.one()? != Some(&merged) {
                return Err(Failure::Usage(format!("{kind} {number} is not the merged value")));
            }
        }
    }
    client.close().await;
    cluster.stop().await?;
    let [twin, merge, conflict] =
        [&mut twins, &mut merges, &mut conflicts].map(|times| median(times));
    Ok(Found {
        plugin: plan.plugin,
        siblings: SIBLINGS,
        bytes: request.inputs.iter().filter_map(|input| input.value.as_ref()).map(Bytes::len).sum(),
        gets: plan.keys,
        twin,
        merge,
        conflict,
        ratio: conflict / (twin + merge),
    })
}

/// Puts a value under so many keys, whatever is there.
async fn fill(
    bucket: &Bucket,
    kind: &'static str,
    keys: u64,
    value: &Bytes,
) -> Result<(), Failure> {
    let mut puts = JoinSet::new();
    for number in 0..keys {
        let (bucket, value) = (bucket.clone(), value.clone());
        puts.spawn(async move { bucket.put(format!("{kind} {number}"), value).w(3).await });
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

/// In microseconds.
fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

/// Three siblings of so many bytes each: the plugin's own samples, or lines of text for one that makes none.
pub(crate) fn request(plugin: &Plugin, bytes: u32, config: Bytes) -> MergeRequest {
    let inputs = (1..=SIBLINGS).map(|n| {
        let sample = plugin.sample(n, bytes).and_then(Result::ok);
        MergeInput { value: Some(sample.unwrap_or_else(|| lines(n, bytes))), time: Timestamp(n) }
    });
    MergeRequest {
        plugin: plugin.manifest().name.clone(),
        bucket: "bucket".into(),
        key: Bytes::from_static(b"key"),
        config,
        inputs: canonical(inputs.collect()),
    }
}

/// Lines of ten bytes that many plugins take: a word, a tab and a number.
fn lines(n: u64, bytes: u32) -> Bytes {
    let line = |line: u32| format!("{:04x}\t{n}0{n}\n", line * 7 + u32::try_from(n).unwrap_or(0));
    let text: String = (0..bytes.div_ceil(10)).map(line).collect();
    Bytes::from(text)
}
