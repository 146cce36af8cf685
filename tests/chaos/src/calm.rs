//! Nothing goes wrong any more: waits until all nodes have met and all replicas are equal, and tells what they hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kinfold_client::{Client, Consistency, Key};
use sim::checker::equal::unequal;
use sim::ending::Held;
use sim::keyspace::Spot;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::error::Error;
use crate::guest;
use crate::plan::NODES;
use crate::proxy::CALM;
use crate::site::Site;

/// How long nodes may take to start and meet, on a machine that is busy with other things: a start compiles the built-in plugins.
pub(crate) const MEETING: Duration = Duration::from_secs(240);

/// How long anti-entropy may take: each node has its turn with each other one several times.
const CONVERGENCE: Duration = Duration::from_secs(300);

/// How often it is told what is still unequal.
const TELLING: Duration = Duration::from_secs(10);

/// Keys that are asked for at one time.
const AT_ONCE: usize = 16;

/// What each node holds of each key.
pub type AllHeld = BTreeMap<Key, BTreeMap<usize, Held>>;

/// Mends everything, starts whoever does not run, and waits until all have met. Tells which nodes ended that should not have.
///
/// # Errors
/// The nodes do not meet.
pub async fn mend(site: &Site, boss: &Client) -> Result<Vec<String>, Error> {
    site.proxies.turn(CALM);
    site.proxies.cut(&[]);
    let begun = Instant::now();
    let mut ended = Vec::new();
    for number in 0..NODES {
        let mut node = site.hold(number).await;
        node.mend()?;
        ended.extend(gone(&mut node));
        node.revive()?;
        node.start()?;
    }
    loop {
        let apart = apart(boss).await;
        if apart.is_empty() {
            return Ok(ended);
        }
        if begun.elapsed() > MEETING {
            return Err(Error::Stage(format!("the nodes do not meet: {}", apart.join("; "))));
        }
        for number in 0..NODES {
            let mut node = site.hold(number).await;
            ended.extend(gone(&mut node));
            node.revive()?;
            node.start()?;
        }
        guest::is_up(site).await?;
        sleep(Duration::from_millis(200)).await;
    }
}

/// What is to be said of a node that has ended by itself.
fn gone(node: &mut crate::process::Node) -> Option<String> {
    let (status, excused) = node.ended()?;
    (!excused).then(|| format!("{} ended by itself: {status}", node.name))
}

/// Why the nodes have not met.
async fn apart(boss: &Client) -> Vec<String> {
    let mut apart = Vec::new();
    for told in boss.status().await {
        let name = told.member.name;
        match told.status {
            Err(error) => apart.push(format!("{name}: {error}")),
            Ok(status) => {
                let heard = status.peers.iter().filter(|p| p.heard_ms.is_some_and(|ms| ms < 5_000));
                let same = status.peers.iter().filter(|peer| peer.same_catalogue).count();
                if heard.count() < NODES - 1 || same < NODES - 1 {
                    apart.push(format!("{name} has not heard of all"));
                }
            }
        }
    }
    apart
}

/// What nodes still keep for others, in words.
pub async fn debts(boss: &Client) -> Vec<String> {
    let mut debts = Vec::new();
    for told in boss.status().await {
        match told.status {
            Ok(status) => {
                let hints = status.counters.get("hints").copied().unwrap_or_default();
                if hints > 0 {
                    debts.push(format!("{} still keeps {hints} keys for others", status.name));
                }
            }
            Err(error) => debts.push(format!("{}: {error}", told.member.name)),
        }
    }
    debts
}

