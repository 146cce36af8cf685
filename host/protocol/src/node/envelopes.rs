//! What peers say, and what is said to them.

use super::Node;
use super::store::Saving;
use crate::anti_entropy::AntiEntropy;
use crate::catalogue::Catalogue;
use crate::causality::Object;
use crate::coordinator::{Fact, ReplyTo};
use crate::id::{Key, NodeId};
use crate::io::{Cause, Output};
use crate::keys::Asker;
use crate::message::peer::{Envelope, Message, Refusal};
use crate::planted::{self, Bug};
use crate::replica::{StandsIn, Step};
use crate::store::{Bodies, StoreError};
use crate::time::{Now, Time, Timestamp};

/// What this node knows of a peer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peer {
    pub(super) heard: Option<Time>,
    /// What its wall clock read when it sent what came last.
    pub(super) wall: Timestamp,
    pub(super) same_catalogue: bool,
}

impl Node {
    pub(super) fn send(&mut self, now: Now, to: NodeId, message: Message) {
        self.send_for(now, to, message, None);
    }

    pub(super) fn send_for(
        &mut self,
        now: Now,
        to: NodeId,
        message: Message,
        cause: Option<Cause>,
    ) {
        let layout = self.ring.acting.version;
        let envelope = Envelope { layout, wall: now.wall, trace: None, message };
        self.outputs.push_back(Output::Send { to, envelope, cause });
    }

    pub(super) fn on_envelope(&mut self, now: Now, from: NodeId, envelope: Envelope) {
        self.on_version(now, from, envelope.layout);
        let Some(peer) = self.peers.get_mut(&from) else {
            // Whoever joins may ask who owns what by now; whoever was left out while it was away does not know that it should ask.
            let behind = envelope.layout < self.ring.acting.version;
            let asks = matches!(envelope.message, Message::RecordPull);
            if asks || (behind && matches!(envelope.message, Message::Hello { .. })) {
                self.on_record_pull(now, from);
            } else if let Message::Record(record) = envelope.message {
                self.take_record(record);
            }
            return;
        };
        peer.heard = Some(now.time);
        peer.wall = envelope.wall;
        let Some(envelope) = self.put_aside(now, from, envelope) else {
            return;
        };
        let same_layout =
            envelope.layout == self.ring.acting.version || planted::has(Bug::StaleLayout);
        if !same_layout && is_answer(&envelope.message) {
            // Said by another record: what was asked by this one may not have been seen by whoever copies by the other. It is
            // asked again.
            self.count("answers_of_other_layouts");
            return;
        }
        match envelope.message {
            Message::RecordPull => self.on_record_pull(now, from),
            Message::Record(record) => self.take_record(record),
            Message::Vote { ask, version, ballot, question } => {
                self.on_vote(now, from, ask, version, ballot, question);
            }
            Message::Voted { ask, ballot, reply } => {
                if self.observe(now, from, reply.latest()) {
                    self.tell(now, ask, Fact::Voted { from, ballot, reply });
                }
            }
            Message::Hello { catalogue, greeting, progress } => {
                self.ring.progress.extend(progress.map(|progress| (from, progress)));
                let same = catalogue == self.boot.catalogue.digest();
                if let Some(peer) = self.peers.get_mut(&from) {
                    peer.same_catalogue = same;
                }
                if let Some(greeting) = greeting {
                    self.on_greeting(now, from, greeting);
                }
                if !same {
                    self.send(now, from, Message::CataloguePull);
                }
            }
            Message::CataloguePull => {
                let catalogue = self.boot.catalogue.clone();
                self.send(now, from, Message::Catalogue { ask: None, catalogue });
            }
            Message::Catalogue { ask, catalogue } => self.on_catalogue(now, from, ask, catalogue),
            Message::ComponentAsk { ask, component } => {
                self.on_component_ask(now, from, ask, component);
            }
            Message::ComponentState { ask, state } => {
                self.tell(now, ask, Fact::Component { from, state });
            }
            Message::CatalogueHave { ask } => self.tell(now, ask, Fact::CatalogueHave { from }),
            Message::Replicate { ask, .. } | Message::Hint { ask, .. } if !same_layout => {
                self.refuse_copy(now, from, ask, Refusal::StaleLayout);
            }
            Message::Replicate { ask, key, object } => {
                if let Err(refusal) = self.accept(now, from, ask, key, object, None) {
                    self.refuse_copy(now, from, ask, refusal);
                }
            }
            Message::Hint { ask, owner, key, object } => {
                if let Err(refusal) = self.accept(now, from, ask, key, object, Some(owner)) {
                    self.refuse_copy(now, from, ask, refusal);
                }
            }
            Message::Replicated { ask, refused } if self.handoff.asked(ask) => {
                self.on_hint_answered(now, ask, refused);
            }
            Message::Replicated { ask, refused } => {
                self.tell(now, ask, Fact::Replicated { from, refused });
            }
            Message::Read { ask, key, bodies } => {
                let position = self.position(&key);
                if same_layout && self.lacks(position.tree) && !AntiEntropy::is_own(ask) {
                    // An exchange is how what is lost comes back; all others are told that it is not known here.
                    let object = Err(Refusal::Storage);
                    self.send(now, from, Message::Held { ask, object });
                } else if same_layout {
                    let bodies = if bodies { Bodies::All } else { Bodies::Heads };
                    let asker = Asker::Peer(from, ask);
                    self.keys.read(asker, &key, position, bodies, &mut self.tickets);
                } else {
                    let object = Err(Refusal::StaleLayout);
                    self.send(now, from, Message::Held { ask, object });
                }
            }
            Message::Held { ask, object } => {
                self.paces.answered(now.time, ask, from);
                let object = object.and_then(|object| {
                    self.observe(now, from, object.latest())
                        .then_some(object)
                        .ok_or(Refusal::ClockAhead)
                });
                self.tell(now, ask, Fact::Held { from, object });
            }
            Message::Forward { ask, header, body } => {
                self.on_request(now, ReplyTo::Peer(from, ask), false, header, body);
            }
            Message::Forwarded { ask, header, body } => {
                self.tell(now, ask, Fact::Forwarded { header, body });
            }
            Message::Explain { ask, key } => self.on_explain(now, from, ask, key, same_layout),
            Message::Explained { ask, account } => self.on_explained(now, from, ask, account),
            Message::Exchange { ask, question } => {
                self.on_question(now, from, ask, question, same_layout);
            }
            Message::Exchanged { ask, answer } => self.on_exchanged(now, from, ask, answer),
            Message::List { ask, question } if same_layout => {
                self.on_list(now, from, ask, question)
            }
            Message::List { ask, question } => {
                let (partition, page) = (question.partition, Err(Refusal::StaleLayout));
                self.send(now, from, Message::Keys { ask, partition, page });
            }
            Message::Keys { ask, partition, page } => {
                self.tell(now, ask, Fact::Keys { from, partition, page });
            }
            Message::Ballot { ask, key, ballot, question } if same_layout => {
                self.on_ballot(now, from, ask, key, ballot, question);
            }
            Message::Ballot { ask, ballot, .. } => {
                let reply = Err(Refusal::StaleLayout);
                self.send(now, from, Message::Balloted { ask, ballot, reply });
            }
            Message::Balloted { ask, ballot, reply } => {
                self.on_balloted(now, from, ask, ballot, reply);
            }
        }
    }

