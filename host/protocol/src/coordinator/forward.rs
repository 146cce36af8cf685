//! A request for a key that this node does not own: passed on to an owner, and to the next when that one is silent. When all
//! were silent and the request is sloppy, this node stands in.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::coordinator::failed;
use crate::coordinator::{Fact, Machine, NUDGE, Order, Orders};
use crate::id::NodeId;
use crate::message::client::{Code, RequestHeader, Response};
use crate::message::peer::Message;
use crate::time::{Duration, Time};

/// How long a node waits before it passes a request on again that was refused since the ring is changing.
const STALE: Duration = Duration::from_millis(30);

/// A request that was passed on.
#[derive(Debug)]
pub(crate) struct Forward {
    id: u64,
    header: RequestHeader,
    body: Bytes,
    owners: Vec<NodeId>,
    /// How many times it was passed on.
    tries: usize,
    /// How many of those were refused.
    refused: usize,
    writes: bool,
    /// How long each owner may be silent before this node stands in; none if it may not.
    patience: Option<Duration>,
    nudge: Time,
    deadline: Time,
}

/// What there is to be passed on.
#[derive(Debug)]
pub(crate) struct ForwardPlan {
    pub(crate) id: u64,
    pub(crate) header: RequestHeader,
    pub(crate) body: Bytes,
    /// At least one.
    pub(crate) owners: Vec<NodeId>,
    pub(crate) writes: bool,
    /// How long each owner may be silent before this node stands in; none if it may not.
    pub(crate) patience: Option<Duration>,
    pub(crate) deadline: Time,
}

impl Forward {
    /// Passes a request on to the first of `owners`.
    pub(crate) fn start(plan: ForwardPlan, now: Time) -> (Self, Orders) {
        let ForwardPlan { id, header, body, owners, writes, patience, deadline } = plan;
        let mut forward = Self {
            id,
            header,
            body,
            owners,
            tries: 0,
            refused: 0,
            writes,
            patience,
            nudge: now,
            deadline,
        };
        let orders = forward.pass(now);
        (forward, orders)
    }

    fn pass(&mut self, now: Time) -> Orders {
        let owner = self.owners[self.tries % self.owners.len()];
        self.tries += 1;
        self.nudge = now.after(self.patience.unwrap_or(NUDGE));
        // The owner may wait no longer than this node does: its answer would find nobody.
        let left = self.deadline.since(now).as_millis();
        let deadline_ms = u32::try_from(left).unwrap_or(u32::MAX).max(1);
        // What the client knew of the ring was checked already.
        let header = RequestHeader { layout: 0, deadline_ms, ..self.header.clone() };
        vec![Order::Send(owner, Message::Forward { ask: self.id, header, body: self.body.clone() })]
    }
}

impl Machine for Forward {
    fn on(&mut self, now: Time, fact: Fact) -> Orders {
        match fact {
            Fact::Moved(placed) => {
                self.owners = placed.readers;
                Vec::new()
            }
            // The ring is changing, and one of the two does not know it yet: the next try meets an owner that does.
            Fact::Forwarded { header, .. } if is_stale(&header.response) => {
                self.refused += 1;
                self.nudge = self.nudge.min(now.after(STALE));
                Vec::new()
            }
            Fact::Forwarded { header, body } => {
                self.refused += usize::from(is_refusal(&header.response));
                // "Nothing was changed" is true of one owner only: another that was asked too may have made the write.
                let uncertain = is_refusal(&header.response) && self.refused < self.tries;
                if self.writes && uncertain {
                    return Vec::new();
                }
                vec![Order::PassOn(header, body), Order::End]
            }
            Fact::Time if now >= self.deadline => {
                let response = if self.writes {
                    let text = "no owner of the key answered in time; the write may or may not be read later: read \
                                the key, or send the same request again";
                    failed(Code::Unknown, text)
                } else {
                    failed(
                        Code::Unavailable,
                        "no owner of the key answered in time; nothing was changed",
                    )
                };
                vec![Order::Reply(response, Vec::new()), Order::End]
            }
            Fact::Time if now < self.nudge => Vec::new(),
            Fact::Time if self.patience.is_some() && self.tries >= self.owners.len() => {
                vec![Order::StandIn(self.header.clone(), self.body.clone(), self.deadline)]
            }
            // The same request id: an owner that has it already makes no second write of it.
            Fact::Time => self.pass(now),
            Fact::Applied { .. }
            | Fact::Durable
            | Fact::Failed(_)
            | Fact::Read(_)
            | Fact::Replicated { .. }
            | Fact::Held { .. }
            | Fact::Merged(_)
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
        self.nudge.min(self.deadline)
    }
}

fn is_stale(response: &Response) -> bool {
    matches!(response, Response::Failed(failure) if failure.code == Code::StaleLayout)
}

/// Does the answer say that nothing was changed, and nothing of other tries?
fn is_refusal(response: &Response) -> bool {
    match response {
        Response::Failed(failure) => failure.code != Code::Unknown,
        Response::Conflict(conflict) => !conflict.settled,
        Response::Found(_)
        | Response::Written(_)
        | Response::Listed(_)
        | Response::BucketSaved { .. }
        | Response::Buckets(_)
        | Response::Layout(_)
        | Response::Plugin(_)
        | Response::Cluster(_)
        | Response::Explained(_)
        | Response::Status(_) => false,
    }
}
