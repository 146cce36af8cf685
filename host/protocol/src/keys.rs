//! The keys in work: one job on a key at a time, what waits for it, and what is not durable yet.
//!
//! A job may have to stop half-way for a merge; the key then waits, and everything that arrives meanwhile is applied
//! together in the next job. A step is answered when it is applied, so that replication can start, and again when it is
//! durable, and only that may be acknowledged. A read waits for the writes that it may have seen to be durable: otherwise a
//! crash could take back what was read.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use crate::causality::{Content, DebtChange, Object, Version};
use crate::id::{Key, NodeId};
use crate::ledger::{self, Discarded};
use crate::merge::{self, MergeFailure, MergeInput, MergeRequest, MergeResult};
use crate::planted::{self, Bug};
use crate::replica::{
    self, Answer, Applied, Job, Outcome, Put, Rules, Step, StoreJob, Task, Ticket,
};
use crate::ring::{Position, Tree};
use crate::store::{Bodies, StoreError, Stored};
use crate::time::Expiry;

/// Who is to be told of a step or a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asker {
    /// An operation that this node coordinates.
    Op(u64),
    /// A peer, by the number of its question.
    Peer(NodeId, u64),
    /// Whoever asked a question of a ballot, by the number that this node gave it.
    Ballot(u64),
    /// The handing over of a hint, by the number of its question.
    Handoff(u64),
    /// The collector.
    Collector,
    /// The sweep of what has expired.
    Sweep,
    /// What drops what this node does not own any more.
    Leaving,
    /// Nobody.
    Nobody,
}

/// A key with all that is needed to work on it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) key: Key,
    pub(crate) position: Position,
    pub(crate) rules: Rules,
    /// What to ask for a merge, but for the inputs; `None` in a bucket without a plugin.
    pub(crate) merge: Option<MergeRequest>,
}

/// What the keys have to say.
#[derive(Debug)]
pub(crate) enum Report {
    /// A step is applied, or was refused for good.
    Applied { asker: Asker, answer: Answer, object: Object },
    /// A step that was applied is durable.
    Durable { asker: Asker },
    /// A step, or a read, failed.
    Failed { asker: Asker, error: StoreError },
    /// A read is done.
    Read { asker: Asker, object: Object },
    /// Work for the store.
    Store { ticket: Ticket, job: StoreJob },
    /// Work for a plugin.
    Merge { ticket: Ticket, request: MergeRequest },
    /// A write changed what is owed to owners.
    Debts(Vec<DebtChange>),
    /// Versions of this key went.
    Discarded { key: Key, discarded: Vec<Discarded> },
    /// A merge of this key failed, and its siblings stay.
    MergeFailed { key: Key, failure: MergeFailure },
}

/// Gives out tickets.
#[derive(Debug, Default)]
pub(crate) struct Tickets(u64);

impl Tickets {
    pub(crate) fn next(&mut self) -> Ticket {
        self.0 += 1;
        Ticket(self.0)
    }
}

/// Where the work on a key stands.
#[derive(Debug)]
enum Work {
    /// Steps are with the store.
    Applying { askers: Vec<Asker> },
    /// The versions of a lattice object are with the plugin.
    Folding {
        stored: Stored,
        done: Vec<(Asker, Answer)>,
        claim: Option<crate::causality::Dot>,
        /// Of the function that was asked: the bucket's may be another by the time of the answer.
        epoch: Option<crate::causality::Dot>,
    },
    /// A folded object is with the store.
    Replacing { done: Vec<(Asker, Answer)> },
    /// The siblings of a crowded key are with the plugin.
    Resolving { asker: Asker, put: Put, object: Object },
}

#[derive(Debug)]
struct Lane {
    target: Target,
    work: Option<(Ticket, Work)>,
    waiting: VecDeque<(Asker, Step)>,
    /// Jobs that are applied and not durable, and whom to tell.
    unsynced: BTreeMap<Ticket, Vec<Asker>>,
    /// Reads that wait for those jobs.
    parked: Vec<(BTreeSet<Ticket>, Asker, Object)>,
}

impl Lane {
    /// May the write of this ticket still be lost in a crash?
    fn may_be_lost(&self, ticket: Ticket) -> bool {
        let working = self.work.as_ref().is_some_and(|(t, work)| *t == ticket && work.writes());
        working || self.unsynced.contains_key(&ticket)
    }

