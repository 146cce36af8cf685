//! Who owns what: a versioned value, computed by a pure function.
//!
//! Every partition gets its owners, in order: in distinct zones where there are enough, in proportion to the members'
//! capacity (`quotas`), and with the fewest changes to the layout before that those two allow (`assignment`). At equal
//! capacities shares differ by one partition at most, where zones allow it.
//!
//! Owners that stay keep their place in the order, since a bucket with fewer copies lies at the first owners: a new order
//! would move it.

mod assignment;
pub mod moves;
mod quotas;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use self::assignment::{Assignment, NONE};
use self::quotas::Shape;
use crate::config::MAX_COPIES;
use crate::id::NodeId;
use crate::ring::{Partition, Ring};

/// Most members of a layout: they are numbered with 16 bits.
const MAX_MEMBERS: usize = 65_535;

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
    /// Its share of the load, relative to the others'. Zero: it owns nothing, and only passes requests on.
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
    #[error("a layout needs at least one member with a capacity above 0")]
    NoMembers,
    /// More members than can be numbered.
    #[error("a layout has at most {MAX_MEMBERS} members, not {0}")]
    TooManyMembers(usize),
    /// Two members with one identity or one name.
    #[error("two members are called `{0}`")]
    Duplicate(String),
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
        let able = members.iter().filter(|m| m.capacity > 0).count();
        let copies = copies.min(u8::try_from(able).unwrap_or(u8::MAX));
        let capacity = members.iter().map(|m| m.capacity).collect();
        let partitions = ring.partitions() as usize;
        let shape = Shape::new(partitions, usize::from(copies), zones(&members), capacity);
        let previous = previous.filter(|p| p.ring == ring);
        let (before, former) = previous.map_or_else(
            || (Vec::new(), 0),
            |previous| (previous.owners_among(&members), usize::from(previous.copies)),
        );
        let mut owners = Assignment::new(&shape, before.clone(), former).solve();
        order(&shape, &mut owners, &before, former);
        Ok(Self { version: previous.map_or(1, |p| p.version + 1), ring, copies, owners, members })
    }

    /// The owners of all partitions as indices into `members`, where they are among these.
    fn owners_among(&self, members: &[Member]) -> Vec<u16> {
        let index = |m: &Member| members.binary_search_by_key(&m.id, |m| m.id).ok();
        let numbers: Vec<u16> = self
            .members
            .iter()
            .map(|m| index(m).and_then(|at| u16::try_from(at).ok()).unwrap_or(NONE))
            .collect();
        self.owners.iter().map(|at| numbers[usize::from(*at)]).collect()
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

    /// Partitions that each member owns a copy of, and those of which it is the first owner; in the order of
    /// [`members`](Self::members).
    #[must_use]
    pub fn loads(&self) -> Vec<(u32, u32)> {
        let mut loads = vec![(0, 0); self.members.len()];
        for owners in self.owners.chunks(usize::from(self.copies)) {
            for (place, owner) in owners.iter().enumerate() {
                let (all, first) = &mut loads[usize::from(*owner)];
                *all += 1;
                *first += u32::from(place == 0);
            }
        }
        loads
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
        // Stops with the last member that owns something: the rest of the ring has nobody new.
        let able = self.members.iter().filter(|m| m.capacity > 0).count();
        // A layout that another node made may have owners without a capacity.
        let others = able.saturating_sub(seen.len());
        owners.filter(move |owner| seen.insert(*owner)).take(others)
    }
}

fn check_members(members: &[Member]) -> Result<(), LayoutError> {
    if !members.iter().any(|m| m.capacity > 0) {
        return Err(LayoutError::NoMembers);
    }
    if members.len() > MAX_MEMBERS {
        return Err(LayoutError::TooManyMembers(members.len()));
    }
    if let Some(pair) = members.windows(2).find(|pair| pair[0].id == pair[1].id) {
        return Err(LayoutError::Duplicate(pair[0].name.clone()));
    }
    Ok(())
}

/// Puts owners that stay to the places that they had, and new ones in order among the rest, so that each member is as often the
/// first as the others.
fn order(shape: &Shape, owners: &mut [u16], before: &[u16], former: usize) {
    for (partition, owners) in owners.chunks_mut(shape.copies).enumerate() {
        for place in 0..former.min(shape.copies) {
            let was = before[partition * former + place];
            if let Some(now) = owners.iter().position(|owner| *owner == was) {
                owners.swap(now, place);
            }
        }
    }
    let mut first = vec![0u64; shape.zones.len()];
    let is_new = |partition: usize, member: u16| {
        !before[partition * former..(partition + 1) * former].contains(&member)
    };
    for (partition, owners) in owners.chunks(shape.copies).enumerate() {
        if !is_new(partition, owners[0]) {
            first[usize::from(owners[0])] += 1;
        }
    }
    for (partition, owners) in owners.chunks_mut(shape.copies).enumerate() {
        let places: Vec<usize> =
            (0..owners.len()).filter(|place| is_new(partition, owners[*place])).collect();
        let mut new: Vec<u16> = places.iter().map(|place| owners[*place]).collect();
        new.sort_by_key(|m| {
            let member = usize::from(*m);
            let load = first[member] * 1_000_000 / u64::from(shape.capacity[member].max(1));
            (load, (member + partition) % shape.zones.len())
        });
        for (place, member) in places.into_iter().zip(new) {
            owners[place] = member;
            first[usize::from(member)] += u64::from(place == 0);
        }
    }
}

fn zones(members: &[Member]) -> Vec<usize> {
    let mut numbers = BTreeMap::new();
    let number = |m: &Member| {
        let next = numbers.len();
        *numbers.entry(m.zone.clone()).or_insert(next)
    };
    members.iter().map(number).collect()
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
