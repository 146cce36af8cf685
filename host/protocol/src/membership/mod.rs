//! Who is reachable: SWIM (Das, Gupta, Motivala 2002) by `foca`, over datagrams that may be lost.
//!
//! Each period a node probes one member, through others too if that one is silent. A member that nobody reached is suspected
//! first; it refutes that by raising its incarnation, or is declared down after a while that grows with the logarithm of the
//! cluster. News travels on the probes. Membership never changes who owns what: outage is not departure. All it says is whom
//! a coordinator need not wait for, and when hints can be handed over.
//!
//! A node joins by announcing itself to members of the layout, any of which may serve as seed, and goes on doing so to those
//! that it does not see: so the two sides of a mended cut find each other again. A member that this node has never seen can't be
//! probed, since nobody knows as whom; it is down if it does not show itself for a while.

mod codec;
mod presence;
mod rng;
mod timers;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::num::{NonZeroU8, NonZeroUsize};

use bytes::Bytes;
use foca::{
    Codec as _, Config, Foca, Header, Member, Message, NoCustomBroadcast, Runtime as _, State,
};

use crate::config::GossipLimits;
use crate::id::NodeId;
use crate::membership::codec::Codec;
use crate::membership::presence::Presence;
use crate::membership::rng::SplitMix;
use crate::membership::timers::Desk;
use crate::message::client::Reach;
use crate::time::{Duration, Now, Time, Timestamp};

/// Most bytes of a datagram: what a QUIC packet carries on any path, with room for its own headers.
const MAX_DATAGRAM: NonZeroUsize = NonZeroUsize::new(1_100).expect("not zero");

/// Seeds that a node announces itself to at its start.
const SEEDS: usize = 3;

/// Members that are asked to probe a silent one.
const INDIRECT: NonZeroUsize = NonZeroUsize::new(3).expect("not zero");

/// So many times as long as a suspicion lasts, a member may take to show itself.
const SHOWS: u64 = 4;

/// What a node knows of the other members.
pub(crate) struct Membership {
    foca: Foca<Presence, Codec, SplitMix, NoCustomBroadcast>,
    desk: Desk,
    /// All other members of the layout.
    members: Vec<NodeId>,
    /// Members that were never seen in this life, and until when they may show themselves.
    unseen: BTreeMap<NodeId, Time>,
    /// Those that did not.
    missing: BTreeSet<NodeId>,
    down: BTreeSet<NodeId>,
    patience: Duration,
    /// Which member is looked at next, whether it is to be told of this node.
    next_member: usize,
    next_announce: Time,
    every: Duration,
}

impl Membership {
    /// A node that knows nobody yet and announces itself to a few of `members`. `since` is later than in any former life
    /// of the node.
    pub(crate) fn new(
        me: NodeId,
        since: Timestamp,
        members: Vec<NodeId>,
        limits: &GossipLimits,
        seed: u64,
        now: Time,
    ) -> Self {
        let config = config(limits, members.len() + 1);
        let suspicion = u64::try_from(config.suspect_to_down_after.as_micros()).unwrap_or(u64::MAX);
        let patience = Duration(suspicion.saturating_mul(SHOWS));
        let identity = Presence { node: me, since };
        let foca = Foca::new(identity, config, SplitMix::new(seed), Codec);
        let start = usize::try_from(seed % members.len().max(1) as u64).unwrap_or(0);
        let mut membership = Self {
            foca,
            desk: Desk::new(now),
            unseen: members.iter().map(|node| (*node, now.after(patience))).collect(),
            members,
            missing: BTreeSet::new(),
            down: BTreeSet::new(),
            patience,
            next_member: start,
            next_announce: now,
            every: Duration(2 * limits.period.0),
        };
        for _ in 1..SEEDS.min(membership.members.len()) {
            membership.announce();
        }
        membership
    }

    /// These are the other members from now on.
    pub(crate) fn set_members(&mut self, members: Vec<NodeId>) {
        let until = self.desk.now.after(self.patience);
        self.unseen.retain(|node, _| members.contains(node));
        self.missing.retain(|node| members.contains(node));
        let new = members.iter().filter(|node| !self.members.contains(node));
        self.unseen.extend(new.map(|node| (*node, until)));
        self.members = members;
        self.desk.changed = true;
        self.look();
    }

    /// A datagram of another member. Says whether it made sense.
    pub(crate) fn heard(&mut self, now: Now, bytes: &[u8]) -> bool {
        self.desk.now = now.time;
        let Ok(Header { src, dst, .. }) = Codec.decode_header(bytes) else { return false };
        let understood = self.outlive(dst) || self.foca.handle_data(bytes, &mut self.desk).is_ok();
        self.remind(src);
        self.look();
        understood
    }

    /// Somebody takes this node for a life that began later than the present one. The disk has forgotten that life, with its lease: it
    /// was wiped, or is an old copy. Whoever knows of that life believes nothing of an earlier one, so this one is
    /// declared a later one. One more than the present, as `foca` would try, took millions of rounds.
    fn outlive(&mut self, named: Presence) -> bool {
        let me = *self.foca.identity();
        if named.node != me.node || named.since <= me.since || named.since >= Timestamp::MAX {
            return false;
        }
        let later = Presence { since: Timestamp(named.since.0 + 1), ..me };
        self.foca.change_identity(later, &mut self.desk).is_ok()
    }

