//! One exchange, on the asking side: down the trees that two owners share, to the keys in which they differ.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec;
use alloc::vec::Vec;

use super::meeting::Meeting;
use super::{Kind, Means, Order, Orders, Plan};
use crate::causality::{Marks, Object};
use crate::coordinator::{Fact, NUDGE};
use crate::id::{Actor, Key, NodeId};
use crate::message::exchange::{Answer, Question, Span};
use crate::message::peer::{Message, Refusal};
use crate::ring::{LEAVES, Tree};
use crate::store::StoreError;
use crate::survey::{Page, Survey, Surveyed};
use crate::time::{Duration, Time};
use crate::tree::{self, BranchSet, Sums};

/// Trees whose roots go in one message.
const BATCH: usize = 64;

/// The most marks of one tree that are told at once. The others are told the next time.
const MOST_MARKS: usize = 512;

/// Keys that are met at one time, while no clients are served.
const WIDTH: usize = 8;

/// What the meeting of one key costs, besides the bytes of its values: messages, and a sync on each side.
const MEETING: u64 = 4 * 1024;

/// The same while a whole tree is copied, and while clients are served meanwhile.
const COPY_WIDTH: (usize, usize) = (32, 4);

/// The most bytes of values of the keys that are met at one time, but for the last one.
const MOST_BYTES: u64 = 1024 * 1024;

/// An exchange in which nothing happens for so long is given up.
const PATIENCE: Duration = Duration::from_millis(5_000);

/// Where an exchange stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    UnderWay,
    /// All trees were compared, and all keys in which they differed were met.
    Complete,
    Abandoned,
}

/// What an exchange waits for.
#[derive(Debug)]
enum Stage {
    OwnRoots(Vec<Tree>),
    PeerRoots(Vec<Tree>),
    OwnSums(Tree),
    PeerBranches(Tree, Sums),
    PeerLeaves(Tree, Sums, BranchSet),
    OwnHeads(Span),
    PeerHeads(Span, Page),
    Meetings(Meetings),
    /// All that was met on this side is being made durable.
    Barrier,
    /// The peer takes over marks.
    PeerMarks,
    /// This side takes over marks.
    OwnMarks,
    Over(Stand),
}

/// What is told of one tree when both sides are alike.
#[derive(Debug)]
struct Told {
    tree: Tree,
    mine: Marks,
    theirs: Marks,
    /// Who told.
    actor: Actor,
    /// Keys of this tree that were not brought together.
    missed: bool,
}

/// Keys in which the two sides differ.
#[derive(Debug)]
struct Meetings {
    span: Span,
    /// The last key up to which both sides have looked; none if that is all of the span.
    upto: Option<Key>,
    waiting: VecDeque<(Key, Option<Object>, u64)>,
    under_way: BTreeMap<u64, (Meeting, u64)>,
}

/// An exchange in progress.
#[derive(Debug)]
pub(super) struct Exchange {
    plan: Plan,
    begun: Time,
    /// All trees of the plan.
    trees: Vec<Tree>,
    /// Those of the plan's trees that were found to differ.
    differing: Vec<Tree>,
    /// What both sides said of the trees of this batch when they were looked at; the last one is looked at still.
    told: Vec<Told>,
    /// This side's marks of the tree whose branches are asked for.
    mine: Marks,
    stage: Stage,
    /// The number of the survey or question that is out.
    number: u64,
    /// The question that is out, to be asked again.
    question: Option<Question>,
    nudge: Time,
    patience: Time,
    width: usize,
    /// Keys that were not brought together.
    missed: u64,
}

impl Exchange {
    pub(super) fn start(plan: Plan, now: Time, means: &mut Means) -> (Self, Orders) {
        means.pacer.heed(u64::MAX);
        let width = if plan.kind == Kind::Compare { 1 } else { COPY_WIDTH.1 };
        let mut exchange = Self {
            begun: now,
            trees: plan.trees.clone(),
            plan,
            differing: Vec::new(),
            told: Vec::new(),
            mine: Marks::default(),
            stage: Stage::Over(Stand::Complete),
            number: 0,
            question: None,
            nudge: now,
            patience: now.after(PATIENCE),
            width,
            missed: 0,
        };
        let orders = exchange.next(now, means);
        (exchange, orders)
    }

