//! Connections that are cut at the steps of a change of the ring: nodes live on both sides of a cut, and can't talk to each other.
//!
//! A node joins, or leaves again, while clients write. The network is slow, so that there are steps to be seen; at one of them it is cut,
//! between two sides, in both directions or in one. While it is cut each side has to go on serving, and a side without a majority must
//! not change the ring, and has to say so. Then it is mended, and the change has to come to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use kinfold_client::record::{Phase, Record, State};
use kinfold_client::{Client, ClusterStatus, Error as Refused, Layout, NodeId};
use sim::net::Weather;
use sim::rng::Rng;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::calm::MEETING;
use crate::error::Error;
use crate::guest;
use crate::load::Phase as Part;
use crate::plan::{GUEST, NODES};
use crate::proxy::CALM;
use crate::report::Report;
use crate::run::{Run, Setup};

/// Between two looks at how far the change is.
const LOOK: Duration = Duration::from_millis(20);

/// The usual delay of a datagram at first, in microseconds. A change that was over too soon is tried again with twice as much.
const DELAY: u64 = 8_000;

/// Changes in which a step may be missed before that is an error.
const TRIES: u32 = 6;

/// How long a side may take until it serves by itself: it has to find out who is gone.
const SERVING: Duration = Duration::from_secs(60);

/// How long a single node has for the same. While the ring changes a write counts once among the old owners and once among the new ones, and
/// a node that is alone and belongs to one of these only can't make it: that is counted, and is no error.
const ALONE: Duration = Duration::from_secs(10);

/// How long an operator waits for a vote.
const VOTE: Duration = Duration::from_secs(3);

/// What is still under way when the network is cut arrives within this.
const SETTLING: Duration = Duration::from_secs(1);

/// Keys that each side has to take and give.
const PROBES: usize = 3;

/// How far a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The members vote on it, or are about to.
    Vote,
    /// It was just decided, and not everybody knows.
    Commit,
    /// New owners copy.
    Copy,
    /// All have their copies, and reads are to ask the new owners.
    HandOver,
    /// Old owners look once more whether the new ones have all, and have dropped nothing yet.
    LastExchange,
    /// Old owners have dropped something, and not all.
    Drop,
}

/// Who is on the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The node that comes or goes, and one other owner. The others reach both.
    Pair,
    /// The node at which the change was committed, and all others.
    Coordinator,
    /// Half of the nodes each.
    Halves,
}

/// What is cut between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Both directions.
    Both,
    /// From the first side to the second.
    There,
    /// From the second side to the first.
    Back,
}

const STEPS: [Step; 6] =
    [Step::Vote, Step::Commit, Step::Copy, Step::HandOver, Step::LastExchange, Step::Drop];
const SHAPES: [Shape; 3] = [Shape::Pair, Shape::Coordinator, Shape::Halves];
const WAYS: [Way; 3] = [Way::Both, Way::There, Way::Back];

/// Steps, sides and directions: so many cuts have all of them, half of them of a node that joins. Twice as many have each for a node that
/// joins and for one that leaves.
pub const ALL: usize = STEPS.len() * SHAPES.len() * WAYS.len();

/// What is counted of a run with cuts.
pub const COUNTED: [&str; 18] = [
    "vote",
    "commit",
    "copying",
    "handing over",
    "last exchange",
    "dropping",
    "node from an owner",
    "coordinator",
    "halves",
    "both ways",
    "one way",
    "of a join",
    "of a leave",
    "step missed",
    "told: no change",
    "told: not known",
    "alone: served",
    "alone: not served",
];

/// One cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// When.
    pub step: Step,
    /// Who from whom.
    pub shape: Shape,
    /// In which direction.
    pub way: Way,
    /// Two nodes of the founding: the first one commits.
    pub nodes: [usize; 2],
    /// Milliseconds after the step began.
    pub after: u64,
    /// Milliseconds until it is mended, at least.
    pub lasts: u64,
}

impl Case {
    /// So many cuts of a seed: the first six have all steps, and [`ALL`] of them have everything.
    #[must_use]
    pub fn of(seed: u64, count: usize) -> Vec<Self> {
        let mut rng = Rng::new(seed);
        let offset = rng.index(9);
        // Long enough that the nodes take each other for down, in the long form.
        let longest = if count > STEPS.len() { 6_000 } else { 3_000 };
        let case = |number: usize| {
            let round = number / STEPS.len();
            // Joins and leaves take turns, so the steps have to shift.
            let step = (number + round) % STEPS.len();
            let kind = (offset + step + round) % 9;
            let first = rng.index(NODES);
            let second = (first + 1 + rng.index(NODES - 1)) % NODES;
            Self {
                step: STEPS[step],
                shape: SHAPES[kind % 3],
                way: WAYS[kind / 3],
                nodes: [first, second],
                after: rng.below(300),
                lasts: rng.within(1_500..=longest),
            }
        };
        (0..count).map(case).collect()
    }

