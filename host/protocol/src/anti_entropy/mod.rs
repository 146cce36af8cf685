//! Anti-entropy: an owner compares its copies with those of the other owners, one at a time, and both take over what they
//! lack (Demers et al. 1987; with trees as in DeCandia et al. 2007, §4.7).
//!
//! One exchange goes down the trees that two nodes share: roots first, many in one message, and where they differ branches,
//! leaves, and the heads of the leaves that differ. What is sent is in proportion to what differs, and every piece has a
//! bound. Keys that differ are then met one by one ([`meeting`]). Only the asking side keeps any state; the other answers
//! each question by itself ([`answer`]).
//!
//! A node has at most one exchange of its own at a time. While it serves clients it meets one key at a time, and no
//! faster than clients notice (`pacer.rs`).

pub(crate) mod answer;
mod exchange;
mod meeting;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::causality::{Marks, Object};
use crate::coordinator::Fact;
use crate::id::{BucketName, Key, NodeId};
use crate::message::exchange::Answer;
use crate::message::peer::{Message, Refusal};
use crate::pacer::{PaceLimits, Pacer};
use crate::ring::{Ring, Tree};
use crate::store::StoreError;
use crate::survey::{Survey, Surveyed};
use crate::time::{Duration, Time};
use exchange::{Exchange, Stand};

/// How long a node waits before it goes on with copying, or with handing over, after something went wrong.
const AGAIN: Duration = Duration::from_millis(200);

/// The numbers of anti-entropy's questions have this bit, and those of other operations do not.
const OWN: u64 = 1 << 63;

/// What anti-entropy wants done.
#[derive(Debug)]
pub(crate) enum Order {
    /// Say something to a peer.
    Send(NodeId, Message),
    /// Read trees of this node, and tell under this number.
    Survey(u64, Survey),
    /// Read a key of this node with all bytes, and tell under this number.
    Read(u64, Key),
    /// Join what this peer holds to a key of this node, and tell under this number.
    Join(u64, NodeId, Key, Object),
    /// Take over marks of these trees, and tell under this number when that is durable, and everything before.
    Raise(u64, Vec<(Tree, Marks)>),
    /// An exchange that began then is complete: these trees are alike, or one side has all of the other.
    Alike { peer: NodeId, begun: Time, trees: Vec<Tree>, kind: Kind },
    /// Count so many of something.
    Count(&'static str, u64),
}

/// Orders, in order.
pub(crate) type Orders = Vec<Order>;

/// What an exchange is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Two owners compare what they share.
    Compare,
    /// A new owner takes over all that an old one holds, and not only what a tree shows: also deletes.
    Copy,
    /// A node that owns a tree no more gives an owner all that it holds, and takes nothing.
    Give,
}

/// What an exchange is to compare.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) peer: NodeId,
    /// The trees that both own.
    pub(crate) trees: Vec<Tree>,
    /// The buckets by the number of their copies, in order of their names.
    pub(crate) buckets: BTreeMap<u8, Vec<BucketName>>,
    pub(crate) ring: Ring,
    pub(crate) kind: Kind,
}

/// This node's share of anti-entropy.
#[derive(Debug)]
pub(crate) struct AntiEntropy {
    interval: Duration,
    next: Time,
    /// Whose turn it is.
    turn: usize,
    means: Means,
    chance: u64,
    exchange: Option<Exchange>,
    /// When the last one with each peer was completed.
    completed: BTreeMap<NodeId, Time>,
    resting: bool,
}

/// What an exchange has to do with sparingly: the numbers of questions, which are never the same twice, and the pace.
#[derive(Debug)]
struct Means {
    last: u64,
    pacer: Pacer,
}

impl Means {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

impl AntiEntropy {
    /// `seed` is never the same for two lives: see [`crate::node::Boot::seed`].
    pub(crate) fn new(seed: u64, interval: Duration, pace: PaceLimits, now: Time) -> Self {
        let mut new = Self {
            interval,
            next: now,
            turn: 0,
            means: Means { last: OWN | seed >> 2, pacer: Pacer::new(pace, now) },
            chance: seed | 1,
            exchange: None,
            completed: BTreeMap::new(),
            resting: false,
        };
        new.turn = usize::try_from(new.draw(1 << 16)).unwrap_or_default();
        new.put_off(now);
        new
    }

    /// Is this the number of one of anti-entropy's questions?
    pub(crate) fn is_own(number: u64) -> bool {
        number & OWN != 0
    }

    /// What the foreground's answers take is told to it.
    pub(crate) fn pacer(&mut self) -> &mut Pacer {
        &mut self.means.pacer
    }

    /// How exchanges are paced.
    pub(crate) fn pace(&self) -> &Pacer {
        &self.means.pacer
    }

    /// Is one in progress?
    pub(crate) fn is_exchanging(&self) -> bool {
        self.exchange.is_some()
    }

    /// When the last exchange with a peer was completed in which nothing was left open.
    pub(crate) fn completed(&self, peer: NodeId) -> Option<Time> {
        self.completed.get(&peer).copied()
    }