    pub(super) fn peer(&self) -> NodeId {
        self.plan.peer
    }

    pub(super) fn stand(&self) -> Stand {
        if let Stage::Over(stand) = self.stage { stand } else { Stand::UnderWay }
    }

    pub(super) fn kind(&self) -> Kind {
        self.plan.kind
    }

    fn is_whole(&self) -> bool {
        self.plan.kind != Kind::Compare
    }

    /// What is true after it was completed.
    pub(super) fn alike(self) -> Order {
        let (peer, kind) = (self.plan.peer, self.plan.kind);
        Order::Alike { peer, begun: self.begun, trees: self.trees, kind }
    }

    /// Could it go on at once if the pace allowed?
    pub(super) fn waits_for_pace(&self) -> bool {
        match &self.stage {
            Stage::Meetings(meetings) => {
                !meetings.waiting.is_empty() && meetings.may_begin(self.width)
            }
            Stage::OwnRoots(_)
            | Stage::PeerRoots(_)
            | Stage::OwnSums(_)
            | Stage::PeerBranches(..)
            | Stage::PeerLeaves(..)
            | Stage::OwnHeads(_)
            | Stage::PeerHeads(..)
            | Stage::Barrier
            | Stage::PeerMarks
            | Stage::OwnMarks
            | Stage::Over(_) => false,
        }
    }

    /// Meets one key at a time while clients are served.
    pub(super) fn yield_to_clients(&mut self, busy: bool) {
        self.width = match (self.is_whole(), busy) {
            (true, false) => COPY_WIDTH.0,
            (true, true) => COPY_WIDTH.1,
            (false, false) => WIDTH,
            (false, true) => 1,
        };
    }

    pub(super) fn wake(&self) -> Time {
        let question = self.question.is_some().then_some(self.nudge);
        let meetings = match &self.stage {
            Stage::Meetings(meetings) => meetings.under_way.values().map(|(m, _)| m.wake()).min(),
            Stage::OwnRoots(_)
            | Stage::PeerRoots(_)
            | Stage::OwnSums(_)
            | Stage::PeerBranches(..)
            | Stage::PeerLeaves(..)
            | Stage::OwnHeads(_)
            | Stage::PeerHeads(..)
            | Stage::Barrier
            | Stage::PeerMarks
            | Stage::OwnMarks
            | Stage::Over(_) => None,
        };
        question.into_iter().chain(meetings).fold(self.patience, Time::min)
    }

    pub(super) fn on_surveyed(
        &mut self,
        now: Time,
        number: u64,
        result: Result<Surveyed, StoreError>,
        means: &mut Means,
    ) -> Orders {
        if number != self.number {
            return Vec::new();
        }
        match (core::mem::replace(&mut self.stage, Stage::Over(Stand::Abandoned)), result) {
            (Stage::OwnRoots(trees), Ok(Surveyed::Roots(roots))) => {
                let question = Question::Roots(trees.iter().copied().zip(roots).collect());
                self.ask(now, question, Stage::PeerRoots(trees), means)
            }
            (Stage::OwnSums(tree), Ok(Surveyed::Sums(sums, marks))) => {
                self.mine = marks;
                self.ask(now, Question::Branches(tree), Stage::PeerBranches(tree, sums), means)
            }
            (Stage::OwnHeads(span), Ok(Surveyed::Heads(page))) => {
                let prints = page.heads.iter().map(|(key, object)| tree::print(key, object));
                let prints = prints.collect();
                let looked = Span { upto: page.upto.clone(), ..span.clone() };
                let question = Question::Heads { span: looked, prints };
                self.ask(now, question, Stage::PeerHeads(span, page), means)
            }
            // The store failed: given up.
            (_, _) => Vec::new(),
        }
    }