    /// The sides.
    #[must_use]
    pub fn sides(&self) -> [Vec<usize>; 2] {
        let [first, second] = self.nodes;
        let here = match self.shape {
            Shape::Pair => return [vec![GUEST], vec![first]],
            Shape::Coordinator => vec![first],
            Shape::Halves => vec![first, second, GUEST],
        };
        let there = (0..=GUEST).filter(|node| !here.contains(node)).collect();
        [here, there]
    }

    /// The directions that are cut.
    #[must_use]
    pub fn cuts(&self) -> Vec<(usize, usize)> {
        let [here, there] = self.sides();
        let pairs = here.iter().flat_map(|a| there.iter().map(|b| (*a, *b)));
        let cut = |(a, b): (usize, usize)| match self.way {
            Way::Both => vec![(a, b), (b, a)],
            Way::There => vec![(a, b)],
            Way::Back => vec![(b, a)],
        };
        pairs.flat_map(cut).collect()
    }

    fn kinds(&self, leaves: bool) -> [&'static str; 4] {
        [
            COUNTED[self.step as usize],
            COUNTED[6 + self.shape as usize],
            COUNTED[if self.way == Way::Both { 9 } else { 10 }],
            COUNTED[if leaves { 12 } else { 11 }],
        ]
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [here, there] = self.sides().map(|side| {
            let names: Vec<String> = side.iter().map(|node| format!("n{}", node + 1)).collect();
            names.join(",")
        });
        let way = match self.way {
            Way::Both => "and",
            Way::There => "to",
            Way::Back => "from",
        };
        let (step, after) = (COUNTED[self.step as usize], self.after);
        write!(f, "{step} + {after} ms, {here} {way} {there}, for {} ms", self.lasts)
    }
}

/// Cuts connections so many times, each time in another change of the ring, and judges what came of it.
///
/// # Errors
/// Nothing can be judged.
pub async fn run(setup: Setup, count: usize) -> Result<Report, Error> {
    let begun = Instant::now();
    let (seed, size) = (setup.seed, setup.size);
    let mut run = Run::begin(setup, &COUNTED).await?;
    run.load.record().phase = Part::Faults;
    let mut eyes = Vec::new();
    for number in 0..NODES {
        eyes.push(run.site.client_of("boss", &[number], VOTE).await?);
    }
    let mut breaches = Vec::new();
    for (number, case) in Case::of(seed, count).iter().enumerate() {
        let mut tries = 0;
        loop {
            let leaves = guest::is_there(&run.site).await;
            let what = if leaves { "leaves" } else { "joins" };
            eprintln!(
                "{:>4} s: cut {} of {count}, n6 {what}: {case}",
                begun.elapsed().as_secs(),
                number + 1
            );
            tries += 1;
            let mut stage = Stage { run: &run, eyes: &eyes, case, leaves };
            let cut = stage.carry_out(DELAY << (tries - 1)).await?;
            let layout = guest::settle(&run.site, &run.boss).await?;
            run.load.record().keys.follow(layout);
            match cut {
                Some(found) => {
                    breaches.extend(found.into_iter().map(|what| format!("{case}: {what}")));
                    break;
                }
                None if tries == TRIES => {
                    return Err(Error::Stage(format!(
                        "{TRIES} changes had no step to cut: {case}"
                    )));
                }
                None => run.count("step missed"),
            }
        }
    }
    run.load.end().await?;
    breaches.extend(run.come_to_rest(true, size).await?);
    run.judge(breaches, begun).await
}

/// One change, with its cut.
struct Stage<'r> {
    run: &'r Run,
    /// Operators that reach one node each.
    eyes: &'r [Client],
    case: &'r Case,
    leaves: bool,
}

