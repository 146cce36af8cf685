//! What the store says, and the node's own state in it.

use alloc::boxed::Box;
use alloc::string::ToString;

use bytes::Bytes;

use super::Node;
use crate::causality::Ballot;
use crate::cbor;
use crate::coordinator::Fact;
use crate::id::NodeId;
use crate::io::{Alarm, Done, Output, StoreEvent, saved};
use crate::message::peer::Message;
use crate::message::vote::VoteReply;
use crate::replica::StoreJob;
use crate::ring::Tree;
use crate::store::StoreError;
use crate::time::{Now, Timestamp};

/// What is to happen once a piece of the node's state is durable.
pub(super) enum Saving {
    Lease(Timestamp),
    /// Tell this operation.
    Change(u64),
    /// Answer this question of a peer.
    Have(NodeId, u64),
    /// These are the plugins; the buckets that may name them come next.
    Plugins(Box<Self>),
    /// The ring's record of this version: act by it.
    Record(u64),
    /// This tree is copied.
    Copied(Tree),
    /// This tree is dropped.
    Dropped(Tree),
    /// Answer this question of a vote.
    Vote {
        to: NodeId,
        ask: u64,
        ballot: Ballot,
        reply: Box<VoteReply>,
    },
    Nothing,
}

impl Node {
    pub(super) fn on_store(&mut self, now: Now, event: StoreEvent) {
        match event {
            StoreEvent::Done { ticket, result: Ok(Done::Key(outcome)) }
                if self.explains.reads(ticket) =>
            {
                self.on_account_read(now, ticket, Ok(outcome));
            }
            StoreEvent::Done { ticket, result: Ok(Done::Key(outcome)) } => {
                self.keys.on_done(ticket, Ok(outcome), &mut self.tickets);
            }
            StoreEvent::Done { result: Ok(Done::Saved), .. } => {}
            StoreEvent::Done { ticket, result: Ok(Done::Surveyed(surveyed)) }
                if self.look_ups.contains_key(&ticket) =>
            {
                self.looked_up(now, ticket, Ok(surveyed));
            }
            StoreEvent::Done { ticket, result: Ok(Done::Surveyed(surveyed)) } => {
                self.on_surveyed(now, ticket, Ok(surveyed));
            }
            StoreEvent::Done { ticket, result: Ok(Done::Hints(page)) } => {
                if let Some(owner) = self.listings.remove(&ticket) {
                    self.handoff.listed(now.time, owner, Some(page));
                }
            }
            StoreEvent::Done { ticket, result: Err(error) } => {
                self.alarm(&error);
                if let Some(owner) = self.listings.remove(&ticket) {
                    self.handoff.listed(now.time, owner, None);
                } else if self.explains.reads(ticket) {
                    self.on_account_read(now, ticket, Err(error));
                } else if self.look_ups.contains_key(&ticket) {
                    self.looked_up(now, ticket, Err(error));
                } else if self.repair.is_survey(ticket) {
                    self.on_surveyed(now, ticket, Err(error));
                } else if let Some(saving) = self.saving.remove(&ticket) {
                    self.on_saved(now, saving, Err(error));
                } else if self.on_forgotten(now, ticket, false) {
                    // Tried again later.
                } else if !self.on_raised(now, ticket, Err(error.clone())) {
                    self.keys.on_done(ticket, Err(error), &mut self.tickets);
                }
            }
            StoreEvent::Synced { ticket } => match self.saving.remove(&ticket) {
                Some(saving) => self.on_saved(now, saving, Ok(())),
                None if self.on_raised(now, ticket, Ok(())) => {}
                None if self.on_forgotten(now, ticket, true) => {}
                None => self.keys.on_synced(ticket, Ok(()), &mut self.tickets),
            },
            StoreEvent::SyncFailed { ticket, error } => {
                self.alarm(&error);
                match self.saving.remove(&ticket) {
                    Some(saving) => self.on_saved(now, saving, Err(error)),
                    None if self.on_raised(now, ticket, Err(error.clone())) => {}
                    None if self.on_forgotten(now, ticket, false) => {}
                    None => self.keys.on_synced(ticket, Err(error), &mut self.tickets),
                }
            }
        }
    }

    fn alarm(&mut self, error: &StoreError) {
        self.count("store_failures");
        match error {
            StoreError::Overloaded => {}
            StoreError::DiskFull { .. }
            | StoreError::Poisoned(_)
            | StoreError::Corrupt(_)
            | StoreError::Io(_) => {
                self.outputs.push_back(Output::Alarm(Alarm::Store(error.clone())));
            }
        }
    }

    /// Plugins first: a bucket is never kept without the plugin that it names.
    pub(super) fn save_catalogue(&mut self, saving: Saving) {
        let staged = cbor::encode(self.boot.catalogue.staged()).into();
        self.save(saved::STAGED, staged, Saving::Nothing);
        if core::mem::take(&mut self.plugins.unsaved) {
            let bytes = cbor::encode(self.boot.catalogue.plugins()).into();
            self.save(saved::PLUGINS, bytes, Saving::Plugins(Box::new(saving)));
        } else {
            self.save_buckets(saving);
        }
    }

    fn save_buckets(&mut self, saving: Saving) {
        let bytes = cbor::encode(self.boot.catalogue.buckets()).into();
        self.save(saved::CATALOGUE, bytes, saving);
    }

    pub(super) fn save(&mut self, name: &str, bytes: Bytes, saving: Saving) {
        let ticket = self.tickets.next();
        self.saving.insert(ticket, saving);
        let job = StoreJob::Save { name: name.to_string(), bytes };
        self.outputs.push_back(Output::Store { ticket, job });
    }

    fn on_saved(&mut self, now: Now, saving: Saving, result: Result<(), StoreError>) {
        match (saving, result) {
            (Saving::Lease(lease), kept) => self.on_lease(now, kept.ok().map(|()| lease)),
            (Saving::Change(id), Ok(())) => self.tell(now, id, Fact::CatalogueSaved),
            (Saving::Change(id), Err(error)) => self.tell(now, id, Fact::Failed(error)),
            (Saving::Have(to, ask), Ok(())) => self.send(now, to, Message::CatalogueHave { ask }),
            (Saving::Plugins(saving), Ok(())) => self.save_buckets(*saving),
            (Saving::Plugins(saving), Err(error)) => {
                self.plugins.unsaved = true;
                self.on_saved(now, *saving, Err(error));
            }
            (Saving::Record(version), Ok(())) => self.on_record_saved(now, version),
            (Saving::Record(version), Err(_)) => self.on_record_unsaved(version),
            (Saving::Dropped(tree), saved) => self.on_dropped_saved(tree, saved.is_ok()),
            (Saving::Copied(tree), saved) => self.on_copied_saved(tree, saved.is_ok()),
            (Saving::Vote { to, ask, ballot, reply }, Ok(())) => {
                self.voted(now, to, ask, ballot, *reply);
            }
            (Saving::Have(..) | Saving::Vote { .. } | Saving::Nothing, _) => {}
        }
    }
}