    /// Those whose steps wait, or are being applied.
    fn askers(&self) -> impl Iterator<Item = Asker> + '_ {
        let (applying, done): (&[Asker], &[(Asker, Answer)]) = match &self.work {
            Some((_, Work::Applying { askers })) => (askers, &[]),
            Some((_, Work::Folding { done, .. } | Work::Replacing { done })) => (&[], done),
            Some((_, Work::Resolving { .. })) | None => (&[], &[]),
        };
        let done = done.iter().map(|(asker, _)| *asker);
        applying.iter().copied().chain(done).chain(self.waiting.iter().map(|(asker, _)| *asker))
    }

    fn is_idle(&self) -> bool {
        self.work.is_none()
            && self.waiting.is_empty()
            && self.unsynced.is_empty()
            && self.parked.is_empty()
    }
}

/// All keys in work.
#[derive(Debug)]
pub(crate) struct Keys {
    lanes: BTreeMap<Key, Lane>,
    /// The key of every ticket that is out and may change a lane.
    tickets: BTreeMap<Ticket, Key>,
    reads: BTreeMap<Ticket, (Asker, Key)>,
    reports: VecDeque<Report>,
    max_waiting: usize,
    max_jobs: usize,
}

impl Keys {
    /// Is a key of that tree in work?
    pub(crate) fn works_on(&self, tree: Tree) -> bool {
        self.lanes.values().any(|lane| lane.target.position.tree == tree)
    }

    /// Is a debt of a key of that tree being settled? Its object may go with it.
    pub(crate) fn settles_in(&self, tree: Tree) -> bool {
        let lanes = self.lanes.values().filter(|lane| lane.target.position.tree == tree);
        lanes.flat_map(Lane::askers).any(|asker| matches!(asker, Asker::Handoff(_)))
    }

    pub(crate) fn new(max_waiting: usize, max_jobs: usize) -> Self {
        Self {
            lanes: BTreeMap::new(),
            tickets: BTreeMap::new(),
            reads: BTreeMap::new(),
            reports: VecDeque::new(),
            max_waiting,
            max_jobs,
        }
    }

    /// The next thing to be said or done.
    pub(crate) fn poll(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }

    /// Is nothing in work?
    pub(crate) fn is_idle(&self) -> bool {
        self.lanes.is_empty() && self.reads.is_empty()
    }

    /// Reads a key.
    pub(crate) fn read(
        &mut self,
        asker: Asker,
        key: &Key,
        position: Position,
        bodies: Bodies,
        tickets: &mut Tickets,
    ) {
        if self.reads.len() + self.tickets.len() >= self.max_jobs {
            self.reports.push_back(Report::Failed { asker, error: StoreError::Overloaded });
            return;
        }
        let ticket = tickets.next();
        self.reads.insert(ticket, (asker, key.clone()));
        let job = Job { key: key.clone(), position, task: Task::Read { bodies } };
        self.reports.push_back(Report::Store { ticket, job: StoreJob::Key(job) });
    }

    /// Has a step applied to a key.
    pub(crate) fn step(&mut self, asker: Asker, target: Target, step: Step, tickets: &mut Tickets) {
        let full = self.reads.len() + self.tickets.len() >= self.max_jobs;
        let key = target.key.clone();
        let lane = self.lanes.entry(key.clone()).or_insert_with(|| Lane {
            target: target.clone(),
            work: None,
            waiting: VecDeque::new(),
            unsynced: BTreeMap::new(),
            parked: Vec::new(),
        });
        if full || lane.waiting.len() >= self.max_waiting {
            self.reports.push_back(Report::Failed { asker, error: StoreError::Overloaded });
        } else {
            lane.target = target;
            lane.waiting.push_back((asker, step));
        }
        self.advance(&key, tickets);
    }

