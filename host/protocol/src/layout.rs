//! Who owns what: a versioned value, computed by a pure function.
//!
//! Every partition gets its owners, in order: in distinct zones where there are enough, in proportion to the members'
//! capacity, and with as few changes to the layout before as those two allow. Quotas are exact to one partition at equal
//! capacities. The assignment is greedy, with exchanges where greed leaves a partition without an eligible member.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::config::MAX_COPIES;
use crate::id::NodeId;
use crate::ring::{Partition, Ring};

/// A node that owns partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its identity.
    pub id: NodeId,
    /// Its name, for people and certificates.
    pub name: String,
    /// Where clients and peers reach it: host and UDP port.
    pub address: String,
    /// Members of one zone may fail together.
    pub zone: String,
    /// Its share of the load, relative to the others'.
    pub capacity: u32,
}

/// Who owns what, as of one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "LayoutRecord", into = "LayoutRecord")]
pub struct Layout {
    version: u64,
    ring: Ring,
    copies: u8,
    members: Vec<Member>,
    /// `copies` indices into `members` for each partition.
    owners: Vec<u16>,
}

/// A layout that can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Nobody to own anything.
    #[error("a layout needs at least one member")]
    NoMembers,
    /// More members than can be numbered.
    #[error("a layout has at most 65535 members, not {0}")]
    TooManyMembers(usize),
    /// Two members with one identity or one name.
    #[error("two members are called `{0}`")]
    Duplicate(String),
    /// A member that can hold nothing.
    #[error("member `{0}` has capacity 0: give it at least 1")]
    NoCapacity(String),
    /// A number of copies that can't be.
    #[error("{copies} copies can't be kept: choose from 1 to {MAX_COPIES}")]
    Copies {
        /// What was asked for.
        copies: u8,
    },
    /// Owners that do not fit the members.
    #[error("the layout's owners do not fit its members")]
    Malformed,
}

impl Layout {
    /// The layout of `members` over `ring`, keeping `copies` of everything (fewer where there are fewer members), as close
    /// to `previous` as the members allow. The same arguments give the same layout everywhere.
    ///
    /// # Errors
    /// [`LayoutError`] if the members can't own anything together.
    pub fn compute(
        mut members: Vec<Member>,
        ring: Ring,
        copies: u8,
        previous: Option<&Self>,
    ) -> Result<Self, LayoutError> {
        members.sort_by_key(|m| m.id);
        check_members(&members)?;
        if !(1..=MAX_COPIES).contains(&copies) {
            return Err(LayoutError::Copies { copies });
        }
        let copies = copies.min(u8::try_from(members.len()).unwrap_or(u8::MAX));
        let mut draft = Draft::new(&members, ring, copies);
        if let Some(previous) = previous.filter(|p| p.ring == ring) {
            draft.keep(previous, &members);
        }
        draft.fill();
        Ok(Self {
            version: previous.map_or(1, |p| p.version + 1),
            ring,
            copies,
            owners: draft.into_owners(&members),
            members,
        })
    }

    /// The version: a later layout has a greater one.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The same layout under another version.
    #[must_use]
    pub fn numbered(mut self, version: u64) -> Self {
        self.version = version;
        self
    }

    /// The same layout with another member in the place of one of its own.
    #[must_use]
    pub fn replaced(mut self, from: NodeId, by: Member) -> Self {
        let owners: Vec<NodeId> =
            self.owners.iter().map(|at| self.members[usize::from(*at)].id).collect();
        let to = by.id;
        self.members.retain(|member| member.id != from && member.id != to);
        self.members.push(by);
        self.members.sort_by_key(|member| member.id);
        let at = |id: NodeId| {
            let id = if id == from { to } else { id };
            let at = self.members.iter().position(|member| member.id == id).unwrap_or_default();
            u16::try_from(at).unwrap_or_default()
        };
        self.owners = owners.into_iter().map(at).collect();
        self
    }

    /// The ring.
    #[must_use]
    pub fn ring(&self) -> Ring {
        self.ring
    }

    /// Owners of each partition.
    #[must_use]
    pub fn copies(&self) -> u8 {
        self.copies
    }

