//! A vote on the ring's next record: one decision of one value (Lamport 1998), its number the version that is decided.
//!
//! A majority of the voters promises to accept nothing earlier, and says what it has accepted; what was accepted latest has to be
//! proposed again, and only if there is nothing, the proposal of whoever votes. What a majority accepts is decided. While the
//! ring changes it takes a majority of the old members and one of the new ones. So of two operators who commit at once one wins,
//! and the other is told so; a vote that was left half-way is finished by whoever votes next.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use crate::causality::Ballot;
use crate::coordinator::{Fact, Machine, NUDGE, Order, Orders, failed};
use crate::id::NodeId;
use crate::message::client::{Code, Response};
use crate::message::cluster::ClusterResponse;
use crate::message::peer::Message;
use crate::message::vote::{VoteQuestion, VoteReply};
use crate::quorum::{Joint, Verdict};
use crate::record::Record;
use crate::time::{Duration, Time};

/// About how long a vote waits that was outbid, the first time.
const BACKOFF: Duration = Duration::from_millis(20);

/// What a vote is to do.
#[derive(Debug)]
pub(crate) struct VotePlan {
    pub(crate) id: u64,
    pub(crate) me: NodeId,
    /// A majority of each of these has to agree.
    pub(crate) voters: Vec<Vec<NodeId>>,
    /// What is proposed.
    pub(crate) proposal: Record,
    pub(crate) ballot: Ballot,
    pub(crate) deadline: Time,
}

/// Where it stands.
#[derive(Debug)]
enum Phase {
    Preparing(Joint),
    Accepting(Joint),
    /// Outbid: waiting until then for another try.
    Waiting(Time),
}

/// A vote in progress.
#[derive(Debug)]
pub(crate) struct Vote {
    plan: VotePlan,
    phase: Phase,
    ballot: Ballot,
    tries: u32,
    /// What was accepted latest, of what was heard of in this ballot.
    accepted: Option<(Ballot, Record)>,
    /// What is proposed in this ballot.
    value: Record,
    /// The plan's own proposal was sent to somebody: it may be decided.
    doubtful: bool,
    nudge: Time,
}

impl Vote {
    /// Starts with the first ballot.
    pub(crate) fn start(plan: VotePlan, now: Time) -> (Self, Orders) {
        let ballot = plan.ballot;
        let mut vote = Self {
            phase: Phase::Waiting(now),
            ballot,
            tries: 0,
            accepted: None,
            value: plan.proposal.clone(),
            doubtful: false,
            nudge: now,
            plan,
        };
        let orders = vote.prepare(now, ballot);
        (vote, orders)
    }