/// Waits until all owners of each of these keys hold the same, and nobody else holds anything of them. Where clients are `quiet`, also
/// until nobody keeps anything for others. Nobody writes these keys meanwhile, and nobody reads them unless `hasty`: then those that are
/// unequal are read from all their owners, which repairs them sooner than anti-entropy does. Gives what nodes hold, and in words what is
/// not so when time is up.
///
/// # Errors
/// A key can't be explained.
pub async fn converge(
    boss: &Client,
    spots: &[Spot],
    quiet: bool,
    hasty: bool,
) -> Result<(AllHeld, Vec<String>), Error> {
    let begun = Instant::now();
    let mut all = AllHeld::new();
    let mut left: Vec<Spot> = spots.to_vec();
    let mut told_at = TELLING;
    loop {
        let held = hold(boss, &left).await?;
        let settled = |spot: &Spot| {
            let held = held.get(&spot.key);
            held.is_none_or(|held| {
                unequal(spot, held).is_none() && held.keys().all(|node| spot.owners.contains(node))
            })
        };
        left.retain(|spot| !settled(spot));
        all.extend(held.iter().map(|(key, held)| (key.clone(), held.clone())));
        if hasty {
            for spot in &left {
                read(boss, spot).await;
            }
        }
        let debts = if quiet { debts(boss).await } else { Vec::new() };
        if left.is_empty() && debts.is_empty() {
            return Ok((all, Vec::new()));
        }
        if begun.elapsed() > told_at {
            told_at += TELLING;
            let first = left.first().and_then(|spot| unequal(spot, held.get(&spot.key)?));
            eprintln!(
                "    {:>4} s: {} keys are not settled; {}; {}",
                begun.elapsed().as_secs(),
                left.len(),
                debts.join(", "),
                first.unwrap_or_default().chars().take(300).collect::<String>()
            );
        }
        if begun.elapsed() > CONVERGENCE {
            let told = left
                .iter()
                .filter_map(|spot| held.get(&spot.key).and_then(|held| unequal(spot, held)));
            let strangers = format!("{} keys are not settled", left.len());
            return Ok((all, told.chain(debts).chain([strangers]).collect()));
        }
        sleep(Duration::from_millis(500)).await;
    }
}

/// Reads a key from all its owners; what they lack they get, and if they can't be read now, then later.
async fn read(boss: &Client, spot: &Spot) {
    if let Ok(bucket) = boss.bucket(spot.key.bucket.as_str()) {
        let get = bucket.get(&spot.key.key).r(spot.config.n).consistency(Consistency::Strict);
        let _ = get.deadline(Duration::from_secs(5)).await;
    }
}

/// What each node holds of these keys.
async fn hold(boss: &Client, spots: &[Spot]) -> Result<AllHeld, Error> {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut asked = JoinSet::new();
    for spot in spots {
        let (room, boss, key) = (room.clone(), boss.clone(), spot.key.clone());
        asked.spawn(async move {
            let _place = room.acquire().await;
            let held = explain(&boss, &key).await;
            (key, held)
        });
    }
    let mut all = AllHeld::new();
    for (key, held) in asked.join_all().await {
        all.insert(key, held?);
    }
    Ok(all)
}

/// What each node holds of a key; asks again while one does not answer.
async fn explain(boss: &Client, key: &Key) -> Result<BTreeMap<usize, Held>, Error> {
    let bucket = boss.bucket(key.bucket.as_str())?;
    let layout = boss.layout();
    let begun = Instant::now();
    loop {
        let why = match bucket.explain(&key.key).await {
            Ok((told, _)) if told.silent.is_empty() => {
                let mut held = BTreeMap::new();
                for replica in told.replicas {
                    let Some(context) = replica.context else { continue };
                    let versions = replica.holds.iter().filter_map(|at| {
                        told.versions.get(*at as usize).map(|version| (version.dot, version.digest))
                    });
                    let versions = versions.collect();
                    let members = layout.members();
                    let number = members.iter().position(|member| member.id == replica.node);
                    if let Some(number) = number {
                        held.insert(number, Held { versions, context });
                    }
                }
                return Ok(held);
            }
            Ok((told, _)) => format!("{:?} did not answer", told.silent),
            Err(error) => error.to_string(),
        };
        if begun.elapsed() > MEETING {
            return Err(Error::Stage(format!("{key:?} can't be explained: {why}")));
        }
        sleep(Duration::from_millis(200)).await;
    }
}
