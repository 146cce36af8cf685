//! The demo from its beginning to its end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use kinfold_client::{Bucket, Client, Code, Consistency, Error};

use super::check::{Expectation, Fault, Reading};
use super::cluster::{Cluster, NODES};
use super::records::{KEY_BYTES, records};
use super::script::{ATLAS, Deed, Meaning, Scene, Side, buckets, scenes};
use super::spread::spread;
use super::stage::Stage;
use super::tableau::{Before, tableau};
use crate::exit::{End, Failure};
use crate::meeting;

/// Requests at one time.
const WIDTH: usize = 48;

/// Faults that are listed; a thousand more would only hide the first.
const SHOWN: usize = 50;

/// The nodes, where each is asked for what it holds itself.
const ALONE: [&str; 3] = ["n1 alone", "n2 alone", "n3 alone"];

/// So long a repair may take until it has reached everybody.
const REPAIR: Duration = Duration::from_secs(5);

/// Plays everything on three nodes of these configurations in `folder`, and says how it went.
pub(crate) async fn play(
    stage: &Stage,
    folder: &Path,
    configs: &[PathBuf],
) -> Result<End, Failure> {
    stage.say(
        &stage.bold("Kinfold: three nodes, a cut, and what became of every acknowledged write\n"),
    )?;
    let cluster = stage
        .step("starting three nodes", None, async |_| {
            let cluster = Cluster::start(folder, configs).await?;
            let done =
                "three nodes run, each with its own data directory and certificate, over QUIC";
            Ok((cluster, done.to_owned()))
        })
        .await?;
    let ends = played(stage, &cluster).await;
    let stopped = stage
        .step("stopping the nodes", None, async |_| {
            cluster.stop().await?;
            Ok(((), "the nodes stopped in good order".to_owned()))
        })
        .await;
    let faults = ends?;
    stopped?;
    if faults.is_empty() {
        stage.close(true, "every acknowledged write is accounted for, and all nodes agree;")?;
        return Ok(End::Done);
    }
    for fault in faults.iter().take(SHOWN) {
        stage.say(&format!("  {fault}"))?;
    }
    if faults.len() > SHOWN {
        stage.say(&format!("  ... and {} more", faults.len() - SHOWN))?;
    }
    stage.close(false, &format!("{} things are not as they have to be;", faults.len()))?;
    Ok(End::NotWell)
}

async fn played(stage: &Stage, cluster: &Cluster) -> Result<Vec<Fault>, Failure> {
    let everywhere = cluster.client().await?;
    let mut through = Vec::new();
    for node in 0..NODES.len() {
        through.push(cluster.client_of(node).await?);
    }
    let scenes = scenes();
    let apart = meeting::meet(&everywhere).await;
    if !apart.is_empty() {
        return Ok(apart.into_iter().map(Fault::Apart).collect());
    }
    make_buckets(stage, &everywhere).await?;
    load(stage, &everywhere, &scenes).await?;
    cut(stage, cluster, &through[0]).await?;
    let before = write_apart(stage, &through, &scenes).await?;
    let apart = heal(stage, cluster, &everywhere).await?;
    if !apart.is_empty() {
        return Ok(apart.into_iter().map(Fault::Apart).collect());
    }
    let (expectations, readings) = read_all(stage, &through, &scenes).await?;
    stage.say(&tableau(&scenes, &before, &readings).to_string())?;
    let faults = expectations.iter().zip(&readings).flat_map(|(expected, readings)| {
        let strict = if expected.bucket == ATLAS { 0 } else { NODES.len() };
        expected.check(readings, strict + ALONE.len())
    });
    Ok(faults.collect())
}

async fn make_buckets(stage: &Stage, client: &Client) -> Result<(), Failure> {
    stage
        .step("making buckets", None, async |_| {
            let mut made = Vec::new();
            for (name, config) in buckets() {
                let plugin = config.mode.plugin().unwrap_or("siblings").to_owned();
                client.bucket_create(name, config).await?;
                made.push(format!("{name} ({plugin})"));
            }
            Ok(((), format!("buckets: {}", made.join(", "))))
        })
        .await
}

async fn load(stage: &Stage, client: &Client, scenes: &[Scene]) -> Result<(), Failure> {
    let records = records();
    let parts = records.len() + scenes.len();
    stage
        .step("loading", Some(parts), async |progress: &ProgressBar| {
            let bytes: usize = records.iter().map(|r| r.key.len() + r.value.len()).sum();
            let begun = Instant::now();
            let atlas = client.bucket(ATLAS)?;
            spread(records, WIDTH, |record| {
                let (atlas, progress) = (atlas.clone(), progress.clone());
                async move {
                    atlas.put(&record.key, record.value).w(3).await?;
                    progress.inc(1);
                    Ok(())
                }
            })
            .await?;
            for scene in scenes {
                client.bucket(scene.bucket)?.put(scene.key, scene.before.clone()).w(3).await?;
                progress.inc(1);
            }
            let done = format!(
                "loaded {parts} records on all three (w = 3), {:.1} MB, keys of {KEY_BYTES} bytes, values to 10 KB: {:.0}/s",
                bytes as f64 / 1e6,
                parts as f64 / begun.elapsed().as_secs_f64()
            );
            Ok(((), done))
        })
        .await
}

