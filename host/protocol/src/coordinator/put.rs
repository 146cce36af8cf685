//! A put or a delete: one round. The local write and the copies to the other owners go out together, and the answer follows
//! when W nodes have it on their disks: owners, and in a sloppy bucket fallbacks.
//!
//! An owner that membership says is down, that refuses, or that is silent for too long gets a fallback, which keeps a hint
//! for it. That is so in a strict bucket too, where the fallback counts for nothing but brings the owner up to date sooner.
//! So a put goes on after its answer until every owner has the write or somebody owes it to him.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use crate::causality::{Content, Context, Digest, Dot, Object};
use crate::coordinator::failed;
use crate::coordinator::{Fact, Machine, NUDGE, Order, Orders, Placed, refusals, store_failed};
use crate::encoding;
use crate::id::{Key, NodeId, RequestId};
use crate::message::client::{Code, Response, Written};
use crate::message::peer::{Message, Refusal};
use crate::planted::{self, Bug};
use crate::quorum::{Joint, Verdict};
use crate::replica::{self, Answer, StandsIn, Step};
use crate::stand_in::StandIns;
use crate::time::{Duration, Expiry, Time, Timestamp};

/// A put or a delete in progress at its coordinator.
#[derive(Debug)]
pub(crate) struct Put {
    id: u64,
    me: NodeId,
    key: Key,
    /// What the client had seen.
    seen: Context,
    dot: Dot,
    /// Of the bytes that the client wrote; none for a delete.
    digest: Option<Digest>,
    w: u8,
    tally: Joint,
    /// Nodes that have the write on their disks.
    done: BTreeSet<NodeId>,
    refused: Vec<(NodeId, Refusal)>,
    /// What was sent to the other owners, once it is known.
    object: Option<Object>,
    answer_context: Context,
    sloppy: bool,
    stand_ins: StandIns,
    /// Nodes that were asked and have not answered, with the owners that they stand in for.
    asked: BTreeMap<NodeId, Option<NodeId>>,
    /// Fallbacks that have it on their disks.
    kept: BTreeSet<NodeId>,
    /// Owners that neither have the write nor a fallback that has.
    without: BTreeSet<NodeId>,
    /// Owners that are not asked at first.
    down: BTreeSet<NodeId>,
    /// The client has its answer.
    answered: bool,
    /// Another node may have made the write.
    doubtful: bool,
    patience: Duration,
    next_stand_in: Time,
    deadline: Time,
    nudge: Time,
}

/// What a put is to do.
#[derive(Debug)]
pub(crate) struct PutPlan {
    pub(crate) id: u64,
    pub(crate) me: NodeId,
    pub(crate) key: Key,
    pub(crate) seen: Context,
    pub(crate) content: Content,
    pub(crate) expires: Option<Expiry>,
    pub(crate) request: RequestId,
    pub(crate) dot: Dot,
    /// What the wall clock read when the request came.
    pub(crate) wall: Timestamp,
    pub(crate) placed: Placed,
    /// In whose place this node coordinates, where it is no owner.
    pub(crate) stands_in: Option<StandsIn>,
    /// Do fallbacks count?
    pub(crate) sloppy: bool,
    /// Another node was asked for the same before, and may have made the write.
    pub(crate) doubtful: bool,
    pub(crate) w: u8,
    /// How long an owner may be silent.
    pub(crate) patience: Duration,
    pub(crate) deadline: Time,
}

impl Put {
    /// Starts a put: the local step comes first, since what the others get is what it makes.
    pub(crate) fn start(plan: PutPlan, now: Time) -> (Self, Orders) {
        let digest = plan.content.digest();
        let step = Step::Put(replica::Put {
            seen: plan.seen.clone(),
            dot: plan.dot,
            content: plan.content,
            expires: plan.expires,
            wall: plan.wall,
            request: plan.request,
            stands_in: plan.stands_in,
        });
        let mut tally = Joint::new(&plan.placed.sets, plan.w);
        let without = plan.placed.owners().into_iter().collect();
        let mut stand_ins = StandIns::new(plan.placed.fallbacks);
        if let Some(StandsIn { owner, .. }) = plan.stands_in {
            stand_ins.take(plan.me, owner);
            tally.admit(plan.me, owner);
        }
        let put = Self {
            id: plan.id,
            me: plan.me,
            key: plan.key,
            answer_context: plan.seen.clone(),
            seen: plan.seen,
            dot: plan.dot,
            digest,
            w: plan.w,
            tally,
            done: BTreeSet::new(),
            refused: Vec::new(),
            object: None,
            sloppy: plan.sloppy,
            stand_ins,
            asked: BTreeMap::new(),
            kept: BTreeSet::new(),
            without,
            down: plan.placed.down,
            answered: false,
            doubtful: plan.doubtful,
            patience: plan.patience,
            next_stand_in: now.after(plan.patience),
            deadline: plan.deadline,
            nudge: now.after(NUDGE),
        };
        (put, vec![Order::Step(step)])
    }

