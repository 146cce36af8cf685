//! The node's part in anti-entropy: begins exchanges, carries out their orders, and answers those of peers.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::healing::HASTE;
use super::{Node, refusal_of};
use crate::anti_entropy::{AntiEntropy, Kind, Order, Orders, Plan, answer};
use crate::coordinator::Fact;
use crate::id::{BucketName, Key, NodeId};
use crate::io::Output;
use crate::keys::{Asker, Target};
use crate::message::exchange::{Answer, Question};
use crate::message::peer::{Message, Refusal};
use crate::node::figures::PaceFigures;
use crate::replica::{Step, StoreJob, Ticket};
use crate::ring::{Partition, Tree};
use crate::store::{Bodies, StoreError};
use crate::survey::{Survey, Surveyed};
use crate::time::{Duration, Now, Time};

/// How long a node waits at most before it looks again for somebody to copy from, or to hand over to.
const MOVE: Duration = Duration::from_millis(300);

/// Surveys for peers at one time: what is above is refused, and asked again another time.
const MOST_ANSWERS: usize = 16;

/// Anti-entropy, and the surveys that are with the store.
#[derive(Debug)]
pub(super) struct Repair {
    anti_entropy: AntiEntropy,
    surveys: BTreeMap<Ticket, Surveying>,
}

/// Who is to be told of a survey.
#[derive(Debug)]
pub(super) enum Surveying {
    /// This node's own exchange, by the number of the question.
    Own(u64),
    /// A peer, by the number of its question.
    For(NodeId, u64, Question),
    /// The collector, of this page.
    Collector(Tree),
    /// The sweep of what has expired.
    Sweep,
    /// What drops what this node does not own any more.
    Leaving,
}

impl Repair {
    pub(super) fn new(anti_entropy: AntiEntropy) -> Self {
        Self { anti_entropy, surveys: BTreeMap::new() }
    }

    /// Is this the ticket of a survey?
    pub(super) fn is_survey(&self, ticket: Ticket) -> bool {
        self.surveys.contains_key(&ticket)
    }

    /// A client's get or put was answered after so long.
    pub(super) fn answered(&mut self, now: Time, took: Duration) {
        self.anti_entropy.pacer().answered(now, took);
    }

    /// When the background may do more.
    pub(super) fn free_at(&self) -> Time {
        self.anti_entropy.pace().free_at()
    }

    /// Background work that is not an exchange's has moved so many bytes.
    pub(super) fn spend(&mut self, now: Time, bytes: u64) {
        self.anti_entropy.pacer().spend(now, bytes);
    }

    pub(super) fn pace(&self) -> PaceFigures {
        PaceFigures::of(self.anti_entropy.pace())
    }

    pub(super) fn is_exchanging(&self) -> bool {
        self.anti_entropy.is_exchanging()
    }

    /// When the last exchange with a peer was completed.
    pub(super) fn exchanged(&self, peer: NodeId) -> Option<Time> {
        self.anti_entropy.completed(peer)
    }

    pub(super) fn wake(&self) -> Time {
        self.anti_entropy.wake()
    }

    /// The next exchange is due by then.
    pub(super) fn due_by(&mut self, time: Time) {
        self.anti_entropy.due_by(time);
    }
}

impl Node {
    /// No exchange goes on or begins from now on: call it before a clean stop, which waits until nothing is in progress.
    pub fn rest(&mut self) {
        self.repair.anti_entropy.rest();
        self.deletes.rest();
        self.sweep.rest();
    }

    /// The ring has changed: what was begun by the record before is given up.
    pub(super) fn repair_moved(&mut self, now: Now) {
        self.repair.anti_entropy.give_up(now.time);
    }

    /// Begins an exchange that is due, and tells the one in progress the time.
    pub(super) fn repair_on_time(&mut self, now: Now) {
        if !self.healing.is_over() {
            self.repair.anti_entropy.hurry(now.time.after(HASTE));
        }
        if self.has_to_move() {
            self.repair.due_by(now.time.after(MOVE));
        }
        if self.repair.anti_entropy.is_due(now.time) {
            self.begin_exchange(now);
        }
        if self.repair.wake() <= now.time {
            let busy = !self.operations.is_empty();
            let orders = self.repair.anti_entropy.on_time(now.time, busy);
            self.carry_out_repair(now, orders);
        }
    }