    pub(super) fn on_answer(
        &mut self,
        now: Time,
        from: NodeId,
        number: u64,
        answer: Result<Answer, Refusal>,
        means: &mut Means,
    ) -> Orders {
        if from != self.plan.peer || number != self.number || self.question.is_none() {
            return Vec::new();
        }
        self.question = None;
        match (core::mem::replace(&mut self.stage, Stage::Over(Stand::Abandoned)), answer) {
            (Stage::PeerRoots(trees), Ok(Answer::Roots(differing))) => {
                let mut orders = vec![
                    Order::Count("exchange_trees", trees.len() as u64),
                    Order::Count("exchange_trees_differing", differing.len() as u64),
                ];
                self.differing =
                    differing.into_iter().filter(|tree| trees.contains(tree)).collect();
                orders.extend(self.next(now, means));
                orders
            }
            (
                Stage::PeerBranches(tree, sums),
                Ok(Answer::Branches { digests: theirs, actor, marks }),
            ) => {
                let mine = core::mem::take(&mut self.mine);
                self.told.push(Told { tree, mine, theirs: marks, actor, missed: false });
                if self.is_whole() {
                    let leaves = (0..LEAVES).collect();
                    let span = Span { tree, leaves, whole: true, after: None, upto: None };
                    return self.look(now, span, means);
                }
                let branches = tree::differing_branches(&sums.branches(), &theirs);
                if branches.is_empty() {
                    return self.next(now, means);
                }
                let question = Question::Leaves(tree, branches);
                self.ask(now, question, Stage::PeerLeaves(tree, sums, branches), means)
            }
            (Stage::PeerLeaves(tree, sums, branches), Ok(Answer::Digests(theirs))) => {
                let leaves = tree::differing_leaves(branches, &sums.leaves(branches), &theirs);
                let span = Span { tree, leaves, whole: false, after: None, upto: None };
                self.look(now, span, means)
            }
            (Stage::PeerHeads(span, page), Ok(Answer::Heads { upto, heads, missing, pace })) => {
                means.pacer.heed(pace);
                let marks = self.told.last().map(|told| told.theirs.clone()).unwrap_or_default();
                let gives = self.plan.kind == Kind::Give;
                let meetings = Meetings::new(span, page, upto, heads, missing, &marks, gives);
                self.stage = Stage::Meetings(meetings);
                self.meet(now, means)
            }
            (Stage::PeerMarks, Ok(Answer::Marks)) => {
                let later = |told: &Told| (told.tree, told.theirs.beyond(&told.mine));
                // Who only gives has not got what the other's marks rest on.
                let takes = self.plan.kind != Kind::Give;
                let told = self.told.iter().filter(|_| takes);
                let marks: Vec<(Tree, Marks)> = told.map(later).collect();
                self.told.clear();
                self.raise(now, marks, Stage::OwnMarks, means)
            }
            // Refused, or answered amiss: given up.
            (_, _) => Vec::new(),
        }
    }

    pub(super) fn on_fact(
        &mut self,
        now: Time,
        number: u64,
        fact: Fact,
        means: &mut Means,
    ) -> Orders {
        let Stage::Meetings(meetings) = &mut self.stage else {
            return Vec::new();
        };
        let Some((meeting, _)) = meetings.under_way.get_mut(&number) else {
            return Vec::new();
        };
        let mut orders = meeting.on(now, fact);
        if let Some(met) = meeting.is_over() {
            let bytes = meetings.under_way.remove(&number).map_or(0, |(_, bytes)| bytes);
            if met && self.plan.kind == Kind::Copy {
                orders.push(Order::Count("keys_copied", 1));
                orders.push(Order::Count("bytes_copied", bytes));
            }
            self.missed += u64::from(!met);
            if let Some(told) = self.told.last_mut() {
                told.missed |= !met;
            }
            self.patience = now.after(PATIENCE);
            orders
                .push(Order::Count(if met { "exchange_keys" } else { "exchange_keys_missed" }, 1));
            orders.extend(self.meet(now, means));
        }
        orders
    }