    fn applied(&mut self, now: Time, answer: Answer, object: Object) -> Orders {
        match answer {
            Answer::Done | Answer::Ballot(_) | Answer::Collected => {}
            Answer::Duplicate(dot) => self.dot = dot,
            Answer::TooManySiblings { siblings } => {
                let text = format!(
                    "the key has {siblings} siblings that this write has not seen, and may have no more; nothing was \
                     written: read the key and write with the context of that read"
                );
                return self.refuse(failed(Code::TooManySiblings, text));
            }
            Answer::TooManyBytes { bytes } => {
                let text = format!(
                    "the key's siblings would hold {bytes} bytes together, more than the limit; nothing was written: \
                     read the key and write with the context of that read"
                );
                return self.refuse(failed(Code::TooManySiblings, text));
            }
        }
        self.answer_context = self.known_to_client(&object);
        self.object = Some(object);
        self.next_stand_in = now.after(self.patience);
        let mut orders = Vec::new();
        for owner in self.others_without() {
            let instead = self.down.contains(&owner).then(|| self.stand_in(owner)).flatten();
            orders.push(instead.unwrap_or_else(|| self.ask(owner, None)));
            if planted::has(Bug::EagerCount) {
                self.tally.success(owner);
            }
        }
        orders
    }

    /// Owners that nobody has the write for, but for this node and the one that it stands in for: those it serves itself.
    fn others_without(&self) -> Vec<NodeId> {
        let served = self.stand_ins.owner_of(self.me).unwrap_or(self.me);
        self.without.iter().copied().filter(|owner| *owner != served).collect()
    }

    /// Sends the object to a node: to an owner, or to a fallback in place of one.
    fn ask(&mut self, node: NodeId, instead_of: Option<NodeId>) -> Order {
        self.asked.insert(node, instead_of);
        self.copy(node, instead_of)
    }

    fn copy(&self, node: NodeId, instead_of: Option<NodeId>) -> Order {
        let (ask, key) = (self.id, self.key.clone());
        let object = self.object.clone().expect("nothing is sent before it is known");
        Order::Send(
            node,
            match instead_of {
                Some(owner) => Message::Hint { ask, owner, key, object },
                None => Message::Replicate { ask, key, object },
            },
        )
    }

    /// Has the next fallback stand in for `owner`. If there is no other, the put does not go on for that owner's sake.
    fn stand_in(&mut self, owner: NodeId) -> Option<Order> {
        let Some(fallback) = self.stand_ins.next_for(owner) else {
            self.without.remove(&owner);
            return None;
        };
        if self.sloppy || planted::has(Bug::FallbackAsOwner) {
            self.tally.admit(fallback, owner);
        }
        Some(self.ask(fallback, Some(owner)))
    }

    /// Has fallbacks stand in for all owners that were silent for too long, or whose fallbacks were.
    fn stand_in_for_all(&mut self, now: Time) -> Orders {
        self.next_stand_in = now.after(self.patience);
        self.others_without().into_iter().filter_map(|owner| self.stand_in(owner)).collect()
    }

    /// A refusal that says that nothing was written, unless another node may have made the write.
    fn refuse(&self, response: Response) -> Orders {
        if self.doubtful {
            return self.unknown("an owner was asked before and did not answer");
        }
        end(response)
    }

    /// `node` has the write on its disk.
    fn success(&mut self, node: NodeId) -> Orders {
        self.asked.remove(&node);
        self.done.insert(node);
        match self.stand_ins.owner_of(node) {
            Some(owner) => {
                self.kept.insert(node);
                self.without.remove(&owner);
            }
            None => {
                self.without.remove(&node);
            }
        }
        let verdict = self.tally.success(node);
        self.settle(verdict)
    }

    /// `node` has not, and will not.
    fn failure(&mut self, node: NodeId, why: Refusal) -> Orders {
        self.asked.remove(&node);
        self.refused.push((node, why));
        let owner = self.stand_ins.owner_of(node).unwrap_or(node);
        let mut orders = Vec::new();
        if self.without.contains(&owner) {
            orders.extend(self.stand_in(owner));
        }
        let verdict = self.tally.failure(node);
        orders.extend(self.settle(verdict));
        orders
    }

    /// What the client has seen now: its own write too, but not what others wrote. Where a plugin merged their values into
    /// this version, a context that covers it would let the client's next write wipe them out unseen.
    fn known_to_client(&self, object: &Object) -> Context {
        let mine = object.versions.iter().find(|v| v.dot == self.dot);
        match mine {
            Some(version) if version.content.digest() != self.digest => self.seen.clone(),
            // A sole version replaced all there was: the client knows as much as the coordinator.
            Some(_) if object.versions.len() == 1 => self.seen.union(&object.context_for_client()),
            Some(_) | None => self.seen.union(&Context::of(self.dot)),
        }
    }