    fn begin_exchange(&mut self, now: Now) {
        self.raise_own();
        if self.has_to_move()
            && let Some(plan) = self.next_move(now)
        {
            let orders = self.repair.anti_entropy.begin(now.time, plan);
            return self.carry_out_repair(now, orders);
        }
        let peers: Vec<NodeId> =
            self.peers.keys().copied().filter(|peer| self.is_near(*peer, now.time)).collect();
        let wanted = self.healing.waits_for();
        let mut first: Vec<NodeId> = peers.clone();
        first.retain(|peer| wanted.contains(peer));
        let peers = if first.is_empty() { peers } else { first };
        let buckets = self.buckets_by_copies();
        let peer = self.repair.anti_entropy.choose(&peers);
        let plan = peer.map(|peer| Plan {
            peer,
            trees: self.shared_trees(peer, &buckets),
            buckets,
            ring: self.ring.acting.ring(),
            kind: Kind::Compare,
        });
        match plan.filter(|plan| !plan.trees.is_empty()) {
            Some(plan) => {
                let orders = self.repair.anti_entropy.begin(now.time, plan);
                self.carry_out_repair(now, orders);
            }
            None => self.repair.anti_entropy.put_off(now.time),
        }
    }

    pub(super) fn buckets_by_copies(&self) -> BTreeMap<u8, Vec<BucketName>> {
        let mut buckets: BTreeMap<u8, Vec<BucketName>> = BTreeMap::new();
        for (name, entry) in self.boot.catalogue.buckets() {
            buckets.entry(entry.config.n).or_default().push(name.clone());
        }
        buckets
    }

    /// The trees of which this node and `peer` both have a whole copy.
    fn shared_trees(&self, peer: NodeId, buckets: &BTreeMap<u8, Vec<BucketName>>) -> Vec<Tree> {
        let record = &self.ring.acting;
        let partitions = (0..record.ring().partitions()).map(Partition);
        let all = partitions.flat_map(|partition| {
            buckets.keys().map(move |copies| Tree { partition, copies: *copies })
        });
        all.filter(|tree| record.holds(self.boot.id, *tree) && record.holds(peer, *tree)).collect()
    }

    fn carry_out_repair(&mut self, now: Now, orders: Orders) {
        for order in orders {
            match order {
                Order::Send(to, message) => self.send(now, to, message),
                Order::Survey(number, survey) => self.survey(Surveying::Own(number), survey),
                Order::Read(number, key) => match self.target_of(key.clone()) {
                    Some(Target { position, .. }) => {
                        let asker = Asker::Op(number);
                        self.keys.read(asker, &key, position, Bodies::All, &mut self.tickets);
                    }
                    None => self.tell_repair(now, number, Fact::Failed(StoreError::Overloaded)),
                },
                Order::Join(number, peer, key, object) => match self.target_of(key) {
                    // Its times may have come with a page of heads, which nobody has looked at yet.
                    Some(target) if self.observe(now, peer, object.latest()) => {
                        let step = Step::Join(object);
                        self.keys.step(Asker::Op(number), target, step, &mut self.tickets);
                    }
                    Some(_) | None => {
                        self.tell_repair(now, number, Fact::Failed(StoreError::Overloaded));
                    }
                },
                Order::Raise(number, marks) => self.raise_for_exchange(number, marks),
                Order::Alike { peer, begun, trees, kind: Kind::Compare } => {
                    self.on_alike(now, peer, begun, &trees);
                }
                Order::Alike { peer, trees, kind: Kind::Copy, .. } => {
                    self.on_copied(now, peer, &trees);
                }
                Order::Alike { peer, trees, kind: Kind::Give, .. } => {
                    self.on_given(now, peer, &trees);
                }
                Order::Count(name, n) => *self.counters.entry(name).or_default() += n,
            }
        }
    }