impl Stage<'_> {
    /// Begins the change, cuts at the step, looks at what both sides do, and mends the network. Gives what was wrong; nothing if the
    /// step was over before it was seen.
    async fn carry_out(&mut self, delay: u64) -> Result<Option<Vec<String>>, Error> {
        let Self { run, case, leaves, .. } = *self;
        guest::stage(&run.site, &run.boss, leaves).await?;
        let operator = self.eyes[case.nodes[0]].clone();
        let planned = guest::planned(&operator).await?;
        let before = operator.cluster_status().await?.record.version;
        let cuts = case.cuts();
        run.site.proxies.turn(Weather { delay, ..CALM });
        let seen = match case.step {
            Step::Vote => {
                tokio::spawn(async move { operator.commit(planned.digest).await });
                true
            }
            Step::Commit => guest::commit(&operator).await?,
            Step::Copy | Step::HandOver | Step::LastExchange | Step::Drop => {
                guest::commit(&operator).await?;
                self.reach(before).await?
            }
        };
        if seen {
            sleep(Duration::from_millis(case.after)).await;
            run.site.proxies.cut(&cuts);
        }
        // The step may be over by now, while what was seen was only about to be told.
        let found = if seen { Some(self.look_on().await?) } else { None };
        run.site.proxies.turn(CALM);
        run.site.proxies.cut(&[]);
        if found.is_some() {
            case.kinds(leaves).into_iter().for_each(|kind| run.count(kind));
        }
        Ok(found)
    }

    /// Waits for the step. Was it seen?
    async fn reach(&self, before: u64) -> Result<bool, Error> {
        let begun = Instant::now();
        let mut most = 0;
        loop {
            match seen(&self.statuses().await, before, &mut most) {
                Seen::At(step) if step == self.case.step => return Ok(true),
                Seen::At(step) if step > self.case.step => return Ok(false),
                Seen::Over => return Ok(false),
                Seen::At(_) | Seen::Nothing if begun.elapsed() > MEETING => {
                    return Err(Error::Stage(format!(
                        "the change does not come to {:?}",
                        self.case.step
                    )));
                }
                Seen::At(_) | Seen::Nothing => sleep(LOOK).await,
            }
        }
    }

    /// How the ring is, as each node of the founding says.
    async fn statuses(&self) -> Vec<ClusterStatus> {
        let mut asked = JoinSet::new();
        for eye in self.eyes {
            let eye = eye.clone();
            asked.spawn(async move { eye.cluster_status().await });
        }
        asked.join_all().await.into_iter().filter_map(Result::ok).collect()
    }

    /// While it is cut: both sides serve, and who is without a majority changes nothing.
    async fn look_on(&self) -> Result<Vec<String>, Error> {
        let begun = Instant::now();
        sleep(SETTLING).await;
        let sides = self.case.sides();
        let (here, there) = tokio::join!(self.side(&sides[0]), self.side(&sides[1]));
        let found = [here?, there?].concat();
        sleep(Duration::from_millis(self.case.lasts).saturating_sub(begun.elapsed())).await;
        Ok(found)
    }

    async fn side(&self, side: &[usize]) -> Result<Vec<String>, Error> {
        let mut found = self.serves(side).await?;
        if self.case.shape != Shape::Pair && self.case.way == Way::Both {
            found.extend(self.changes_nothing(side).await);
        }
        Ok(found)
    }

    /// Clients that reach this side only write and read.
    async fn serves(&self, side: &[usize]) -> Result<Vec<String>, Error> {
        let run = self.run;
        let begun = Instant::now();
        // By the layout that a client is told, the node that comes is none yet, or the one that goes is none any more.
        let client = loop {
            match run.site.client_of("app", side, SERVING).await {
                Ok(client) if serves_any(&client.layout(), side) => break client,
                Ok(_) if *side == [GUEST] => return Ok(Vec::new()),
                Ok(_) | Err(_) if begun.elapsed() < SERVING => sleep(LOOK).await,
                Ok(_) => return Ok(vec![format!("{side:?} serves nobody")]),
                Err(error) => return Ok(vec![format!("{side:?} serves nobody: {error}")]),
            }
        };
        let alone = side.len() == 1 && self.case.shape == Shape::Coordinator;
        let w = if alone { 1 } else { 2 };
        let spots = run.load.record().keys.sloppy(if alone { 1 } else { PROBES });
        let mut found = Vec::new();
        for spot in spots {
            let mut served = true;
            while let Err(why) = run.load.probe(&client, spot, w).await {
                if !serves_any(&client.layout(), side) {
                    // The change has come so far meanwhile that clients are not told of that node any more.
                    break;
                }
                if alone && begun.elapsed() > ALONE {
                    served = false;
                    break;
                }
                if begun.elapsed() > SERVING {
                    found.push(format!("{side:?} does not serve by itself with w = {w}: {why}"));
                    break;
                }
            }
            if alone {
                run.count(if served { "alone: served" } else { "alone: not served" });
            }
        }
        client.close().await;
        Ok(found)
    }

    /// A side without a majority can't change the ring, and says so.
    async fn changes_nothing(&self, side: &[usize]) -> Vec<String> {
        let Some(eye) = side.iter().find_map(|node| self.eyes.get(*node)) else {
            return Vec::new();
        };
        let Ok(status) = eye.cluster_status().await else { return Vec::new() };
        let names: BTreeSet<String> = side.iter().map(|node| format!("n{}", node + 1)).collect();
        if has_majority(&status.record, &names) {
            return Vec::new();
        }
        let mut found = Vec::new();
        let tried = match status.record.phase() {
            Some(_) => eye.abort().await,
            None => match eye.plan().await {
                Ok(planned) => eye.commit(planned.digest).await,
                Err(error) => Err(error),
            },
        };
        match tried {
            Ok(version) => {
                found.push(format!("{side:?} has changed the ring, to version {version}"))
            }
            // Nobody has voted, or it was too late to take the change back.
            Err(Refused::Refused { message, .. }) if message.contains("nothing was changed") => {
                self.run.count("told: no change");
            }
            Err(Refused::Unknown { .. }) => self.run.count("told: not known"),
            Err(error) => found.push(format!("{side:?} says of a change only: {error}")),
        }
        if let Ok(after) = eye.cluster_status().await
            && after.record.version != status.record.version
        {
            found.push(format!("{side:?} has come to version {}", after.record.version));
        }
        found
    }
}