    /// Sends again what may have been lost. An owner that was skipped may be back.
    fn ask_again(&mut self) -> Orders {
        for owner in self.others_without() {
            if !self.refused.iter().any(|(node, _)| *node == owner) {
                self.asked.insert(owner, None);
            }
        }
        self.asked.iter().map(|(node, instead_of)| self.copy(*node, *instead_of)).collect()
    }

    fn settle(&mut self, verdict: Verdict) -> Orders {
        let mut orders = Vec::new();
        if !self.answered {
            match verdict {
                Verdict::Pending => {}
                Verdict::Reached => {
                    self.answered = true;
                    orders.push(Order::Reply(self.written(), Vec::new()));
                }
                Verdict::Impossible => return self.unknown("too many nodes refused"),
            }
        }
        if self.answered && self.others_without().is_empty() {
            orders.push(Order::End);
        }
        orders
    }

    fn written(&self) -> Response {
        let fallbacks = self.kept.len();
        let owners = self.tally.least(|node| self.stand_ins.owner_of(node).is_none());
        Response::Written(Written {
            context: encoding::encode_context(&self.answer_context),
            owners: u8::try_from(owners).unwrap_or(u8::MAX),
            fallbacks: u8::try_from(fallbacks).unwrap_or(u8::MAX),
        })
    }

    /// The ring has changed. What is durable is so; whoever is an owner by now and has not got the write is asked.
    fn moved(&mut self, now: Time, placed: Placed) -> Orders {
        self.tally = Joint::new(&placed.sets, self.w);
        if self.sloppy {
            self.stand_ins.all().for_each(|(fallback, owner)| self.tally.admit(fallback, owner));
        }
        for node in &self.done {
            self.tally.success(*node);
        }
        let owners = placed.owners();
        self.without = owners.into_iter().filter(|owner| !self.done.contains(owner)).collect();
        for fallback in &self.kept {
            if let Some(owner) = self.stand_ins.owner_of(*fallback) {
                self.without.remove(&owner);
            }
        }
        self.stand_ins.renew(placed.fallbacks);
        self.down = placed.down;
        self.refused.clear();
        self.asked.retain(|node, instead_of| {
            instead_of.is_some_and(|owner| self.without.contains(&owner))
                || self.without.contains(node)
        });
        self.next_stand_in = now.after(self.patience);
        if self.object.is_none() {
            return Vec::new();
        }
        let mut orders: Orders =
            self.others_without().into_iter().map(|owner| self.ask(owner, None)).collect();
        let verdict = self.tally.verdict();
        orders.extend(self.settle(verdict));
        orders
    }

    /// The write may stand on some owners, and reach others later.
    fn unknown(&self, why: &str) -> Orders {
        let (have, need) = (self.tally.succeeded(), self.tally.needed());
        end(failed(
            Code::Unknown,
            format!(
                "{why}: {have} of the {need} acknowledgements asked for have come{}; the write may or may not be read \
                 later: read the key, or send the same request again",
                refusals(&self.refused)
            ),
        ))
    }
}

impl Machine for Put {
    fn on(&mut self, now: Time, fact: Fact) -> Orders {
        match fact {
            Fact::Applied { answer, object } => self.applied(now, answer, object),
            Fact::Durable => self.success(self.me),
            Fact::Failed(error) if self.object.is_none() => self.refuse(store_failed(&error)),
            Fact::Failed(_) => self.failure(self.me, Refusal::Storage),
            Fact::Moved(placed) => self.moved(now, placed),
            Fact::Replicated { from, refused: None } => self.success(from),
            Fact::Replicated { from, refused: Some(why) } => self.failure(from, why),
            Fact::Time if now >= self.deadline && self.answered => vec![Order::End],
            Fact::Time if now >= self.deadline => self.unknown("the deadline passed"),
            Fact::Time if self.object.is_none() => {
                self.nudge = now.after(NUDGE);
                self.next_stand_in = now.after(self.patience);
                Vec::new()
            }
            Fact::Time => {
                let mut orders = Vec::new();
                if now >= self.next_stand_in {
                    orders.extend(self.stand_in_for_all(now));
                }
                if now >= self.nudge {
                    self.nudge = now.after(NUDGE);
                    orders.extend(self.ask_again());
                }
                let verdict = self.tally.verdict();
                orders.extend(self.settle(verdict));
                orders
            }
            Fact::Read(_)
            | Fact::Held { .. }
            | Fact::Merged(_)
            | Fact::Forwarded { .. }
            | Fact::Balloted { .. }
            | Fact::Ballot(_)
            | Fact::Keys { .. }
            | Fact::Voted { .. }
            | Fact::CatalogueHave { .. }
            | Fact::CatalogueSaved
            | Fact::Component { .. }
            | Fact::Validated(_) => Vec::new(),
        }
    }

    fn wake(&self) -> Time {
        self.deadline.min(self.nudge).min(self.next_stand_in)
    }
}

fn end(response: Response) -> Orders {
    vec![Order::Reply(response, Vec::new()), Order::End]
}
