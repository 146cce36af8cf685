//! A put or a delete: one round. The local write and the copies to the other owners go out together, and the answer follows
//! when W owners have it on their disks.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use crate::causality::{Content, Context, Digest, Dot, Object};
use crate::coordinator::failed;
use crate::coordinator::{Fact, Machine, NUDGE, Order, Orders, refusals, store_failed};
use crate::encoding;
use crate::id::{Key, NodeId, RequestId};
use crate::message::client::{Code, Response, Written};
use crate::message::peer::{Message, Refusal};
use crate::quorum::{Tally, Verdict};
use crate::replica::{self, Answer, Step};
use crate::time::Time;

/// A put or a delete in progress at its coordinator, which is an owner.
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
    tally: Tally,
    refused: Vec<(NodeId, Refusal)>,
    /// What was sent to the other owners, once it is known.
    object: Option<Object>,
    answer_context: Context,
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
    pub(crate) request: RequestId,
    pub(crate) dot: Dot,
    pub(crate) owners: Vec<NodeId>,
    pub(crate) w: u8,
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
            request: plan.request,
        });
        let put = Self {
            id: plan.id,
            me: plan.me,
            key: plan.key,
            answer_context: plan.seen.clone(),
            seen: plan.seen,
            dot: plan.dot,
            digest,
            tally: Tally::new(plan.owners, plan.w),
            refused: Vec::new(),
            object: None,
            deadline: plan.deadline,
            nudge: now.after(NUDGE),
        };
        (put, vec![Order::Step(step)])
    }

    fn applied(&mut self, answer: Answer, object: Object) -> Orders {
        match answer {
            Answer::Done => {}
            Answer::Duplicate(dot) => self.dot = dot,
            Answer::TooManySiblings { siblings } => {
                let text = format!(
                    "the key has {siblings} siblings that this write has not seen, and may have no more; nothing was \
                     written: read the key and write with the context of that read"
                );
                return end(failed(Code::TooManySiblings, text));
            }
            Answer::TooManyBytes { bytes } => {
                let text = format!(
                    "the key's siblings would hold {bytes} bytes together, more than the limit; nothing was written: \
                     read the key and write with the context of that read"
                );
                return end(failed(Code::TooManySiblings, text));
            }
        }
        self.answer_context = self.known_to_client(&object);
        let orders = self.replicate(&object);
        self.object = Some(object);
        orders
    }

    /// What the client has seen now: its own write too, but not what others wrote. Where a plugin merged their values into
    /// this version, a context that covers it would let the client's next write wipe them out unseen.
    fn known_to_client(&self, object: &Object) -> Context {
        let mine = object.versions.iter().find(|v| v.dot == self.dot);
        match mine {
            Some(version) if version.content.digest() != self.digest => self.seen.clone(),
            // A sole version replaced all there was: the client knows as much as the coordinator.
            Some(_) if object.versions.len() == 1 => self.seen.union(&object.context),
            Some(_) | None => self.seen.union(&Context::of(self.dot)),
        }
    }

    fn replicate(&self, object: &Object) -> Orders {
        self.tally
            .waiting()
            .filter(|owner| *owner != self.me)
            .map(|owner| {
                let (ask, key, object) = (self.id, self.key.clone(), object.clone());
                Order::Send(owner, Message::Replicate { ask, key, object })
            })
            .collect()
    }

    fn settle(&mut self, verdict: Verdict) -> Orders {
        match verdict {
            Verdict::Pending => Vec::new(),
            Verdict::Reached => end(Response::Written(Written {
                context: encoding::encode_context(&self.answer_context),
                owners: u8::try_from(self.tally.succeeded()).unwrap_or(u8::MAX),
                fallbacks: 0,
            })),
            Verdict::Impossible => self.unknown("too many owners refused"),
        }
    }

    /// The write may stand on some owners, and reach others later.
    fn unknown(&self, why: &str) -> Orders {
        let (have, need) = (self.tally.succeeded(), self.tally.needed());
        end(failed(
            Code::Unknown,
            format!(
                "{why}: {have} of the {need} owners asked for have acknowledged the write{}; it may or may not be read \
                 later: read the key, or send the same request again",
                refusals(&self.refused)
            ),
        ))
    }
}

impl Machine for Put {
    fn on(&mut self, now: Time, fact: Fact) -> Orders {
        match fact {
            Fact::Applied { answer, object } => self.applied(answer, object),
            Fact::Durable => {
                let verdict = self.tally.success(self.me);
                self.settle(verdict)
            }
            Fact::Failed(error) if self.object.is_none() => end(store_failed(&error)),
            Fact::Failed(_) => {
                self.refused.push((self.me, Refusal::Storage));
                let verdict = self.tally.failure(self.me);
                self.settle(verdict)
            }
            Fact::Replicated { from, refused: None } => {
                let verdict = self.tally.success(from);
                self.settle(verdict)
            }
            Fact::Replicated { from, refused: Some(why) } => {
                self.refused.push((from, why));
                let verdict = self.tally.failure(from);
                self.settle(verdict)
            }
            Fact::Time if now >= self.deadline => self.unknown("the deadline passed"),
            Fact::Time => {
                self.nudge = now.after(NUDGE);
                self.object.as_ref().map(|object| self.replicate(object)).unwrap_or_default()
            }
            Fact::Read(_)
            | Fact::Held { .. }
            | Fact::Merged(_)
            | Fact::Forwarded { .. }
            | Fact::CatalogueHave { .. }
            | Fact::CatalogueSaved => Vec::new(),
        }
    }

    fn wake(&self) -> Time {
        self.deadline.min(self.nudge)
    }
}

fn end(response: Response) -> Orders {
    vec![Order::Reply(response, Vec::new()), Order::End]
}
