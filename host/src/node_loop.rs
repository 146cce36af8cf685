//! The one owner of the core.
//!
//! A turn takes all that has arrived, tells the core one fact after the other, and carries out what it intends after each;
//! messages to peers go out at the end of the turn, so that a peer is woken once for all of them. Nothing here waits for a
//! disk, a plugin or a socket.
//!
//! It is a task, not a thread of its own: on two cores the hand-over between threads costs more than what the core does in
//! it, and a runtime's worker that has just read a request goes on with the core at once.
//!
//! The end has two steps, after the server takes no more requests and those in progress are answered. [`Arrival::End`]: questions
//! of peers are left unanswered from then on, while answers and facts still come in, until the core says that nothing is
//! in progress. Then the life that it gives is made durable by whoever ran the loop.

use std::collections::BTreeMap;
use std::mem::{Discriminant, discriminant};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kinfold_protocol::id::NodeId;
use kinfold_protocol::io::{Alarm, Input, Origin, Output};
use kinfold_protocol::life::Life;
use kinfold_protocol::merge::MergeFailure;
use kinfold_protocol::message::client::Response;
use kinfold_protocol::message::peer::{Envelope, Message};
use kinfold_protocol::node::Node;
use kinfold_protocol::record::Phase;
use kinfold_protocol::store::StoreError;
use kinfold_protocol::time::Time;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};
use tracing::{debug, error, info, warn};

use crate::clock::Clocks;
use crate::counters::Counters;
use crate::hands::Hands;
use crate::inbox::{Arrival, Arrivals, Asked, Install, Reply};
use crate::link::Link;
use crate::metrics::Look;
use crate::peers::Peers;
use crate::seldom::Seldom;
use crate::traces::Traces;

/// Arrivals of one turn at most: the timer and other tasks get their turn after some 100 µs of work.
const TURN: usize = 256;

/// The runtime's timer is no finer.
const TIMER_GRAIN: Duration = Duration::from_millis(1);

/// The core and what it acts through.
pub(crate) struct NodeLoop {
    node: Node,
    clocks: Clocks,
    arrivals: Arrivals,
    hands: Hands,
    peers: Peers,
    outbox: BTreeMap<NodeId, (Arc<Link>, Vec<Envelope>)>,
    asked: BTreeMap<Origin, oneshot::Sender<Reply>>,
    next_origin: u64,
    ending: bool,
    counters: Arc<Counters>,
    traces: Traces,
    store_failures: Seldom<Discriminant<StoreError>>,
}

/// What is left when the loop has ended.
pub(crate) struct Remains {
    /// The life to make durable; none if something was still in progress.
    pub(crate) life: Option<Life>,
    pub(crate) arrivals: Arrivals,
    pub(crate) hands: Hands,
}

impl NodeLoop {
    pub(crate) fn new(
        node: Node,
        clocks: Clocks,
        arrivals: Arrivals,
        hands: Hands,
        peers: Peers,
        counters: Arc<Counters>,
        traces: Traces,
    ) -> Self {
        let mut node_loop = Self {
            peers,
            node,
            clocks,
            arrivals,
            hands,
            outbox: BTreeMap::new(),
            asked: BTreeMap::new(),
            next_origin: 0,
            ending: false,
            counters,
            traces,
            store_failures: Seldom::default(),
        };
        node_loop.connect();
        node_loop
    }

    /// Has a queue for each peer that there is by now.
    fn connect(&mut self) {
        let peers = self.peers.all();
        self.outbox.retain(|id, (link, _)| {
            peers.values().any(|peer| peer.id == *id && Arc::ptr_eq(&peer.link, link))
        });
        for peer in peers.into_values() {
            self.outbox.entry(peer.id).or_insert_with(|| (peer.link, Vec::new()));
        }
    }

