//! A conditional put or delete: made only if the key's object is still the one that the client has seen.
//!
//! Of two that race at most one may win, so it takes ballots, not only a look: CASPaxos (Rystsov 2018), a majority of the owners
//! deciding key by key. Three rounds, each durable before it is answered:
//!
//! 1. *prepare*: a majority promises to accept nothing earlier, and says what it holds and what it has accepted. The join of what
//!    they hold with what was accepted latest is the key's *current* object: all that was ever chosen is in it;
//! 2. *accept*, if the condition holds: a majority accepts the current object with the new version in it. Then it is chosen;
//! 3. *commit*: as many owners as a put waits for join what is chosen, so that reads see it. Only then the client is answered.
//!
//! What a former coordinator left half done is part of the current object, and is chosen and committed first, also where the
//! condition fails: what a client is told is the current object never goes back. Where the condition fails the current object is
//! accepted as it is: that fences off an earlier try of the same write, which a minority may have accepted. A retry meets its own request in the current
//! object, or it was never made. Fallbacks count for nothing here.

mod answers;
mod current;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use crate::causality::{Ballot, Content, Context, Dot, Object};
use crate::config::Shape;
use crate::coordinator::{Fact, Machine, NUDGE, Order, Orders, Placed};
use crate::id::{Key, NodeId, RequestId};
use crate::merge::{MergeFailure, MergeRequest};
use crate::message::ballot::{BallotQuestion, BallotReply};
use crate::message::peer::{Message, Refusal};
use crate::planted::{self, Bug};
use crate::quorum::{Joint, Verdict};
use crate::time::{Duration, Expiry, Now, Time, Timestamp};

/// How long a coordinator that was outbid waits before its next ballot, at first; up to 32 times as long later.
const BACKOFF: Duration = Duration::from_millis(10);

/// What a conditional put is to do.
#[derive(Debug)]
pub(crate) struct ConditionalPlan {
    pub(crate) id: u64,
    pub(crate) me: NodeId,
    pub(crate) key: Key,
    pub(crate) shape: Shape,
    /// What to ask for a merge; `None` in a bucket without a plugin.
    pub(crate) merge: Option<MergeRequest>,
    /// Lattice buckets: may versions be folded, or did the plugin break its laws?
    pub(crate) may_fold: bool,
    /// The change of the bucket since which it merges as it does.
    pub(crate) epoch: Option<Dot>,
    /// What the client has seen, and expects to be all there is.
    pub(crate) expected: Context,
    pub(crate) content: Content,
    pub(crate) expires: Option<Expiry>,
    /// The clocks when it began.
    pub(crate) began: Now,
    pub(crate) request: RequestId,
    /// The first ballot.
    pub(crate) ballot: Ballot,
    /// All owners.
    pub(crate) owners: Vec<NodeId>,
    /// The owners: a majority of each of these sets decides.
    pub(crate) sets: Vec<Vec<NodeId>>,
    /// Owners that have to hold the write before it is answered, at least a majority.
    pub(crate) w: u8,
    pub(crate) deadline: Time,
}

/// An owner's promise.
#[derive(Debug)]
struct Promised {
    accepted: Option<Ballot>,
    proposal: Option<Object>,
    object: Object,
}

/// Whether the write is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    /// It is.
    Holds,
    /// An earlier try has made it, under this dot.
    Made(Dot),
    /// The object is another one.
    Conflict,
}

/// Where it stands.
#[derive(Debug)]
enum Phase {
    /// Waiting for a majority's promises.
    Preparing(Joint),
    /// Waiting for bytes that the current object lacks.
    Fetching { asked_again: bool },
    /// Waiting for the plugin.
    Merging,
    /// Waiting for a majority to accept.
    Accepting(Joint),
    /// Waiting for owners to join what is chosen.
    Committing(Joint),
    /// Outbid: waiting until then for another try.
    Waiting(Time),
}

/// A conditional put in progress at its coordinator.
#[derive(Debug)]
pub(crate) struct Conditional {
    plan: ConditionalPlan,
    phase: Phase,
    ballot: Ballot,
    /// Ballots so far.
    tries: u32,
    promises: BTreeMap<NodeId, Promised>,
    /// The current object; later, what is proposed or committed.
    object: Object,
    finding: Finding,
    /// A part of the current object was accepted and is not known to be chosen.
    pending: bool,
    /// What is committed was chosen by this ballot.
    chosen: bool,
    view: Option<Result<Content, MergeFailure>>,
    /// As of when a conflict is answered: what expired by then is not shown.
    as_of: Timestamp,
    refused: BTreeMap<NodeId, Refusal>,
    outbid: bool,
    /// The write was proposed: it may be made by whoever comes after.
    doubtful: bool,
    answered: bool,
    /// Owners that have joined what is committed.
    have: BTreeSet<NodeId>,
    /// The ring has changed while the plugin was at it.
    moved: bool,
    nudge: Time,
}

