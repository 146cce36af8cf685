//! A simulated client: one operation after the other, with the contexts of what it read, and with the same request again at
//! another node when an answer does not come.

use std::collections::BTreeMap;

use bytes::Bytes;
use kinfold_protocol::config::Consistency;
use kinfold_protocol::id::{Key, RequestId};
use kinfold_protocol::message::client::{
    Code, Conflict, Get, Request, RequestHeader, Response, ResponseHeader, Write,
};

use crate::history::{self, Expected, History, Kind, Op, OpId, Outcome, Seen};
use crate::keyspace::{Keyspace, Semantics, Spot};
use crate::rng::Rng;
use crate::session::Session;

/// One try of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Who asks; see [`Call::AUDITOR`].
    pub client: usize,
    /// What.
    pub op: OpId,
    /// Which try.
    pub attempt: u32,
}

impl Call {
    /// The number of the client that makes the buckets and reads everything in the end.
    pub const AUDITOR: usize = usize::MAX;
}

/// What to send, and where.
#[derive(Clone, Debug)]
pub struct Sending {
    /// The try.
    pub call: Call,
    /// The node.
    pub node: usize,
    /// The request.
    pub header: RequestHeader,
    /// Its body.
    pub body: Bytes,
    /// How long the client waits, in microseconds.
    pub patience: u64,
}

/// What a client does next.
#[derive(Clone, Debug)]
pub enum Turn {
    /// What it was told no longer concerns it.
    Same,
    /// It sends its operation again.
    Again(Box<Sending>),
    /// Its operation is over.
    Over,
}

/// How clients behave.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Pause between two operations, in microseconds.
    pub pause: u64,
    /// Gets, of a thousand operations.
    pub gets: u32,
    /// Deletes, of a thousand writes.
    pub deletes: u32,
    /// Conditional writes, of a thousand to keys that are no registers.
    pub conditional: u32,
    /// Writes without a context, of a thousand.
    pub blind: u32,
    /// Requests to a node that may be no owner, of a thousand.
    pub astray: u32,
    /// Most bytes added to a value.
    pub padding: u64,
    /// Most tries of an operation.
    pub tries: u32,
    /// The time that requests are given, in milliseconds.
    pub deadline_ms: u64,
}

#[derive(Clone, Debug)]
struct Current {
    call: Call,
    spot: usize,
    header: RequestHeader,
    body: Bytes,
    seen: Seen,
    /// An earlier try may have been carried out.
    doubtful: bool,
}

/// A client.
#[derive(Debug)]
pub struct Client {
    number: usize,
    habits: Habits,
    nodes: usize,
    /// The version of the ring's record that it was last told.
    layout: u64,
    sessions: BTreeMap<Key, Session>,
    current: Option<Current>,
    rng: Rng,
}

impl Client {
    /// A client of so many nodes that has read nothing yet.
    #[must_use]
    pub fn new(number: usize, habits: Habits, nodes: usize, rng: Rng) -> Self {
        Self { number, habits, nodes, layout: 1, sessions: BTreeMap::new(), current: None, rng }
    }

