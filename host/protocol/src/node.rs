//! The node: routes facts to the machines, and their intentions to the shell.
//!
//! Client requests become machines of `coordinator`; work on this node's own copies goes through the keys in work;
//! what both want of each other, of the peers and of the shell passes through here. Anti-entropy has its routes in `repair`.

mod ballots;
mod clients;
mod deletes;
mod envelopes;
mod expiry;
mod explain;
mod figures;
mod gossip;
mod healing;
mod hints;
mod listing;
mod moves;
mod operations;
mod pace;
mod plugins;
mod repair;
mod reports;
mod requests;
mod ring;
mod status;
mod store;
mod times;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use crate::anti_entropy::AntiEntropy;
use crate::catalogue::Catalogue;
use crate::causality::Debt;
use crate::config::Limits;
use crate::coordinator::{Fact, ReplyTo};
use crate::expiry::Sweep;
use crate::handoff::Handoff;
use crate::healing::Healing;
use crate::id::{Actor, BucketName, NodeId};
use crate::io::{Input, Output};
use crate::keys::{Keys, Tickets};
use crate::layout::Layout;
use crate::ledger::Ledger;
use crate::life::{Life, Met};
use crate::membership::Membership;
use crate::message::peer::Message;
use crate::planted::{self, Bug};
use crate::record::Kept;
use crate::replica::Ticket;
use crate::ring::Partition;
use crate::spread::Spread;
use crate::time::{Clock, Now, Time, Timestamp};
use crate::twins::Twins;
use ballots::Ballots;
use clients::overloaded;
use deletes::Deletes;
use envelopes::{Peer, refusal_of};
use explain::Explains;
use figures::Share;
pub use figures::{Figures, PaceFigures, PeerFigures};
use listing::LookUp;
use moves::Moves;
use operations::Operation;
use pace::Paces;
use plugins::Plugins;
use repair::Repair;
use ring::RingState;
use store::Saving;
use times::Early;

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
    /// As which actors it met the other members.
    pub met: BTreeMap<NodeId, Met>,
    /// The bounds.
    pub limits: Limits,
    /// Where its chance comes from. Never the same for two lives: the numbers of its questions start here, and the answer to
    /// a question of a former life must not pass for one of this.
    pub seed: u64,
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
    early: Early,
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
    pub fn new(mut boot: Boot, now: Now) -> Self {
        if planted::has(Bug::ForgottenPeers) {
            boot.met.clear();
        }
        if planted::has(Bug::VersionVector) {
            boot.life.actor = Actor::plain(boot.id.0);
        }
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
            early: Early::default(),
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

    /// The latest time that this node has given out or taken note of: later than none that it holds.
    #[must_use]
    pub fn clock(&self) -> Timestamp {
        self.boot.clock.last()
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
                self.greet(now, peer);
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

/// Spreads a seed over all bits (the finaliser of splitmix64).
fn scramble(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
