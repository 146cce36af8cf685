//! Hinted handoff: what this node keeps for owners goes to them once they answer again (DeCandia et al. 2007, section 4.6).
//!
//! For each owner that is up, the store lists the keys owed to it, page by page; each key is read, sent, and settled once the
//! owner has it on its own disk, and not before. The owner sets the pace: a bounded number of hints is on its way at one
//! time, and its durable answer makes room for the next. A rate in bytes bounds what is sent to an owner that answers fast,
//! since a storm of hints just after it came back would hit it while its caches are cold; and like all background work it goes no
//! faster than this node's own clients notice (`pacer.rs`). An owner that refuses or is silent
//! is left alone for a while, and the list begins anew.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::causality::{Debt, DebtChange, Object};
use crate::config::HintLimits;
use crate::id::{Key, NodeId};
use crate::message::peer::Message;
use crate::ring::Partition;
use crate::time::{Duration, Time, Timestamp};

/// Keys on one page of a list.
const PAGE: usize = 64;

/// How long an owner may take for one hint.
const SILENCE: Duration = Duration::from_millis(2_000);

/// How long an owner is left alone after it refused, was silent, or was owed more at the end of the list.
const PAUSE: Duration = Duration::from_millis(500);

/// What the machine wants done.
#[derive(Debug)]
pub(crate) enum Order {
    /// List keys owed to an owner.
    List { owner: NodeId, after: Option<(Partition, Key)>, limit: usize },
    /// Read a key with all bytes.
    Read { ask: u64, key: Key },
    /// Say something to an owner.
    Send(NodeId, Message),
    /// The owner has it: settle the debt.
    Settle { ask: u64, key: Key, owner: NodeId, object: Object },
}

/// A hint on its way.
#[derive(Debug)]
struct Delivery {
    owner: NodeId,
    key: Key,
    /// What was sent; nothing while it is being read.
    object: Option<Object>,
    /// The owner has it.
    taken: bool,
    gives_up: Time,
}

/// Where the list of one owner stands.
#[derive(Debug, Default)]
struct Run {
    listed: VecDeque<Key>,
    /// Where the last page ended.
    after: Option<(Partition, Key)>,
    /// A page is on its way.
    listing: bool,
    /// The last page was the last one.
    ended: bool,
    resumes: Time,
}

/// All hints that this node keeps.
#[derive(Debug)]
pub(crate) struct Handoff {
    limits: HintLimits,
    debts: BTreeMap<NodeId, Debt>,
    runs: BTreeMap<NodeId, Run>,
    deliveries: BTreeMap<u64, Delivery>,
    /// The rate allows nothing before.
    next_send: Time,
}

impl Handoff {
    /// The handoff of a node that owes this at its start.
    pub(crate) fn new(limits: HintLimits, debts: BTreeMap<NodeId, Debt>) -> Self {
        let (runs, deliveries) = (BTreeMap::new(), BTreeMap::new());
        Self { limits, debts, runs, deliveries, next_send: Time(0) }
    }

    /// May so many bytes more be kept for that owner?
    pub(crate) fn has_room(&self, owner: NodeId, bytes: u64, wall: Timestamp) -> bool {
        let since = self.debts.get(&owner).and_then(|debt| debt.since);
        let young = since.is_none_or(|at| wall.0.saturating_sub(at.0) <= self.limits.age.0);
        young && self.total().bytes.saturating_add(bytes) <= self.limits.bytes
    }

    /// What is owed to all owners together.
    pub(crate) fn total(&self) -> Debt {
        self.debts.values().fold(Debt::default(), |sum, debt| Debt {
            keys: sum.keys + debt.keys,
            bytes: sum.bytes + debt.bytes,
            since: [sum.since, debt.since].into_iter().flatten().min(),
        })
    }

    /// What is owed to one owner.
    pub(crate) fn debt(&self, owner: NodeId) -> Debt {
        self.debts.get(&owner).copied().unwrap_or_default()
    }