    /// A key with all that is needed to work on it; none if its bucket is not known.
    pub(super) fn target_of(&self, key: Key) -> Option<Target> {
        let config = self.boot.catalogue.bucket(&key.bucket)?.clone();
        let position = self.ring.acting.ring().position(&key, config.n);
        Some(self.target(key, position, &config))
    }

    pub(super) fn survey(&mut self, whose: Surveying, survey: Survey) {
        let ticket = self.tickets.next();
        self.repair.surveys.insert(ticket, whose);
        self.outputs.push_back(Output::Store { ticket, job: StoreJob::Survey(survey) });
    }

    /// Tells anti-entropy what became of a key.
    pub(super) fn tell_repair(&mut self, now: Now, number: u64, fact: Fact) {
        let orders = self.repair.anti_entropy.on_fact(now.time, number, fact);
        self.carry_out_repair(now, orders);
    }

    /// The key that anti-entropy works on under this number.
    pub(super) fn repair_target(&self, number: u64) -> Option<Target> {
        self.target_of(self.repair.anti_entropy.key_of(number)?.clone())
    }

    /// A survey is done. Says whether the ticket was one's.
    pub(super) fn on_surveyed(
        &mut self,
        now: Now,
        ticket: Ticket,
        result: Result<Surveyed, StoreError>,
    ) -> bool {
        match self.repair.surveys.remove(&ticket) {
            Some(Surveying::Own(number)) => {
                let orders = self.repair.anti_entropy.on_surveyed(now.time, number, result);
                self.carry_out_repair(now, orders);
                true
            }
            Some(Surveying::For(to, ask, question)) => {
                let actor = self.boot.life.actor;
                let pace = self.repair.anti_entropy.pace().rate();
                let answer = match result.map(|read| answer::answer(question, read, actor, pace)) {
                    Ok(Some(answer)) => {
                        // What it named is taken from here next, at the expense of this node's clients.
                        let taken = answer.named_bytes();
                        if taken > 0 {
                            self.repair.anti_entropy.pacer().spend(now.time, taken);
                        }
                        Ok(answer)
                    }
                    Ok(None) => Err(Refusal::Storage),
                    Err(error) => Err(refusal_of(&error)),
                };
                self.send(now, to, Message::Exchanged { ask, answer });
                true
            }
            Some(Surveying::Collector(tree)) => {
                self.on_left(now, tree, result);
                true
            }
            Some(Surveying::Sweep) => {
                self.on_due(now, result);
                true
            }
            Some(Surveying::Leaving) => {
                self.on_leftover(now, result);
                true
            }
            None => false,
        }
    }

    /// Marks that an exchange of this node wanted to be taken over are durable, or are not.
    pub(super) fn tell_raised(&mut self, now: Now, number: u64, durable: bool) {
        let orders = self.repair.anti_entropy.on_raised(now.time, number, durable);
        self.carry_out_repair(now, orders);
    }

    pub(super) fn on_question(
        &mut self,
        now: Now,
        from: NodeId,
        ask: u64,
        question: Question,
        same_layout: bool,
    ) {
        let refusal = if !same_layout {
            Refusal::StaleLayout
        } else if let Question::Marks { actor, marks } = question {
            return self.on_marks(now, from, ask, actor, marks);
        } else if self.repair.surveys.len() >= MOST_ANSWERS {
            Refusal::Overloaded
        } else {
            let buckets = self.buckets_by_copies();
            match answer::survey(&question, &buckets, self.ring.acting.ring()) {
                Some(survey) => return self.survey(Surveying::For(from, ask, question), survey),
                None => Refusal::Storage,
            }
        };
        self.send(now, from, Message::Exchanged { ask, answer: Err(refusal) });
    }

    pub(super) fn on_exchanged(
        &mut self,
        now: Now,
        from: NodeId,
        ask: u64,
        answer: Result<Answer, Refusal>,
    ) {
        let orders = self.repair.anti_entropy.on_answer(now.time, from, ask, answer);
        self.carry_out_repair(now, orders);
    }
}