    /// Starts what waits for a key, if nothing is in work there, and forgets idle keys.
    fn advance(&mut self, key: &Key, tickets: &mut Tickets) {
        let Some(lane) = self.lanes.get_mut(key) else {
            return;
        };
        for (waits_for, asker, object) in core::mem::take(&mut lane.parked) {
            if waits_for.iter().any(|ticket| lane.may_be_lost(*ticket)) {
                lane.parked.push((waits_for, asker, object));
            } else {
                self.reports.push_back(Report::Read { asker, object });
            }
        }
        if lane.work.is_none() && !lane.waiting.is_empty() {
            let (askers, steps) = lane.waiting.drain(..).unzip();
            let ticket = tickets.next();
            lane.work = Some((ticket, Work::Applying { askers }));
            let task = Task::Apply { rules: lane.target.rules, steps };
            let job = Job { key: key.clone(), position: lane.target.position, task };
            self.tickets.insert(ticket, key.clone());
            self.reports.push_back(Report::Store { ticket, job: StoreJob::Key(job) });
        } else if lane.is_idle() {
            self.lanes.remove(key);
        }
    }

    /// The store carried out a job, or did not. Says whether the job was one of these.
    pub(crate) fn on_done(
        &mut self,
        ticket: Ticket,
        result: Result<Outcome, StoreError>,
        tickets: &mut Tickets,
    ) {
        if let Some((asker, key)) = self.reads.remove(&ticket) {
            self.on_read(asker, &key, result);
            return;
        }
        let Some(key) = self.tickets.remove(&ticket) else {
            return;
        };
        let lane = self.lanes.get_mut(&key).expect("a ticket that is out keeps its lane");
        let Some((_, work)) = lane.work.take() else {
            return;
        };
        match (work, result) {
            (Work::Applying { askers }, Ok(Outcome::Applied(applied))) => {
                self.applied(&key, ticket, askers, applied);
            }
            (
                Work::Applying { askers },
                Ok(Outcome::Fold { stored, answers, claim, discarded }),
            ) => {
                self.discarded(&key, discarded);
                let done = askers.into_iter().zip(answers).collect();
                self.fold(&key, stored, done, claim, tickets);
            }
            (Work::Applying { askers }, Ok(Outcome::Crowded { before, object, put, rest })) => {
                self.crowded(&key, ticket, askers, before, object, put, rest, tickets);
            }
            (Work::Replacing { done }, Ok(Outcome::Applied(applied))) => {
                let (askers, answers) = done.into_iter().unzip();
                self.applied(&key, ticket, askers, Applied { answers, ..applied });
            }
            (work, result) => {
                let error = result.err().unwrap_or_else(|| {
                    StoreError::Io("the store answered another job than it was given".into())
                });
                for asker in work.into_askers() {
                    self.reports.push_back(Report::Failed { asker, error: error.clone() });
                }
            }
        }
        self.advance(&key, tickets);
    }

    fn on_read(&mut self, asker: Asker, key: &Key, result: Result<Outcome, StoreError>) {
        match result {
            Ok(Outcome::Read(stored)) => {
                let object = stored.map(|s| s.object).unwrap_or_default();
                let unsynced: BTreeSet<Ticket> = self
                    .lanes
                    .get(key)
                    .map(|lane| {
                        let applying =
                            lane.work.iter().filter(|(_, w)| w.writes()).map(|(t, _)| *t);
                        lane.unsynced.keys().copied().chain(applying).collect()
                    })
                    .unwrap_or_default();
                let waits = !unsynced.is_empty() && !planted::has(Bug::UnsyncedRead);
                match self.lanes.get_mut(key).filter(|_| waits) {
                    Some(lane) => lane.parked.push((unsynced, asker, object)),
                    None => self.reports.push_back(Report::Read { asker, object }),
                }
            }
            Ok(_) => {
                let error = StoreError::Io("the store answered a read with a write".into());
                self.reports.push_back(Report::Failed { asker, error });
            }
            Err(error) => self.reports.push_back(Report::Failed { asker, error }),
        }
    }

    /// Steps are applied: tell their askers, and remember whom to tell when they are durable.
    fn applied(&mut self, key: &Key, ticket: Ticket, askers: Vec<Asker>, applied: Applied) {
        let lane = self.lanes.get_mut(key).expect("the lane is in work");
        if !applied.debts.is_empty() {
            self.reports.push_back(Report::Debts(applied.debts));
        }
        if !applied.discarded.is_empty() {
            let discarded = applied.discarded;
            self.reports.push_back(Report::Discarded { key: key.clone(), discarded });
        }
        for (asker, answer) in askers.iter().zip(applied.answers) {
            if *asker != Asker::Nobody {
                let object = applied.object.clone();
                self.reports.push_back(Report::Applied { asker: *asker, answer, object });
            }
        }
        lane.unsynced.insert(ticket, askers);
        self.tickets.insert(ticket, key.clone());
    }

