//! The ledger: what became of versions that a replica no longer holds.
//!
//! Every version leaves a replica for one of few reasons, and each is counted by bucket and reason. Where an operator asked for
//! it, the latest of them are remembered, without their bytes, for `kinfold explain`.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::causality::{Content, Digest, Dot, Object, Version};
use crate::id::{BucketName, Key};
use crate::time::Timestamp;

/// Why a replica no longer holds a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A write through this node replaced it: its client had seen it.
    Replaced,
    /// Another replica no longer held it and had seen it: it was replaced there.
    SeenElsewhere,
    /// It went into a merge, whose result is kept.
    Folded,
    /// Another version of the same bytes is kept.
    Equal,
    /// Lattice buckets: its writes are all part of another version.
    Covered,
    /// Lattice buckets whose deletes reset: it is of an earlier generation than a delete.
    Reset,
    /// It was kept for an owner, who has it now.
    HandedOver,
    /// Its time was over.
    Expired,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Replaced,
        Self::SeenElsewhere,
        Self::Folded,
        Self::Equal,
        Self::Covered,
        Self::Reset,
        Self::HandedOver,
        Self::Expired,
    ];

    /// The reason in a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::SeenElsewhere => "seen_elsewhere",
            Self::Folded => "folded",
            Self::Equal => "equal",
            Self::Covered => "covered",
            Self::Reset => "reset",
            Self::HandedOver => "handed_over",
            Self::Expired => "expired",
        }
    }
}

/// A version that a replica no longer holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discarded {
    /// The write that it was of.
    pub dot: Dot,
    /// The digest of its bytes; none for a tombstone.
    pub digest: Option<Digest>,
    /// How many bytes it had.
    pub len: u32,
    /// Why it went.
    pub reason: Reason,
    /// The write that it gave way to, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Dot>,
}

impl Discarded {
    /// A version that went.
    #[must_use]
    pub fn new(version: &Version, reason: Reason, by: Option<Dot>) -> Self {
        let Version { dot, content, .. } = version;
        Self { dot: *dot, digest: content.digest(), len: content.len(), reason, by }
    }
}

/// What may make a replica let versions go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A write through this node.
    Put(Dot),
    /// What another replica holds.
    Join,
    /// An owner has what was kept for it.
    HandedOver,
    /// What a delete left is collected. That is counted elsewhere, and the ledger is of values.
    Collect,
    /// What has expired is let go.
    Expire,
}

impl Cause {
    /// The versions that were there before and are not after it.
    pub(crate) fn gone(self, before: &[Version], after: &Object) -> Vec<Discarded> {
        if self == Self::Collect {
            return Vec::new();
        }
        let kept = |v: &Version| after.versions.iter().any(|w| same(v, w));
        let gone = before.iter().filter(|version| !kept(version));
        gone.map(|version| self.discarded(version, after)).collect()
    }

    fn discarded(self, version: &Version, after: &Object) -> Discarded {
        let later = |w: &&Version| w.generation > version.generation;
        let wider = |w: &&Version| !version.covers.is_empty() && w.covers.covers(&version.covers);
        let by = |found: &Version| Some(found.dot);
        let ended = after.versions.iter().any(|w| w.is_end_of(version));
        let (reason, by) = match self {
            _ if ended => (Reason::Expired, None),
            Self::Expire => (Reason::Expired, None),
            Self::HandedOver | Self::Collect => (Reason::HandedOver, None),
            Self::Put(_) | Self::Join if !version.covers.is_empty() => {
                match (after.versions.iter().find(wider), after.versions.iter().find(later)) {
                    (Some(wider), _) => (Reason::Covered, by(wider)),
                    (None, Some(later)) => (Reason::Reset, by(later)),
                    (None, None) => (Reason::Reset, None),
                }
            }
            Self::Put(dot) => (Reason::Replaced, Some(dot)),
            Self::Join => (Reason::SeenElsewhere, None),
        };
        Discarded::new(version, reason, by)
    }
}

/// Parts of a lattice object that were folded into `result`.
pub(crate) fn folded(parts: &[Version], result: &Content, by: Option<Dot>) -> Vec<Discarded> {
    let reason = |part: &Version| match part.content == *result {
        true => Reason::Equal,
        false => Reason::Folded,
    };
    parts.iter().map(|part| Discarded::new(part, reason(part), by)).collect()
}

fn same(a: &Version, b: &Version) -> bool {
    a.dot == b.dot && a.content == b.content
}

/// A version that went, of which key, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    key: Key,
    at: Timestamp,
    discarded: Discarded,
}

