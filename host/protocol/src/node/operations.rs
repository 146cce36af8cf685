//! The machines at work: their facts go in, their orders come out, and whoever asked is answered.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

use super::Node;
use super::requests::Role;
use crate::anti_entropy::AntiEntropy;
use crate::coordinator::{Doubtful, Fact, Machine, Order, Orders, ReplyTo};
use crate::io::{Cause, Output};
use crate::keys::{Asker, Target};
use crate::message::client::{Code, Response, ResponseHeader};
use crate::message::peer::Message;
use crate::replica::Step;
use crate::store::Bodies;
use crate::time::{Now, Time};

/// A machine at work.
pub(super) struct Operation {
    pub(super) machine: Box<dyn Machine + Send>,
    pub(super) reply_to: ReplyTo,
    pub(super) begun: Time,
    /// The key, where it has one and this node owns it.
    pub(super) target: Option<Target>,
    pub(super) wake: Time,
}

impl Node {
    pub(super) fn new_id(&mut self) -> u64 {
        self.next_operation += 1;
        self.next_operation
    }

    pub(super) fn start(
        &mut self,
        now: Now,
        id: u64,
        machine: Box<dyn Machine + Send>,
        reply_to: ReplyTo,
        target: Option<Target>,
        orders: Orders,
    ) {
        let wake = machine.wake();
        self.timers.insert((wake, id));
        self.operations.insert(id, Operation { machine, reply_to, begun: now.time, target, wake });
        self.carry_out(now, id, orders);
    }

    /// Tells an operation a fact, if it still is in progress.
    pub(super) fn tell(&mut self, now: Now, id: u64, fact: Fact) {
        if AntiEntropy::is_own(id) {
            return self.tell_repair(now, id, fact);
        }
        let Some(operation) = self.operations.get_mut(&id) else {
            return;
        };
        let orders = operation.machine.on(now.time, fact);
        let wake = operation.machine.wake();
        if wake != operation.wake {
            self.timers.remove(&(operation.wake, id));
            self.timers.insert((wake, id));
            operation.wake = wake;
        }
        self.carry_out(now, id, orders);
    }

    fn carry_out(&mut self, now: Now, id: u64, orders: Orders) {
        for order in orders {
            match order {
                Order::Send(to, Message::ComponentAsk { component, .. }) => {
                    self.ask_component(now, id, to, component);
                }
                Order::Send(to, message) => {
                    let cause = self.operations.get(&id).and_then(|o| o.reply_to.cause());
                    self.send_for(now, to, message, cause);
                }
                Order::Validate(request) => self.ask_plugin(id, request),
                Order::Put(header, body, deadline, Doubtful(stands_in)) => {
                    if let Some(reply_to) = self.forget(id) {
                        let role = Role::Validated { stands_in };
                        self.put_validated(now, reply_to, header, body, role, deadline);
                    }
                }
                Order::Change(change, deadline) => {
                    if let Some(reply_to) = self.forget(id) {
                        self.on_ready(now, reply_to, change, deadline);
                    }
                }
                Order::Step(step) => self.step(id, Asker::Op(id), step),
                Order::Read => {
                    if let Some(target) = self.operations.get(&id).and_then(|o| o.target.clone()) {
                        let Target { key, position, .. } = target;
                        let asker = Asker::Op(id);
                        self.keys.read(asker, &key, position, Bodies::All, &mut self.tickets);
                    }
                }
                Order::StepQuietly(step) => self.step(id, Asker::Nobody, step),
                Order::Merge(request) => {
                    let ticket = self.tickets.next();
                    self.merges.insert(ticket, id);
                    self.outputs.push_back(Output::Merge { ticket, request });
                }
                Order::Ballot { ballot, question } => {
                    if let Some(target) = self.operations.get(&id).and_then(|o| o.target.clone()) {
                        let me = self.boot.id;
                        self.on_ballot(now, me, id, target.key, ballot, question);
                    }
                }
                Order::List(question) => self.look_up(self.boot.id, id, question),
                Order::Vote { version, ballot, question } => {
                    self.on_vote(now, self.boot.id, id, version, ballot, question);
                }
                Order::Decided(record) => self.on_decided(now, record),
                Order::Tick => self.tell_ballot(now, id),
                Order::Clash => self.on_clash(id),
                Order::Count(name) => self.count(name),
                Order::Found(versions) => self.siblings.add(versions as u64),
                Order::Took(peer, took) => self.paces.took(peer, took),
                Order::Silent(peer, since) => self.paces.silent(now.time, id, peer, since),
                Order::Reply(response, body) => {
                    if let Some(operation) = self.operations.get(&id) {
                        let (reply_to, began) = (operation.reply_to, operation.begun);
                        if operation.target.is_some() {
                            self.repair.answered(now.time, now.time.since(began));
                        }
                        self.reply(reply_to, now, response, body);
                    }
                    self.next_conditional(now, id);
                }
                Order::PassOn(header, body) => {
                    if let Some(reply_to) = self.operations.get(&id).map(|o| o.reply_to) {
                        self.reply_with(reply_to, now, header, body);
                    }
                }
                Order::StandIn(header, body, deadline) => {
                    if let Some(reply_to) = self.forget(id) {
                        self.stand_in(now, reply_to, header, body, deadline);
                    }
                }
                Order::End => {
                    self.forget(id);
                }
            }
        }
    }

    /// Forgets an operation; to whom it was to answer.
    fn forget(&mut self, id: u64) -> Option<ReplyTo> {
        let operation = self.operations.remove(&id)?;
        self.timers.remove(&(operation.wake, id));
        Some(operation.reply_to)
    }

    pub(super) fn step(&mut self, id: u64, asker: Asker, step: Step) {
        let target = self.operations.get(&id).and_then(|o| o.target.clone());
        let target = target.expect("only operations on an owned key order steps");
        self.keys.step(asker, target, step, &mut self.tickets);
    }

    pub(super) fn reply(
        &mut self,
        reply_to: ReplyTo,
        now: Now,
        response: Response,
        body: Vec<Bytes>,
    ) {
        if let Response::Failed(failure) = &response {
            self.count(match failure.code {
                Code::Unknown => "answers_unknown",
                Code::Unavailable => "answers_unavailable",
                Code::Malformed
                | Code::BadRequest
                | Code::BadContext
                | Code::UnknownBucket
                | Code::BucketExists
                | Code::TooLarge
                | Code::TooManySiblings
                | Code::Forbidden
                | Code::Overloaded
                | Code::DiskFull
                | Code::Storage
                | Code::Outdated
                | Code::StaleLayout => "answers_refused",
            });
        }
        let header = ResponseHeader { layout: self.ring.acting.version, response };
        self.reply_with(reply_to, now, header, body);
    }

    fn reply_with(
        &mut self,
        reply_to: ReplyTo,
        now: Now,
        header: ResponseHeader,
        body: Vec<Bytes>,
    ) {
        match reply_to {
            ReplyTo::Client(origin) => {
                self.outputs.push_back(Output::Reply { origin, header, body });
            }
            ReplyTo::Peer(to, ask) => self.send(now, to, Message::Forwarded { ask, header, body }),
            ReplyTo::Nobody => {}
        }
    }
}

impl ReplyTo {
    pub(crate) fn cause(self) -> Option<Cause> {
        match self {
            Self::Client(origin) => Some(Cause::Client(origin)),
            Self::Peer(from, ask) => Some(Cause::Peer(from, ask)),
            Self::Nobody => None,
        }
    }
}