    pub(super) fn on_time(&mut self, now: Time, means: &mut Means) -> Orders {
        if now >= self.patience {
            self.stage = Stage::Over(Stand::Abandoned);
            return Vec::new();
        }
        if let Some(question) = self.question.clone().filter(|_| now >= self.nudge) {
            self.nudge = now.after(NUDGE);
            return vec![self.send(question)];
        }
        let Stage::Meetings(meetings) = &mut self.stage else {
            return Vec::new();
        };
        let under_way = meetings.under_way.values_mut();
        let mut orders: Orders = under_way.flat_map(|(m, _)| m.on(now, Fact::Time)).collect();
        orders.extend(self.meet(now, means));
        orders
    }

    /// The next tree that differs, or the next trees to be compared.
    fn next(&mut self, now: Time, means: &mut Means) -> Orders {
        if let Some(tree) = self.differing.pop() {
            return self.survey(now, Survey::Sums(tree), Stage::OwnSums(tree), means);
        }
        // Who gives away the last copy waits in any case until the other's is durable.
        let gives = self.plan.kind == Kind::Give;
        self.told.retain(|told| !told.missed && (gives || told.mine != told.theirs));
        if !self.told.is_empty() {
            return self.raise(now, Vec::new(), Stage::Barrier, means);
        }
        let rest = self.plan.trees.len().saturating_sub(BATCH);
        let batch = self.plan.trees.split_off(rest);
        if batch.is_empty() {
            let complete = self.missed == 0;
            self.stage = Stage::Over(if complete { Stand::Complete } else { Stand::Abandoned });
            return Vec::new();
        }
        if self.is_whole() {
            self.differing = batch;
            return self.next(now, means);
        }
        self.survey(now, Survey::Roots(batch.clone()), Stage::OwnRoots(batch), means)
    }

    /// Writes marks of this node, and is told when they are durable, and everything before.
    fn raise(
        &mut self,
        now: Time,
        marks: Vec<(Tree, Marks)>,
        stage: Stage,
        means: &mut Means,
    ) -> Orders {
        self.stage = stage;
        self.number = means.next();
        self.patience = now.after(PATIENCE);
        vec![Order::Raise(self.number, marks)]
    }

    /// Marks of this node are durable, and everything before; or they are not.
    ///
    /// What each side says of a tree rests on what it and the other hold. None of that may be lost by a crash once anybody
    /// has taken the marks over: so this side's data is made durable first, then the peer's, with its marks, and then come
    /// those of this side.
    pub(super) fn on_raised(
        &mut self,
        now: Time,
        number: u64,
        durable: bool,
        means: &mut Means,
    ) -> Orders {
        if number != self.number {
            return Vec::new();
        }
        match (core::mem::replace(&mut self.stage, Stage::Over(Stand::Abandoned)), durable) {
            (Stage::Barrier, true) => {
                let Some(actor) = self.told.first().map(|told| told.actor) else {
                    return Vec::new();
                };
                // Started anew within a batch: what it told before may be lost.
                self.told.retain(|told| told.actor == actor);
                let later =
                    |told: &Told| (told.tree, told.mine.beyond(&told.theirs).latest(MOST_MARKS));
                let marks = self.told.iter().map(later).collect();
                self.ask(now, Question::Marks { actor, marks }, Stage::PeerMarks, means)
            }
            (Stage::OwnMarks, true) => self.next(now, means),
            (_, _) => Vec::new(),
        }
    }

    /// Reads this node's heads of a span.
    fn look(&mut self, now: Time, span: Span, means: &mut Means) -> Orders {
        let buckets = self.plan.buckets.get(&span.tree.copies).cloned().unwrap_or_default();
        let survey = Survey::Heads { span: span.clone(), buckets, ring: self.plan.ring };
        self.survey(now, survey, Stage::OwnHeads(span), means)
    }