    fn refuse_copy(&mut self, now: Now, to: NodeId, ask: u64, refusal: Refusal) {
        self.count("replications_refused");
        self.send(now, to, Message::Replicated { ask, refused: Some(refusal) });
    }

    /// A peer wants an object kept here: as one of this node's own, or in place of an owner.
    fn accept(
        &mut self,
        now: Now,
        from: NodeId,
        ask: u64,
        key: Key,
        object: Object,
        instead_of: Option<NodeId>,
    ) -> Result<(), Refusal> {
        let Some(config) = self.boot.catalogue.bucket(&key.bucket).cloned() else {
            self.send(now, from, Message::CataloguePull);
            return Err(Refusal::UnknownBucket);
        };
        if !self.observe(now, from, object.latest()) {
            return Err(Refusal::ClockAhead);
        }
        if object.lacks_bytes() {
            return Err(Refusal::Incomplete);
        }
        let position = self.ring.acting.ring().position(&key, config.n);
        let step = match instead_of {
            Some(owner) => {
                let bytes = key.key.len() as u64 + object.value_bytes();
                if !self.handoff.has_room(owner, bytes, now.wall) {
                    return Err(Refusal::HintsFull);
                }
                self.count("hints_taken");
                Step::Keep(object, StandsIn { owner, since: now.wall })
            }
            None => Step::Join(object),
        };
        let target = self.target(key, position, &config);
        self.keys.step(Asker::Peer(from, ask), target, step, &mut self.tickets);
        Ok(())
    }

    fn on_catalogue(&mut self, now: Now, from: NodeId, ask: Option<u64>, catalogue: Catalogue) {
        let believed = catalogue.latest().is_none_or(|latest| self.observe(now, from, latest.time));
        if !believed {
            return;
        }
        let changed = self.join_catalogue(catalogue);
        match ask {
            Some(ask) => self.save_catalogue(Saving::Have(from, ask)),
            None if changed => self.save_catalogue(Saving::Nothing),
            None => {}
        }
    }

    /// Tells a peer that its question failed: as both kinds of answer, of which it waits for one.
    pub(super) fn refuse(&mut self, now: Now, to: NodeId, ask: u64, error: &StoreError) {
        let refusal = refusal_of(error);
        self.refuse_copy(now, to, ask, refusal);
        let nothing = planted::has(Bug::EmptyAnswer).then(Object::default);
        self.send(now, to, Message::Held { ask, object: nothing.ok_or(refusal) });
    }

    pub(super) fn greet(&mut self, now: Now, peer: NodeId) {
        let catalogue = self.boot.catalogue.digest();
        let (greeting, progress) = (Some(self.greeting(peer)), Some(self.progress()));
        self.send(now, peer, Message::Hello { catalogue, greeting, progress });
    }
}

/// Is it an answer about keys, which only counts by the record that it was asked by?
fn is_answer(message: &Message) -> bool {
    matches!(
        message,
        Message::Replicated { .. }
            | Message::Held { .. }
            | Message::Keys { .. }
            | Message::Exchanged { .. }
            | Message::Balloted { .. }
    )
}

/// What a peer is told where the store failed.
pub(super) fn refusal_of(error: &StoreError) -> Refusal {
    match error {
        StoreError::Overloaded => Refusal::Overloaded,
        StoreError::DiskFull { .. } => Refusal::DiskFull,
        StoreError::Poisoned(_) | StoreError::Corrupt(_) | StoreError::Io(_) => Refusal::Storage,
    }
}