    /// Has it no operation in progress?
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.current.is_none()
    }

    /// How long it does nothing before its next operation.
    pub fn pause(&mut self) -> u64 {
        self.rng.spread(self.habits.pause)
    }

    /// Begins an operation.
    pub fn begin(&mut self, now: u64, keys: &Keyspace, history: &mut History) -> Sending {
        let spot_number = self.rng.index(keys.spots.len());
        let spot = &keys.spots[spot_number];
        let session = self.sessions.entry(spot.key.clone()).or_default().clone();
        let id = history.next_id();
        let mut name = [0; 16];
        name[..8].copy_from_slice(&self.rng.draw().to_be_bytes());
        name[8..].copy_from_slice(&self.rng.draw().to_be_bytes());
        let request = RequestId(name);
        let holds = session.holds;
        let (kind, wire, seen) = if self.rng.chance(self.habits.gets) {
            let (kind, get) = self.get(spot);
            (kind, Request::Get(get), Seen::default())
        } else {
            self.write(spot, session, id, request)
        };
        let expected = expected(&wire, holds);
        let body = match &kind {
            Kind::Put(value) => value.clone(),
            Kind::Delete | Kind::Get { .. } => Bytes::new(),
        };
        history.invoke(Op {
            id,
            key: spot.key.clone(),
            kind,
            request,
            seen: seen.clone(),
            expected,
            invoked: now,
            returned: None,
            outcome: Outcome::Open,
        });
        let header = RequestHeader {
            layout: self.layout * self.rng.below(2),
            deadline_ms: 0,
            trace: None,
            request: wire,
        };
        let call = Call { client: self.number, op: id, attempt: 0 };
        self.current =
            Some(Current { call, spot: spot_number, header, body, seen, doubtful: false });
        self.send(keys).expect("an operation has just begun")
    }

    fn get(&mut self, spot: &Spot) -> (Kind, Get) {
        let asked = self
            .rng
            .chance(300)
            .then(|| self.rng.within(spot.least_w.into()..=spot.config.n.into()) as u8);
        let consistency = match self.rng.below(4) {
            0 => Some(Consistency::Sloppy),
            1 | 2 => Some(Consistency::Strict),
            _ => None,
        };
        let strict = consistency.unwrap_or(spot.config.consistency) == Consistency::Strict;
        let kind = Kind::Get { r: asked.unwrap_or(spot.config.r), strict };
        let Key { bucket, key } = spot.key.clone();
        (kind, Get { bucket, key, r: asked, consistency })
    }

    fn write(
        &mut self,
        spot: &Spot,
        session: Session,
        id: OpId,
        request: RequestId,
    ) -> (Kind, Request, Seen) {
        let Key { bucket, key } = spot.key.clone();
        let w = self
            .rng
            .chance(300)
            .then(|| self.rng.within(spot.least_w.into()..=spot.config.n.into()) as u8);
        let blind = self.rng.chance(self.habits.blind) || session.context.is_empty();
        let (context, seen) =
            if blind { (None, Seen::default()) } else { (Some(session.context), session.seen) };
        let conditional =
            spot.semantics == Semantics::Register || self.rng.chance(self.habits.conditional);
        let write = Write { bucket, key, context, w, request, conditional, ttl_ms: None };
        if self.rng.chance(self.habits.deletes / spot.semantics.delete_rarity()) {
            return (Kind::Delete, Request::Delete(write), seen);
        }
        let ttl_ms = spot.expires.then(|| self.ttl()).flatten();
        let write = Write { ttl_ms, ..write };
        let padding = if self.rng.chance(200) { self.rng.below(self.habits.padding) } else { 0 };
        let mut value = history::line(id, padding as usize);
        if spot.semantics == Semantics::CausalSets && !blind && self.rng.chance(500) {
            // As a client does that reads a set, adds to it, and writes it back.
            for read in &session.lines {
                value.extend(history::line(*read, 0));
            }
        }
        (Kind::Put(value.into()), Request::Put(write), seen)
    }

    /// How long a value is to be there: the bucket's time, ever, a moment, or longer than the run.
    fn ttl(&mut self) -> Option<u64> {
        match self.rng.below(8) {
            0 | 1 => None,
            2 => Some(0),
            3 => Some(1_000_000_000),
            _ => Some(self.rng.within(20..=4_000)),
        }
    }

    /// Sends the current operation, to an owner or anywhere.
    fn send(&mut self, keys: &Keyspace) -> Option<Sending> {
        let current = self.current.as_mut()?;
        let owners = &keys.spots[current.spot].owners;
        let node = if self.rng.chance(self.habits.astray) {
            self.rng.index(self.nodes)
        } else {
            *self.rng.pick(owners)
        };
        let mean = self.habits.deadline_ms;
        let deadline_ms = self.rng.within(mean / 2..=mean * 3 / 2);
        if current.header.layout > 0 {
            current.header.layout = self.layout;
        }
        current.header.deadline_ms = u32::try_from(deadline_ms).unwrap_or(u32::MAX);
        // Some give up before the node does.
        let patience = deadline_ms * self.rng.within(500..=1_500);
        Some(Sending {
            call: current.call,
            node,
            header: current.header.clone(),
            body: current.body.clone(),
            patience,
        })
    }

    /// Tries again, or gives up.
    fn again(
        &mut self,
        now: u64,
        refusal: Option<Code>,
        keys: &Keyspace,
        history: &mut History,
    ) -> Turn {
        let Some(current) = self.current.as_mut() else {
            return Turn::Same;
        };
        current.doubtful |= refusal.is_none_or(|code| code == Code::Unknown);
        current.call.attempt += 1;
        let tries_left = current.call.attempt < self.habits.tries;
        let (op, doubtful) = (current.call.op, current.doubtful);
        if tries_left
            && self.rng.chance(700)
            && let Some(sending) = self.send(keys)
        {
            return Turn::Again(Box::new(sending));
        }
        let outcome = match refusal {
            Some(code) if !doubtful => Outcome::Refused(code),
            Some(_) | None => Outcome::Unknown,
        };
        history.complete(op, now, outcome);
        self.current = None;
        Turn::Over
    }

    /// No answer came in time.
    pub fn on_patience(
        &mut self,
        now: u64,
        call: Call,
        keys: &Keyspace,
        history: &mut History,
    ) -> Turn {
        if self.current.as_ref().is_some_and(|current| current.call == call) {
            self.again(now, None, keys, history)
        } else {
            Turn::Same
        }
    }

    /// An answer.
    pub fn on_answer(
        &mut self,
        now: u64,
        call: Call,
        header: ResponseHeader,
        body: Bytes,
        keys: &Keyspace,
        history: &mut History,
    ) -> Turn {
        self.layout = self.layout.max(header.layout);
        let Some(current) = self.current.take_if(|current| current.call == call) else {
            return Turn::Same;
        };
        let session = self.sessions.entry(keys.spots[current.spot].key.clone()).or_default();
        let outcome = match header.response {
            Response::Written(written) => {
                let deletes = matches!(current.header.request, Request::Delete(_));
                *session = Session::written(written.context, current.seen, call.op, deletes);
                Outcome::Acknowledged { owners: written.owners }
            }
            Response::Found(found) => {
                let values = split(&found.values, body);
                *session = Session::read(found.context, &values, found.deleted, now);
                Outcome::Found { values, deleted: found.deleted }
            }
            Response::Conflict(Conflict { found, settled }) => {
                let values = split(&found.values, body);
                *session = Session::read(found.context, &values, found.deleted, now);
                if current.doubtful && !settled {
                    Outcome::Unknown
                } else {
                    Outcome::Conflict { values, deleted: found.deleted }
                }
            }
            Response::Failed(failure) => {
                self.current = Some(current);
                return self.again(now, Some(failure.code), keys, history);
            }
            Response::Listed(_)
            | Response::BucketSaved { .. }
            | Response::Buckets(_)
            | Response::Layout(_)
            | Response::Plugin(_)
            | Response::Cluster(_)
            | Response::Explained(_)
            | Response::Status(_) => Outcome::Unknown,
        };
        history.complete(call.op, now, outcome);
        Turn::Over
    }
}

/// What a request expects to find, if it is a conditional write.
fn expected(request: &Request, holds: Option<Expected>) -> Option<Expected> {
    match request {
        Request::Put(write) | Request::Delete(write) if write.conditional => {
            let holds = holds.filter(|_| write.context.is_some());
            Some(holds.unwrap_or(Expected::Nothing))
        }
        Request::Put(_)
        | Request::Delete(_)
        | Request::Get(_)
        | Request::List(_)
        | Request::BucketCreate(_)
        | Request::BucketSet(_)
        | Request::BucketList
        | Request::Layout
        | Request::Plugin(_)
        | Request::Cluster(_)
        | Request::Explain(_)
        | Request::Scrub
        | Request::Status => None,
    }
}

/// The values of a body, by their lengths.
#[must_use]
pub fn split(lengths: &[u32], mut body: Bytes) -> Vec<Bytes> {
    lengths.iter().map(|len| body.split_to(body.len().min(*len as usize))).collect()
}
