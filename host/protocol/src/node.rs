//! The node: routes facts to the machines, and their intentions to the shell.
//!
//! Client requests become machines of `coordinator`; work on this node's own copies goes through the keys in work;
//! what both want of each other, of the peers and of the shell passes through here. Anti-entropy has its routes in `repair`.

mod repair;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;

use crate::admission;
use crate::anti_entropy::AntiEntropy;
use crate::catalogue::Catalogue;
use crate::causality::{Ballot, Debt, Object};
use crate::cbor;
use crate::config::{Limits, Shape};
use crate::coordinator::{Doubtful, Fact, Machine, Order, Orders, ReplyTo};
use crate::expiry::Sweep;
use crate::handoff::Handoff;
use crate::healing::Healing;
use crate::id::{BucketName, Key, NodeId};
use crate::io::{Alarm, Cause, Done, Input, Output, StoreEvent, saved};
use crate::keys::{Asker, Keys, Report, Target, Tickets};
use crate::layout::Layout;
use crate::ledger::Ledger;
use crate::life::Life;
use crate::membership::Membership;
use crate::message::client::{
    Code, Failure, PeerStatus, Request, RequestHeader, Response, ResponseHeader, Status,
};
use crate::message::peer::{Envelope, Message, Refusal};
use crate::message::vote::VoteReply;
use crate::planted::{self, Bug};
use crate::record::Kept;
use crate::replica::{Answer, StandsIn, Step, StoreJob, Ticket};
use crate::ring::{Partition, Tree};
use crate::spread::Spread;
use crate::store::{Bodies, StoreError};
use crate::time::{Clock, Duration, Now, Time, Timestamp};
use crate::twins::Twins;
use deletes::Deletes;
use explain::Explains;
use figures::Share;
pub use figures::{Figures, PaceFigures, PeerFigures};
use pace::Paces;
use repair::Repair;

mod ballots;
mod deletes;
mod expiry;
mod explain;
mod figures;
mod gossip;
mod healing;
mod hints;
mod listing;
mod moves;
mod pace;
mod plugins;
mod requests;
mod ring;

use ballots::Ballots;
use listing::LookUp;
use moves::Moves;
use plugins::Plugins;
use requests::Role;
use ring::RingState;

/// All that a node starts from.
#[derive(Clone, Debug)]
pub struct Boot {
    /// Who it is.
    pub id: NodeId,
    /// The cluster's name.
    pub cluster: String,
    /// The program's version, for status.
    pub version: String,
    /// The life that begins, already durable.
    pub life: Life,
    /// The clock of that life.
    pub clock: Clock,
    /// What it knows of who owns what.
    pub ring: Kept,
    /// The buckets, as last saved.
    pub catalogue: Catalogue,
    /// What the store holds for other owners.
    pub debts: BTreeMap<NodeId, Debt>,
    /// Partitions of which the disk has lost something. Of these the node answers nothing until it has compared them with all
    /// their other owners.
    pub lost: BTreeSet<Partition>,
    /// The bounds.
    pub limits: Limits,
    /// Where its chance comes from. Never the same for two lives: the numbers of its questions start here, and the answer to
    /// a question of a former life must not pass for one of this.
    pub seed: u64,
}

/// A machine at work.
struct Operation {
    machine: Box<dyn Machine + Send>,
    reply_to: ReplyTo,
    begun: Time,
    /// The key, where it has one and this node owns it.
    target: Option<Target>,
    wake: Time,
}

/// What this node knows of a peer.
#[derive(Clone, Copy, Debug, Default)]
struct Peer {
    heard: Option<Time>,
    /// What its wall clock read when it sent what came last.
    wall: Timestamp,
    same_catalogue: bool,
}

/// What is to happen once a piece of the node's state is durable.
enum Saving {
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
    /// Answer this question of a vote.
    Vote {
        to: NodeId,
        ask: u64,
        ballot: Ballot,
        reply: Box<VoteReply>,
    },
    Nothing,
}

