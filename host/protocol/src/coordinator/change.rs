//! A change of the catalogue: durable here, then at the peers; the answer names those that do not have it yet.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use crate::catalogue::Catalogue;
use crate::coordinator::failed;
use crate::coordinator::{Fact, Machine, NUDGE, Order, Orders};
use crate::id::NodeId;
use crate::message::client::{Code, Response};
use crate::message::peer::Message;
use crate::time::{Duration, Time};

/// How long a change waits for peers that are silent before it answers without them.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// A change on its way to all members.
#[derive(Debug)]
pub(crate) struct Change {
    id: u64,
    catalogue: Catalogue,
    saved: bool,
    missing: BTreeSet<NodeId>,
    nudge: Time,
    deadline: Time,
    /// The answer, given the members that do not have it yet.
    done: fn(Vec<NodeId>) -> Response,
}

impl Change {
    /// Sends the changed catalogue to all peers; the caller saves it.
    pub(crate) fn start(
        id: u64,
        catalogue: Catalogue,
        peers: impl IntoIterator<Item = NodeId>,
        done: fn(Vec<NodeId>) -> Response,
        now: Time,
        deadline: Time,
    ) -> (Self, Orders) {
        let change = Self {
            id,
            catalogue,
            saved: false,
            missing: peers.into_iter().collect(),
            nudge: now.after(NUDGE),
            deadline: deadline.min(now.after(PATIENCE)),
            done,
        };
        let orders = change.send();
        (change, orders)
    }

    fn send(&self) -> Orders {
        let message = Message::Catalogue { ask: Some(self.id), catalogue: self.catalogue.clone() };
        self.missing.iter().map(|peer| Order::Send(*peer, message.clone())).collect()
    }

    fn answer_if_all_have_it(&self) -> Orders {
        if self.saved && self.missing.is_empty() { self.answer() } else { Vec::new() }
    }

    fn answer(&self) -> Orders {
        let response = if self.saved {
            (self.done)(self.missing.iter().copied().collect())
        } else {
            failed(
                Code::Unknown,
                "the change was not durable in time; it may or may not stand: list the buckets",
            )
        };
        vec![Order::Reply(response, Vec::new()), Order::End]
    }
}

impl Machine for Change {
    fn on(&mut self, now: Time, fact: Fact) -> Orders {
        match fact {
            Fact::CatalogueSaved => {
                self.saved = true;
                self.answer_if_all_have_it()
            }
            Fact::CatalogueHave { from } => {
                self.missing.remove(&from);
                self.answer_if_all_have_it()
            }
            Fact::Failed(error) => {
                vec![Order::Reply(crate::coordinator::store_failed(&error), Vec::new()), Order::End]
            }
            Fact::Time if now >= self.deadline => self.answer(),
            Fact::Time => {
                self.nudge = now.after(NUDGE);
                self.send()
            }
            Fact::Applied { .. }
            | Fact::Durable
            | Fact::Read(_)
            | Fact::Replicated { .. }
            | Fact::Held { .. }
            | Fact::Merged(_)
            | Fact::Component { .. }
            | Fact::Validated(_)
            | Fact::Balloted { .. }
            | Fact::Ballot(_)
            | Fact::Keys { .. }
            | Fact::Voted { .. }
            | Fact::Moved(_)
            | Fact::Forwarded { .. } => Vec::new(),
        }
    }

    fn wake(&self) -> Time {
        self.nudge.min(self.deadline)
    }
}