    /// Whom a hint that is on its way is for.
    pub(crate) fn owner_of(&self, ask: u64) -> Option<NodeId> {
        self.deliveries.get(&ask).map(|delivery| delivery.owner)
    }

    /// Is that the number of one of these questions?
    pub(crate) fn asked(&self, ask: u64) -> bool {
        self.deliveries.contains_key(&ask)
    }

    /// A write changed what is owed.
    pub(crate) fn changed(&mut self, changes: &[DebtChange]) {
        for change in changes {
            let debt = self.debts.entry(change.owner).or_default();
            debt.apply(change);
            if debt.keys == 0 {
                self.debts.remove(&change.owner);
            }
        }
    }

    /// A page of the list; nothing if it could not be read.
    pub(crate) fn listed(&mut self, now: Time, owner: NodeId, page: Option<Vec<(Partition, Key)>>) {
        let Some(run) = self.runs.get_mut(&owner) else {
            return;
        };
        run.listing = false;
        match page {
            Some(page) => {
                run.ended = page.len() < PAGE;
                run.after = page.last().cloned();
                run.listed.extend(page.into_iter().map(|(_, key)| key));
            }
            None => run.resumes = now.after(PAUSE),
        }
    }

    /// What a key holds.
    pub(crate) fn read(&mut self, now: Time, ask: u64, object: Object) -> Option<Order> {
        let delivery = self.deliveries.get_mut(&ask)?;
        if object == Object::default() {
            // Settled by a delivery before this one.
            self.deliveries.remove(&ask);
            return None;
        }
        let bytes = delivery.key.key.len() as u64 + object.value_bytes();
        let cost = bytes.saturating_mul(1_000_000) / self.limits.rate.max(1);
        self.next_send = self.next_send.max(now).after(Duration(cost));
        delivery.object = Some(object.clone());
        let message = Message::Replicate { ask, key: delivery.key.clone(), object };
        Some(Order::Send(delivery.owner, message))
    }

    /// An owner has a hint on its disk, or refused it.
    pub(crate) fn answered(&mut self, now: Time, ask: u64, taken: bool) -> Option<Order> {
        if !taken {
            self.failed(now, ask);
            return None;
        }
        let delivery = self.deliveries.get_mut(&ask).filter(|delivery| !delivery.taken)?;
        let object = delivery.object.clone()?;
        delivery.taken = true;
        Some(Order::Settle { ask, key: delivery.key.clone(), owner: delivery.owner, object })
    }

    /// A debt is settled, or something more came to the key and it is owed still.
    pub(crate) fn settled(&mut self, ask: u64) {
        self.deliveries.remove(&ask);
    }

    /// A hint could not be read, was refused, or its debt could not be settled.
    pub(crate) fn failed(&mut self, now: Time, ask: u64) {
        if let Some(delivery) = self.deliveries.remove(&ask) {
            let run = self.runs.entry(delivery.owner).or_default();
            *run = Run { listing: run.listing, resumes: now.after(PAUSE), ..Run::default() };
        }
    }

    /// The background of this node has done as much as it may until then: nothing more is begun before.
    pub(crate) fn yield_until(&mut self, time: Time) {
        self.next_send = self.next_send.max(time);
    }

    /// Is nothing owed, and nothing on its way?
    pub(crate) fn is_idle(&self) -> bool {
        self.debts.is_empty() && self.deliveries.is_empty() && self.runs.is_empty()
    }