    /// Tells a member that speaks as an earlier life than one that was declared down which one that was, by addressing that one. One that
    /// is not down is addressed anyway, when it is probed; and who was heard late has gone on to it.
    fn remind(&mut self, speaker: Presence) {
        let later = |member: &&Member<Presence>| {
            let known = member.id();
            known.node == speaker.node && known.since > speaker.since
        };
        let known = self.foca.iter_membership_state().find(later);
        let Some(dst) = known.filter(|m| m.state() == State::Down).map(|m| *m.id()) else {
            return;
        };
        let header = Header {
            src: *self.foca.identity(),
            src_incarnation: 0,
            dst,
            message: Message::Gossip,
        };
        let mut bytes = Vec::new();
        if Codec.encode_header(&header, &mut bytes).is_ok() {
            self.desk.send_to(dst, &bytes);
        }
    }

    /// Does what is due.
    pub(crate) fn advance(&mut self, now: Time) {
        self.desk.now = now;
        let mut fired = false;
        while let Some(timer) = self.desk.due() {
            fired = true;
            // Its errors say that a timer came late, or twice: it goes on with the next period.
            let _ = self.foca.handle_timer(timer, &mut self.desk);
        }
        if self.next_announce <= now {
            self.next_announce = now.after(self.every);
            self.announce();
        }
        let overdue = self.unseen.iter().filter(|(_, until)| **until <= now).map(|(node, _)| *node);
        let overdue: Vec<NodeId> = overdue.collect();
        if fired || !overdue.is_empty() {
            self.desk.changed |= !overdue.is_empty();
            self.missing.extend(overdue);
            self.look();
        }
    }

    /// Announces this node to the next member that it does not see.
    fn announce(&mut self) {
        for _ in 0..self.members.len() {
            self.next_member = (self.next_member + 1) % self.members.len();
            let node = self.members[self.next_member];
            if matches!(self.reach(node), Reach::Unknown | Reach::Down) {
                // Whoever the member is by now, it takes an announcement to any of its lives.
                let to = Presence { node, since: Timestamp(0) };
                let _ = self.foca.announce(to, &mut self.desk);
                return;
            }
        }
    }

    /// Takes note of who is down.
    fn look(&mut self) {
        if !core::mem::take(&mut self.desk.changed) {
            return;
        }
        let mut down = BTreeSet::new();
        for member in self.foca.iter_membership_state() {
            let node = member.id().node;
            self.unseen.remove(&node);
            self.missing.remove(&node);
            if member.state() == State::Down && self.members.contains(&node) {
                down.insert(node);
            }
        }
        self.unseen.retain(|node, _| !self.missing.contains(node));
        down.extend(&self.missing);
        self.down = down;
    }

    /// The next datagram to be sent.
    pub(crate) fn poll(&mut self) -> Option<(NodeId, Bytes)> {
        self.desk.sent.pop_front()
    }

    /// When to go on.
    pub(crate) fn wake(&self) -> Time {
        let next = if self.members.is_empty() { Time(u64::MAX) } else { self.next_announce };
        let due = self.desk.next_due().into_iter().chain(self.unseen.values().copied());
        due.fold(next, Time::min)
    }

    /// Members that were declared down, or never showed themselves.
    pub(crate) fn down(&self) -> &BTreeSet<NodeId> {
        &self.down
    }

    /// How a member is seen.
    pub(crate) fn reach(&self, node: NodeId) -> Reach {
        let mut members = self.foca.iter_membership_state();
        match members.find(|member| member.id().node == node).map(Member::state) {
            Some(State::Alive) => Reach::Up,
            Some(State::Suspect) => Reach::Suspect,
            Some(State::Down) => Reach::Down,
            None if self.missing.contains(&node) => Reach::Down,
            None => Reach::Unknown,
        }
    }
}

/// For so many members, this node among them.
fn config(limits: &GossipLimits, members: usize) -> Config {
    let micros = |duration: Duration| core::time::Duration::from_micros(duration.0);
    // News reaches everybody, and a refutation its accuser, within a number of periods that grows with the logarithm of
    // the cluster (section 5 of the paper). Told twice as often, news reaches the last member where datagrams are lost too.
    let rounds = 2 + members.ilog2();
    let times = u8::try_from(2 * rounds).ok().and_then(NonZeroU8::new);
    Config {
        probe_period: micros(limits.period),
        probe_rtt: micros(limits.round_trip),
        num_indirect_probes: INDIRECT,
        max_transmissions: times.unwrap_or(NonZeroU8::MAX),
        suspect_to_down_after: micros(Duration(limits.period.0 * u64::from(rounds))),
        remove_down_after: None,
        max_packet_size: MAX_DATAGRAM,
        notify_down_members: true,
        periodic_announce: None,
        periodic_announce_to_down_members: None,
        periodic_gossip: None,
    }
}