    /// Runs until [`Arrival::End`] has come and nothing is in progress, or `give_up` resolves.
    pub(crate) async fn run(mut self, give_up: impl Future<Output = ()>) -> Remains {
        let mut batch = Vec::with_capacity(TURN);
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(timer, give_up);
        loop {
            let armed = self.arm(timer.as_mut());
            tokio::select! {
                biased;
                () = &mut give_up => break,
                taken = self.arrivals.recv_many(&mut batch, TURN) => {
                    self.counters.facts.add(taken);
                }
                () = timer.as_mut(), if armed => {}
            }
            self.turn(&mut batch);
            if self.ending && self.node.end().is_some() {
                break;
            }
        }
        Remains { life: self.node.end(), arrivals: self.arrivals, hands: self.hands }
    }

    /// Sets the timer to the core's deadline, or leaves it where it is earlier: waking for nothing once is cheaper than
    /// setting it at every turn. Says whether there is a deadline.
    fn arm(&self, timer: Pin<&mut Sleep>) -> bool {
        let Some(due) = self.node.deadline() else { return false };
        let due = self.clocks.moment(due);
        if timer.is_elapsed() || timer.deadline() > due {
            // One that is past was ticked in the turn before, and the core left it there: not in a tight loop.
            timer.reset(due.max(Instant::now() + TIMER_GRAIN));
        }
        true
    }

    fn turn(&mut self, batch: &mut Vec<Arrival>) {
        self.counters.turns.one();
        for arrival in batch.drain(..) {
            match arrival {
                Arrival::Request(asked) => self.ask(asked),
                Arrival::Install(install) => self.install(install),
                Arrival::Peer { from, envelope, permit } => {
                    drop(permit);
                    if !(self.ending && is_question(&envelope.message)) {
                        self.traces.questioned(from, &envelope);
                        self.handle(Input::Peer { from, envelope });
                    }
                }
                Arrival::Datagram { from, bytes, permit } => {
                    drop(permit);
                    self.handle(Input::Datagram { from, bytes });
                }
                Arrival::Fact(fact) => self.handle(fact),
                Arrival::Look(tell) => {
                    let figures = self.node.figures(self.clocks.now().time);
                    let store_jobs_waiting = self.hands.jobs_waiting();
                    // The scraper may have given up.
                    let _ = tell.send(Look { figures, store_jobs_waiting });
                }
                Arrival::End => {
                    self.ending = true;
                    self.node.rest();
                }
            }
        }
        let now: Time = self.clocks.now().time;
        if self.node.deadline().is_some_and(|due| due <= now) {
            self.handle(Input::Tick);
        }
        for (link, envelopes) in self.outbox.values_mut() {
            if !envelopes.is_empty() {
                self.counters.link_messages_dropped.add(link.queue.push_all(envelopes));
            }
        }
    }

    fn ask(&mut self, asked: Asked) {
        let Asked { admin, header, body, answer } = asked;
        let origin = self.name(answer);
        self.traces.asked(origin, header.request.kind(), header.trace.as_ref());
        self.handle(Input::Client { origin, admin, header, body });
    }

    fn install(&mut self, install: Install) {
        let Install { release, component, answer } = install;
        let origin = self.name(answer);
        self.handle(Input::Install { origin, release, component });
    }

    /// Gives a request that waits for its answer a name.
    fn name(&mut self, answer: oneshot::Sender<Reply>) -> Origin {
        let origin = Origin(self.next_origin);
        self.next_origin += 1;
        self.asked.insert(origin, answer);
        origin
    }