    /// Goes on with the owners that are up, naming questions by `ask`.
    pub(crate) fn advance(
        &mut self,
        now: Time,
        is_up: impl Fn(NodeId) -> bool,
        mut ask: impl FnMut() -> u64,
    ) -> Vec<Order> {
        let silent = self.deliveries.iter().filter(|(_, delivery)| delivery.gives_up <= now);
        for ask in silent.map(|(ask, _)| *ask).collect::<Vec<_>>() {
            self.failed(now, ask);
        }
        let owing = |owner: &NodeId| self.debts.contains_key(owner) && is_up(*owner);
        self.runs.retain(|owner, run| run.listing || owing(owner));
        let mut orders = Vec::new();
        for owner in self.debts.keys().copied().filter(|owner| is_up(*owner)) {
            let run = self.runs.entry(owner).or_default();
            if run.resumes > now || run.listing {
                continue;
            }
            run.resumes = Time(0);
            while self.next_send <= now
                && self.deliveries.len() < self.limits.in_flight
                && let Some(key) = run.listed.pop_front()
            {
                let ask = ask();
                let gives_up = now.after(SILENCE);
                let delivery =
                    Delivery { owner, key: key.clone(), object: None, taken: false, gives_up };
                self.deliveries.insert(ask, delivery);
                orders.push(Order::Read { ask, key });
            }
            let busy = self.deliveries.values().any(|delivery| delivery.owner == owner);
            if !run.listed.is_empty() || busy {
                continue;
            }
            if run.ended {
                *run = Run { resumes: now.after(PAUSE), ..Run::default() };
            } else {
                run.listing = true;
                orders.push(Order::List { owner, after: run.after.take(), limit: PAGE });
            }
        }
        orders
    }

