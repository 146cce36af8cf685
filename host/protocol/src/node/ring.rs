//! The node's part in changes of the ring: the record that it acts by, votes on the next one, and what operators ask.
//!
//! A record is durable before the node acts by it: a node that forgot a record in a crash would take writes by the one before,
//! after others have copied what it held then.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::{Node, Saving};
use crate::catalogue::{MAX_STAGED, MemberChange, StagedEntry};
use crate::causality::{Acceptor, Ballot, Dot};
use crate::coordinator::change::Change;
use crate::coordinator::vote::{Vote, VotePlan};
use crate::coordinator::{Fact, ReplyTo};
use crate::id::NodeId;
use crate::io::{Output, saved};
use crate::message::client::{Code, Failure, Response};
use crate::message::cluster::{ClusterRequest, ClusterResponse, ClusterStatus};
use crate::message::peer::Message;
use crate::message::vote::{Progress, VoteQuestion, VoteReply};
use crate::plan::Plan;
use crate::record::{Kept, Record};
use crate::time::{Duration, Now, Time};
use crate::{cbor, node::overloaded};

/// How long a node waits before it asks for a record again.
const PULL: Duration = Duration::from_millis(50);

/// What a node knows of the ring.
#[derive(Debug)]
pub(super) struct RingState {
    /// What is kept, and perhaps not durable yet.
    pub(super) kept: Kept,
    /// The record that the node acts by: the last one that is durable.
    pub(super) acting: Record,
    /// How far the other members have come, as they last said.
    pub(super) progress: BTreeMap<NodeId, Progress>,
    /// The latest record could not be kept.
    unsaved: bool,
    /// Not before then is a record asked for again.
    next_pull: Time,
}

impl RingState {
    pub(super) fn new(kept: Kept, now: Time) -> Self {
        let acting = kept.record.clone();
        Self { kept, acting, progress: BTreeMap::new(), unsaved: false, next_pull: now }
    }
}