/// Is one of these nodes among those that clients ask?
fn serves_any(layout: &Layout, side: &[usize]) -> bool {
    let named = |name: &str| side.iter().any(|node| name == format!("n{}", node + 1));
    layout.members().iter().any(|member| named(&member.name))
}

/// Are these nodes a majority of all whose vote the next record takes?
fn has_majority(record: &Record, names: &BTreeSet<String>) -> bool {
    let members = record.members();
    let here = |id: &&NodeId| members.get(id).is_some_and(|member| names.contains(&member.name));
    record.voters().iter().all(|voters| voters.iter().filter(here).count() * 2 > voters.len())
}

/// How far a change is, by what nodes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// It has not begun, or nobody can say.
    Nothing,
    At(Step),
    Over,
}

/// How far a change is that began after version `before`. `most` is what there was to drop at most.
fn seen(statuses: &[ClusterStatus], before: u64, most: &mut u64) -> Seen {
    let records = statuses.iter().map(|status| &status.record);
    let Some(record) = records.max_by_key(|record| record.version) else { return Seen::Nothing };
    if record.version <= before {
        return Seen::Nothing;
    }
    let mut progress: BTreeMap<NodeId, (u64, u64)> = BTreeMap::new();
    for (id, said) in statuses.iter().flat_map(|status| &status.progress) {
        if said.version == record.version {
            let latest = progress.entry(*id).or_insert((said.to_copy, said.to_drop));
            *latest = (latest.0.min(said.to_copy), latest.1.min(said.to_drop));
        }
    }
    let to_copy: u64 = progress.values().map(|(to_copy, _)| to_copy).sum();
    let to_drop: u64 = progress.values().map(|(_, to_drop)| to_drop).sum();
    match &record.state {
        State::Changing { phase: Phase::Copying, .. } if to_copy > 0 => Seen::At(Step::Copy),
        State::Changing { phase: Phase::Copying, .. } => Seen::Nothing,
        State::Changing { phase: Phase::Handing, .. } => Seen::At(Step::HandOver),
        State::Stable { leaving, .. } => {
            let all = record.members().keys().all(|id| progress.contains_key(id));
            *most = to_drop.max(*most);
            match to_drop {
                0 if all && leaving.is_empty() => Seen::Over,
                // Somebody has not said yet what it has to drop.
                0 => Seen::Nothing,
                _ if to_drop == *most => Seen::At(Step::LastExchange),
                _ => Seen::At(Step::Drop),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_cuts_are_different_and_twice_as_many_have_each_for_both_changes() {
        for seed in 0..20 {
            let cases = Case::of(seed, 2 * ALL);
            let kind = |case: &Case| (case.step, case.shape as u8, case.way as u8);
            let first: BTreeSet<_> = cases[..ALL].iter().map(kind).collect();
            assert_eq!(first.len(), ALL);
            let both: BTreeSet<_> =
                cases.iter().enumerate().map(|(number, case)| (kind(case), number % 2)).collect();
            assert_eq!(both.len(), 2 * ALL);
            let steps: BTreeSet<_> = cases[..6].iter().map(|case| case.step).collect();
            assert_eq!(steps.len(), 6);
        }
    }

    #[test]
    fn a_cut_is_between_the_sides_and_within_none() {
        for case in Case::of(1, ALL) {
            let [here, there] = case.sides();
            assert!(case.cuts().iter().all(|(a, b)| here.contains(a) != here.contains(b)));
            let directions = if case.way == Way::Both { 2 } else { 1 };
            assert_eq!(case.cuts().len(), here.len() * there.len() * directions);
        }
    }
}