    fn handle(&mut self, input: Input) {
        self.node.handle(self.clocks.now(), input);
        while let Some(output) = self.node.poll_output() {
            self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Reply { origin, mut header, body } => {
                if let Response::Status(status) = &mut header.response {
                    // The store keeps count.
                    let left = self.hands.tombstones();
                    status.counters.insert("tombstones_stored".to_owned(), left);
                }
                self.traces.answered(origin, &header);
                let taken = self
                    .asked
                    .remove(&origin)
                    .is_some_and(|answer| answer.send(Reply { header, body }).is_ok());
                if !taken {
                    self.counters.replies_unclaimed.one();
                }
            }
            Output::Send { to, mut envelope, cause } => {
                self.traces.sending(to, &mut envelope, cause);
                match self.outbox.get_mut(&to) {
                    Some((_, envelopes)) => envelopes.push(envelope),
                    None => self.counters.link_messages_dropped.one(),
                }
            }
            Output::Datagram { to, bytes } => {
                let link = self.outbox.get(&to).map(|(link, _)| link);
                if link.is_some_and(|link| link.send_datagram(bytes)) {
                    self.counters.link_datagrams.one();
                } else {
                    self.counters.link_datagrams_dropped.one();
                }
            }
            Output::Store { ticket, job } => self.hands.store(ticket, job),
            Output::Merge { ticket, request } => self.hands.merge(ticket, request),
            Output::Validate { ticket, request } => self.hands.validate(ticket, request),
            Output::Plugins(plan) => self.hands.plan_plugins(plan),
            Output::Members(members) => {
                self.peers.follow(&members);
                self.connect();
                self.tell_record();
            }
            Output::Refuse { node, actor } => {
                error!(%node, %actor, "two processes are this node, and the one that started later is told to stop: its data directory is a copy");
                if let Some((link, _)) = self.outbox.get(&node) {
                    link.refuse(actor);
                }
            }
            Output::Alarm(alarm) => self.raise(&alarm),
        }
    }

    /// Says in the log by which record of the ring the node acts from now on.
    fn tell_record(&self) {
        let record = self.node.record();
        let phase = match record.phase() {
            Some(Phase::Copying) => "copying",
            Some(Phase::Handing) => "handing",
            None => "stable",
        };
        info!(version = record.version, phase, "the ring is by another record");
        if !self.node.is_member() {
            info!(
                "this node has left the ring, and nothing is left on it that others need: stop it"
            );
        }
    }

    fn raise(&mut self, alarm: &Alarm) {
        self.counters.alarms.one();
        match alarm {
            Alarm::Clash { key } => {
                error!(%key, "one dot or coverage has two contents: the bucket's plugin breaks its laws, or a node is damaged; both are kept as siblings");
            }
            Alarm::MergeFailed { key, failure: MergeFailure::KeepSiblings(reason) } => {
                // A plugin's answer like any other.
                debug!(%key, reason, "a plugin keeps the siblings");
            }
            Alarm::MergeFailed { key, failure } => {
                warn!(%key, %failure, "a plugin did not merge, and the siblings stay");
            }
            Alarm::ClockAhead { peer, timestamp } => {
                warn!(%peer, timestamp = timestamp.0, "a peer's clock is too far ahead, and its writes are refused: check the clocks");
            }
            // A store that has stopped fails every request.
            Alarm::Store(error) => {
                if let Some(unsaid) =
                    self.store_failures.say(discriminant(error), Instant::now().into_std())
                {
                    error!(%error, unsaid, "the store failed");
                }
            }
        }
    }
}

/// Does it ask this node to do something?
fn is_question(message: &Message) -> bool {
    match message {
        Message::Hello { .. }
        | Message::CataloguePull
        | Message::RecordPull
        | Message::Record(_)
        | Message::Vote { .. }
        | Message::Catalogue { .. }
        | Message::ComponentAsk { .. }
        | Message::Replicate { .. }
        | Message::Hint { .. }
        | Message::Read { .. }
        | Message::Forward { .. }
        | Message::List { .. }
        | Message::Ballot { .. }
        | Message::Explain { .. }
        | Message::Exchange { .. } => true,
        Message::CatalogueHave { .. }
        | Message::ComponentState { .. }
        | Message::Replicated { .. }
        | Message::Held { .. }
        | Message::Forwarded { .. }
        | Message::Keys { .. }
        | Message::Balloted { .. }
        | Message::Voted { .. }
        | Message::Explained { .. }
        | Message::Exchanged { .. } => false,
    }
}