    /// No exchange goes on or begins any more: the node is about to end.
    pub(crate) fn rest(&mut self) {
        self.resting = true;
        self.exchange = None;
    }

    /// Gives up the exchange in progress, if there is one.
    pub(crate) fn give_up(&mut self, now: Time) {
        if self.exchange.take().is_some() {
            self.put_off(now);
        }
    }

    /// The next exchange is due by then.
    pub(crate) fn due_by(&mut self, time: Time) {
        self.next = self.next.min(time);
    }

    /// Is the next exchange due?
    pub(crate) fn is_due(&self, now: Time) -> bool {
        !self.resting && self.exchange.is_none() && self.next <= now
    }

    /// Whose turn it is, of those that are there.
    pub(crate) fn choose(&mut self, peers: &[NodeId]) -> Option<NodeId> {
        self.turn = self.turn.wrapping_add(1);
        peers.get(self.turn.checked_rem(peers.len())?).copied()
    }

    /// Waits for about the interval.
    pub(crate) fn put_off(&mut self, now: Time) {
        let Duration(interval) = self.interval;
        self.next = now.after(Duration(interval / 2 + self.draw(interval.max(1))));
    }

    /// The next one begins no later than then.
    pub(crate) fn hurry(&mut self, at: Time) {
        self.next = self.next.min(at);
    }

    /// Begins an exchange.
    pub(crate) fn begin(&mut self, now: Time, plan: Plan) -> Orders {
        let (exchange, orders) = Exchange::start(plan, now, &mut self.means);
        self.settle(now, Some(exchange), orders)
    }

    /// A survey of this node is done.
    pub(crate) fn on_surveyed(
        &mut self,
        now: Time,
        number: u64,
        result: Result<Surveyed, StoreError>,
    ) -> Orders {
        self.go_on(now, |exchange, means| exchange.on_surveyed(now, number, result, means))
    }

    /// Marks of this node are durable, or are not.
    pub(crate) fn on_raised(&mut self, now: Time, number: u64, durable: bool) -> Orders {
        self.go_on(now, |exchange, means| exchange.on_raised(now, number, durable, means))
    }

    /// A peer has answered.
    pub(crate) fn on_answer(
        &mut self,
        now: Time,
        from: NodeId,
        number: u64,
        answer: Result<Answer, Refusal>,
    ) -> Orders {
        self.go_on(now, |exchange, means| exchange.on_answer(now, from, number, answer, means))
    }

    /// Something happened to a key that is being met.
    pub(crate) fn on_fact(&mut self, now: Time, number: u64, fact: Fact) -> Orders {
        self.go_on(now, |exchange, means| exchange.on_fact(now, number, fact, means))
    }

    /// The time has come. `busy`: does the node serve clients at present?
    pub(crate) fn on_time(&mut self, now: Time, busy: bool) -> Orders {
        self.go_on(now, |exchange, means| {
            exchange.yield_to_clients(busy);
            exchange.on_time(now, means)
        })
    }

    /// The key that is met under this number.
    pub(crate) fn key_of(&self, number: u64) -> Option<&Key> {
        self.exchange.as_ref()?.key_of(number)
    }

    /// When it wants to be told the time.
    pub(crate) fn wake(&self) -> Time {
        match &self.exchange {
            Some(exchange) if exchange.waits_for_pace() => {
                exchange.wake().min(self.means.pacer.free_at())
            }
            Some(exchange) => exchange.wake(),
            None if self.resting => Time(u64::MAX),
            None => self.next,
        }
    }

    fn go_on(
        &mut self,
        now: Time,
        step: impl FnOnce(&mut Exchange, &mut Means) -> Orders,
    ) -> Orders {
        let Some(mut exchange) = self.exchange.take() else {
            return Vec::new();
        };
        let orders = step(&mut exchange, &mut self.means);
        self.settle(now, Some(exchange), orders)
    }

    /// Keeps an exchange that goes on, and counts one that is over.
    fn settle(&mut self, now: Time, exchange: Option<Exchange>, mut orders: Orders) -> Orders {
        let peer = exchange.as_ref().map(Exchange::peer);
        match exchange.as_ref().map(Exchange::stand) {
            Some(Stand::UnderWay) => self.exchange = exchange,
            Some(Stand::Complete) => {
                self.completed.extend(peer.map(|peer| (peer, now)));
                orders.extend(exchange.map(Exchange::alike));
                orders.push(Order::Count("exchanges_completed", 1));
                self.put_off(now);
            }
            Some(Stand::Abandoned) => {
                orders.push(Order::Count("exchanges_abandoned", 1));
                self.put_off(now);
                if exchange.is_some_and(|exchange| exchange.kind() != Kind::Compare) {
                    self.due_by(now.after(AGAIN));
                }
            }
            None => {}
        }
        orders
    }

    /// A number below `n`, spread well enough to keep nodes from moving in step (xorshift64: Marsaglia 2003).
    fn draw(&mut self, n: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance % n
    }
}
