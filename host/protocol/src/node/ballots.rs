//! The node's part in ballots: begins conditional puts, answers the questions of ballots for its own copies, and forgets
//! ballots that are over.
//!
//! Promises are forgotten by the hybrid logical clock, which never goes back, also not over a crash. A ballot is refused once it
//! is older than [`Limits::ballot_age`](crate::config::Limits) by this clock; a promise that is older than that holds off
//! nothing that would not be refused anyway.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use super::{Node, overloaded, refusal_of};
use crate::ballot::{BallotAnswer, BallotStep, Promise};
use crate::causality::{Ballot, Content, Context, Dot, Object};
use crate::config::BucketConfig;
use crate::coordinator::conditional::{Conditional, ConditionalPlan};
use crate::coordinator::{Fact, Placed, ReplyTo};
use crate::id::{Key, NodeId, RequestId};
use crate::keys::Asker;
use crate::message::ballot::{BallotQuestion, BallotReply};
use crate::message::client::{Code, Failure, Response};
use crate::message::peer::{Message, Refusal};
use crate::planted::{self, Bug};
use crate::replica::{Answer, Step};
use crate::store::StoreError;
use crate::time::{Expiry, Now, Time};

/// Ballots that wait to be forgotten: of what is above, the owners keep some forty bytes a key until its next conditional put.
const MOST_SETTLED: usize = 65_536;

/// Ballots forgotten at one time, so that others get their turn.
const MOST_FORGOTTEN: usize = 64;

/// Ballots in which this node takes part.
#[derive(Debug, Default)]
pub(super) struct Ballots {
    asked: BTreeMap<u64, Asked>,
    numbers: u64,
    /// Ballots that are over, to be forgotten: key, and whether all owners have what it chose.
    settled: BTreeSet<(Ballot, Key, bool)>,
    /// The conditional write that this node has under way on a key, and those that wait for its answer: they would only outbid
    /// each other.
    under_way: BTreeMap<Key, (u64, VecDeque<Waiting>)>,
}

/// A conditional write that waits for another one.
#[derive(Debug)]
struct Waiting {
    reply_to: ReplyTo,
    config: BucketConfig,
    write: Conditioned,
    deadline: Time,
}

/// A question that is with the store.
#[derive(Debug)]
struct Asked {
    from: NodeId,
    ask: u64,
    ballot: Ballot,
    kind: Kind,
    reply: Option<BallotReply>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Prepare,
    Accept,
    Commit,
}

/// What a conditional put or delete is to write.
#[derive(Debug)]
pub(super) struct Conditioned {
    pub(super) expected: Context,
    pub(super) content: Content,
    pub(super) expires: Option<Expiry>,
    pub(super) request: RequestId,
    pub(super) w: u8,
}