    /// When to go on, if nothing else happens before.
    pub(crate) fn wake(&self) -> Option<Time> {
        let silent = self.deliveries.values().map(|delivery| delivery.gives_up);
        let resuming = self.runs.iter().filter(|(owner, run)| {
            self.debts.contains_key(owner)
                && !run.listing
                && (run.resumes > Time(0) || !run.listed.is_empty())
        });
        let resuming = resuming.map(|(_, run)| run.resumes.max(self.next_send));
        let full = self.deliveries.len() >= self.limits.in_flight;
        silent.chain(resuming.filter(|_| !full)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causality::{Content, Dot, Owed, Version};
    use crate::id::{Actor, BucketName};
    use alloc::vec;
    use bytes::Bytes;

    const OWNER: NodeId = NodeId(7);

    fn key(n: u8) -> Key {
        Key { bucket: BucketName::new("b").unwrap(), key: Bytes::from(vec![n]) }
    }

    fn object(bytes: usize) -> Object {
        let dot = Dot { time: Timestamp(1), actor: Actor(1) };
        let mut object = Object::default();
        object.versions.push(Version::new(dot, Content::value(vec![0; bytes].into())));
        object
    }

    fn owed(keys: u8, limits: HintLimits) -> Handoff {
        let mut handoff = Handoff::new(limits, BTreeMap::new());
        for _ in 0..keys {
            let after = Some(Owed { owner: OWNER, since: Timestamp(1_000), bytes: 10 });
            handoff.changed(&[DebtChange { owner: OWNER, before: None, after }]);
        }
        handoff
    }

    /// What it wants at a time, with questions numbered from `ask`.
    fn advance(handoff: &mut Handoff, now: u64, ask: &mut u64) -> Vec<Order> {
        let next = || {
            *ask += 1;
            *ask
        };
        handoff.advance(Time(now), |_| true, next)
    }

    fn list(handoff: &mut Handoff, now: u64, keys: u8) {
        let page = (0..keys).map(|n| (Partition(0), key(n))).collect();
        handoff.listed(Time(now), OWNER, Some(page));
    }

    #[test]
    fn what_the_background_has_done_too_much_of_is_waited_for() {
        let mut handoff = owed(2, HintLimits { in_flight: 1, ..HintLimits::default() });
        let mut ask = 0;
        advance(&mut handoff, 1, &mut ask);
        list(&mut handoff, 1, 2);
        handoff.yield_until(Time(500));
        assert!(advance(&mut handoff, 499, &mut ask).is_empty());
        assert_eq!(handoff.wake(), Some(Time(500)));
        handoff.yield_until(Time(300));
        assert!(matches!(advance(&mut handoff, 500, &mut ask)[..], [Order::Read { ask: 1, .. }]));
    }

    #[test]
    fn no_more_than_its_bound_is_on_its_way_and_a_settled_debt_makes_room() {
        let mut handoff = owed(5, HintLimits { in_flight: 2, ..HintLimits::default() });
        let mut ask = 0;
        assert!(matches!(advance(&mut handoff, 1, &mut ask)[..], [Order::List { .. }]));
        list(&mut handoff, 1, 5);
        let asked = advance(&mut handoff, 1, &mut ask);
        assert!(matches!(asked[..], [Order::Read { ask: 1, .. }, Order::Read { ask: 2, .. }]));
        assert!(matches!(handoff.read(Time(1), 1, object(10)), Some(Order::Send(OWNER, _))));
        assert!(advance(&mut handoff, 2, &mut ask).is_empty(), "one more has to wait");
        assert!(matches!(handoff.answered(Time(2), 1, true), Some(Order::Settle { ask: 1, .. })));
        assert!(handoff.answered(Time(2), 1, true).is_none(), "the answer came twice");
        assert!(advance(&mut handoff, 3, &mut ask).is_empty(), "not settled yet");
        handoff.settled(1);
        assert!(matches!(advance(&mut handoff, 1_000, &mut ask)[..], [Order::Read { ask: 3, .. }]));
    }

    #[test]
    fn the_rate_spaces_what_is_sent() {
        let limits = HintLimits { rate: 1_000, ..HintLimits::default() };
        let mut handoff = owed(20, limits);
        let mut ask = 0;
        advance(&mut handoff, 1, &mut ask);
        list(&mut handoff, 1, 20);
        let first = advance(&mut handoff, 1, &mut ask);
        assert_eq!(first.len(), 16);
        handoff.read(Time(1), 1, object(999));
        handoff.answered(Time(1), 1, true);
        handoff.settled(1);
        assert!(advance(&mut handoff, 900_000, &mut ask).is_empty(), "a thousand bytes a second");
        assert_eq!(advance(&mut handoff, 1_000_001, &mut ask).len(), 1);
    }

    #[test]
    fn an_owner_that_refuses_or_is_silent_is_left_alone_for_a_while_and_owed_still() {
        let mut handoff = owed(1, HintLimits::default());
        let mut ask = 0;
        for round in [0, 10_000_000] {
            advance(&mut handoff, round, &mut ask);
            list(&mut handoff, round, 1);
            assert_eq!(advance(&mut handoff, round, &mut ask).len(), 1);
            handoff.read(Time(round), ask, object(1));
            let silent = round > 0;
            if !silent {
                handoff.answered(Time(round), ask, false);
            }
            let from = if silent { round + SILENCE.0 } else { round };
            assert!(advance(&mut handoff, from, &mut ask).is_empty());
            assert_eq!(handoff.wake(), Some(Time(from).after(PAUSE)));
            assert_eq!(handoff.debt(OWNER).keys, 1);
            handoff.runs.clear();
        }
    }

    #[test]
    fn a_full_fallback_takes_no_more_and_an_old_debt_no_new_hints() {
        let limits = HintLimits { bytes: 100, age: Duration(500), ..HintLimits::default() };
        let mut handoff = owed(5, limits);
        let room = |handoff: &Handoff, owner, bytes, wall| {
            handoff.has_room(NodeId(owner), bytes, Timestamp(wall))
        };
        assert!(room(&handoff, 7, 50, 1_500));
        assert!(!room(&handoff, 7, 51, 1_500), "50 of 100 bytes are taken");
        assert!(!room(&handoff, 7, 1, 1_501), "that owner is owed for too long");
        assert!(room(&handoff, 8, 1, 1_501), "another one is not");
        let before = Some(Owed { owner: OWNER, since: Timestamp(1_000), bytes: 10 });
        for _ in 0..5 {
            handoff.changed(&[DebtChange { owner: OWNER, before, after: None }]);
        }
        assert!(room(&handoff, 7, 100, 9_000));
        assert!(handoff.is_idle());
    }
}