    /// The members, by identity.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member of that identity.
    #[must_use]
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.members.binary_search_by_key(&id, |m| m.id).ok().map(|at| &self.members[at])
    }

    /// The first `n` owners of a partition, in order of preference.
    pub fn owners(&self, partition: Partition, n: u8) -> impl Iterator<Item = NodeId> + '_ {
        let copies = usize::from(self.copies);
        let start = partition.0 as usize * copies;
        self.owners[start..start + copies.min(usize::from(n))]
            .iter()
            .map(|at| self.members[usize::from(*at)].id)
    }

    /// The members that stand in for the first `n` owners of a partition, each once: its further owners, then clockwise the
    /// owners of the partitions after it.
    pub fn fallbacks(&self, partition: Partition, n: u8) -> impl Iterator<Item = NodeId> + '_ {
        let mut seen: BTreeSet<NodeId> = self.owners(partition, n).collect();
        let around = core::iter::once(partition).chain(self.ring.clockwise(partition));
        let owners = around.flat_map(|partition| self.owners(partition, self.copies));
        // Stops with the last member: the rest of the ring has nobody new.
        let others = self.members.len() - seen.len();
        owners.filter(move |owner| seen.insert(*owner)).take(others)
    }
}

fn check_members(members: &[Member]) -> Result<(), LayoutError> {
    if members.is_empty() {
        return Err(LayoutError::NoMembers);
    }
    if members.len() > usize::from(u16::MAX) {
        return Err(LayoutError::TooManyMembers(members.len()));
    }
    if let Some(none) = members.iter().find(|m| m.capacity == 0) {
        return Err(LayoutError::NoCapacity(none.name.clone()));
    }
    if let Some(pair) = members.windows(2).find(|pair| pair[0].id == pair[1].id) {
        return Err(LayoutError::Duplicate(pair[0].name.clone()));
    }
    Ok(())
}

/// An assignment in the making.
struct Draft {
    copies: usize,
    /// Zone of each member.
    zones: Vec<usize>,
    /// Most owners of one partition that may share a zone.
    per_zone: usize,
    /// Partitions that each member may still take.
    quota: Vec<usize>,
    /// Members that own each partition.
    owners: Vec<Vec<usize>>,
}

impl Draft {
    fn new(members: &[Member], ring: Ring, copies: u8) -> Self {
        let mut numbers = BTreeMap::new();
        let zones: Vec<usize> = members
            .iter()
            .map(|m| {
                let next = numbers.len();
                *numbers.entry(m.zone.as_str()).or_insert(next)
            })
            .collect();
        let partitions = ring.partitions() as usize;
        let copies = usize::from(copies);
        Self {
            copies,
            per_zone: copies.div_ceil(numbers.len()),
            quota: quotas(members, partitions, copies),
            owners: vec![Vec::with_capacity(copies); partitions],
            zones,
        }
    }

    /// Takes over from the layout before whatever the quotas and zones of this one allow.
    fn keep(&mut self, previous: &Layout, members: &[Member]) {
        for index in 0..self.owners.len() {
            let partition = Partition(u32::try_from(index).expect("rings are small"));
            for owner in previous.owners(partition, previous.copies) {
                if let Ok(member) = members.binary_search_by_key(&owner, |m| m.id)
                    && self.quota[member] > 0
                    && self.fits(index, member)
                {
                    self.give(index, member);
                }
            }
        }
    }

    /// May `member` own this partition beside those who do?
    fn fits(&self, partition: usize, member: usize) -> bool {
        let owners = &self.owners[partition];
        let zone = self.zones[member];
        owners.len() < self.copies
            && !owners.contains(&member)
            && owners.iter().filter(|o| self.zones[**o] == zone).count() < self.per_zone
    }

    fn give(&mut self, partition: usize, member: usize) {
        self.owners[partition].push(member);
        self.quota[member] = self.quota[member].saturating_sub(1);
    }

    fn fill(&mut self) {
        for partition in 0..self.owners.len() {
            while self.owners[partition].len() < self.copies {
                let most_left = (0..self.quota.len())
                    .filter(|m| self.quota[*m] > 0 && self.fits(partition, *m))
                    .max_by_key(|m| {
                        (self.quota[*m], usize::MAX - (m + partition) % self.quota.len())
                    });
                match most_left {
                    Some(member) => self.give(partition, member),
                    None => self.exchange(partition),
                }
            }
        }
    }

    /// No member with quota left fits: one that has some takes over another partition, whose owner comes here. Where no
    /// such pair exists, zones give way first, then quotas: every partition gets its copies on distinct members.
    fn exchange(&mut self, partition: usize) {
        for other in 0..self.owners.len() {
            for slot in 0..self.owners[other].len() {
                let moved = self.owners[other][slot];
                if other == partition || !self.fits(partition, moved) {
                    continue;
                }
                self.owners[other].remove(slot);
                let taker =
                    (0..self.quota.len()).find(|m| self.quota[*m] > 0 && self.fits(other, *m));
                match taker {
                    Some(taker) => {
                        self.give(other, taker);
                        self.owners[partition].push(moved);
                        return;
                    }
                    None => self.owners[other].insert(slot, moved),
                }
            }
        }
        let member = (0..self.quota.len())
            .filter(|m| !self.owners[partition].contains(m))
            .max_by_key(|m| (self.quota[*m], usize::MAX - m))
            .expect("there are at least as many members as copies");
        self.give(partition, member);
    }

