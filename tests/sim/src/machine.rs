//! One simulated node: the core, its disk, its clocks, and what happens to it when it starts, stops and crashes.

use std::collections::{BTreeMap, BTreeSet};

use kinfold_protocol::ballot::{BallotAnswer, BallotStep};
use kinfold_protocol::catalogue::{Catalogue, PluginPlan, Release};
use kinfold_protocol::causality::{Ballot, Digest, Generation, Object};
use kinfold_protocol::cbor;
use kinfold_protocol::config::Limits;
use kinfold_protocol::id::{Actor, Key, NodeId, RequestId};
use kinfold_protocol::io::{Done, Input, Origin, Output, saved};
use kinfold_protocol::layout::Layout;
use kinfold_protocol::life::Life;
use kinfold_protocol::node::{Boot, Node};
use kinfold_protocol::planted::{self, Bug};
use kinfold_protocol::record::{Kept, Record};
use kinfold_protocol::replica::{self, Answer, Job, Outcome, Step, StoreJob, Task, Ticket};
use kinfold_protocol::ring::Partition;
use kinfold_protocol::store::{Store, StoreError, Stored};
use kinfold_protocol::survey;
use kinfold_protocol::time::Time;

use crate::client::Call;
use crate::clock::Clock;
use crate::disk::{Disk, Loss};
use crate::ending::Held;
use crate::history::Effect;
use crate::plugins::Health;
use crate::rng::Rng;

/// What of a machine never changes.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its node's.
    pub id: NodeId,
    /// The cluster's name.
    pub cluster: String,
    /// The layout of the record that it knows at its first start.
    pub layout: Layout,
    /// The bounds.
    pub limits: Limits,
}

/// A write that a job made, for the history.
pub type Noted = (Key, RequestId, Effect);

/// One simulated node.
pub struct Machine {
    /// What never changes.
    pub identity: Identity,
    /// Its disk.
    pub disk: Disk,
    /// Its clocks.
    pub clock: Clock,
    /// How its plugins are.
    pub plugins: Health,
    /// The installed plugins that it should have.
    pub plan: PluginPlan,
    /// The components that it has.
    pub components: BTreeSet<Digest>,
    /// How long its disk takes, in microseconds.
    pub disk_delay: u64,
    /// It does nothing until then.
    pub frozen_until: u64,
    /// It loses power as soon as it has told others of a write that is not durable, and is down for so long.
    pub ambush: Option<u64>,
    /// It takes no more requests, and ends as soon as nothing is in progress.
    pub stopping: bool,
    /// The actor of its present life, or of its last one.
    pub actor: Option<Actor>,
    /// Others told it that it is not the only one with its identity, and so it ended.
    pub turned_away: bool,
    /// A copy of its disk, to come back from.
    backup: Option<Disk>,
    node: Option<Node>,
    /// What its nodes have counted, all lives together.
    counters: BTreeMap<&'static str, u64>,
    life: u32,
    wake: Option<u64>,
    asked: BTreeMap<Origin, Call>,
    next_origin: u64,
    /// Writing jobs on keys that are with the disk.
    busy: BTreeSet<Key>,
    breaches: Vec<String>,
    rng: Rng,
}

impl Machine {
    /// A node that is down, with an empty disk.
    #[must_use]
    pub fn new(identity: Identity, clock: Clock, disk_delay: u64, rng: Rng) -> Self {
        Self {
            identity,
            disk: Disk::default(),
            clock,
            plugins: Health::Working,
            plan: PluginPlan::default(),
            components: BTreeSet::new(),
            disk_delay,
            frozen_until: 0,
            ambush: None,
            stopping: false,
            actor: None,
            turned_away: false,
            backup: None,
            node: None,
            counters: BTreeMap::new(),
            life: 0,
            wake: None,
            asked: BTreeMap::new(),
            next_origin: 0,
            busy: BTreeSet::new(),
            breaches: Vec::new(),
            rng,
        }
    }