    fn discarded(&mut self, key: &Key, discarded: Vec<Discarded>) {
        if !discarded.is_empty() {
            self.reports.push_back(Report::Discarded { key: key.clone(), discarded });
        }
    }

    /// Has the versions of a lattice object folded.
    fn fold(
        &mut self,
        key: &Key,
        stored: Stored,
        done: Vec<(Asker, Answer)>,
        claim: Option<crate::causality::Dot>,
        tickets: &mut Tickets,
    ) {
        let lane = self.lanes.get_mut(key).expect("the lane is in work");
        match (merge::fold(&stored.object), &lane.target.merge) {
            (Some(inputs), Some(merge)) => {
                let request = MergeRequest { inputs, ..merge.clone() };
                let ticket = tickets.next();
                let epoch = lane.target.rules.epoch;
                lane.work = Some((ticket, Work::Folding { stored, done, claim, epoch }));
                self.tickets.insert(ticket, key.clone());
                self.reports.push_back(Report::Merge { ticket, request });
            }
            (_, _) => self.replace(key, stored, done, tickets),
        }
    }

    fn replace(
        &mut self,
        key: &Key,
        stored: Stored,
        done: Vec<(Asker, Answer)>,
        tickets: &mut Tickets,
    ) {
        let lane = self.lanes.get_mut(key).expect("the lane is in work");
        let ticket = tickets.next();
        lane.work = Some((ticket, Work::Replacing { done }));
        let task = Task::Replace { stored };
        let job = Job { key: key.clone(), position: lane.target.position, task };
        self.tickets.insert(ticket, key.clone());
        self.reports.push_back(Report::Store { ticket, job: StoreJob::Key(job) });
    }