impl Node {
    /// The ring's record that this node acts by.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.ring.acting
    }

    /// Is this node a member, by the record that it acts by?
    #[must_use]
    pub fn is_member(&self) -> bool {
        self.ring.acting.members().contains_key(&self.boot.id)
    }

    /// A member acts by this version of the record.
    pub(super) fn on_version(&mut self, now: Now, from: NodeId, version: u64) {
        if version > self.ring.kept.record.version && self.ring.next_pull <= now.time {
            self.ring.next_pull = now.time.after(PULL);
            self.send(now, from, Message::RecordPull);
        }
    }

    pub(super) fn on_record_pull(&mut self, now: Now, from: NodeId) {
        let record = self.ring.acting.clone();
        self.send(now, from, Message::Record(record));
    }

    /// Takes a record, if it is a later one: keeps it, and acts by it once that is durable.
    pub(super) fn take_record(&mut self, record: Record) {
        if self.ring.kept.take(self.boot.id, record) {
            let version = self.ring.kept.record.version;
            self.save_ring(Saving::Record(version));
        }
    }

    pub(super) fn save_ring(&mut self, saving: Saving) {
        let bytes = cbor::encode(&self.ring.kept).into();
        self.save(saved::RING, bytes, saving);
    }

    /// A record is durable: the node acts by it from now on.
    pub(super) fn on_record_saved(&mut self, now: Now, version: u64) {
        if version != self.ring.kept.record.version || version <= self.ring.acting.version {
            return;
        }
        self.count("records_taken");
        self.ring.acting = self.ring.kept.record.clone();
        if self.boot.catalogue.void_staged(self.ring.acting.change) {
            self.save_catalogue(Saving::Nothing);
        }
        let members = self.ring.acting.members();
        let others = members.keys().copied().filter(|id| *id != self.boot.id);
        let others: Vec<NodeId> = others.collect();
        let members: Vec<_> = members.into_values().cloned().collect();
        self.peers.retain(|peer, _| others.contains(peer));
        for peer in &others {
            self.peers.entry(*peer).or_default();
        }
        self.ring.progress.retain(|member, _| others.contains(member));
        self.membership.set_members(others.clone());
        self.outputs.push_back(Output::Members(members));
        self.repair_moved(now);
        self.moves_moved(now);
        self.deletes_moved(&others);
        self.tell_moved(now);
    }

    /// The record could not be kept: that is tried again with the next greeting.
    pub(super) fn on_record_unsaved(&mut self, version: u64) {
        self.ring.unsaved = version == self.ring.kept.record.version;
    }

    /// Tries again to keep a record.
    pub(super) fn keep_record(&mut self) {
        if core::mem::take(&mut self.ring.unsaved) {
            let version = self.ring.kept.record.version;
            self.save_ring(Saving::Record(version));
        }
    }

    // Votes

    /// Begins a vote on a record.
    pub(super) fn begin_vote(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        proposal: Record,
        deadline: Time,
    ) -> Result<(), Failure> {
        let Some(ballot) = self.new_ballot(now) else {
            return Err(overloaded());
        };
        self.count("votes");
        let id = self.new_id();
        let voters = self.ring.acting.voters();
        let plan = VotePlan { id, me: self.boot.id, voters, proposal, ballot, deadline };
        let (vote, orders) = Vote::start(plan, now.time);
        self.start(now, id, Box::new(vote), reply_to, None, orders);
        Ok(())
    }

    /// A question of a ballot on the next record, of a peer or of an operation of this node.
    pub(super) fn on_vote(
        &mut self,
        now: Now,
        from: NodeId,
        ask: u64,
        version: u64,
        ballot: Ballot,
        question: VoteQuestion,
    ) {
        let kept = &mut self.ring.kept;
        let is_voter = kept.record.voters().iter().any(|set| set.contains(&self.boot.id));
        let reply = if version <= kept.record.version {
            VoteReply::Over(kept.record.clone())
        } else if version > kept.record.version + 1 || !is_voter {
            VoteReply::Behind
        } else {
            let (accepted, proposal) = kept.accepted.take().unzip();
            let mut acceptor = Acceptor { promised: kept.promised, accepted, proposal };
            let reply = match question {
                VoteQuestion::Prepare => acceptor.prepare(ballot).map(|()| VoteReply::Promised {
                    accepted: acceptor.accepted.zip(acceptor.proposal.clone()),
                }),
                VoteQuestion::Accept(record) if record.version != version => Err(ballot),
                VoteQuestion::Accept(record) => {
                    acceptor.accept(ballot, record).map(|()| VoteReply::Accepted)
                }
            };
            let Acceptor { promised, accepted, proposal } = acceptor;
            kept.promised = promised;
            kept.accepted = accepted.zip(proposal);
            match reply {
                Ok(reply) => {
                    let saving = Saving::Vote { to: from, ask, ballot, reply: Box::new(reply) };
                    return self.save_ring(saving);
                }
                Err(later) => VoteReply::Outbid(later),
            }
        };
        self.voted(now, from, ask, ballot, reply);
    }

    /// Answers a question of a ballot.
    pub(super) fn voted(
        &mut self,
        now: Now,
        to: NodeId,
        ask: u64,
        ballot: Ballot,
        reply: VoteReply,
    ) {
        if to == self.boot.id {
            self.tell(now, ask, Fact::Voted { from: to, ballot, reply });
        } else {
            self.send(now, to, Message::Voted { ask, ballot, reply });
        }
    }

    /// The members have decided: takes the record, and tells all that it concerns.
    pub(super) fn on_decided(&mut self, now: Now, record: Record) {
        let mut concerned: Vec<NodeId> = record.members().into_keys().collect();
        concerned.extend(self.peers.keys().copied());
        concerned.sort_unstable();
        concerned.dedup();
        let me = self.boot.id;
        for node in concerned.into_iter().filter(|node| *node != me) {
            self.send(now, node, Message::Record(record.clone()));
        }
        self.take_record(record);
    }

    // What operators ask

    pub(super) fn on_cluster_request(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        admin: bool,
        request: &ClusterRequest,
        deadline: Time,
    ) -> Result<(), Failure> {
        if request.needs_admin() && !admin {
            let text =
                "changing the ring needs a certificate of the admin role; nothing was changed";
            return Err(Failure::new(Code::Forbidden, text));
        }
        let response = match request {
            ClusterRequest::Status => ClusterResponse::Status(Box::new(self.cluster_status())),
            ClusterRequest::Plan => {
                let plan = self.plan()?;
                let digest = plan.digest();
                ClusterResponse::Planned { plan: Box::new(plan), digest }
            }
            ClusterRequest::Stage(changes) => {
                return self.stage(now, reply_to, changes, deadline);
            }
            ClusterRequest::Commit { plan: digest } => {
                let plan = self.plan()?;
                if plan.digest() != *digest {
                    let text = "the plan is out of date: the ring, or what is staged, is not what it was made from; nothing was \
                                changed: look at a new plan";
                    return Err(Failure::new(Code::Outdated, text));
                }
                self.check_settled(&plan.gone)?;
                let begun = self.ring.acting.begun(plan.new, plan.gone);
                let proposal = begun.ok_or_else(|| changing("a change is in progress already"))?;
                return self.begin_vote(now, reply_to, proposal, deadline);
            }
            ClusterRequest::Abort => {
                let aborted = self.ring.acting.aborted();
                let proposal = aborted.ok_or_else(|| {
                    changing("no change is in progress that could still be taken back")
                })?;
                return self.begin_vote(now, reply_to, proposal, deadline);
            }
        };
        self.reply(reply_to, now, Response::Cluster(response), Vec::new());
        Ok(())
    }

    /// What would come of what is staged.
    fn plan(&self) -> Result<Plan, Failure> {
        let plan = Plan::of(&self.ring.acting, &self.boot.catalogue);
        plan.map_err(|e| Failure::new(Code::BadRequest, alloc::format!("{e}; nothing was changed")))
    }

    /// How the ring is.
    fn cluster_status(&self) -> ClusterStatus {
        let change = self.ring.acting.change;
        let staged = self.boot.catalogue.staged().iter().filter(|(_, e)| e.change == change);
        let staged = staged.filter_map(|(id, entry)| Some((*id, entry.what.clone()?)));
        let mut progress = self.ring.progress.clone();
        progress.insert(self.boot.id, self.progress());
        ClusterStatus { record: self.ring.acting.clone(), staged: staged.collect(), progress }
    }

    fn stage(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        changes: &[(NodeId, Option<MemberChange>)],
        deadline: Time,
    ) -> Result<(), Failure> {
        let staged = self.boot.catalogue.staged().keys();
        let new = changes.iter().filter(|(id, _)| !self.boot.catalogue.staged().contains_key(id));
        if staged.len() + new.count() > MAX_STAGED {
            let text = alloc::format!(
                "at most {MAX_STAGED} changes can be staged at one time; nothing was staged: commit some of them first"
            );
            return Err(Failure::new(Code::BadRequest, text));
        }
        for (id, what) in changes {
            self.check_staged(*id, what.as_ref())?;
        }
        let change = self.ring.acting.change;
        let mut catalogue = self.boot.catalogue.clone();
        for (id, what) in changes {
            let Some(time) = self.boot.clock.tick(now.wall) else {
                return Err(overloaded());
            };
            let version = Dot { time, actor: self.boot.life.actor };
            catalogue.stage(*id, StagedEntry { version, change, what: what.clone() });
        }
        self.boot.catalogue = catalogue.clone();
        let id = self.new_id();
        self.save_catalogue(Saving::Change(id));
        let peers: Vec<NodeId> = self.peers.keys().copied().collect();
        let done = |missing| Response::Cluster(ClusterResponse::Staged { missing });
        let (machine, orders) = Change::start(id, catalogue, peers, done, now.time, deadline);
        self.start(now, id, Box::new(machine), reply_to, None, orders);
        Ok(())
    }

    /// A change that can be staged: of a member, or of a node that is none if it joins.
    fn check_staged(&self, id: NodeId, what: Option<&MemberChange>) -> Result<(), Failure> {
        let members = self.ring.acting.members();
        let text = match what {
            Some(MemberChange::Join(member)) if member.id != id => {
                "it names another node".to_string()
            }
            Some(MemberChange::Join(_)) if members.contains_key(&id) => {
                "the node is a member already".to_string()
            }
            Some(MemberChange::Replace { by, .. }) if members.contains_key(&by.id) => {
                alloc::format!("node {} is a member already", by.id)
            }
            Some(MemberChange::SetCapacity(0)) => "a member's capacity is at least 1".to_string(),
            Some(MemberChange::Join(_)) | None => return Ok(()),
            Some(_) if members.contains_key(&id) => return Ok(()),
            Some(_) => "the node is no member".to_string(),
        };
        let text = alloc::format!("nothing can be staged of node {id}: {text}; nothing was staged");
        Err(Failure::new(Code::BadRequest, text))
    }
}

fn changing(what: &str) -> Failure {
    let text = alloc::format!("{what}; nothing was changed: see the status");
    Failure::new(Code::Outdated, text)
}
