//! The node's part in clocks: which times of its peers it takes note of, and what waits until its lease has come so far.
//!
//! What a node writes has to be later than all that it holds, also after a crash, and then its clock begins at the lease. So
//! nothing is taken in that is later than the lease: it waits for the few milliseconds until a later lease is durable.

use alloc::collections::VecDeque;

use super::{Node, Saving};
use crate::causality::Object;
use crate::cbor;
use crate::id::NodeId;
use crate::io::{Alarm, Output, saved};
use crate::message::exchange::Answer;
use crate::message::peer::{Envelope, Message};
use crate::time::{Duration, Now, Time, Timestamp};

/// Between two tries to keep a lease.
const PAUSE: Duration = Duration::from_millis(1_000);

/// Messages that wait for a later lease. What is above is lost, as on a network, and asked for again.
const MOST_WAITING: usize = 256;

/// The most bytes of values in them, for the same reason: one message may bring an object of many megabytes.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// What is later than this node's lease.
#[derive(Debug, Default)]
pub(super) struct Early {
    waiting: VecDeque<(NodeId, Envelope)>,
    /// Bytes of values in what waits.
    bytes: u64,
    /// The latest time among it.
    latest: Timestamp,
    /// A lease is being made durable.
    wanted: bool,
    /// A lease that could not be kept is not tried again before.
    after: Time,
}

impl Node {
    /// Takes note of a time that a peer sent. Says whether it can be believed.
    pub(super) fn observe(&mut self, now: Now, peer: NodeId, timestamp: Timestamp) -> bool {
        let believed = self.boot.clock.observe(timestamp, now.wall).is_ok();
        if !believed {
            self.count("clocks_refused");
            self.outputs.push_back(Output::Alarm(Alarm::ClockAhead { peer, timestamp }));
        }
        believed
    }

    /// Puts a message aside, if it is later than the lease and can be believed all the same. Hands it back otherwise.
    pub(super) fn put_aside(
        &mut self,
        now: Now,
        from: NodeId,
        envelope: Envelope,
    ) -> Option<Envelope> {
        let (latest, bytes) = brings(&envelope.message);
        let clock = &self.boot.clock;
        if latest <= clock.lease() || !clock.believes(latest, now.wall) {
            return Some(envelope);
        }
        self.early.latest = self.early.latest.max(latest);
        if self.early.waiting.len() < MOST_WAITING && self.early.bytes + bytes <= MOST_BYTES {
            self.early.bytes += bytes;
            self.early.waiting.push_back((from, envelope));
        }
        self.count("messages_before_lease");
        None
    }

    /// Has a later lease made durable where the present one is nearly used up, or something waits for it.
    pub(super) fn renew_lease(&mut self, now: Now) {
        if self.early.wanted || now.time < self.early.after {
            return;
        }
        let latest = now.wall.max(self.early.latest);
        if let Some(lease) = self.boot.clock.wanted_lease(latest) {
            self.early.wanted = true;
            self.boot.life.lease = lease;
            let bytes = cbor::encode(&self.boot.life).into();
            self.save(saved::LIFE, bytes, Saving::Lease(lease));
        }
    }

    /// A lease is durable: what waited for it comes in. Or it could not be kept, and the next fact after a pause asks for it again: the
    /// failure itself is one, and a store that has stopped fails at once.
    pub(super) fn on_lease(&mut self, now: Now, kept: Option<Timestamp>) {
        self.early.wanted = false;
        let Some(lease) = kept else {
            self.early.after = now.time.after(PAUSE);
            return;
        };
        self.boot.clock.extend(lease);
        self.early.latest = Timestamp::default();
        self.early.bytes = 0;
        for (from, envelope) in core::mem::take(&mut self.early.waiting) {
            self.on_envelope(now, from, envelope);
        }
    }
}

/// The latest time of what a message may bring to this node's disk, and the bytes of its values.
fn brings(message: &Message) -> (Timestamp, u64) {
    let of = |object: &Object| (object.latest(), object.value_bytes());
    match message {
        Message::Replicate { object, .. }
        | Message::Hint { object, .. }
        | Message::Held { object: Ok(object), .. } => of(object),
        Message::Exchanged { answer: Ok(Answer::Heads { heads, .. }), .. } => {
            let latest = heads.iter().map(|(_, object)| object.latest()).max();
            (latest.unwrap_or_default(), 0)
        }
        Message::Ballot { ballot, question, .. } => {
            (ballot.time.max(question.latest()), question.value_bytes())
        }
        Message::Balloted { reply: Ok(reply), .. } => (reply.latest(), reply.value_bytes()),
        Message::Held { .. }
        | Message::Exchanged { .. }
        | Message::Balloted { .. }
        | Message::Hello { .. }
        | Message::RecordPull
        | Message::Record(_)
        | Message::Vote { .. }
        | Message::Voted { .. }
        | Message::CataloguePull
        | Message::Catalogue { .. }
        | Message::ComponentAsk { .. }
        | Message::ComponentState { .. }
        | Message::CatalogueHave { .. }
        | Message::Replicated { .. }
        | Message::Read { .. }
        | Message::Forward { .. }
        | Message::Forwarded { .. }
        | Message::Explain { .. }
        | Message::Explained { .. }
        | Message::Exchange { .. }
        | Message::List { .. }
        | Message::Keys { .. } => Default::default(),
    }
}