impl Node {
    /// Begins a conditional put or delete of a key that this node owns.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one request, each named at the two calls"
    )]
    pub(super) fn begin_conditional(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        key: Key,
        config: &BucketConfig,
        placed: Placed,
        write: Conditioned,
        deadline: Time,
    ) -> Result<(), Failure> {
        if let Some((_, waiting)) = self.ballots.under_way.get_mut(&key) {
            if waiting.len() >= self.boot.limits.waiting_for_key {
                return Err(overloaded());
            }
            let config = config.clone();
            waiting.push_back(Waiting { reply_to, config, write, deadline });
            return Ok(());
        }
        let Some(ballot) = self.new_ballot(now) else {
            return Err(overloaded());
        };
        self.count("conditional_puts");
        let position = self.ring.acting.ring().position(&key, config.n);
        let target = self.target(key.clone(), position, config);
        let id = self.new_id();
        self.ballots.under_way.insert(key.clone(), (id, VecDeque::new()));
        let plan = ConditionalPlan {
            id,
            me: self.boot.id,
            key,
            shape: target.rules.shape,
            merge: target.merge.clone(),
            may_fold: target.rules.can_merge,
            epoch: target.rules.epoch,
            expected: write.expected,
            content: write.content,
            expires: write.expires,
            began: now,
            request: write.request,
            ballot,
            owners: placed.owners(),
            sets: placed.sets,
            w: write.w,
            deadline,
        };
        let (machine, orders) = Conditional::start(plan, now.time);
        self.start(now, id, Box::new(machine), reply_to, Some(target), orders);
        Ok(())
    }

    /// An operation is answered: if it was a conditional write, the next one on its key begins.
    pub(super) fn next_conditional(&mut self, now: Now, id: u64) {
        let target = self.operations.get(&id).and_then(|operation| operation.target.as_ref());
        let Some(key) = target.map(|target| target.key.clone()) else {
            return;
        };
        if self.ballots.under_way.get(&key).is_none_or(|(under_way, _)| *under_way != id) {
            return;
        }
        let waiting = self.ballots.under_way.remove(&key).map(|(_, waiting)| waiting);
        let mut waiting = waiting.unwrap_or_default();
        while let Some(Waiting { reply_to, config, write, deadline }) = waiting.pop_front() {
            let begun = if now.time < deadline {
                let placed = self.placed(self.ring.acting.ring().position(&key, config.n).tree);
                let key = key.clone();
                self.begin_conditional(now, reply_to, key, &config, placed, write, deadline)
            } else {
                let text = "the deadline passed while other conditional writes of the key were under way; nothing was written: \
                            try again";
                Err(Failure::new(Code::Unavailable, text))
            };
            match begun {
                Ok(()) => {
                    if let Some((_, rest)) = self.ballots.under_way.get_mut(&key) {
                        rest.append(&mut waiting);
                    }
                    return;
                }
                Err(failure) => self.reply(reply_to, now, Response::Failed(failure), Vec::new()),
            }
        }
    }

    pub(super) fn new_ballot(&mut self, now: Now) -> Option<Ballot> {
        let time = self.boot.clock.tick(now.wall)?;
        Some(Dot { time, actor: self.boot.life.actor.conditional() })
    }

    /// Gives a conditional put its next ballot.
    pub(super) fn tell_ballot(&mut self, now: Now, id: u64) {
        let ballot = self.new_ballot(now);
        self.tell(now, id, Fact::Ballot(ballot));
    }

    /// A question of a ballot, of a peer or of an operation of this node.
    pub(super) fn on_ballot(
        &mut self,
        now: Now,
        from: NodeId,
        ask: u64,
        key: Key,
        ballot: Ballot,
        question: BallotQuestion,
    ) {
        if let BallotQuestion::Settled { by_all } = question {
            if self.ballots.settled.len() < MOST_SETTLED {
                self.ballots.settled.insert((ballot, key, by_all));
            } else {
                self.count("ballots_kept");
            }
            return;
        }
        if let Err(refusal) = self.try_ballot(now, from, ask, key, ballot, question) {
            self.balloted(now, from, ask, ballot, Err(refusal));
        }
    }

    fn try_ballot(
        &mut self,
        now: Now,
        from: NodeId,
        ask: u64,
        key: Key,
        ballot: Ballot,
        question: BallotQuestion,
    ) -> Result<(), Refusal> {
        let Some(config) = self.boot.catalogue.bucket(&key.bucket).cloned() else {
            self.send(now, from, Message::CataloguePull);
            return Err(Refusal::UnknownBucket);
        };
        let position = self.ring.acting.ring().position(&key, config.n);
        if !self.ring.acting.owns(self.boot.id, position.tree) {
            return Err(Refusal::StaleLayout);
        }
        if self.lacks(position.tree) && !matches!(question, BallotQuestion::Commit { .. }) {
            // It may have promised or accepted what it does not know any more.
            return Err(Refusal::Storage);
        }
        if !self.observe(now, from, question.latest().max(ballot.time)) {
            return Err(Refusal::ClockAhead);
        }
        let (step, kind) = match question {
            BallotQuestion::Prepare => {
                let bodies = from == self.boot.id;
                (BallotStep::Prepare { ballot, bodies }, Kind::Prepare)
            }
            BallotQuestion::Accept(proposal) => {
                complete(&proposal)?;
                (BallotStep::Accept { ballot, proposal }, Kind::Accept)
            }
            BallotQuestion::Commit { object, chosen } => {
                complete(&object)?;
                let ballot = chosen.then_some(ballot);
                (BallotStep::Commit { ballot, object }, Kind::Commit)
            }
            BallotQuestion::Settled { .. } => return Ok(()),
        };
        let last = self.boot.clock.last();
        if !matches!(kind, Kind::Commit) && self.is_over(ballot) {
            let later = Dot { time: last, actor: self.boot.life.actor };
            self.balloted(now, from, ask, ballot, Ok(BallotReply::Outbid(later)));
            return Ok(());
        }
        let target = self.target(key, position, &config);
        self.ballots.numbers += 1;
        let number = self.ballots.numbers;
        let asked = Asked { from, ask, ballot, kind, reply: None };
        self.ballots.asked.insert(number, asked);
        self.keys.step(Asker::Ballot(number), target, Step::Ballot(step), &mut self.tickets);
        Ok(())
    }

    /// Is a ballot so old that nothing of it is listened to?
    fn is_over(&self, ballot: Ballot) -> bool {
        ballot.time.0.saturating_add(self.boot.limits.ballot_age.0) < self.boot.clock.last().0
    }

    /// The step of a question is carried out, and not durable yet.
    pub(super) fn ballot_applied(&mut self, now: Now, number: u64, answer: Answer, object: Object) {
        let Some(asked) = self.ballots.asked.get_mut(&number) else {
            return;
        };
        let reply = match (answer, asked.kind) {
            (Answer::Ballot(BallotAnswer::Promised(promise)), _) => {
                let Promise { accepted, proposal } = promise;
                BallotReply::Promised { accepted, proposal, object }
            }
            (Answer::Ballot(BallotAnswer::Outbid(later)), _) => BallotReply::Outbid(later),
            (_, Kind::Commit) => BallotReply::Committed,
            (_, Kind::Prepare | Kind::Accept) => BallotReply::Accepted,
        };
        asked.reply = Some(reply);
        let is_hasty = match asked.kind {
            Kind::Prepare => planted::has(Bug::PromiseNotDurable),
            Kind::Accept => planted::has(Bug::AcceptanceNotDurable),
            Kind::Commit => false,
        };
        if is_hasty {
            self.ballot_durable(now, number);
        }
    }

    /// It is durable.
    pub(super) fn ballot_durable(&mut self, now: Now, number: u64) {
        if let Some(Asked { from, ask, ballot, reply: Some(reply), .. }) =
            self.ballots.asked.remove(&number)
        {
            self.balloted(now, from, ask, ballot, Ok(reply));
        }
    }

    /// It failed.
    pub(super) fn ballot_failed(&mut self, now: Now, number: u64, error: &StoreError) {
        if let Some(Asked { from, ask, ballot, .. }) = self.ballots.asked.remove(&number) {
            self.balloted(now, from, ask, ballot, Err(refusal_of(error)));
        }
    }

    fn balloted(
        &mut self,
        now: Now,
        from: NodeId,
        ask: u64,
        ballot: Ballot,
        reply: Result<BallotReply, Refusal>,
    ) {
        if from == self.boot.id {
            self.tell(now, ask, Fact::Balloted { from, ballot, reply });
        } else {
            self.send(now, from, Message::Balloted { ask, ballot, reply });
        }
    }

    /// A peer has answered a question of a ballot.
    pub(super) fn on_balloted(
        &mut self,
        now: Now,
        from: NodeId,
        ask: u64,
        ballot: Ballot,
        reply: Result<BallotReply, Refusal>,
    ) {
        let latest = reply.as_ref().map(BallotReply::latest).unwrap_or_default();
        let reply = if self.observe(now, from, latest) { reply } else { Err(Refusal::ClockAhead) };
        self.tell(now, ask, Fact::Balloted { from, ballot, reply });
    }

    /// Forgets ballots that are over.
    pub(super) fn forget_ballots(&mut self, now: Now) {
        let Some((first, ..)) = self.ballots.settled.first() else {
            return;
        };
        let age = self.boot.limits.ballot_age.0;
        // A reading, so that the clock stays later than what is forgotten by it.
        if now.wall.0 <= first.time.0 + age || self.boot.clock.tick(now.wall).is_none() {
            return;
        }
        for _ in 0..MOST_FORGOTTEN {
            let Some((ballot, key, by_all)) = self.ballots.settled.first().cloned() else {
                return;
            };
            if !self.is_over(ballot) {
                return;
            }
            self.ballots.settled.pop_first();
            let Some(config) = self.boot.catalogue.bucket(&key.bucket).cloned() else {
                continue;
            };
            let (position, _) = self.place(&key, &config);
            let target = self.target(key, position, &config);
            let step = Step::Ballot(BallotStep::Settle { ballot, by_all });
            self.keys.step(Asker::Nobody, target, step, &mut self.tickets);
            self.count("ballots_forgotten");
        }
    }
}

/// A proposal without the bytes of its values could not be read by anybody.
fn complete(object: &Object) -> Result<(), Refusal> {
    if object.lacks_bytes() { Err(Refusal::Incomplete) } else { Ok(()) }
}
