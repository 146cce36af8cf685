//! How fast the peers answer, and what a get makes of it: whom it asks first, and after how long it asks others too.
//!
//! A get hedges (Dean and Barroso 2013, "The Tail at Scale"): when those whom it asked first are silent for longer than 95 of
//! 100 answers take, it asks the rest. The measure is the pace of the *fastest* owners that would do, not of the ones that were
//! asked: an owner that is always slow would otherwise set its own pace as what is usual, and reads would wait for it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::id::NodeId;
use crate::latency::Latency;
use crate::node::Node;
use crate::time::{Duration, Time};

/// No get asks others sooner: what a busy processor delays is not worth twice the questions.
const SOONEST: Duration = Duration::from_millis(1);

/// One get of so many asks slow owners as it does fast ones, to find out whether they still are slow.
const TRIAL: u64 = 16;

/// Answers that are waited for after their get is over. The oldest gives way to the next, and counts with what it took so
/// far.
const MOST_LATE: usize = 256;

/// How fast the peers answer.
#[derive(Debug, Default)]
pub(super) struct Paces {
    of: BTreeMap<NodeId, Latency>,
    /// Answers to come, by the number of their question and who was asked, and since when: a node so slow that nobody
    /// waited for it would be taken for fast if they did not count.
    late: BTreeMap<(u64, NodeId), Time>,
}

impl Paces {
    /// A peer answered a question about a key after so long.
    pub(super) fn took(&mut self, peer: NodeId, took: Duration) {
        self.of.entry(peer).or_default().add(took);
    }

    /// A peer was asked then, and the get is over without its answer.
    pub(super) fn silent(&mut self, now: Time, ask: u64, peer: NodeId, since: Time) {
        self.late.insert((ask, peer), since);
        if self.late.len() > MOST_LATE
            && let Some(((_, oldest), since)) = self.late.pop_first()
        {
            self.took(oldest, now.since(since));
        }
    }

    /// Is an answer of this peer late that was asked for in the last two seconds?
    fn is_late(&self, peer: NodeId, now: Time) -> bool {
        let recent = |since: &Time| now.since(*since) < Duration::from_millis(2_000);
        self.late.iter().any(|((_, of), since)| *of == peer && recent(since))
    }

    /// A peer answered a question.
    pub(super) fn answered(&mut self, now: Time, ask: u64, peer: NodeId) {
        if let Some(since) = self.late.remove(&(ask, peer)) {
            self.took(peer, now.since(since));
        }
    }
}

impl Node {
    /// The time within which a peer answers 95 of 100 questions about keys, where that is known.
    #[must_use]
    pub fn pace(&self, peer: NodeId) -> Option<Duration> {
        self.paces.of.get(&peer).and_then(Latency::p95)
    }

    /// Puts owners in the order in which they are asked: who was heard of lately first, among those who is not slow, and
    /// otherwise as they stood. `turn` differs from request to request.
    pub(super) fn sort_by_pace(&self, owners: &mut [NodeId], turn: u64, now: Time) {
        // Three of four answers: so a node that is fast again is known for it sooner than by its slowest answers.
        let most = |owner: NodeId| self.paces.of.get(&owner)?.quantile(750);
        let others = owners.iter().filter(|owner| self.is_near(**owner, now));
        let fastest = others.filter_map(|owner| most(*owner)).min();
        let is_slow = |owner: NodeId| {
            let known = match (fastest, most(owner)) {
                (Some(fastest), Some(pace)) => pace.0 > 2 * fastest.0 + SOONEST.0,
                (None, _) | (_, None) => false,
            };
            known || self.paces.is_late(owner, now)
        };
        let trial = turn.is_multiple_of(TRIAL);
        owners.sort_by_key(|owner| (!self.is_near(*owner, now), !trial && is_slow(*owner)));
    }

    /// How long a get waits for the `r` owners that it asks first, itself among them, before it asks the rest.
    pub(super) fn hedge(&self, owners: &[NodeId], r: u8) -> Duration {
        let others = owners.iter().filter(|owner| **owner != self.boot.id);
        let mut paces: Vec<Duration> = others.filter_map(|owner| self.pace(*owner)).collect();
        paces.sort_unstable();
        let needed = usize::from(r).saturating_sub(1).max(1);
        paces.get(needed - 1).map_or(self.boot.limits.hedge, |pace| SOONEST.max(*pace))
    }
}