    /// The owners in order of preference: which of them comes first is spread evenly.
    fn into_owners(self, members: &[Member]) -> Vec<u16> {
        let mut first = vec![0usize; members.len()];
        let mut flat = Vec::with_capacity(self.owners.len() * self.copies);
        for (partition, mut owners) in self.owners.into_iter().enumerate() {
            owners.sort_by_key(|m| {
                let load = first[*m] * 1_000 / members[*m].capacity as usize;
                (load, (m + partition) % members.len())
            });
            first[owners[0]] += 1;
            flat.extend(owners.iter().map(|m| u16::try_from(*m).expect("checked before")));
        }
        flat
    }
}

/// How many partitions each member gets: its share by capacity, at most all, rounded so that the sum is exact.
fn quotas(members: &[Member], partitions: usize, copies: usize) -> Vec<usize> {
    let mut quota = vec![0usize; members.len()];
    let mut open: Vec<usize> = (0..members.len()).collect();
    let mut slots = partitions * copies;
    loop {
        let capacity: u64 = open.iter().map(|m| u64::from(members[*m].capacity)).sum();
        let share = |m: usize| slots as u64 * u64::from(members[m].capacity);
        // Who would get more than every partition gets just that; the rest is shared among the others.
        let full: Vec<usize> =
            open.iter().copied().filter(|m| share(*m) >= partitions as u64 * capacity).collect();
        if full.is_empty() {
            let mut left = slots;
            for m in &open {
                quota[*m] = usize::try_from(share(*m) / capacity).expect("at most all partitions");
                left -= quota[*m];
            }
            open.sort_by_key(|m| (core::cmp::Reverse(share(*m) % capacity), *m));
            for m in open.iter().take(left) {
                quota[*m] += 1;
            }
            return quota;
        }
        for m in full {
            quota[m] = partitions;
            slots -= partitions;
            open.retain(|o| *o != m);
        }
        if open.is_empty() {
            return quota;
        }
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct LayoutRecord {
    version: u64,
    partitions: Ring,
    copies: u8,
    members: Vec<Member>,
    owners: Vec<u16>,
}

impl From<Layout> for LayoutRecord {
    fn from(layout: Layout) -> Self {
        let Layout { version, ring, copies, members, owners } = layout;
        Self { version, partitions: ring, copies, members, owners }
    }
}

impl TryFrom<LayoutRecord> for Layout {
    type Error = LayoutError;

    fn try_from(record: LayoutRecord) -> Result<Self, LayoutError> {
        let LayoutRecord { version, partitions: ring, copies, members, owners } = record;
        check_members(&members)?;
        let slots = ring.partitions() as usize * usize::from(copies);
        let sorted = members.windows(2).all(|pair| pair[0].id < pair[1].id);
        let known = owners.iter().all(|at| usize::from(*at) < members.len());
        if copies == 0 || copies > MAX_COPIES || owners.len() != slots || !sorted || !known {
            return Err(LayoutError::Malformed);
        }
        Ok(Self { version, ring, copies, members, owners })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cbor;
    use alloc::format;
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

    fn member(n: u64, zone: u32, capacity: u32) -> Member {
        Member {
            id: NodeId(n),
            name: format!("n{n}"),
            address: format!("127.0.0.1:{n}"),
            zone: format!("z{zone}"),
            capacity,
        }
    }

    fn loads(layout: &Layout) -> BTreeMap<NodeId, usize> {
        let mut loads = BTreeMap::new();
        for p in 0..layout.ring.partitions() {
            for owner in layout.owners(Partition(p), MAX_COPIES) {
                *loads.entry(owner).or_default() += 1;
            }
        }
        loads
    }

    fn moves(a: &Layout, b: &Layout) -> usize {
        (0..a.ring.partitions())
            .map(|p| {
                let before: BTreeSet<_> = a.owners(Partition(p), MAX_COPIES).collect();
                b.owners(Partition(p), MAX_COPIES).filter(|o| !before.contains(o)).count()
            })
            .sum()
    }

    #[test]
    fn equal_members_differ_by_one_partition_at_most() {
        let ring = Ring::new(256).unwrap();
        for count in 3..=30 {
            let members = (1..=count).map(|n| member(n, 0, 1)).collect();
            let layout = Layout::compute(members, ring, 3, None).unwrap();
            let loads = loads(&layout);
            let (least, most) = (loads.values().min().unwrap(), loads.values().max().unwrap());
            assert!(most - least <= 1, "{count} members: {least} to {most}");
        }
    }

    #[test]
    fn a_joining_member_moves_no_more_than_its_share() {
        let ring = Ring::new(256).unwrap();
        let three: Vec<_> = (1..=3).map(|n| member(n, 0, 1)).collect();
        let before = Layout::compute(three.clone(), ring, 3, None).unwrap();
        let four = three.into_iter().chain([member(4, 0, 1)]).collect();
        let after = Layout::compute(four, ring, 3, Some(&before)).unwrap();
        assert_eq!(after.version(), 2);
        assert_eq!(moves(&before, &after), 256 * 3 / 4);
    }

    #[test]
    fn impossible_members_are_refused() {
        let ring = Ring::new(8).unwrap();
        let compute = |members| Layout::compute(members, ring, 3, None);
        assert_eq!(compute(vec![]), Err(LayoutError::NoMembers));
        assert_eq!(compute(vec![member(1, 0, 0)]), Err(LayoutError::NoCapacity("n1".into())));
        assert_eq!(
            compute(vec![member(1, 0, 1), member(1, 1, 1)]),
            Err(LayoutError::Duplicate("n1".into()))
        );
    }

    #[test]
    fn fallbacks_are_all_others_once_clockwise() {
        let members = (1..=5).map(|n| member(n, 0, 1)).collect();
        let layout = Layout::compute(members, Ring::new(8).unwrap(), 3, None).unwrap();
        for p in (0..8).map(Partition) {
            let fallbacks: Vec<_> = layout.fallbacks(p, 2).collect();
            let all: BTreeSet<_> = layout.owners(p, 2).chain(fallbacks.iter().copied()).collect();
            assert_eq!((fallbacks.len(), all.len()), (3, 5));
            assert_eq!(
                layout.owners(p, 3).nth(2),
                Some(fallbacks[0]),
                "a further owner comes first"
            );
        }
        let alone = Layout::compute(vec![member(1, 0, 1)], Ring::new(8).unwrap(), 3, None).unwrap();
        assert_eq!(alone.fallbacks(Partition(0), 3).count(), 0);
    }

    #[test]
    fn a_layout_from_outside_is_checked() {
        let ring = Ring::new(4).unwrap();
        let mut layout = Layout::compute(vec![member(1, 0, 1)], ring, 1, None).unwrap();
        let back: Layout = cbor::decode(&cbor::encode(&layout)).unwrap();
        assert_eq!(back, layout);
        layout.owners[2] = 7;
        assert!(cbor::decode::<Layout>(&cbor::encode(&layout)).is_err());
    }

    proptest! {
        #[test]
        fn owners_are_distinct_and_in_distinct_zones_where_there_are_enough(
            shape in prop::collection::vec((0..5u32, 1..5u32), 1..12),
            copies in 1..=5u8,
        ) {
            let members: Vec<_> =
                (1u64..).zip(shape).map(|(n, (zone, capacity))| member(n, zone, capacity)).collect();
            let count = members.len();
            let layout = Layout::compute(members, Ring::new(64).unwrap(), copies, None).unwrap();
            prop_assert_eq!(usize::from(layout.copies()), usize::from(copies).min(count));
            for p in 0..64 {
                let owners: BTreeSet<_> = layout.owners(Partition(p), MAX_COPIES).collect();
                prop_assert_eq!(owners.len(), usize::from(layout.copies()));
            }
        }

        #[test]
        fn equal_zones_are_kept_apart(per_zone in 1..4u64, zones in 3..6u32) {
            let members: Vec<_> = (0..u64::from(zones) * per_zone)
                .map(|n| member(n + 1, u32::try_from(n % u64::from(zones)).unwrap(), 1))
                .collect();
            let layout = Layout::compute(members, Ring::new(128).unwrap(), 3, None).unwrap();
            for p in 0..128 {
                let zones: BTreeSet<_> = layout
                    .owners(Partition(p), 3)
                    .map(|o| layout.member(o).unwrap().zone.clone())
                    .collect();
                prop_assert_eq!(zones.len(), 3);
            }
            let loads = loads(&layout);
            prop_assert!(loads.values().max().unwrap() - loads.values().min().unwrap() <= 1);
        }

        #[test]
        fn the_same_members_give_the_same_layout_in_any_order(seed in prop::collection::vec(0..100u64, 1..8)) {
            let ids: BTreeSet<_> = seed.into_iter().collect();
            let members: Vec<_> = ids.iter().map(|n| member(*n, 0, 1)).collect();
            let backwards: Vec<_> = members.iter().rev().cloned().collect();
            let ring = Ring::new(32).unwrap();
            prop_assert_eq!(
                Layout::compute(members, ring, 3, None),
                Layout::compute(backwards, ring, 3, None)
            );
        }
    }
}