    fn everybody(&self) -> Vec<NodeId> {
        let mut all: Vec<NodeId> = self.plan.voters.iter().flatten().copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn ask(&mut self, now: Time, nodes: Vec<NodeId>) -> Orders {
        self.nudge = now.after(NUDGE);
        let question = match &self.phase {
            Phase::Preparing(_) => VoteQuestion::Prepare,
            Phase::Accepting(_) => VoteQuestion::Accept(self.value.clone()),
            Phase::Waiting(_) => return Vec::new(),
        };
        let (ask, version, ballot) = (self.plan.id, self.plan.proposal.version, self.ballot);
        let order = |node| {
            let question = question.clone();
            if node == self.plan.me {
                Order::Vote { version, ballot, question }
            } else {
                Order::Send(node, Message::Vote { ask, version, ballot, question })
            }
        };
        nodes.into_iter().map(order).collect()
    }

    fn prepare(&mut self, now: Time, ballot: Ballot) -> Orders {
        self.ballot = ballot;
        self.tries += 1;
        self.accepted = None;
        self.phase = Phase::Preparing(Joint::majorities(&self.plan.voters, 1));
        let everybody = self.everybody();
        self.ask(now, everybody)
    }

    fn promised(&mut self, now: Time, from: NodeId, accepted: Option<(Ballot, Record)>) -> Orders {
        let Phase::Preparing(tally) = &mut self.phase else {
            return Vec::new();
        };
        let verdict = tally.success(from);
        if let Some((ballot, record)) = accepted
            && self.accepted.as_ref().is_none_or(|(latest, _)| *latest < ballot)
        {
            self.accepted = Some((ballot, record));
        }
        if verdict != Verdict::Reached {
            return Vec::new();
        }
        let other = self.accepted.take().map(|(_, record)| record);
        self.value = other.unwrap_or_else(|| self.plan.proposal.clone());
        self.doubtful |= self.value == self.plan.proposal;
        self.phase = Phase::Accepting(Joint::majorities(&self.plan.voters, 1));
        let everybody = self.everybody();
        self.ask(now, everybody)
    }

    fn accepted(&mut self, from: NodeId) -> Orders {
        let Phase::Accepting(tally) = &mut self.phase else {
            return Vec::new();
        };
        match tally.success(from) {
            Verdict::Reached => self.over(self.value.clone()),
            Verdict::Pending | Verdict::Impossible => Vec::new(),
        }
    }

    /// A record is decided: of this version, or of a later one.
    fn over(&self, record: Record) -> Orders {
        let version = record.version;
        let response = if record == self.plan.proposal {
            Response::Cluster(ClusterResponse::Decided { version })
        } else if version > self.plan.proposal.version && self.doubtful {
            let text = format!(
                "the ring has come to version {version} meanwhile; whether this change was among the steps is not known: see \
                 the status"
            );
            failed(Code::Unknown, text)
        } else {
            let text = format!(
                "the members have decided another change first, and the ring is at version {version}; of this one nothing was \
                 done: look at a new plan"
            );
            failed(Code::Outdated, text)
        };
        vec![Order::Decided(record), Order::Reply(response, Vec::new()), Order::End]
    }

    fn failure(&mut self, now: Time, from: NodeId) -> Orders {
        let tally = match &mut self.phase {
            Phase::Preparing(tally) | Phase::Accepting(tally) => tally,
            Phase::Waiting(_) => return Vec::new(),
        };
        if tally.failure(from) == Verdict::Impossible { self.wait(now) } else { Vec::new() }
    }

    /// Another one is at it, or too few know the record before: leaves them some time. Who waits how long differs by the
    /// operation's number.
    fn wait(&mut self, now: Time) -> Orders {
        let spread = self.plan.id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let longest = BACKOFF.0 << self.tries.min(5);
        let pause = longest / 2 + (spread ^ (u64::from(self.tries) * 7_919)) % longest;
        self.phase = Phase::Waiting(now.after(Duration(pause)));
        vec![Order::Count("votes_outbid")]
    }

    fn on_time(&mut self, now: Time) -> Orders {
        if now >= self.plan.deadline {
            let response = if self.doubtful {
                let text = "too few members have voted in time; the change may or may not be decided later: see the status";
                failed(Code::Unknown, text)
            } else {
                let text = "too few members have voted in time; nothing was changed: a change takes a majority of the members";
                failed(Code::Unavailable, text)
            };
            return vec![Order::Reply(response, Vec::new()), Order::End];
        }
        match &self.phase {
            Phase::Waiting(until) if now >= *until => vec![Order::Tick],
            Phase::Waiting(_) => Vec::new(),
            Phase::Preparing(tally) | Phase::Accepting(tally) if now >= self.nudge => {
                let again = tally.waiting();
                self.ask(now, again)
            }
            Phase::Preparing(_) | Phase::Accepting(_) => Vec::new(),
        }
    }
}

impl Machine for Vote {
    fn on(&mut self, now: Time, fact: Fact) -> Orders {
        match fact {
            Fact::Voted { from, ballot, reply } if ballot == self.ballot => match reply {
                VoteReply::Promised { accepted } => self.promised(now, from, accepted),
                VoteReply::Accepted => self.accepted(from),
                VoteReply::Outbid(_) | VoteReply::Behind => self.failure(now, from),
                VoteReply::Over(record) => self.over(record),
            },
            Fact::Ballot(Some(ballot)) => self.prepare(now, ballot),
            Fact::Ballot(None) => self.wait(now),
            Fact::Time => self.on_time(now),
            Fact::Voted { .. }
            | Fact::Moved(_)
            | Fact::Applied { .. }
            | Fact::Durable
            | Fact::Failed(_)
            | Fact::Read(_)
            | Fact::Replicated { .. }
            | Fact::Held { .. }
            | Fact::Balloted { .. }
            | Fact::Keys { .. }
            | Fact::Merged(_)
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
            Phase::Preparing(_) | Phase::Accepting(_) => self.nudge,
        };
        next.min(self.plan.deadline)
    }
}
