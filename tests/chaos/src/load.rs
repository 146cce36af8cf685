//! Clients that read and write all the time, through the SDK, and note what they asked and were told, with its real time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinfold_client::{CausalContext, Client, Code, Consistency, Error, Found, Written};
use kinfold_protocol::id::RequestId;
use sim::history::{self, Expected, History, Kind, Op, OpId, Outcome, Seen};
use sim::keyspace::{Semantics, Spot};
use sim::rng::Rng;
use sim::session::Session;
use tokio::task::JoinSet;

use crate::error;
use crate::keys::{EMPTIED, Keys};

/// A write that was answered sooner, by the one node that was asked, was passed on to no second one.
const PROMPT: u64 = 100_000;

/// The parts of a run whose latencies are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Nothing is at fault.
    Healthy,
    /// One node has just gone.
    Leaving,
    /// One node has been away for a while.
    Absent,
    /// Anything may be at fault.
    Faults,
}

/// All that clients share.
#[derive(Debug)]
pub struct Record {
    /// What happened.
    pub history: History,
    /// The keys.
    pub keys: Keys,
    /// Microseconds that each acknowledged operation took, by the phase in which it began.
    pub latencies: BTreeMap<Phase, Vec<u64>>,
    /// The phase.
    pub phase: Phase,
    /// Calls that ended with an error, by what clients were told: writes and reads.
    pub failed: BTreeMap<String, [usize; 2]>,
    /// The same by the phase in which they ended.
    pub failed_in: BTreeMap<Phase, usize>,
    /// What clients were told that can't be.
    pub breaches: Vec<String>,
}

/// The clients.
#[derive(Debug)]
pub struct Load {
    record: Arc<Mutex<Record>>,
    begun: Instant,
    open: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    clients: JoinSet<()>,
}

impl Load {
    /// Clients that have not begun.
    #[must_use]
    pub fn new(keys: Keys) -> Self {
        let record = Record {
            history: History::from_outside(),
            keys,
            latencies: BTreeMap::new(),
            phase: Phase::Healthy,
            failed: BTreeMap::new(),
            failed_in: BTreeMap::new(),
            breaches: Vec::new(),
        };
        Self {
            record: Arc::new(Mutex::new(record)),
            begun: Instant::now(),
            open: Arc::default(),
            acknowledged: Arc::default(),
            clients: JoinSet::new(),
        }
    }

    /// What is noted so far.
    pub fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads and writes that were answered well so far.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// So many clients begin.
    pub fn begin(&mut self, clients: &[Client], rng: &mut Rng, count: usize) {
        self.open.store(true, Ordering::Release);
        for number in 0..count {
            let user = self.user(clients[number % clients.len()].clone(), rng.fork());
            self.clients.spawn(user.go_on(self.open.clone()));
        }
    }

    /// They stop after what they have begun.
    ///
    /// # Errors
    /// One of them panicked.
    pub async fn end(&mut self) -> Result<(), error::Error> {
        self.open.store(false, Ordering::Release);
        while let Some(ended) = self.clients.join_next().await {
            ended.map_err(|failed| error::Error::Stage(format!("a client failed: {failed}")))?;
        }
        Ok(())
    }

    /// Writes to a key through this client, with this W, reads it back from whichever owner answers first, and notes both.
    ///
    /// # Errors
    /// What the client was told, if it did not get both.
    pub async fn probe(&self, client: &Client, number: usize, w: u8) -> Result<(), String> {
        // Of which the one node that may be reached gets its share only.
        const DEADLINE: Duration = Duration::from_secs(12);
        let spot = self.record().keys.space.spots[number].clone();
        let user = self.user(client.clone(), Rng::new(0));
        let intent = Intent::default();
        let value = |id| Kind::Put(history::line(id, 0).into());
        let op = user.invoke(&spot, value, Seen::default(), None);
        let written = user.send(&spot, &op, &intent, w, DEADLINE).await;
        let outcome = match &written {
            Ok(written) => Outcome::Acknowledged { owners: written.owners },
            Err(error) => user.failed(&op, error),
        };
        user.complete(op.id, outcome, false);
        written.map_err(|error| format!("a write: {error}"))?;

        let kind = Kind::Get { r: 1, strict: false };
        let op = user.invoke(&spot, |_| kind, Seen::default(), None);
        let read = user.get(&spot, 1, Consistency::Sloppy, DEADLINE).await;
        let outcome = match &read {
            Ok(read) => found(read),
            Err(error) => user.failed(&op, error),
        };
        user.complete(op.id, outcome, false);
        let read = read.map_err(|error| format!("a read: {error}"))?;
        if read.values.is_empty() {
            return Err("a read found nothing".to_owned());
        }
        Ok(())
    }

    fn user(&self, client: Client, rng: Rng) -> User {
        User {
            client,
            record: self.record.clone(),
            begun: self.begun,
            acknowledged: self.acknowledged.clone(),
            sessions: BTreeMap::new(),
            rng,
        }
    }