/// One node of the cluster, without a clock, a socket, a thread or a file.
pub struct Node {
    boot: Boot,
    keys: Keys,
    tickets: Tickets,
    operations: BTreeMap<u64, Operation>,
    timers: BTreeSet<(Time, u64)>,
    next_operation: u64,
    /// Operations that wait for a merge.
    merges: BTreeMap<Ticket, u64>,
    saving: BTreeMap<Ticket, Saving>,
    lease_wanted: bool,
    peers: BTreeMap<NodeId, Peer>,
    /// How fast they answer.
    paces: Paces,
    membership: Membership,
    handoff: Handoff,
    /// Lists of hints that the store is making, and for whom.
    listings: BTreeMap<Ticket, NodeId>,
    next_hello: Time,
    /// Lattice buckets whose plugin broke its laws.
    suspended: BTreeSet<BucketName>,
    repair: Repair,
    ring: RingState,
    healing: Healing,
    moves: Moves,
    plugins: Plugins,
    ballots: Ballots,
    deletes: Deletes,
    twins: Twins,
    sweep: Sweep,
    /// Looks for keys that are with the store.
    look_ups: BTreeMap<Ticket, LookUp>,
    counters: BTreeMap<&'static str, u64>,
    /// Versions that gets found.
    siblings: Spread,
    share: Share,
    ledger: Ledger,
    explains: Explains,
    outputs: VecDeque<Output>,
}

impl Node {
    /// A node at its start.
    #[must_use]
    pub fn new(boot: Boot, now: Now) -> Self {
        let anti_entropy = AntiEntropy::new(
            scramble(boot.seed.wrapping_add(1)),
            boot.limits.exchange,
            boot.limits.pace.clone(),
            now.time,
        );
        let peers = boot.ring.record.members().into_keys().filter(|id| *id != boot.id);
        let peers: BTreeMap<NodeId, Peer> = peers.map(|id| (id, Peer::default())).collect();
        let mut node = Self {
            keys: Keys::new(boot.limits.waiting_for_key, boot.limits.store_jobs),
            tickets: Tickets::default(),
            operations: BTreeMap::new(),
            timers: BTreeSet::new(),
            // The lower quarter of the numbers: counting up can't come to those of anti-entropy.
            next_operation: (scramble(boot.seed) >> 2).max(1),
            merges: BTreeMap::new(),
            saving: BTreeMap::new(),
            lease_wanted: false,
            membership: Membership::new(
                boot.id,
                boot.life.lease,
                peers.keys().copied().collect(),
                &boot.limits.gossip,
                scramble(!boot.seed),
                now.time,
            ),
            handoff: Handoff::new(boot.limits.hints.clone(), boot.debts.clone()),
            listings: BTreeMap::new(),
            deletes: Deletes::new(boot.limits.collect.clone(), peers.keys().copied(), now.time),
            twins: Twins::new(boot.limits.hello),
            sweep: Sweep::new(boot.limits.expiry.clone(), now.time),
            peers,
            paces: Paces::default(),
            next_hello: now.time,
            suspended: BTreeSet::new(),
            repair: Repair::new(anti_entropy),
            ring: RingState::new(boot.ring.clone(), now.time),
            healing: Healing::default(),
            moves: Moves::new(boot.id, &boot.ring),
            plugins: Plugins::default(),
            ballots: Ballots::default(),
            look_ups: BTreeMap::new(),
            counters: BTreeMap::new(),
            siblings: Spread::new(figures::SIBLINGS),
            share: Share::default(),
            ledger: Ledger::new(boot.limits.discarded),
            explains: Explains::default(),
            outputs: VecDeque::new(),
            boot,
        };
        node.plan_plugins();
        node.healing = node.lost_trees();
        node
    }

