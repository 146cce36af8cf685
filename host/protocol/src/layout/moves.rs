//! What going from one layout to another comes to: who gains what, how many bytes move, how long it takes, what to look at
//! before.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::Serialize;

use super::Layout;
use crate::config::MAX_COPIES;
use crate::id::NodeId;
use crate::ring::Partition;

/// From one layout to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moves {
    /// Every member of either layout, by name.
    pub members: Vec<Share>,
    /// Copies of partitions that go to another member.
    pub copies: u32,
    /// Their bytes, as far as sizes are known.
    pub bytes: u64,
    /// Seconds that it takes at the rate that was said: the member that gets most needs longest. None without sizes or rate.
    pub seconds: Option<u64>,
    /// What to look at before.
    pub warnings: Vec<Warning>,
}

/// One member's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// The member.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Its zone, after.
    pub zone: String,
    /// Its capacity, after; zero if it leaves.
    pub capacity: u32,
    /// Partitions that it owns a copy of, before.
    pub before: u32,
    /// And after.
    pub after: u32,
    /// Copies that it gets.
    pub gains: u32,
    /// Copies that it gives away.
    pub loses: u32,
    /// Bytes that it gets, as far as sizes are known.
    pub gains_bytes: u64,
}

/// What to look at before a change is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "warning")]
pub enum Warning {
    /// Fewer members than copies that were asked for.
    TooFewMembers {
        /// Copies that are kept.
        copies: u8,
        /// Copies that were meant.
        meant: u8,
    },
    /// Copies of one key share a zone.
    TooFewZones {
        /// Zones whose members own something.
        zones: usize,
        /// Copies of every key.
        copies: u8,
    },
    /// A member with capacity owns nothing: there are more members than copies to own.
    OwnsNothing {
        /// Its name.
        name: String,
    },
    /// A member owns another share than its capacity says, since no zone may hold more of a key's copies than must be.
    OffShare {
        /// Its name.
        name: String,
        /// Partitions that it owns.
        owns: u32,
        /// Those that its capacity alone would give it.
        share: u32,
    },
    /// All owners of some partitions are new: if the old ones are lost, so is what they held.
    NobodyStays {
        /// How many partitions.
        partitions: u32,
    },
}

impl Moves {
    /// From `before` to `after`, which is meant to keep `meant` copies. `sizes` has the bytes that members hold, as far as
    /// they are known; `rate` is bytes a second that a member takes in.
    #[must_use]
    pub fn between(
        before: &Layout,
        after: &Layout,
        meant: u8,
        sizes: &BTreeMap<NodeId, u64>,
        rate: Option<u64>,
    ) -> Self {
        let mut shares: BTreeMap<NodeId, Share> = BTreeMap::new();
        for (layout, is_after) in [(before, false), (after, true)] {
            for (member, (owned, _)) in layout.members().iter().zip(layout.loads()) {
                let share = shares.entry(member.id).or_insert_with(|| Share {
                    id: member.id,
                    name: member.name.clone(),
                    zone: member.zone.clone(),
                    capacity: 0,
                    before: 0,
                    after: 0,
                    gains: 0,
                    loses: 0,
                    gains_bytes: 0,
                });
                if is_after {
                    share.zone.clone_from(&member.zone);
                    share.capacity = member.capacity;
                    share.after = owned;
                } else {
                    share.before = owned;
                }
            }
        }
        let per_copy = bytes_per_copy(before, sizes);
        let (mut copies, mut bytes, mut new_everywhere) = (0, 0, 0);
        for partition in (0..before.ring().partitions()).map(Partition) {
            let old: BTreeSet<_> = before.owners(partition, MAX_COPIES).collect();
            let new: BTreeSet<_> = after.owners(partition, MAX_COPIES).collect();
            new_everywhere += u32::from(old.is_disjoint(&new));
            let known: Vec<u64> = old.iter().filter_map(|m| per_copy.get(m).copied()).collect();
            let size =
                mean(&known).or_else(|| mean(&per_copy.values().copied().collect::<Vec<_>>()));
            for member in new.difference(&old) {
                let Some(share) = shares.get_mut(member) else { continue };
                share.gains += 1;
                share.gains_bytes += size.unwrap_or(0);
                copies += 1;
                bytes += size.unwrap_or(0);
            }
            for member in old.difference(&new) {
                if let Some(share) = shares.get_mut(member) {
                    share.loses += 1;
                }
            }
        }
        let mut members: Vec<Share> = shares.into_values().collect();
        members.sort_by(|a, b| a.name.cmp(&b.name).then(a.id.cmp(&b.id)));
        let most = members.iter().map(|share| share.gains_bytes).max().unwrap_or(0);
        let seconds = rate.filter(|rate| *rate > 0 && !sizes.is_empty()).map(|r| most.div_ceil(r));
        let mut warnings = warnings(after, meant, &members);
        if new_everywhere > 0 {
            warnings.push(Warning::NobodyStays { partitions: new_everywhere });
        }
        Self { members, copies, bytes, seconds, warnings }
    }
}

/// Bytes of one copy of a partition at each member whose size is known.
fn bytes_per_copy(layout: &Layout, sizes: &BTreeMap<NodeId, u64>) -> BTreeMap<NodeId, u64> {
    let members = layout.members().iter().zip(layout.loads());
    members
        .filter(|(_, (owned, _))| *owned > 0)
        .filter_map(|(m, (owned, _))| Some((m.id, sizes.get(&m.id)? / u64::from(owned))))
        .collect()
}

fn mean(of: &[u64]) -> Option<u64> {
    of.iter().sum::<u64>().checked_div(of.len() as u64)
}

fn warnings(after: &Layout, meant: u8, members: &[Share]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let copies = after.copies();
    if copies < meant {
        warnings.push(Warning::TooFewMembers { copies, meant });
    }
    let owners = members.iter().filter(|share| share.after > 0);
    let zones = owners.map(|share| share.zone.as_str()).collect::<BTreeSet<_>>().len();
    if zones < usize::from(copies) {
        warnings.push(Warning::TooFewZones { zones, copies });
    }
    let all: u64 = members.iter().map(|share| u64::from(share.capacity)).sum();
    let slots = u64::from(after.ring().partitions()) * u64::from(copies);
    for member in members.iter().filter(|share| share.capacity > 0) {
        let name = member.name.clone();
        let share = (slots * u64::from(member.capacity)).checked_div(all).unwrap_or(0);
        let share = u32::try_from(share).unwrap_or(u32::MAX);
        if member.after == 0 {
            warnings.push(Warning::OwnsNothing { name });
        } else if member.after.abs_diff(share) > 1 + share / 10 {
            warnings.push(Warning::OffShare { name, owns: member.after, share });
        }
    }
    warnings
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFewMembers { copies, meant } => {
                write!(f, "only {copies} of {meant} copies are kept: there are not more members")
            }
            Self::TooFewZones { zones: 1, copies } => {
                write!(f, "all {copies} copies of a key are in one zone, and are lost with it")
            }
            Self::TooFewZones { zones, copies } => {
                write!(
                    f,
                    "{copies} copies are spread over {zones} zones only: some of a key's share one"
                )
            }
            Self::OwnsNothing { name } => {
                write!(f, "{name} owns nothing: there are more members than copies to own")
            }
            Self::OffShare { name, owns, share } => write!(
                f,
                "{name} owns {owns} partitions instead of the {share} that its capacity would give it: zones and the number of copies don't allow more or less"
            ),
            Self::NobodyStays { partitions } => write!(
                f,
                "{partitions} partitions keep none of their owners: don't lose an old one before the change is done"
            ),
        }
    }
}
