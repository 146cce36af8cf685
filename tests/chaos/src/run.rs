//! One run: a healthy beginning, one node away, rounds of faults with calm after each, and what the checkers say of it all.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kinfold_client::{Client, Key};
use sim::checker::{self, Violation};
use sim::clock::Readings;
use sim::ending::{Ending, Final};
use sim::keyspace::Spot;
use sim::rng::Rng;
use tokio::time::sleep;

use crate::calm;
use crate::error::Error;
use crate::guest;
use crate::keys::Keys;
use crate::load::{Load, Phase};
use crate::plan::{KINDS, NODES, Plan, Size, Strike};
use crate::report::{Report, Tally};
use crate::site::Site;
use crate::strike::Scene;

/// Client connections that all clients share.
const CONNECTIONS: usize = 2;

/// How long after a node has gone its absence counts as known.
const LEAVING: Duration = Duration::from_secs(5);

/// What a run is given.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The seed.
    pub seed: u64,
    /// How long and how much.
    pub size: Size,
    /// An empty folder for all that the nodes keep.
    pub folder: PathBuf,
    /// The program under test.
    pub program: PathBuf,
    /// A loopback address that nobody else uses.
    pub host: Ipv4Addr,
}

/// Carries out the plan of a seed, and judges what came of it.
///
/// # Errors
/// Nothing can be judged.
pub async fn run(setup: Setup) -> Result<Report, Error> {
    let begun = Instant::now();
    let (seed, size) = (setup.seed, setup.size);
    let plan = Plan::new(seed, size);
    let mut run = Run::begin(setup, &KINDS).await?;
    let mut breaches = run.compare(&plan, size).await?;
    run.load.record().phase = Phase::Faults;
    for (number, strikes) in Plan::rounds_without_end(seed, size).enumerate() {
        eprintln!("round {}", number + 1);
        run.strike(&strikes, size).await?;
        let last = number + 1 >= size.rounds && run.load.acknowledged() >= size.operations;
        if last {
            run.load.end().await?;
        }
        breaches.extend(run.come_to_rest(last, size).await?);
        if last {
            break;
        }
    }
    run.judge(breaches, begun).await
}

/// The nodes' first answer, once one of them can give it.
async fn first_answer(site: &Site) -> Result<Client, Error> {
    let begun = Instant::now();
    loop {
        match site.client("boss").await {
            Err(error) if begun.elapsed() > Duration::from_secs(60) => return Err(error),
            Err(_) => sleep(Duration::from_millis(200)).await,
            Ok(client) => return Ok(client),
        }
    }
}

/// A cluster, with clients that write.
pub(crate) struct Run {
    pub(crate) site: Site,
    pub(crate) boss: Client,
    pub(crate) load: Load,
    tally: Mutex<Tally>,
    convergence: Vec<Duration>,
}