    /// A put found too many siblings: have them merged with its value, and let the rest wait.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one outcome, taken apart by the caller's match"
    )]
    fn crowded(
        &mut self,
        key: &Key,
        ticket: Ticket,
        askers: Vec<Asker>,
        before: Option<Applied>,
        object: Object,
        mut put: Put,
        rest: Vec<Step>,
        tickets: &mut Tickets,
    ) {
        let mut askers = askers.into_iter();
        if let Some(applied) = before {
            let first = askers.by_ref().take(applied.answers.len()).collect();
            self.applied(key, ticket, first, applied);
        }
        let asker = askers.next().unwrap_or(Asker::Nobody);
        let lane = self.lanes.get_mut(key).expect("the lane is in work");
        for waiting in askers.zip(rest).collect::<Vec<_>>().into_iter().rev() {
            lane.waiting.push_front(waiting);
        }
        let unseen = object.versions.iter().filter(|v| !put.seen.covers_dot(v.dot));
        // A sibling whose time is over has no part in it, and what is made expires with the last of those that have.
        let past = |v: &&Version| v.due().is_some_and(|due| due.is_past(put.wall));
        let standing: Vec<&Version> = unseen.filter(|v| !past(v)).collect();
        let valued = standing.iter().filter(|v| !v.content.is_tombstone());
        put.expires = Expiry::of_all(valued.map(|v| v.expires).chain([put.expires]));
        let mut inputs: Vec<MergeInput> = standing
            .into_iter()
            .map(|v| MergeInput { value: v.content.bytes().cloned(), time: v.dot.time })
            .collect();
        inputs.push(MergeInput { value: put.content.bytes().cloned(), time: put.dot.time });
        let inputs = merge::canonical(inputs);
        let work = Work::Resolving { asker, put, object };
        let merge_ticket = tickets.next();
        lane.work = Some((merge_ticket, work));
        self.tickets.insert(merge_ticket, key.clone());
        match (&lane.target.merge, inputs.as_slice()) {
            (_, [only]) => {
                let value = only.value.clone();
                self.on_merged(merge_ticket, Ok(value), tickets);
            }
            (Some(merge), _) => {
                let request = MergeRequest { inputs, ..merge.clone() };
                self.reports.push_back(Report::Merge { ticket: merge_ticket, request });
            }
            (None, _) => {
                let failure = MergeFailure::NoPlugin(alloc::string::String::new());
                self.on_merged(merge_ticket, Err(failure), tickets);
            }
        }
    }

    /// A merge is done.
    pub(crate) fn on_merged(&mut self, ticket: Ticket, result: MergeResult, tickets: &mut Tickets) {
        let Some(key) = self.tickets.remove(&ticket) else {
            return;
        };
        let lane = self.lanes.get_mut(&key).expect("a ticket that is out keeps its lane");
        match (lane.work.take().map(|(_, work)| work), result) {
            (Some(Work::Folding { mut stored, done, claim, epoch }), result) => {
                match result {
                    Ok(value) => {
                        let content = Content::from_option(value);
                        let parts = &stored.object.versions;
                        let discarded = ledger::folded(parts, &content, claim);
                        self.reports.push_back(Report::Discarded { key: key.clone(), discarded });
                        stored.object.replace_by_fold(content, epoch);
                        if planted::has(Bug::FreshDot) {
                            stored.object.versions.iter_mut().for_each(|v| v.dot.time.0 += 1);
                        }
                        if let Some(dot) = claim {
                            replica::claim_if_folded(&mut stored, dot);
                        }
                    }
                    Err(failure) => {
                        self.reports.push_back(Report::MergeFailed { key: key.clone(), failure });
                    }
                }
                self.replace(&key, stored, done, tickets);
            }
            (Some(Work::Resolving { asker, put, object }), Ok(value)) => {
                let seen = put.seen.union(&object.context_for_client());
                let put = Put { seen, content: Content::from_option(value), ..put };
                lane.waiting.push_front((asker, Step::Put(put)));
            }
            (Some(Work::Resolving { asker, put, object }), Err(failure)) => {
                let siblings =
                    object.versions.iter().filter(|v| !put.seen.covers_dot(v.dot)).count();
                let answer = Answer::TooManySiblings { siblings };
                self.reports.push_back(Report::MergeFailed { key: key.clone(), failure });
                self.reports.push_back(Report::Applied { asker, answer, object });
            }
            (work, _) => lane.work = work.map(|work| (ticket, work)),
        }
        self.advance(&key, tickets);
    }

    /// What a job wrote is durable, and all that was written before.
    pub(crate) fn on_synced(
        &mut self,
        ticket: Ticket,
        result: Result<(), StoreError>,
        tickets: &mut Tickets,
    ) {
        let Some(key) = self.tickets.get(&ticket).cloned() else {
            return;
        };
        let lane = self.lanes.get_mut(&key).expect("a ticket that is out keeps its lane");
        let Some(askers) = lane.unsynced.remove(&ticket) else {
            return;
        };
        self.tickets.remove(&ticket);
        let result = if planted::has(Bug::IgnoredSyncFailure) { Ok(()) } else { result };
        for asker in askers.into_iter().filter(|asker| *asker != Asker::Nobody) {
            self.reports.push_back(match &result {
                Ok(()) => Report::Durable { asker },
                Err(error) => Report::Failed { asker, error: error.clone() },
            });
        }
        if let Err(error) = &result {
            for (_, asker, _) in lane.parked.drain(..) {
                self.reports.push_back(Report::Failed { asker, error: error.clone() });
            }
        }
        self.advance(&key, tickets);
    }

    /// Keys and reads in work.
    pub(crate) fn in_work(&self) -> usize {
        self.lanes.len() + self.reads.len()
    }
}

impl Work {
    /// May this work have changed what a read sees?
    fn writes(&self) -> bool {
        match self {
            Self::Applying { .. } | Self::Replacing { .. } => true,
            Self::Folding { .. } | Self::Resolving { .. } => false,
        }
    }

    fn into_askers(self) -> Vec<Asker> {
        match self {
            Self::Applying { askers } => askers,
            Self::Folding { done, .. } | Self::Replacing { done } => {
                done.into_iter().map(|(asker, _)| asker).collect()
            }
            Self::Resolving { asker, .. } => alloc::vec![asker],
        }
    }
}