    /// Takes a fact. Afterwards call [`Node::poll_output`] until it gives none.
    pub fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Client { origin, admin, header, body } => {
                self.on_request(now, ReplyTo::Client(origin), admin, header, body);
            }
            Input::Peer { from, envelope } => self.on_envelope(now, from, envelope),
            Input::Datagram { from, bytes } => self.on_datagram(now, from, &bytes),
            Input::Store(event) => self.on_store(now, event),
            Input::Merged { ticket, result } if self.explains.merges(ticket) => {
                self.on_explain_merged(now, ticket, result);
            }
            Input::Merged { ticket, result } => match self.merges.remove(&ticket) {
                Some(id) => {
                    self.count(if result.is_ok() { "merges" } else { "merge_failures" });
                    self.tell(now, id, Fact::Merged(result));
                }
                None => {
                    if result.is_ok() {
                        self.count("merges");
                    }
                    self.keys.on_merged(ticket, result, &mut self.tickets);
                }
            },
            Input::Validated { ticket, validity } => self.on_validated(now, ticket, validity),
            Input::Install { origin, release, component } => {
                self.on_install(now, ReplyTo::Client(origin), release, component);
            }
            Input::Component { hash, state } => self.on_component(hash, state),
            Input::Validators(validators) => self.on_validators(validators),
            Input::Tick => {}
        }
        self.on_time(now);
        self.advance_membership(now);
        self.route_reports(now);
        self.advance_handoff(now);
        self.renew_lease(now);
    }

    /// The next intention.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let first = self.timers.first().map(|(time, _)| *time);
        let (hello, gossip) = (Some(self.next_hello), Some(self.membership.wake()));
        let repair = Some(self.repair.wake());
        let collector = Some(self.deletes.wake());
        let sweep = Some(self.sweep.wake());
        let explains = self.explains.wake();
        let moves = Some(self.moves.wake());
        [hello, gossip, repair, collector, sweep, first, explains, moves, self.handoff.wake()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Is nothing in progress?
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let idle = self.operations.is_empty() && self.keys.is_idle() && self.saving.is_empty();
        idle && self.deletes.is_idle() && self.moves.is_idle()
    }

    /// The life to save at a clean stop; `None` while something is in progress: what is not durable may be lost, and then
    /// the actor must not go on.
    #[must_use]
    pub fn end(&self) -> Option<Life> {
        self.is_idle().then(|| self.boot.life.end())
    }

    /// Counts since the start, by name.
    #[must_use]
    pub fn counters(&self) -> &BTreeMap<&'static str, u64> {
        &self.counters
    }

    /// The layout that this node reads by.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        self.ring.acting.layout()
    }

    /// The catalogue that this node acts by.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.boot.catalogue
    }

    fn count(&mut self, name: &'static str) {
        self.count_more(name, 1);
    }

    fn count_more(&mut self, name: &'static str, n: u64) {
        *self.counters.entry(name).or_default() += n;
    }

    // Clients

    fn on_request(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        admin: bool,
        header: RequestHeader,
        body: Bytes,
    ) {
        if let Err(failure) = self.try_request(now, reply_to, admin, header, body) {
            self.count("requests_refused");
            self.reply(reply_to, now, Response::Failed(failure), Vec::new());
        }
    }

    fn try_request(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        admin: bool,
        header: RequestHeader,
        body: Bytes,
    ) -> Result<(), Failure> {
        let concerns_keys = matches!(
            header.request,
            Request::Get(_) | Request::Put(_) | Request::Delete(_) | Request::List(_)
        );
        let version = self.ring.acting.version;
        // Who asks who owns what by now can't be expected to know it.
        if concerns_keys && header.layout != 0 && header.layout != version {
            let text = alloc::format!(
                "the request was made by layout {}, this node acts by {version}; nothing was done: ask for the layout \
                 and try again",
                header.layout
            );
            return Err(Failure::new(Code::StaleLayout, text));
        }
        if concerns_keys && !self.is_member() {
            let text = "this node is no member of the ring; nothing was done: ask a member";
            return Err(Failure::new(Code::Unavailable, text));
        }
        if self.operations.len() >= self.boot.limits.requests {
            self.count("requests_shed");
            return Err(overloaded());
        }
        let deadline = now.time.after(self.patience(header.deadline_ms));
        match &header.request {
            Request::List(list) => self.begin_list(now, reply_to, list, deadline),
            Request::Get(_) => self.begin_get(now, reply_to, header, body, deadline, Role::Asked),
            Request::Put(_) | Request::Delete(_) => {
                self.begin_put(now, reply_to, header, body, deadline, Role::Asked)
            }
            Request::BucketCreate(change) | Request::BucketSet(change) => {
                let create = matches!(header.request, Request::BucketCreate(_));
                if !admin {
                    let text = "changing buckets needs a certificate of the admin role; nothing was changed";
                    return Err(Failure::new(Code::Forbidden, text));
                }
                admission::change(&self.boot.catalogue, self.ring.acting.copies(), change, create)?;
                self.change_bucket(now, reply_to, change.clone(), deadline)
            }
            Request::Plugin(request) => {
                self.on_plugin_request(now, reply_to, admin, request, deadline)
            }
            Request::Cluster(request) => {
                self.on_cluster_request(now, reply_to, admin, request, deadline)
            }
            Request::BucketList => {
                let buckets = self.boot.catalogue.buckets().clone();
                self.reply(reply_to, now, Response::Buckets(buckets), Vec::new());
                Ok(())
            }
            Request::Layout => {
                let layout = self.layout().clone().numbered(self.ring.acting.version);
                self.reply(reply_to, now, Response::Layout(layout), Vec::new());
                Ok(())
            }
            Request::Explain(explain) => self.begin_explain(now, reply_to, explain, deadline),
            // The shell has begun it.
            Request::Status | Request::Scrub => {
                let status = self.status(now.time);
                self.reply(reply_to, now, Response::Status(status), Vec::new());
                Ok(())
            }
        }
    }

    fn patience(&self, deadline_ms: u32) -> Duration {
        let limits = &self.boot.limits;
        match deadline_ms {
            0 => limits.default_deadline,
            ms => Duration::from_millis(ms.into()).min(limits.max_deadline),
        }
    }

    fn status(&self, now: Time) -> Status {
        let members = self.ring.acting.members();
        let me = members.get(&self.boot.id);
        let mut counters: BTreeMap<String, u64> =
            self.counters.iter().map(|(name, n)| ((*name).to_string(), *n)).collect();
        counters.insert("operations_in_progress".to_string(), self.operations.len() as u64);
        let lost = self.healing.lost().len() as u64;
        counters.insert("partitions_lost".to_string(), lost);
        counters.insert("keys_in_work".to_string(), self.keys.in_work() as u64);
        let owed = self.handoff.total();
        counters.insert("hints".to_string(), owed.keys);
        counters.insert("hint_bytes".to_string(), owed.bytes);
        let deletes = self.delete_status();
        counters.insert("tombstones_waiting".to_string(), deletes.waiting);
        counters.insert("tombstones_stable".to_string(), deletes.stable);
        Status {
            node: self.boot.id,
            name: me.map(|m| m.name.clone()).unwrap_or_default(),
            cluster: self.boot.cluster.clone(),
            version: self.boot.version.clone(),
            layout: self.ring.acting.version,
            peers: self
                .peers
                .iter()
                .map(|(node, peer)| PeerStatus {
                    node: *node,
                    heard_ms: peer.heard.map(|at| now.since(at).as_millis()),
                    same_catalogue: peer.same_catalogue,
                    hints: self.handoff.debt(*node).keys,
                    hint_bytes: self.handoff.debt(*node).bytes,
                    reach: self.membership.reach(*node),
                    // The shell knows.
                    rtt_us: None,
                    answer_p95_us: self.pace(*node).map(|pace| pace.0),
                    exchanged_ms: self.repair.exchanged(*node).map(|at| now.since(at).as_millis()),
                })
                .collect(),
            counters,
            suspended: self.suspended.iter().cloned().collect(),
            discarded: self.discarded_by_bucket(),
            exchanging: self.repair.is_exchanging(),
            deletes,
            // The shell knows.
            scrub: None,
        }
    }

    fn discarded_by_bucket(&self) -> BTreeMap<BucketName, BTreeMap<String, u64>> {
        let mut all: BTreeMap<BucketName, BTreeMap<String, u64>> = BTreeMap::new();
        for ((bucket, reason), count) in self.ledger.counts() {
            all.entry(bucket.clone()).or_default().insert(reason.word().to_string(), *count);
        }
        all
    }

    // Operations

    fn new_id(&mut self) -> u64 {
        self.next_operation += 1;
        self.next_operation
    }

    fn start(
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
    fn tell(&mut self, now: Now, id: u64, fact: Fact) {
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

    fn step(&mut self, id: u64, asker: Asker, step: Step) {
        let target = self.operations.get(&id).and_then(|o| o.target.clone());
        let target = target.expect("only operations on an owned key order steps");
        self.keys.step(asker, target, step, &mut self.tickets);
    }

    fn reply(&mut self, reply_to: ReplyTo, now: Now, response: Response, body: Vec<Bytes>) {
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

    fn send(&mut self, now: Now, to: NodeId, message: Message) {
        self.send_for(now, to, message, None);
    }

    fn send_for(&mut self, now: Now, to: NodeId, message: Message, cause: Option<Cause>) {
        let layout = self.ring.acting.version;
        let envelope = Envelope { layout, wall: now.wall, trace: None, message };
        self.outputs.push_back(Output::Send { to, envelope, cause });
    }

    // Peers

    fn on_envelope(&mut self, now: Now, from: NodeId, envelope: Envelope) {
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
                peer.same_catalogue = same;
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
            Message::Replicate { ask, key, object } => {
                self.on_replicate(now, from, ask, key, object, None, same_layout);
            }
            Message::Hint { ask, owner, key, object } => {
                self.on_replicate(now, from, ask, key, object, Some(owner), same_layout);
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

    /// A peer wants an object kept here: as one of this node's own, or in place of an owner.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one message, taken apart by the caller's match"
    )]
    fn on_replicate(
        &mut self,
        now: Now,
        from: NodeId,
        ask: u64,
        key: Key,
        object: Object,
        instead_of: Option<NodeId>,
        same_layout: bool,
    ) {
        let accepted = if same_layout {
            self.accept(now, from, ask, key, object, instead_of)
        } else {
            Err(Refusal::StaleLayout)
        };
        if let Err(refusal) = accepted {
            self.count("replications_refused");
            self.send(now, from, Message::Replicated { ask, refused: Some(refusal) });
        }
    }

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

    /// Takes note of a time that a peer sent. Says whether it can be believed.
    fn observe(&mut self, now: Now, peer: NodeId, timestamp: Timestamp) -> bool {
        let believed = self.boot.clock.observe(timestamp, now.wall).is_ok();
        if !believed {
            self.count("clocks_refused");
            self.outputs.push_back(Output::Alarm(Alarm::ClockAhead { peer, timestamp }));
        }
        believed
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

    // The store

    /// Plugins first: a bucket is never kept without the plugin that it names.
    fn save_catalogue(&mut self, saving: Saving) {
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

    fn save(&mut self, name: &str, bytes: Bytes, saving: Saving) {
        let ticket = self.tickets.next();
        self.saving.insert(ticket, saving);
        let job = StoreJob::Save { name: name.to_string(), bytes };
        self.outputs.push_back(Output::Store { ticket, job });
    }

    fn renew_lease(&mut self, now: Now) {
        if self.lease_wanted {
            return;
        }
        if let Some(lease) = self.boot.clock.wanted_lease(now.wall) {
            self.lease_wanted = true;
            self.boot.life.lease = lease;
            let bytes = cbor::encode(&self.boot.life).into();
            self.save(saved::LIFE, bytes, Saving::Lease(lease));
        }
    }

    fn on_store(&mut self, now: Now, event: StoreEvent) {
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

    fn on_saved(&mut self, now: Now, saving: Saving, result: Result<(), StoreError>) {
        match (saving, result) {
            (Saving::Lease(lease), Ok(())) => {
                self.lease_wanted = false;
                self.boot.clock.extend(lease);
            }
            // The next fact asks again.
            (Saving::Lease(_), Err(_)) => self.lease_wanted = false,
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
            (Saving::Copied(tree), saved) => self.on_copied_saved(tree, saved.is_ok()),
            (Saving::Vote { to, ask, ballot, reply }, Ok(())) => {
                self.voted(now, to, ask, ballot, *reply);
            }
            (Saving::Have(..) | Saving::Vote { .. } | Saving::Nothing, _) => {}
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

    // The keys in work

    fn route_reports(&mut self, now: Now) {
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
                    self.ballot_applied(number, answer, object);
                    if planted::has(Bug::PromiseNotDurable) {
                        self.ballot_durable(now, number);
                    }
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

    /// Tells a peer that its question failed: as both kinds of answer, of which it waits for one.
    fn refuse(&mut self, now: Now, to: NodeId, ask: u64, error: &StoreError) {
        let refusal = refusal_of(error);
        self.count("replications_refused");
        self.send(now, to, Message::Replicated { ask, refused: Some(refusal) });
        let nothing = planted::has(Bug::EmptyAnswer).then(Object::default);
        self.send(now, to, Message::Held { ask, object: nothing.ok_or(refusal) });
    }

    /// One dot, or one coverage, with two contents: a lattice bucket is not folded any more until it is set anew.
    fn on_clash(&mut self, id: u64) {
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

    // Time

    fn on_time(&mut self, now: Now) {
        while let Some((time, id)) = self.timers.first().copied()
            && time <= now.time
        {
            self.timers.pop_first();
            if let Some(operation) = self.operations.get_mut(&id) {
                // Its wake-up is spent: whatever it wants next has to be set anew.
                operation.wake = Time(u64::MAX);
                self.tell(now, id, Fact::Time);
            }
        }
        if self.next_hello <= now.time {
            self.next_hello = now.time.after(self.boot.limits.hello);
            let catalogue = self.boot.catalogue.digest();
            self.review_healing();
            self.before_greeting(now);
            self.keep_record();
            self.advance_ring(now);
            let is_member = self.is_member();
            for peer in self.peers.keys().copied().collect::<Vec<_>>() {
                if !is_member {
                    // Nobody tells this node when it becomes one.
                    self.send(now, peer, Message::RecordPull);
                    continue;
                }
                let (greeting, progress) = (Some(self.greeting(peer)), Some(self.progress()));
                self.send(now, peer, Message::Hello { catalogue, greeting, progress });
            }
        }
        self.repair_on_time(now);
        self.advance_leaving(now);
        self.forget_ballots(now);
        self.advance_collector(now);
        self.advance_expiry(now);
        self.explain_on_time(now);
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

fn overloaded() -> Failure {
    Failure {
        code: Code::Overloaded,
        message: "the node has too much to do; nothing was done: try again a little later, or at another owner".into(),
        retry_after_ms: Some(50),
    }
}

/// What a peer is told where the store failed.
fn refusal_of(error: &StoreError) -> Refusal {
    match error {
        StoreError::Overloaded => Refusal::Overloaded,
        StoreError::DiskFull { .. } => Refusal::DiskFull,
        StoreError::Poisoned(_) | StoreError::Corrupt(_) | StoreError::Io(_) => Refusal::Storage,
    }
}

/// Spreads a seed over all bits (the finaliser of splitmix64).
fn scramble(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