    fn survey(&mut self, now: Time, survey: Survey, stage: Stage, means: &mut Means) -> Orders {
        self.stage = stage;
        self.number = means.next();
        self.patience = now.after(PATIENCE);
        vec![Order::Survey(self.number, survey)]
    }

    fn ask(&mut self, now: Time, question: Question, stage: Stage, means: &mut Means) -> Orders {
        self.stage = stage;
        self.number = means.next();
        self.question = Some(question.clone());
        self.nudge = now.after(NUDGE);
        self.patience = now.after(PATIENCE);
        vec![self.send(question)]
    }

    fn send(&self, question: Question) -> Order {
        Order::Send(self.plan.peer, Message::Exchange { ask: self.number, question })
    }

    /// Begins as many meetings as may be under way; after the last one, goes on.
    fn meet(&mut self, now: Time, means: &mut Means) -> Orders {
        let Stage::Meetings(meetings) = &mut self.stage else {
            return Vec::new();
        };
        let mut orders = Vec::new();
        while meetings.may_begin(self.width)
            && means.pacer.is_free(now)
            && let Some((key, theirs, bytes)) = meetings.waiting.pop_front()
        {
            let number = means.next();
            let gives = self.plan.kind == Kind::Give;
            let (meeting, begun) = Meeting::start(number, self.plan.peer, key, theirs, gives, now);
            means.pacer.spend(now, MEETING + bytes);
            meetings.under_way.insert(number, (meeting, bytes));
            orders.extend(begun);
        }
        if !meetings.waiting.is_empty() && meetings.under_way.is_empty() {
            // It waits for nobody but itself.
            self.patience = means.pacer.free_at().max(now).after(PATIENCE);
        }
        if !(meetings.waiting.is_empty() && meetings.under_way.is_empty()) {
            return orders;
        }
        let (span, upto) = (meetings.span.clone(), meetings.upto.take());
        orders.extend(match upto {
            Some(_) => self.look(now, Span { after: upto, ..span }, means),
            None => self.next(now, means),
        });
        orders
    }

    /// The key that is met under this number.
    pub(super) fn key_of(&self, number: u64) -> Option<&Key> {
        let Stage::Meetings(meetings) = &self.stage else {
            return None;
        };
        meetings.under_way.get(&number).map(|(meeting, _)| meeting.key())
    }
}

impl Meetings {
    /// The keys in which a page of this side and the answer of the other differ. Who only `gives` has nothing to do with those that
    /// it does not hold: clients may write them faster than it could meet them.
    fn new(
        span: Span,
        page: Page,
        upto: Option<Key>,
        heads: Vec<(Key, Object)>,
        missing: Vec<u64>,
        marks: &Marks,
        gives: bool,
    ) -> Self {
        // The other side looked no further than this one, and perhaps less far.
        let upto = upto.or(page.upto);
        let looked = |key: &Key| upto.as_ref().is_none_or(|upto| key <= upto);
        let missing: BTreeSet<u64> = missing.into_iter().collect();
        let mut keys: BTreeMap<Key, (Option<Object>, u64)> = page
            .heads
            .into_iter()
            .filter(|(key, object)| looked(key) && missing.contains(&tree::print(key, object)))
            .map(|(key, object)| (key, (None, object.value_bytes())))
            .collect();
        let theirs = heads.into_iter().filter(|(key, _)| looked(key));
        let theirs: Vec<_> = theirs.filter(|(key, _)| !gives || keys.contains_key(key)).collect();
        for (key, mut object) in theirs {
            object.marks = marks.clone();
            let (theirs, bytes) = keys.entry(key).or_default();
            *bytes += object.value_bytes();
            *theirs = Some(object);
        }
        let waiting = keys.into_iter().map(|(key, (theirs, bytes))| (key, theirs, bytes));
        Self { span, upto, waiting: waiting.collect(), under_way: BTreeMap::new() }
    }

    fn may_begin(&self, width: usize) -> bool {
        let bytes: u64 = self.under_way.values().map(|(_, bytes)| bytes).sum();
        self.under_way.len() < width && bytes < MOST_BYTES
    }
}