    /// Reads a key strictly from all its owners, and notes it.
    pub async fn read_in_the_end(&self, client: &Client, spot: usize) -> Option<Found> {
        let spot = self.record().keys.space.spots[spot].clone();
        let n = spot.config.n;
        let kind = Kind::Get { r: n, strict: true };
        let user = User {
            client: client.clone(),
            record: self.record.clone(),
            begun: self.begun,
            acknowledged: Arc::default(),
            sessions: BTreeMap::new(),
            rng: Rng::new(0),
        };
        let id = user.invoke(&spot, |_| kind, Seen::default(), None).id;
        let read = user.get(&spot, n, Consistency::Strict, Duration::from_secs(20)).await;
        let outcome = read.as_ref().map(found).unwrap_or(Outcome::Unknown);
        user.complete(id, outcome, false);
        read.ok()
    }
}

/// One client.
struct User {
    client: Client,
    record: Arc<Mutex<Record>>,
    begun: Instant,
    acknowledged: Arc<AtomicUsize>,
    sessions: BTreeMap<usize, Session>,
    rng: Rng,
}

/// What a client writes.
#[derive(Default)]
struct Intent {
    context: Option<Bytes>,
    seen: Seen,
    conditional: bool,
    deletes: bool,
    padding: usize,
    /// Lines that go with the new one.
    lines: Vec<OpId>,
}