impl Run {
    /// Starts the nodes and, once they have met, the clients. What is counted has these names.
    pub(crate) async fn begin(setup: Setup, names: &'static [&'static str]) -> Result<Self, Error> {
        let Setup { seed, size, folder, program, host } = setup;
        let mut rng = Rng::new(!seed);
        let site = Site::new(folder, program, host, &mut rng).await?;
        for number in 0..NODES {
            site.hold(number).await.start()?;
        }
        let boss = first_answer(&site).await?;
        calm::mend(&site, &boss).await?;
        let mut load = Load::new(Keys::new((*boss.layout()).clone()));
        let buckets = load.record().keys.space.buckets.clone();
        for bucket in buckets {
            boss.bucket_create(bucket.name.as_str(), bucket.config).await?;
        }
        calm::mend(&site, &boss).await?;
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(site.client("app").await?);
        }
        load.begin(&clients, &mut rng, size.clients);
        let tally = Mutex::new(Tally::new(names));
        Ok(Self { site, boss, load, tally, convergence: Vec::new() })
    }

    /// Something was done.
    pub(crate) fn count(&self, kind: &'static str) {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).count(kind, true);
    }

    /// Latencies without a fault, and with one node away.
    async fn compare(&self, plan: &Plan, size: Size) -> Result<Vec<String>, Error> {
        eprintln!("healthy for {} s", size.healthy / 1_000);
        sleep(Duration::from_millis(size.healthy)).await;
        eprintln!("n{} is away for {} s", plan.absent + 1, size.absence / 1_000);
        self.load.record().phase = Phase::Leaving;
        let mut node = self.site.hold(plan.absent).await;
        node.kill();
        sleep(LEAVING).await;
        self.load.record().phase = Phase::Absent;
        sleep(Duration::from_millis(size.absence)).await;
        self.load.record().phase = Phase::Faults;
        node.start()?;
        drop(node);
        self.count("long absence");
        calm::mend(&self.site, &self.boss).await
    }

    /// The faults of a round.
    async fn strike(&self, strikes: &[Strike], size: Size) -> Result<(), Error> {
        let Self { site, boss, load, tally, .. } = self;
        let scene = Scene { site, boss, load, tally };
        let begun = Instant::now();
        let progress = async {
            loop {
                sleep(Duration::from_secs(10)).await;
                let acknowledged = self.load.acknowledged();
                eprintln!("    {:>4} s: {acknowledged} acknowledged", begun.elapsed().as_secs());
            }
        };
        let all = async {
            let strikes = strikes.iter().map(|strike| scene.carry_out(strike));
            all_of(strikes.collect()).await
        };
        tokio::select! {
            done = all => done?,
            () = progress => {}
        }
        let whole = Duration::from_millis(size.round);
        sleep(whole.saturating_sub(begun.elapsed())).await;
        Ok(())
    }

    /// Everything is mended, and all replicas become equal. Clients write new keys meanwhile, if there is another round.
    pub(crate) async fn come_to_rest(
        &mut self,
        last: bool,
        size: Size,
    ) -> Result<Vec<String>, Error> {
        let begun = Instant::now();
        let mut breaches = calm::mend(&self.site, &self.boss).await?;
        let layout = guest::settle(&self.site, &self.boss).await?;
        let spots = {
            let mut record = self.load.record();
            record.keys.follow(layout);
            let spots = record.keys.space.spots.clone();
            if !last {
                // Those that were written so far are left alone, so that anti-entropy alone makes them equal.
                record.keys.rest();
            }
            spots
        };
        let (_, left) = calm::converge(&self.boss, &spots, last, size.hasty).await?;
        breaches.extend(left.into_iter().map(|what| format!("unequal in the calm: {what}")));
        if !last {
            self.load.record().keys.renew();
        }
        self.convergence.push(begun.elapsed());
        eprintln!("    all replicas are equal after {} s", begun.elapsed().as_secs());
        Ok(breaches)
    }

    /// Reads everything, and has all checkers judge.
    pub(crate) async fn judge(
        self,
        mut breaches: Vec<String>,
        begun: Instant,
    ) -> Result<Report, Error> {
        let Self { site, boss, load, tally, convergence } = self;
        let spots: Vec<Spot> = load.record().keys.space.spots.clone();
        let mut finals: BTreeMap<Key, Final> = BTreeMap::new();
        for (number, spot) in spots.iter().enumerate() {
            if let Some(found) = load.read_in_the_end(&boss, number).await {
                let last = Final { values: found.values, deleted: found.deleted };
                finals.insert(spot.key.clone(), last);
            }
        }
        let (held, left) = calm::converge(&boss, &spots, true, true).await?;
        breaches.extend(left);
        let mut revived = 0;
        for number in 0..NODES {
            let mut node = site.hold(number).await;
            if let Some((status, _)) = node.ended() {
                breaches.push(format!("{} ended by itself in the calm: {status}", node.name));
            }
            breaches.extend(panics(&node.name, node.log()));
            revived += node.revived;
            node.terminate().await;
        }
        let mut guest = site.guest.lock().await;
        if let Some(node) = &mut guest.node {
            node.terminate().await;
        }
        breaches.append(&mut guest.ended);
        breaches.extend(panics("the node that comes and goes", &site.path("n6.log")));
        drop(guest);
        boss.close().await;
        let mut record = load.record();
        breaches.append(&mut record.breaches);
        let violations: Vec<Violation> = checker::check(&Ending {
            history: &record.history,
            keys: &record.keys.space,
            finals: &finals,
            held: &held,
            debts: &[],
            breaches: &breaches,
            // No value expires.
            readings: Readings::default(),
            ended: 0,
        });
        Ok(Report {
            tally: tally.into_inner().unwrap_or_else(PoisonError::into_inner),
            history: std::mem::take(&mut record.history),
            keys: spots.len(),
            latencies: std::mem::take(&mut record.latencies),
            took: begun.elapsed(),
            convergence,
            revived,
            failed: std::mem::take(&mut record.failed),
            failed_in: std::mem::take(&mut record.failed_in),
            violations,
        })
    }
}

/// Panics in a node's log.
fn panics(name: &str, log: &std::path::Path) -> Vec<String> {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    let panics = log.lines().filter(|line| line.contains("panicked at"));
    panics.map(|line| format!("{name}: {line}")).collect()
}

/// All of these futures, one beside the other; the first error ends them.
async fn all_of<F: Future<Output = Result<(), Error>>>(futures: Vec<F>) -> Result<(), Error> {
    let mut pinned: Vec<_> = futures.into_iter().map(Box::pin).map(Some).collect();
    std::future::poll_fn(|context| {
        for place in &mut pinned {
            if let Some(future) = place {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(Ok(())) => *place = None,
                    std::task::Poll::Ready(Err(error)) => {
                        return std::task::Poll::Ready(Err(error));
                    }
                    std::task::Poll::Pending => {}
                }
            }
        }
        if pinned.iter().all(Option::is_none) {
            std::task::Poll::Ready(Ok(()))
        } else {
            std::task::Poll::Pending
        }
    })
    .await
}