    /// One with its identity and a copy of its disk, that is down.
    #[must_use]
    pub fn cloned(&self, rng: Rng) -> Self {
        let mut twin = Self::new(self.identity.clone(), self.clock.clone(), self.disk_delay, rng);
        twin.disk = self.disk.clone();
        twin.disk.sync_all();
        twin
    }

    /// Is it running?
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.node.is_some()
    }

    /// Is nothing in progress?
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.node.as_ref().is_none_or(|node| node.end().is_some())
    }

    /// What its nodes have counted, all lives together.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<&'static str, u64> {
        let mut all = self.counters.clone();
        for (name, count) in self.node.iter().flat_map(|node| node.counters()) {
            *all.entry(name).or_default() += count;
        }
        all
    }

    /// The node, while it is up.
    #[must_use]
    pub fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    /// Is it up, and a member of the ring by the record that it acts by?
    #[must_use]
    pub fn is_member(&self) -> bool {
        let members = self.node.as_ref().map(|node| node.record().members());
        members.is_some_and(|members| members.contains_key(&self.identity.id))
    }

    /// What its nodes have counted under a name.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        self.counters().get(name).copied().unwrap_or_default()
    }

    /// Which of its lives this is: what is left over from an earlier one concerns it no more.
    #[must_use]
    pub fn life(&self) -> u32 {
        self.life
    }

    /// Can it merge with this plugin, which may be an installed one?
    #[must_use]
    pub fn has_plugin(&self, plugin: &str) -> bool {
        !Release::is_meant_by(plugin)
            || self.plan.components.get(plugin).is_some_and(|hash| self.components.contains(hash))
    }

    /// Starts: the life that begins is durable before the node takes its first fact.
    pub fn start(&mut self, now: u64) {
        self.life += 1;
        self.clock.start(&mut self.rng);
        let at = self.clock.read(now);
        let previous: Option<Life> = self.saved(saved::LIFE);
        let life = Life::begin(previous, Actor(self.rng.draw()), at.wall);
        self.disk.mend();
        let mut lost: BTreeSet<Partition> = self.saved(saved::LOST).unwrap_or_default();
        if self.disk.is_damaged() {
            self.disk.take_out(lost, !planted::has(Bug::KeptMarks));
            lost = self.saved(saved::LOST).unwrap_or_default();
        }
        if planted::has(Bug::UnnoticedLoss) {
            lost.clear();
        }
        self.disk
            .save(saved::LIFE, &cbor::encode(&life))
            .expect("a disk that was just started has room");
        self.disk.sync_all();
        let buckets = self.saved(saved::CATALOGUE).unwrap_or_default();
        let installed = self.saved(saved::PLUGINS).unwrap_or_default();
        let staged = self.saved(saved::STAGED).unwrap_or_default();
        let catalogue = Catalogue::of(buckets, installed).with_staged(staged);
        let founding = Kept::new(Record::founding(self.identity.layout.clone()));
        let ring = self.saved(saved::RING).unwrap_or(founding);
        // Components are loaded anew in every life.
        self.plan = PluginPlan::default();
        self.components.clear();
        let Identity { id, cluster, limits, .. } = self.identity.clone();
        let boot = Boot {
            id,
            cluster,
            version: "simulated".into(),
            life,
            clock: life.clock(previous),
            ring,
            catalogue,
            debts: self.disk.debts(),
            lost,
            met: self.saved(saved::MET).unwrap_or_default(),
            limits,
            seed: self.rng.draw(),
        };
        self.node = Some(Node::new(boot, at));
        self.actor = Some(life.actor);
        self.stopping = false;
    }

    fn saved<T: serde::de::DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let bytes = self.disk.saved(name)?;
        match cbor::decode(bytes) {
            Ok(value) => Some(value),
            Err(error) => {
                self.breaches.push(format!("what was saved as {name} does not parse: {error}"));
                None
            }
        }
    }

    /// Ends without notice.
    pub fn crash(&mut self, loss: Loss) {
        if self.node.is_some() {
            self.end();
            self.disk.crash(&mut self.rng, loss);
        }
    }

    /// A record of its disk can't be read any more, unless one is already, or has not come back from the other owners yet.
    pub fn damage(&mut self) {
        let whole = self.node.as_ref().is_none_or(|node| node.lost().is_empty());
        if whole && !self.disk.is_damaged() && self.disk.damage(&mut self.rng) {
            *self.counters.entry("records_damaged").or_default() += 1;
        }
    }

    /// Copies its disk as it is.
    pub fn back_up(&mut self) {
        let mut copy = self.disk.clone();
        copy.sync_all();
        self.backup = Some(copy);
    }

    /// Loses its disk. In its place comes what was copied, or an empty one.
    pub fn lose_disk(&mut self, restored: bool) {
        self.crash(Loss::All);
        self.breaches.extend(self.disk.breaches());
        let copy = self.backup.clone().filter(|_| restored);
        self.disk = copy.unwrap_or_default();
    }

    /// Is to end in good order: takes no more requests, and ends as soon as nothing is in progress.
    pub fn stop(&mut self) {
        self.stopping = true;
        if let Some(node) = &mut self.node {
            node.rest();
        }
        self.stop_if_idle();
    }

    /// Ends in good order, if it is to stop and nothing is in progress.
    pub fn stop_if_idle(&mut self) {
        if self.stopping
            && let Some(life) = self.node.as_ref().and_then(Node::end)
        {
            // A disk that takes nothing more leaves the life as it was: one that did not end well.
            let failing = self.disk.is_failing();
            if !failing && self.disk.save(saved::LIFE, &cbor::encode(&life)).is_ok() {
                self.disk.sync_all();
            }
            self.end();
            self.disk.crash(&mut self.rng, Loss::Some);
        }
    }

    fn end(&mut self) {
        self.counters = self.counters();
        self.node = None;
        self.wake = None;
        self.asked.clear();
        self.busy.clear();
        self.frozen_until = 0;
        self.stopping = false;
    }

    /// Gives the node a fact; what it wants done is to be taken with [`Machine::poll`].
    pub fn handle(&mut self, now: u64, input: Input) {
        if let Some(node) = &mut self.node {
            node.handle(self.clock.read(now), input);
        }
    }

    /// What the node wants done next.
    pub fn poll(&mut self) -> Option<Output> {
        self.node.as_mut()?.poll_output()
    }

    /// When the node has to be told the time, if that is earlier than it is going to be already.
    pub fn new_wake(&mut self, now: u64) -> Option<u64> {
        let deadline: Time = self.node.as_ref()?.deadline()?;
        let at = self.clock.when(deadline).max(now);
        let earlier = self.wake.is_none_or(|wake| at < wake);
        if earlier {
            self.wake = Some(at);
        }
        earlier.then_some(at)
    }

    /// The wake-up of this time has come. Does the node have to be told?
    pub fn woken(&mut self, now: u64) -> bool {
        if self.wake.is_some_and(|wake| wake <= now) {
            self.wake = None;
        }
        let deadline = self.node.as_ref().and_then(Node::deadline);
        deadline.is_some_and(|deadline| self.clock.when(deadline) <= now)
    }

    /// A client's request arrives: what the node is to call it.
    pub fn ask(&mut self, call: Call) -> Origin {
        self.next_origin += 1;
        let origin = Origin(self.next_origin);
        self.asked.insert(origin, call);
        origin
    }

    /// The node answers a request: whose it was.
    pub fn answered(&mut self, origin: Origin) -> Option<Call> {
        let call = self.asked.remove(&origin);
        if call.is_none() {
            self.breaches.push(format!("{origin:?} was answered twice, or never asked"));
        }
        call
    }

    /// Hands a job to the disk.
    pub fn begin_job(&mut self, job: &StoreJob) {
        if let StoreJob::Key(job) = job
            && writes(&job.task)
            && !self.busy.insert(job.key.clone())
        {
            self.breaches.push(format!("two jobs write {:?} at one time", job.key));
        }
    }

    /// Carries out a job: what it came to, and the writes that it made.
    pub fn run(&mut self, job: StoreJob) -> (Result<Done, StoreError>, Vec<Noted>) {
        match job {
            StoreJob::Save { name, bytes } => {
                (self.disk.save(&name, &bytes).map(|()| Done::Saved), Vec::new())
            }
            StoreJob::Hints { owner, after, limit } => {
                (self.disk.hints(owner, after.as_ref(), limit).map(Done::Hints), Vec::new())
            }
            StoreJob::Forget(tree) => {
                (self.disk.forget_marks(tree).map(|()| Done::Saved), Vec::new())
            }
            StoreJob::Raise(marks) => {
                (self.disk.raise_marks(&marks).map(|()| Done::Saved), Vec::new())
            }
            StoreJob::Survey(survey) => {
                (survey::execute(&survey, &self.disk).map(Done::Surveyed), Vec::new())
            }
            StoreJob::Key(job) => {
                if writes(&job.task) {
                    self.busy.remove(&job.key);
                }
                let key = job.key.clone();
                let puts = puts(&job, self.disk.visible(&key));
                let result = replica::execute(job, &mut self.disk);
                self.look_at_clock(&key);
                let noted =
                    result.as_ref().map(|outcome| noted(&key, puts, outcome)).unwrap_or_default();
                (result.map(Done::Key), noted)
            }
        }
    }

    /// What a node writes next is later than all that it holds. Its context may go further: marks are filled in there, of which
    /// nobody needs to believe the times.
    fn look_at_clock(&mut self, key: &Key) {
        let versions = self.disk.visible(key).map(|stored| &stored.object.versions);
        let held = versions.and_then(|versions| versions.iter().map(|v| v.dot.time).max());
        let clock = self.node.as_ref().map(Node::clock);
        if let (Some(held), Some(clock)) = (held, clock)
            && held > clock
        {
            self.breaches
                .push(format!("{key:?} is of {held:?}, and the node's clock at {clock:?}"));
        }
    }

    /// Is this job one that writes was carried out, its ticket to be told when it is durable? Says whether it is already.
    pub fn await_sync(&mut self, ticket: Ticket) -> bool {
        self.disk.await_sync(ticket)
    }

    /// A time around what the disk takes at present.
    pub fn disk_time(&mut self) -> u64 {
        self.rng.spread(self.disk_delay)
    }

    /// Ways in which the node broke its contract, and requests that it never answered.
    #[must_use]
    pub fn breaches(&self) -> Vec<String> {
        let silent = self.asked.values().map(|call| format!("{call:?} was never answered"));
        self.breaches.iter().cloned().chain(silent).chain(self.disk.breaches()).collect()
    }
}

