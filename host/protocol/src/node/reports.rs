//! What the keys in work report, and to whom it goes.

use super::Node;
use crate::anti_entropy::AntiEntropy;
use crate::config::Shape;
use crate::coordinator::Fact;
use crate::io::{Alarm, Output};
use crate::keys::{Asker, Report};
use crate::message::peer::Message;
use crate::planted::{self, Bug};
use crate::replica::Answer;
use crate::time::Now;

impl Node {
    pub(super) fn route_reports(&mut self, now: Now) {
        while let Some(report) = self.keys.poll() {
            match report {
                Report::Store { ticket, job } => {
                    self.outputs.push_back(Output::Store { ticket, job })
                }
                Report::Merge { ticket, request } => {
                    self.outputs.push_back(Output::Merge { ticket, request });
                }
                Report::Discarded { key, discarded } => self.ledger.add(&key, discarded, now.wall),
                Report::Debts(changes) => self.handoff.changed(&changes),
                Report::MergeFailed { key, failure } => {
                    self.count("merge_failures");
                    let key = alloc::format!("{key:?}");
                    self.outputs.push_back(Output::Alarm(Alarm::MergeFailed { key, failure }));
                }
                Report::Applied { asker: Asker::Op(id), answer, object } => {
                    self.deletes.dots.settle(id);
                    if object.has_clash() {
                        self.on_clash(id);
                    }
                    self.tell(now, id, Fact::Applied { answer, object });
                    if planted::has(Bug::EarlyAck) {
                        self.tell(now, id, Fact::Durable);
                    }
                }
                Report::Durable { asker: Asker::Op(id) } => self.tell(now, id, Fact::Durable),
                Report::Failed { asker: Asker::Op(id), error } => {
                    self.deletes.dots.settle(id);
                    self.tell(now, id, Fact::Failed(error));
                }
                Report::Read { asker: Asker::Op(id), object } => {
                    self.tell(now, id, Fact::Read(object));
                }
                Report::Durable { asker: Asker::Peer(to, ask) } => {
                    self.send(now, to, Message::Replicated { ask, refused: None });
                }
                Report::Applied { asker: Asker::Peer(to, ask), .. }
                    if planted::has(Bug::CopyNotDurable) =>
                {
                    self.send(now, to, Message::Replicated { ask, refused: None });
                }
                Report::Failed { asker: Asker::Peer(to, ask), error } => {
                    self.refuse(now, to, ask, &error);
                }
                Report::Read { asker: Asker::Peer(to, ask), object } => {
                    self.send(now, to, Message::Held { ask, object: Ok(object) });
                }
                Report::Read { asker: Asker::Handoff(ask), object } => {
                    let order = self.handoff.read(now.time, ask, object);
                    order.into_iter().for_each(|order| self.hand_over(now, order));
                    if planted::has(Bug::HastyHandoff) {
                        self.on_hint_answered(now, ask, None);
                    }
                }
                Report::Applied { asker: Asker::Ballot(number), answer, object } => {
                    self.ballot_applied(now, number, answer, object);
                }
                Report::Durable { asker: Asker::Ballot(number) } => {
                    self.ballot_durable(now, number);
                }
                Report::Failed { asker: Asker::Ballot(number), error } => {
                    self.ballot_failed(now, number, &error);
                }
                Report::Applied { asker: Asker::Handoff(ask), .. } => self.handoff.settled(ask),
                Report::Failed { asker: Asker::Handoff(ask), .. } => {
                    self.handoff.failed(now.time, ask);
                }
                Report::Applied { asker: Asker::Collector, answer, .. } => {
                    self.count_more("tombstones_collected", (answer == Answer::Collected).into());
                }
                Report::Applied { asker: Asker::Sweep, .. }
                | Report::Failed { asker: Asker::Sweep, .. } => self.sweep.done(),
                Report::Durable { asker: Asker::Leaving }
                | Report::Failed { asker: Asker::Leaving, .. } => self.on_left_key(now),
                Report::Applied {
                    asker: Asker::Peer(..) | Asker::Leaving | Asker::Nobody, ..
                }
                | Report::Durable {
                    asker: Asker::Handoff(_) | Asker::Collector | Asker::Sweep | Asker::Nobody,
                }
                | Report::Failed { asker: Asker::Collector | Asker::Nobody, .. }
                | Report::Read {
                    asker:
                        Asker::Ballot(_)
                        | Asker::Collector
                        | Asker::Sweep
                        | Asker::Leaving
                        | Asker::Nobody,
                    ..
                } => {}
            }
        }
    }

    /// One dot, or one coverage, with two contents: a lattice bucket is not folded any more until it is set anew.
    pub(super) fn on_clash(&mut self, id: u64) {
        let target = match AntiEntropy::is_own(id) {
            true => self.repair_target(id),
            false => self.operations.get(&id).and_then(|o| o.target.clone()),
        };
        let Some(target) = target else {
            return;
        };
        self.count("clashes");
        if matches!(target.rules.shape, Shape::Lattice(_)) {
            self.suspended.insert(target.key.bucket.clone());
        }
        let key = alloc::format!("{:?}", target.key);
        self.outputs.push_back(Output::Alarm(Alarm::Clash { key }));
    }
}
