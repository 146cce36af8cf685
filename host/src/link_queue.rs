//! Messages that wait to be sent to one peer.
//!
//! It is bounded by count and by bytes. What is too much pushes out the oldest, whose asker has waited longest and is most
//! likely to have given up: messages may be lost by contract, and the core asks again or counts the peer as silent.
//! While the peer is away nothing waits at all: when it comes back it wants what is true then.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kinfold_protocol::causality::Object;
use kinfold_protocol::message::ballot::{BallotQuestion, BallotReply};
use kinfold_protocol::message::exchange::Answer;
use kinfold_protocol::message::peer::{Envelope, Message};
use tokio::sync::Notify;

/// Messages that may wait.
const MOST_MESSAGES: usize = 16_384;

/// Bytes of values that may wait, and be under way in streams of their own.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// Messages that wait, with the bytes of their values.
#[derive(Debug, Default)]
pub(crate) struct LinkQueue {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(Envelope, usize)>,
    /// Bytes of what waits and of what is under way.
    bytes: usize,
    open: bool,
}

impl LinkQueue {
    /// Takes in all of `envelopes`; returns how many were dropped for it.
    pub(crate) fn push_all(&self, envelopes: &mut Vec<Envelope>) -> usize {
        let mut state = self.lock();
        if !state.open {
            let dropped = envelopes.len();
            envelopes.clear();
            return dropped;
        }
        let mut dropped = 0;
        for envelope in envelopes.drain(..) {
            let bytes = weight(&envelope.message);
            state.bytes += bytes;
            state.waiting.push_back((envelope, bytes));
            while state.waiting.len() > MOST_MESSAGES || state.bytes > MOST_BYTES {
                let Some((_, oldest)) = state.waiting.pop_front() else { break };
                state.bytes -= oldest;
                dropped += 1;
            }
        }
        drop(state);
        self.arrived.notify_one();
        dropped
    }

    /// Waits for messages and takes all that are there. Their bytes count until [`LinkQueue::sent`].
    pub(crate) async fn take_all(&self) -> VecDeque<(Envelope, usize)> {
        loop {
            let all = std::mem::take(&mut self.lock().waiting);
            if !all.is_empty() {
                return all;
            }
            self.arrived.notified().await;
        }
    }

    /// How many messages wait.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// So many bytes of what was taken are no longer held.
    pub(crate) fn sent(&self, bytes: usize) {
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
    }

    /// Lets messages wait: there is a connection, or will be one at once.
    pub(crate) fn open(&self) {
        self.lock().open = true;
    }

    /// Drops what waits, and all that comes until [`LinkQueue::open`]; returns how many were dropped.
    pub(crate) fn close(&self) -> usize {
        let mut state = self.lock();
        state.open = false;
        let waiting: usize = state.waiting.iter().map(|(_, bytes)| bytes).sum();
        state.bytes -= waiting;
        state.waiting.drain(..).count()
    }

    // No code that can panic runs under this lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of the values in a message.
fn weight(message: &Message) -> usize {
    let of_object = |object: &Object| -> usize {
        object
            .versions
            .iter()
            .map(|version| version.content.bytes().map_or(0, bytes::Bytes::len))
            .sum()
    };
    match message {
        Message::Replicate { object, .. }
        | Message::Hint { object, .. }
        | Message::Held { object: Ok(object), .. } => of_object(object),
        Message::Exchanged { answer: Ok(Answer::Heads { heads, .. }), .. } => {
            heads.iter().map(|(_, object)| of_object(object)).sum()
        }
        Message::Ballot {
            question: BallotQuestion::Accept(object) | BallotQuestion::Commit { object, .. },
            ..
        } => of_object(object),
        Message::Balloted { reply: Ok(BallotReply::Promised { proposal, object, .. }), .. } => {
            of_object(object) + proposal.as_ref().map_or(0, of_object)
        }
        Message::Explained { account: Ok(account), .. } => {
            account.stored.as_ref().map_or(0, |stored| of_object(&stored.object))
        }
        Message::Forward { body, .. } => body.len(),
        Message::Forwarded { body, .. } => body.iter().map(bytes::Bytes::len).sum(),
        Message::Hello { .. }
        | Message::CataloguePull
        | Message::RecordPull
        | Message::Record(_)
        | Message::Vote { .. }
        | Message::Voted { .. }
        | Message::Catalogue { .. }
        | Message::CatalogueHave { .. }
        | Message::ComponentAsk { .. }
        | Message::ComponentState { .. }
        | Message::Replicated { .. }
        | Message::Read { .. }
        | Message::Held { object: Err(_), .. }
        | Message::Explain { .. }
        | Message::Explained { account: Err(_), .. }
        | Message::Exchange { .. }
        | Message::Exchanged { .. }
        | Message::List { .. }
        | Message::Keys { .. }
        | Message::Ballot { .. }
        | Message::Balloted { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use kinfold_protocol::message::client::{Response, ResponseHeader};
    use kinfold_protocol::time::Timestamp;
    use std::collections::BTreeMap;

    fn envelope(ask: u64, bytes: usize) -> Envelope {
        let header = ResponseHeader { layout: 1, response: Response::Buckets(BTreeMap::new()) };
        let body = vec![Bytes::from(vec![0; bytes])];
        let message = Message::Forwarded { ask, header, body };
        Envelope { layout: 1, wall: Timestamp(1), trace: None, message }
    }

    fn asks(taken: VecDeque<(Envelope, usize)>) -> Vec<u64> {
        taken
            .into_iter()
            .map(|(envelope, _)| {
                let Message::Forwarded { ask, .. } = envelope.message else {
                    panic!("{envelope:?}")
                };
                ask
            })
            .collect()
    }

    #[tokio::test]
    async fn the_oldest_gives_way_and_bytes_count_until_they_are_sent() {
        let queue = LinkQueue::default();
        queue.open();
        let third = MOST_BYTES / 3;
        assert_eq!(queue.push_all(&mut vec![envelope(1, third), envelope(2, third)]), 0);
        assert_eq!(queue.push_all(&mut vec![envelope(3, third), envelope(4, third)]), 1);
        assert_eq!(asks(queue.take_all().await), [2, 3, 4]);
        assert_eq!(queue.push_all(&mut vec![envelope(5, third)]), 1);
        queue.sent(3 * third);
        assert_eq!(queue.push_all(&mut vec![envelope(6, third)]), 0);
        assert_eq!(asks(queue.take_all().await), [6]);
    }

    #[tokio::test]
    async fn nothing_waits_for_a_peer_that_is_away() {
        let queue = LinkQueue::default();
        assert_eq!(queue.push_all(&mut vec![envelope(1, 1)]), 1);
        queue.open();
        assert_eq!(queue.push_all(&mut vec![envelope(2, 1)]), 0);
        assert_eq!(queue.close(), 1);
        assert_eq!(queue.push_all(&mut vec![envelope(3, 1)]), 1);
    }
}