impl Conditional {
    /// Starts with the first ballot.
    pub(crate) fn start(plan: ConditionalPlan, now: Time) -> (Self, Orders) {
        let mut conditional = Self {
            ballot: plan.ballot,
            phase: Phase::Waiting(now),
            tries: 0,
            promises: BTreeMap::new(),
            object: Object::default(),
            finding: Finding::Conflict,
            pending: false,
            chosen: false,
            view: None,
            as_of: plan.began.wall,
            refused: BTreeMap::new(),
            outbid: false,
            doubtful: false,
            answered: false,
            have: BTreeSet::new(),
            moved: false,
            nudge: now.after(NUDGE),
            plan,
        };
        let orders = conditional.prepare(now, conditional.plan.ballot);
        (conditional, orders)
    }

    /// A majority of each set, and at least so many.
    fn tally(&self, least: u8) -> Joint {
        Joint::majorities(&self.plan.sets, least)
    }

    fn ask(&self, owner: NodeId, question: BallotQuestion) -> Order {
        let (ask, key, ballot) = (self.plan.id, self.plan.key.clone(), self.ballot);
        if owner == self.plan.me {
            Order::Ballot { ballot, question }
        } else {
            Order::Send(owner, Message::Ballot { ask, key, ballot, question })
        }
    }

    /// The question of this phase.
    fn question(&self) -> Option<BallotQuestion> {
        match &self.phase {
            Phase::Preparing(_) => Some(BallotQuestion::Prepare),
            Phase::Accepting(_) => Some(BallotQuestion::Accept(self.object.clone())),
            Phase::Committing(_) => {
                Some(BallotQuestion::Commit { object: self.object.clone(), chosen: self.chosen })
            }
            Phase::Fetching { .. } | Phase::Merging | Phase::Waiting(_) => None,
        }
    }

    fn ask_all(&mut self, now: Time, owners: &[NodeId]) -> Orders {
        self.nudge = now.after(NUDGE);
        let Some(question) = self.question() else {
            return Vec::new();
        };
        owners.iter().map(|owner| self.ask(*owner, question.clone())).collect()
    }

    // Prepare

    fn prepare(&mut self, now: Time, ballot: Ballot) -> Orders {
        self.ballot = ballot;
        self.tries += 1;
        self.promises.clear();
        self.refused.clear();
        self.outbid = false;
        self.view = None;
        self.phase = Phase::Preparing(self.tally(1));
        let owners = self.plan.owners.clone();
        self.ask_all(now, &owners)
    }

    fn promised(&mut self, now: Time, from: NodeId, promised: Promised) -> Orders {
        let Phase::Preparing(tally) = &mut self.phase else {
            return Vec::new();
        };
        self.promises.insert(from, promised);
        match tally.success(from) {
            Verdict::Reached => self.look(now),
            Verdict::Pending | Verdict::Impossible => Vec::new(),
        }
    }

    // Accept

    fn propose(&mut self, now: Time) -> Orders {
        // What was made is made. That the write is not made may only be said once a majority has accepted something later than
        // any try to make it: until then one owner that accepted such a try would have it made by whoever asks next.
        if matches!(self.finding, Finding::Made(_)) && !self.pending {
            return self.commit(now, false);
        }
        self.doubtful |= self.finding == Finding::Holds;
        self.outbid = false;
        self.refused.clear();
        self.phase = Phase::Accepting(self.tally(1));
        let owners = self.plan.owners.clone();
        self.ask_all(now, &owners)
    }

    fn accepted(&mut self, now: Time, from: NodeId) -> Orders {
        let Phase::Accepting(tally) = &mut self.phase else {
            return Vec::new();
        };
        match tally.success(from) {
            Verdict::Reached => self.commit(now, true),
            Verdict::Pending | Verdict::Impossible => Vec::new(),
        }
    }

    // Commit

    fn commit(&mut self, now: Time, chosen: bool) -> Orders {
        self.chosen = chosen;
        self.refused.clear();
        let mut tally = self.tally(self.plan.w);
        let mut verdict = tally.verdict();
        if !chosen {
            for (owner, promised) in &self.promises {
                if promised.object.includes(&self.object) {
                    self.have.insert(*owner);
                    verdict = tally.success(*owner);
                }
            }
        }
        self.phase = Phase::Committing(tally);
        if verdict == Verdict::Reached {
            return self.answer_and_end();
        }
        let owners = self.plan.owners.iter().copied().filter(|owner| !self.have.contains(owner));
        let owners: Vec<NodeId> = owners.collect();
        self.ask_all(now, &owners)
    }

    fn committed(&mut self, from: NodeId) -> Orders {
        let Phase::Committing(tally) = &mut self.phase else {
            return Vec::new();
        };
        self.have.insert(from);
        let reached = tally.success(from) == Verdict::Reached;
        let mut orders = Vec::new();
        if reached && !self.answered {
            if !self.chosen {
                return self.answer_and_end();
            }
            orders.extend(self.answer());
        }
        if reached && self.have.len() == self.plan.owners.len() {
            orders.extend(self.end());
        }
        orders
    }

    // What goes wrong