/// What each of these machines holds of a key, by number.
#[must_use]
pub fn held(machines: &[Machine], key: &Key) -> BTreeMap<usize, Held> {
    let held = |machine: &Machine| machine.disk.visible(key).map(|stored| Held::of(&stored.object));
    let numbered = machines.iter().enumerate();
    numbered.filter_map(|(number, machine)| Some((number, held(machine)?))).collect()
}

/// What these machines still keep for others, in words.
#[must_use]
pub fn debts(machines: &[Machine]) -> Vec<String> {
    let numbered = machines.iter().enumerate();
    let debts = numbered.flat_map(|(number, machine)| {
        let debts = machine.disk.debts().into_iter();
        debts.map(move |(owner, debt)| {
            format!("node {number} still keeps {} keys for {owner}", debt.keys)
        })
    });
    debts.collect()
}

/// The ways in which these machines broke their contract, and those that never come to rest.
#[must_use]
pub fn breaches(machines: &[Machine]) -> Vec<String> {
    let mut found = Vec::new();
    for (number, machine) in machines.iter().enumerate() {
        found.extend(machine.breaches().into_iter().map(|text| format!("node {number}: {text}")));
        if !machine.is_idle() {
            found.push(format!("node {number} never comes to rest"));
        }
    }
    found
}