/// Counts by bucket and reason, and the latest versions that went, if they are remembered.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    counts: BTreeMap<(BucketName, Reason), u64>,
    latest: VecDeque<Entry>,
    most: usize,
}

impl Ledger {
    /// A ledger that remembers so many versions.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// Versions of a key went.
    pub(crate) fn add(&mut self, key: &Key, discarded: Vec<Discarded>, at: Timestamp) {
        for discarded in discarded {
            *self.counts.entry((key.bucket.clone(), discarded.reason)).or_default() += 1;
            if self.most > 0 {
                self.latest.push_back(Entry { key: key.clone(), at, discarded });
            }
        }
        while self.latest.len() > self.most {
            self.latest.pop_front();
        }
    }

    /// How many versions went, by bucket and reason.
    pub(crate) fn counts(&self) -> &BTreeMap<(BucketName, Reason), u64> {
        &self.counts
    }

    /// What is remembered of a key, and when it went, in order.
    pub(crate) fn of(&self, key: &Key) -> Vec<(Timestamp, Discarded)> {
        let entries = self.latest.iter().filter(|entry| entry.key == *key);
        entries.map(|entry| (entry.at, entry.discarded.clone())).collect()
    }

    /// Are versions remembered that went?
    pub(crate) fn remembers(&self) -> bool {
        self.most > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causality::Context;
    use crate::config::Tombstones;
    use crate::id::{Actor, RequestId};
    use alloc::vec;
    use bytes::Bytes;

    const REQUEST: RequestId = RequestId([0; 16]);

    fn dot(time: u64) -> Dot {
        Dot { time: Timestamp(time), actor: Actor(1) }
    }

    fn value(text: &'static str) -> Content {
        Content::value(Bytes::from_static(text.as_bytes()))
    }

    fn put(object: &mut Object, seen: &Context, time: u64) {
        object.put(seen, dot(time), value("v"), REQUEST, &mut None);
    }

    #[test]
    fn a_write_replaces_what_its_client_has_seen() {
        let mut object = Object::default();
        put(&mut object, &Context::new(), 1);
        put(&mut object, &Context::new(), 2);
        let before = object.versions.clone();
        put(&mut object, &Context::of(dot(1)), 3);
        let gone = Cause::Put(dot(3)).gone(&before, &object);
        assert_eq!(gone, [Discarded::new(&before[0], Reason::Replaced, Some(dot(3)))]);
    }

    #[test]
    fn a_join_drops_what_the_other_side_has_seen_and_no_longer_holds() {
        let (mut ours, mut theirs) = (Object::default(), Object::default());
        put(&mut ours, &Context::new(), 1);
        theirs.join(&ours);
        put(&mut theirs, &Context::of(dot(1)), 2);
        let before = ours.versions.clone();
        ours.join(&theirs);
        let gone = Cause::Join.gone(&before, &ours);
        assert_eq!(gone, [Discarded::new(&before[0], Reason::SeenElsewhere, None)]);
        let before = ours.versions.clone();
        ours.join(&theirs);
        assert_eq!(Cause::Join.gone(&before, &ours), []);
    }

    #[test]
    fn parts_of_a_lattice_value_are_covered_folded_or_equal() {
        let mut one = Object::default();
        one.put_part(dot(1), value("a"), REQUEST);
        let before = one.versions.clone();
        let mut both = one.clone();
        both.put_part(dot(2), value("b"), REQUEST);
        let parts = both.versions.clone();
        both.replace_by_fold(value("b"), Default::default());
        let reasons = |gone: Vec<Discarded>| gone.iter().map(|d| d.reason).collect::<Vec<_>>();
        let folded = folded(&parts, &value("b"), Some(dot(2)));
        assert_eq!(reasons(folded), [Reason::Folded, Reason::Equal]);
        one.join_lattice(&both, Tombstones::Reset);
        assert_eq!(reasons(Cause::Join.gone(&before, &one)), [Reason::Covered]);
    }

    #[test]
    fn the_latest_are_remembered_if_any_and_all_are_counted() {
        let key = Key { bucket: BucketName::new("b").unwrap(), key: Bytes::from_static(b"k") };
        let gone = |time| Discarded::new(&Version::new(dot(time), value("v")), Reason::Equal, None);
        for (most, remembered) in [(0, vec![]), (2, vec![2, 3])] {
            let mut ledger = Ledger::new(most);
            (1..=3).for_each(|time| ledger.add(&key, vec![gone(time)], Timestamp(9)));
            assert_eq!(ledger.counts().values().collect::<Vec<_>>(), [&3]);
            let of: Vec<u64> = ledger.of(&key).iter().map(|(_, d)| d.dot.time.0).collect();
            assert_eq!(of, remembered);
        }
    }
}