impl User {
    async fn go_on(mut self, open: Arc<AtomicBool>) {
        while open.load(Ordering::Acquire) {
            let (number, spot) = {
                let record = self.record.clone();
                let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
                let number = record.keys.pick(&mut self.rng);
                (number, record.keys.space.spots[number].clone())
            };
            if self.rng.chance(400) || !self.sessions.contains_key(&number) {
                self.read(number, &spot).await;
            } else {
                self.write(number, &spot).await;
            }
            while self.sessions.len() > 60 {
                self.sessions.pop_first();
            }
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// An operation begins.
    fn invoke(
        &self,
        spot: &Spot,
        kind: impl FnOnce(OpId) -> Kind,
        seen: Seen,
        expected: Option<Expected>,
    ) -> Op {
        let mut record = self.record();
        let id = record.history.next_id();
        let op = Op {
            id,
            key: spot.key.clone(),
            kind: kind(id),
            // The SDK names each write by itself, and nobody watches which dots become of it.
            request: RequestId([0; 16]),
            seen,
            expected,
            invoked: self.now(),
            returned: None,
            outcome: Outcome::Open,
        };
        record.history.invoke(op.clone());
        op
    }

    /// It is answered, or given up. `once`: by the only node that was asked.
    fn complete(&self, id: OpId, outcome: Outcome, once: bool) {
        let good = matches!(outcome, Outcome::Acknowledged { .. } | Outcome::Found { .. });
        let mut record = self.record();
        let now = self.now();
        record.history.complete(id, now, outcome);
        let took = record.history.op(id).map_or(0, |op| now - op.invoked);
        if once && took < PROMPT {
            record.history.ask_once(id);
        }
        if good {
            let phase = record.phase;
            record.latencies.entry(phase).or_default().push(took);
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// An operation ended so. Notes what the client was told, for the report.
    fn failed(&self, op: &Op, error: &Error) -> Outcome {
        let told = match error {
            Error::Unreachable { .. } => "no node answered before the deadline".to_owned(),
            Error::Unknown { .. } => "may or may not have happened".to_owned(),
            Error::Refused { code, .. } => format!("refused: {}", code.word()),
            // An answer as good as any other.
            Error::Conflict { .. } => return self.outcome(op, error),
            error @ (Error::Config(_)
            | Error::Protocol { .. }
            | Error::Siblings { .. }
            | Error::Malformed(_)
            | _) => error.to_string(),
        };
        let mut record = self.record();
        record.failed.entry(told).or_default()[usize::from(!op.writes())] += 1;
        let phase = record.phase;
        *record.failed_in.entry(phase).or_default() += 1;
        drop(record);
        self.outcome(op, error)
    }

    fn outcome(&self, op: &Op, error: &Error) -> Outcome {
        match error {
            Error::Refused { code, .. } => Outcome::Refused(*code),
            Error::Unreachable { .. } => Outcome::Refused(Code::Unavailable),
            Error::Unknown { .. } => Outcome::Unknown,
            Error::Conflict { found } => {
                let Found { values, deleted, .. } = &**found;
                Outcome::Conflict { values: values.clone(), deleted: *deleted }
            }
            error @ (Error::Config(_)
            | Error::Protocol { .. }
            | Error::Siblings { .. }
            | Error::Malformed(_)
            | _) => {
                self.breach(op.id, error);
                Outcome::Unknown
            }
        }
    }

    fn breach(&self, id: OpId, error: &Error) {
        self.record().breaches.push(format!("{id:?} ended so: {error}"));
    }

    /// How many nodes a request waits for: `usual` while latencies are compared, since with one node of five away three copies are
    /// not to be had of most keys; then anything up to `most`.
    fn quorum(&mut self, usual: u8, most: u8) -> u8 {
        let compared = self.record().phase != Phase::Faults;
        let any = self.rng.within(usual.into()..=most.into());
        if compared { usual } else { u8::try_from(any).unwrap_or(most) }
    }

    fn deadline(&mut self) -> Duration {
        Duration::from_millis(self.rng.within(500..=4_000))
    }

    async fn get(
        &self,
        spot: &Spot,
        r: u8,
        consistency: Consistency,
        deadline: Duration,
    ) -> Result<Found, Error> {
        let bucket = self.client.bucket(spot.key.bucket.as_str())?;
        bucket.get(&spot.key.key).r(r).consistency(consistency).deadline(deadline).await
    }

    async fn read(&mut self, number: usize, spot: &Spot) {
        let consistency = match self.rng.below(4) {
            0 => Consistency::Sloppy,
            1 => Consistency::Strict,
            _ => spot.config.consistency,
        };
        let r = self.quorum(spot.config.r, spot.config.n);
        let strict = consistency == Consistency::Strict;
        let op = self.invoke(spot, |_| Kind::Get { r, strict }, Seen::default(), None);
        let deadline = self.deadline();
        let read = self.get(spot, r, consistency, deadline).await;
        let outcome = match read {
            Ok(read) => {
                let context = read.context.as_bytes().clone();
                let session = Session::read(context, &read.values, read.deleted, self.now());
                self.sessions.insert(number, session);
                found(&read)
            }
            Err(error) => self.failed(&op, &error),
        };
        self.complete(op.id, outcome, false);
    }

    fn intend(&mut self, session: &Session, spot: &Spot) -> Intent {
        let register = spot.semantics == Semantics::Register;
        let blind = !register && self.rng.chance(150);
        let deletes = self.rng.chance(80)
            && !blind
            && (spot.semantics != Semantics::Union || spot.key.bucket.as_str() == EMPTIED);
        // As a client does that reads a set, adds to it, and writes it back.
        let adds = spot.semantics == Semantics::CausalSets && !blind && self.rng.chance(500);
        Intent {
            context: (!blind).then(|| session.context.clone()),
            seen: if blind { Seen::default() } else { session.seen.clone() },
            conditional: register || (!blind && self.rng.chance(100)),
            deletes,
            padding: if self.rng.chance(200) { self.rng.index(2_000) } else { 0 },
            lines: if adds { session.lines.iter().copied().collect() } else { Vec::new() },
        }
    }

    async fn write(&mut self, number: usize, spot: &Spot) {
        let Some(session) = self.sessions.get(&number).cloned() else { return };
        let intent = self.intend(&session, spot);
        let expected = intent.conditional.then(|| session.holds.unwrap_or(Expected::Nothing));
        let kind = |id| {
            if intent.deletes {
                return Kind::Delete;
            }
            let mut value = history::line(id, intent.padding);
            intent.lines.iter().for_each(|line| value.extend(history::line(*line, 0)));
            Kind::Put(value.into())
        };
        let op = self.invoke(spot, kind, intent.seen.clone(), expected);
        let w = self.quorum(spot.least_w, spot.config.n);
        let deadline = self.deadline();
        let written = self.send(spot, &op, &intent, w, deadline).await;
        let (outcome, once) = match written {
            Ok(Written { context, owners, attempts, .. }) => {
                let context = context.as_bytes().clone();
                let session = Session::written(context, intent.seen, op.id, intent.deletes);
                self.sessions.insert(number, session);
                (Outcome::Acknowledged { owners }, attempts == 1)
            }
            Err(error) => {
                if let Error::Conflict { found } = &error {
                    let Found { values, context, deleted, .. } = &**found;
                    let context = context.as_bytes().clone();
                    let session = Session::read(context, values, *deleted, self.now());
                    self.sessions.insert(number, session);
                }
                (self.failed(&op, &error), false)
            }
        };
        self.complete(op.id, outcome, once);
    }

    async fn send(
        &self,
        spot: &Spot,
        op: &Op,
        intent: &Intent,
        w: u8,
        deadline: Duration,
    ) -> Result<Written, Error> {
        let bucket = self.client.bucket(spot.key.bucket.as_str())?;
        let context = intent.context.clone().map(CausalContext::from_bytes);
        let Kind::Put(value) = &op.kind else {
            let delete = bucket.delete(&spot.key.key).w(w).deadline(deadline);
            let context = context.unwrap_or_else(|| CausalContext::from_bytes(""));
            return if intent.conditional {
                delete.only_if(context).await
            } else {
                delete.context(context).await
            };
        };
        let put = bucket.put(&spot.key.key, value.clone()).w(w).deadline(deadline);
        match context {
            Some(context) if intent.conditional => put.only_if(context).await,
            Some(context) => put.context(context).await,
            None => put.await,
        }
    }
}

fn found(read: &Found) -> Outcome {
    Outcome::Found { values: read.values.clone(), deleted: read.deleted }
}