/// Does a job write, so that its ticket is told of twice?
#[must_use]
pub fn job_writes(job: &StoreJob) -> bool {
    match job {
        StoreJob::Save { .. } | StoreJob::Raise(_) | StoreJob::Forget(_) => true,
        StoreJob::Survey(_) | StoreJob::Hints { .. } => false,
        StoreJob::Key(job) => writes(&job.task),
    }
}

fn writes(task: &Task) -> bool {
    match task {
        Task::Apply { .. } | Task::Replace { .. } => true,
        Task::Read { .. } => false,
    }
}

/// The puts of a job, in the places of its steps, with the least generation that each can fall into: that of `before`, or of
/// a delete among the steps before it.
fn puts(job: &Job, before: Option<&Stored>) -> Vec<Option<(RequestId, Effect)>> {
    let Task::Apply { steps, .. } = &job.task else {
        return Vec::new();
    };
    let mut at_least = before.and_then(|stored| generation(&stored.object));
    let effect = |step: &Step| match step {
        Step::Put(put) => {
            let (dot, digest) = (put.dot, put.content.digest());
            let expires = put.expires;
            let effect = Effect { dot, digest, at_least, at_most: None, expires };
            if put.content.is_tombstone() {
                at_least = at_least.max(Some(dot));
            }
            Some((put.request, effect))
        }
        Step::Ballot(BallotStep::Accept { ballot, proposal }) => proposed(*ballot, proposal),
        Step::Join(_)
        | Step::Keep(..)
        | Step::HandedOver(_)
        | Step::Ballot(_)
        | Step::Expire(_)
        | Step::Reassign(_)
        | Step::Leave
        | Step::Collect(_) => None,
    };
    steps.iter().map(effect).collect()
}