/// Cuts the network, and shows that it is cut: a read that needs two owners is refused on the side where there is one.
async fn cut(stage: &Stage, cluster: &Cluster, alone: &Client) -> Result<(), Failure> {
    stage
        .step("cutting the network", None, async |_| {
            cluster.shears().cut();
            let get = alone.bucket("carts")?.get("alice").consistency(Consistency::Strict).r(2);
            match get.deadline(Duration::from_millis(750)).await {
                Err(Error::Refused { code: Code::Unavailable, .. } | Error::Unreachable { .. }) => {
                }
                Err(other) => return Err(other.into()),
                Ok(_) => {
                    let text = "the network is cut, and still two owners answered";
                    return Err(Error::Protocol { notes: text.to_owned() }.into());
                }
            }
            let done = "the network is cut: n1 | n2 n3; a read of two owners through n1 is refused";
            Ok(((), done.to_owned()))
        })
        .await
}

/// Plays the scenes on both sides, and looks at what each side has in the end.
async fn write_apart(
    stage: &Stage,
    through: &[Client],
    scenes: &[Scene],
) -> Result<Vec<Before>, Failure> {
    let writes: usize = scenes.iter().map(|scene| scene.acts.len()).sum();
    stage
        .step("writing on both sides", None, async |_| {
            let played = spread(scenes.iter().cloned().enumerate(), WIDTH, |(i, scene)| {
                let through = through.to_vec();
                async move {
                    for (turn, (side, deed)) in scene.acts.iter().enumerate() {
                        act(&through, &scene, turn, *side, deed).await?;
                    }
                    let a = through[0].bucket(scene.bucket)?.get(scene.key).r(1).await?;
                    let b = through[1].bucket(scene.bucket)?.get(scene.key).r(2).await?;
                    Ok((i, Before { a: a.values, b: b.values }))
                }
            });
            let before = played.await?.into_iter().collect::<BTreeMap<_, _>>();
            let done = format!(
                "{writes} conflicting writes to {} keys acknowledged: by n1 with w = 1, since it is alone; by n2 and n3 with w = 2",
                scenes.len()
            );
            Ok((before.into_values().collect(), done))
        })
        .await
}

async fn act(
    through: &[Client],
    scene: &Scene,
    turn: usize,
    side: Side,
    deed: &Deed,
) -> Result<(), Failure> {
    let (node, quorum) = match side {
        Side::A => (0, 1),
        Side::B => (1 + turn % 2, 2),
    };
    let bucket: Bucket = through[node].bucket(scene.bucket)?;
    // In a bucket of siblings a writer replaces what it has read; elsewhere the plugin merges whatever meets.
    let seen = match (deed, scene.meaning) {
        (Deed::Delete, _) | (_, Meaning::Siblings) => {
            Some(bucket.get(scene.key).r(quorum).await?.context)
        }
        (Deed::Put(_), _) => None,
    };
    match (deed, seen) {
        (Deed::Put(value), Some(seen)) => {
            bucket.put(scene.key, value.clone()).w(quorum).context(seen).await?
        }
        (Deed::Put(value), None) => bucket.put(scene.key, value.clone()).w(quorum).await?,
        (Deed::Delete, seen) => {
            let delete = bucket.delete(scene.key).w(quorum);
            match seen {
                Some(seen) => delete.context(seen).await?,
                None => delete.await?,
            }
        }
    };
    Ok(())
}

async fn heal(stage: &Stage, cluster: &Cluster, client: &Client) -> Result<Vec<String>, Failure> {
    stage
        .step("healing the network", None, async |_| {
            let lost = cluster.shears().lost();
            cluster.shears().heal();
            let apart = meeting::meet(client).await;
            Ok((apart, format!("the network is healed; it had dropped {lost} datagrams")))
        })
        .await
}

/// Reads everything through every node: what was written on both sides from all owners, and the rest from the node itself, which
/// has acknowledged it.
async fn read_all(
    stage: &Stage,
    through: &[Client],
    scenes: &[Scene],
) -> Result<(Vec<Expectation>, Vec<Vec<Reading>>), Failure> {
    let mut expectations: Vec<_> = scenes.iter().map(Expectation::of).collect();
    expectations.extend(records().into_iter().map(Expectation::of_record));
    let count = expectations.len();
    let readings = stage
        .step("reading", Some(count), async |progress: &ProgressBar| {
            let read = spread(expectations.iter().cloned().enumerate(), WIDTH, |(i, expected)| {
                let (through, progress) = (through.to_vec(), progress.clone());
                async move {
                    let readings = read(&through, &expected).await?;
                    progress.inc(1);
                    Ok((i, readings))
                }
            });
            let read = read.await?.into_iter().collect::<BTreeMap<_, _>>();
            let done = format!(
                "read {count} keys through n1, n2 and n3: {} that both sides wrote, from all owners and from each alone; {} \
                 others, from each alone",
                scenes.len(),
                count - scenes.len()
            );
            Ok((read.into_values().collect(), done))
        })
        .await?;
    Ok((expectations, readings))
}

async fn read(through: &[Client], expected: &Expectation) -> Result<Vec<Reading>, Failure> {
    let mut readings = Vec::new();
    let buckets = through.iter().map(|client| client.bucket(expected.bucket));
    let buckets: Vec<Bucket> = buckets.collect::<Result<_, _>>()?;
    if expected.bucket != ATLAS {
        for (node, bucket) in NODES.into_iter().zip(&buckets) {
            let get = bucket.get(&expected.key).r(3).consistency(Consistency::Strict);
            readings.push(Reading::new(node, get.await?));
        }
    }
    // The reads above have sent repairs to who was behind, without waiting for all of them.
    let begun = Instant::now();
    loop {
        let mut alone = Vec::new();
        for (node, bucket) in ALONE.into_iter().zip(&buckets) {
            alone.push(Reading::new(node, bucket.get(&expected.key).r(1).await?));
        }
        if expected.check(&alone, ALONE.len()).is_empty() || begun.elapsed() > REPAIR {
            readings.extend(alone);
            return Ok(readings);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