    /// The ring has changed. Promises and acceptances of one ballot have to be those of one set of owners: another ballot
    /// begins with those of now, and finds what this one may have decided.
    fn owners_moved(&mut self, now: Time, placed: Placed) -> Orders {
        self.plan.owners = placed.owners();
        self.plan.sets = placed.sets;
        if self.answered {
            return self.end();
        }
        match self.phase {
            Phase::Merging => {
                self.moved = true;
                Vec::new()
            }
            Phase::Waiting(_) => Vec::new(),
            Phase::Preparing(_)
            | Phase::Fetching { .. }
            | Phase::Accepting(_)
            | Phase::Committing(_) => {
                self.have.clear();
                self.wait(now)
            }
        }
    }

    /// An owner has promised a later ballot.
    fn outbid(&mut self, now: Time, from: NodeId) -> Orders {
        self.outbid = true;
        self.failure(now, from)
    }

    fn failure(&mut self, now: Time, from: NodeId) -> Orders {
        let tally = match &mut self.phase {
            Phase::Preparing(tally) | Phase::Accepting(tally) | Phase::Committing(tally) => tally,
            Phase::Fetching { .. } | Phase::Merging | Phase::Waiting(_) => return Vec::new(),
        };
        if tally.failure(from) != Verdict::Impossible {
            return Vec::new();
        }
        if matches!(self.phase, Phase::Committing(_)) {
            self.give_up("too few owners took what was decided")
        } else if self.outbid {
            self.wait(now)
        } else {
            self.give_up("too few owners took part")
        }
    }

    /// Another coordinator is at it: leaves it some time. Who waits how long differs by the operation's number.
    fn wait(&mut self, now: Time) -> Orders {
        let spread = self.plan.id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let longest = BACKOFF.0 << self.tries.min(5);
        let pause = longest / 2 + (spread ^ (u64::from(self.tries) * 7_919)) % longest;
        self.phase = Phase::Waiting(now.after(Duration(pause)));
        vec![Order::Count("ballots_outbid")]
    }

    fn on_time(&mut self, now: Time) -> Orders {
        if now >= self.plan.deadline {
            return if self.answered { self.end() } else { self.give_up("the deadline passed") };
        }
        if let Phase::Waiting(until) = self.phase {
            return if now >= until { vec![Order::Tick] } else { Vec::new() };
        }
        if now < self.nudge {
            return Vec::new();
        }
        self.nudge = now.after(NUDGE);
        match &self.phase {
            Phase::Preparing(tally) | Phase::Accepting(tally) => {
                let again = tally.waiting();
                self.ask_all(now, &again)
            }
            Phase::Committing(_) => {
                let owners = self.plan.owners.iter().copied();
                let again: Vec<NodeId> = owners.filter(|o| !self.have.contains(o)).collect();
                self.ask_all(now, &again)
            }
            Phase::Fetching { asked_again: false } => self.fetch(now, true),
            // What they held may have been replaced.
            Phase::Fetching { asked_again: true } => self.wait(now),
            Phase::Merging | Phase::Waiting(_) => Vec::new(),
        }
    }
}

impl Machine for Conditional {
    fn on(&mut self, now: Time, fact: Fact) -> Orders {
        match fact {
            Fact::Balloted { from, ballot, reply } if ballot == self.ballot => match reply {
                Ok(BallotReply::Promised { accepted, proposal, object }) => {
                    self.promised(now, from, Promised { accepted, proposal, object })
                }
                Ok(BallotReply::Accepted) => self.accepted(now, from),
                Ok(BallotReply::Outbid(_)) if planted::has(Bug::RefusalAsAccept) => {
                    self.accepted(now, from)
                }
                Ok(BallotReply::Committed) => self.committed(from),
                Ok(BallotReply::Outbid(_)) => self.outbid(now, from),
                Err(why) => {
                    self.refused.insert(from, why);
                    self.failure(now, from)
                }
            },
            Fact::Moved(placed) => self.owners_moved(now, placed),
            Fact::Ballot(Some(ballot)) => self.prepare(now, ballot),
            Fact::Ballot(None) => self.wait(now),
            Fact::Held { object: Ok(object), .. } => self.held(now, &object),
            Fact::Merged(result) => self.merged(now, result),
            Fact::Time => self.on_time(now),
            Fact::Balloted { .. }
            | Fact::Keys { .. }
            | Fact::Voted { .. }
            | Fact::Applied { .. }
            | Fact::Durable
            | Fact::Failed(_)
            | Fact::Read(_)
            | Fact::Replicated { .. }
            | Fact::Held { .. }
            | Fact::Validated(_)
            | Fact::Component { .. }
            | Fact::Forwarded { .. }
            | Fact::CatalogueHave { .. }
            | Fact::CatalogueSaved => Vec::new(),
        }
    }

    fn wake(&self) -> Time {
        let next = match self.phase {
            Phase::Waiting(until) => until,
            Phase::Preparing(_)
            | Phase::Fetching { .. }
            | Phase::Merging
            | Phase::Accepting(_)
            | Phase::Committing(_) => self.nudge,
        };
        next.min(self.plan.deadline)
    }
}

#[cfg(test)]
mod tests;