/// The write that a ballot proposes under its own dot; none where it proposes again what another one did.
fn proposed(ballot: Ballot, proposal: &Object) -> Option<(RequestId, Effect)> {
    let (_, request) = proposal.requests.iter().find(|(dot, _)| *dot == ballot)?;
    let version = proposal.versions.iter().find(|v| v.dot == ballot);
    let digest = version.and_then(|v| v.content.digest());
    let generation = generation(proposal);
    let (at_least, at_most) = (generation, generation);
    let expires = version.and_then(|v| v.expires);
    Some((*request, Effect { dot: ballot, digest, at_least, at_most, expires }))
}

/// Those of the puts that were done, with the greatest generation that each can have fallen into.
fn noted(key: &Key, puts: Vec<Option<(RequestId, Effect)>>, outcome: &Outcome) -> Vec<Noted> {
    let (object, answers) = match outcome {
        Outcome::Applied(applied) => (&applied.object, &applied.answers),
        Outcome::Fold { stored, answers, .. } => (&stored.object, answers),
        Outcome::Crowded { before: Some(before), .. } => (&before.object, &before.answers),
        Outcome::Crowded { before: None, .. } | Outcome::Read(_) => return Vec::new(),
    };
    let at_most = generation(object);
    puts.into_iter()
        .zip(answers)
        .filter(|(_, answer)| matches!(answer, Answer::Done | Answer::Ballot(BallotAnswer::Done)))
        .filter_map(|(put, _)| put)
        .map(|(request, effect)| {
            let at_most = at_most.max(effect.at_most);
            (key.clone(), request, Effect { at_most, ..effect })
        })
        .collect()
}

fn generation(object: &Object) -> Generation {
    object.versions.iter().map(|v| v.generation).max().flatten()
}
