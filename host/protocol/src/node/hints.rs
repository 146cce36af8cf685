//! Hints: what the handoff wants done, and what it is told.

use crate::handoff::Order;
use crate::io::Output;
use crate::keys::Asker;
use crate::message::peer::{Message, Refusal};
use crate::node::Node;
use crate::replica::{HandedOver, Step, StoreJob};
use crate::store::Bodies;
use crate::time::Now;

impl Node {
    /// Goes on handing over what this node keeps for owners that are up.
    pub(super) fn advance_handoff(&mut self, now: Now) {
        if self.handoff.is_idle() {
            return;
        }
        self.handoff.yield_until(self.repair.free_at());
        let down = self.membership.down();
        let next = &mut self.next_operation;
        let orders = self.handoff.advance(
            now.time,
            |owner| !down.contains(&owner),
            || {
                *next += 1;
                *next
            },
        );
        for order in orders {
            self.hand_over(now, order);
        }
        self.route_reports(now);
    }

    /// An owner answered a hint.
    pub(super) fn on_hint_answered(&mut self, now: Now, ask: u64, refused: Option<Refusal>) {
        self.count(if refused.is_none() { "hints_handed_over" } else { "hints_refused" });
        if let Some(order) = self.handoff.answered(now.time, ask, refused.is_none()) {
            self.hand_over(now, order);
        }
    }

    pub(super) fn hand_over(&mut self, now: Now, order: Order) {
        match order {
            Order::List { owner, after, limit } => {
                let ticket = self.tickets.next();
                self.listings.insert(ticket, owner);
                let job = StoreJob::Hints { owner, after, limit };
                self.outputs.push_back(Output::Store { ticket, job });
            }
            Order::Read { ask, key } => {
                let position = self.position(&key);
                let known = self.boot.catalogue.bucket(&key.bucket).is_some();
                if let Some(owner) = self.handoff.owner_of(ask).filter(|_| known)
                    && let Some(heirs) = self.heirs(owner, position.tree)
                {
                    return self.reassign(ask, key, owner, heirs);
                }
                let asker = Asker::Handoff(ask);
                self.keys.read(asker, &key, position, Bodies::All, &mut self.tickets);
            }
            Order::Send(to, message) => {
                if let Message::Replicate { object, .. } = &message {
                    self.repair.spend(now.time, object.value_bytes());
                }
                self.send(now, to, message);
            }
            Order::Settle { ask, key, owner, object } => {
                let Some(config) = self.boot.catalogue.bucket(&key.bucket).cloned() else {
                    self.handoff.failed(now.time, ask);
                    return;
                };
                let position = self.ring.acting.ring().position(&key, config.n);
                let tree = position.tree;
                let stays = self.ring.acting.owns(self.boot.id, tree) || self.may_have_marks(tree);
                let target = self.target(key, position, &config);
                let step = Step::HandedOver(HandedOver { owner, object, stays });
                self.keys.step(Asker::Handoff(ask), target, step, &mut self.tickets);
            }
        }
    }
}
