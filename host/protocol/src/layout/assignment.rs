//! Gives every partition its owners, exactly by the quotas and with the fewest moves.
//!
//! This is a flow of least cost: from each member as much as its quota, through the zone's room at a partition, to the
//! partition's copies; a new owner costs one, an owner that stays nothing. It begins with the owners before, as far as they
//! fit, and goes along shortest paths from members with quota left to places that lack an owner or members over their
//! quota (successive shortest paths in phases; Ahuja, Magnanti, Orlin 1993, chapter 9; the phases after Dinic 1970). What it
//! begins with is cheapest for the members' loads as they are, and shortest paths keep that true, so in the end no other
//! assignment with these quotas has fewer moves. Garage's layout is found by a flow, too (Auvolat et al. 2023).
//!
//! A step of a path is: a member enters a partition, and one of its owners goes, who then enters another.

use alloc::collections::BinaryHeap;
use alloc::vec;
use alloc::vec::Vec;

use super::quotas::Shape;
use crate::config::MAX_COPIES;

/// No member.
pub(super) const NONE: u16 = u16::MAX;

/// What a move weighs against a step of a path: less than any path has.
const MOVE: i64 = 1 << 20;

/// What was not reached.
const FAR: i64 = i64::MAX / 2;

/// Owners in the making.
pub(super) struct Assignment<'s> {
    shape: &'s Shape,
    /// Partitions that each member is still to get; less than none if it is to give some away.
    spare: Vec<i64>,
    /// `copies` members for each partition, or [`NONE`].
    owners: Vec<u16>,
    /// `former` members for each partition: who had it before, where it is still a member.
    before: Vec<u16>,
    former: usize,
}

impl<'s> Assignment<'s> {
    /// Nobody owns anything. `before` has `former` members for each partition.
    pub(super) fn new(shape: &'s Shape, before: Vec<u16>, former: usize) -> Self {
        let mut draft = Self {
            shape,
            spare: vec![0; shape.zones.len()],
            owners: vec![NONE; shape.partitions * shape.copies],
            before,
            former,
        };
        draft.keep();
        let mut held = vec![0; shape.zones.len()];
        for owner in draft.owners.iter().filter(|owner| **owner != NONE) {
            held[usize::from(*owner)] += 1;
        }
        let quotas = shape.quotas(&held);
        let signed = |n: usize| i64::try_from(n).expect("rings are small");
        draft.spare = quotas.iter().zip(&held).map(|(q, h)| signed(*q) - signed(*h)).collect();
        draft
    }

    /// The owners of all partitions. Whoever stays has its place in the order; new ones are in the places of those who went.
    pub(super) fn solve(mut self) -> Vec<u16> {
        if self.before.iter().all(|m| *m == NONE) {
            self.begin();
        }
        while self.spare.iter().any(|spare| *spare > 0) {
            let distance = self.distances();
            let Some(goal) = self.nearest(&distance) else { break };
            Phase::new(&mut self, distance, goal).run();
        }
        debug_assert!(self.owners.iter().all(|m| *m != NONE), "quotas can always be met");
        self.owners
    }

    /// Takes over who owned it before, as far as the zones allow.
    fn keep(&mut self) {
        for partition in 0..self.shape.partitions {
            for place in 0..self.former {
                let member = self.before[partition * self.former + place];
                if member == NONE || self.shape.capacity[usize::from(member)] == 0 {
                    continue;
                }
                let free = self.slots(partition).find(|slot| self.owners[*slot] == NONE);
                let same = partition * self.shape.copies + place;
                let slot = match free {
                    Some(_) if place < self.shape.copies && self.owners[same] == NONE => same,
                    Some(slot) => slot,
                    None => break,
                };
                if self.has_room(partition, member) {
                    self.owners[slot] = member;
                }
            }
        }
    }

    /// Gives an empty ring its owners: from the zones, and in them from the members, that are to get the most still. Chance
    /// that depends on nothing but numbers settles the rest, so that a member shares its partitions with many others.
    fn begin(&mut self) {
        let count = self.shape.zones.iter().max().map_or(0, |most| most + 1);
        let mut members = vec![BinaryHeap::new(); count];
        let mut left = vec![0; count];
        for (member, spare) in self.spare.iter().enumerate().filter(|(_, spare)| **spare > 0) {
            members[self.shape.zones[member]].push(rank(member, *spare));
            left[self.shape.zones[member]] += spare;
        }
        let mut zones: BinaryHeap<_> = (0..count).map(|zone| rank(zone, left[zone])).collect();
        for partition in 0..self.shape.partitions {
            let (mut tried, mut taken) = (Vec::new(), Vec::new());
            let mut slots = self.slots(partition);
            let mut slot = slots.next();
            while let Some(at) = slot {
                let Some((_, _, zone)) = zones.pop() else { break };
                tried.push(zone);
                let Some((spare, _, member)) = members[zone].pop() else { continue };
                self.place(at, member, &mut left[zone]);
                taken.push((member, spare - 1));
                slot = slots.next();
            }
            // Fewer zones than copies: once more around, as often as a zone may have it.
            for zone in (1..self.shape.per_zone).flat_map(|_| tried.clone()) {
                let Some(at) = slot else { break };
                let Some((spare, _, member)) = members[zone].pop() else { continue };
                self.place(at, member, &mut left[zone]);
                taken.push((member, spare - 1));
                slot = slots.next();
            }
            for (member, spare) in taken.into_iter().filter(|(_, spare)| *spare > 0) {
                members[self.shape.zones[member]].push(rank(member, spare));
            }
            zones.extend(tried.into_iter().map(|zone| rank(zone, left[zone])));
        }
    }

    fn place(&mut self, slot: usize, member: usize, left: &mut i64) {
        self.owners[slot] = number(member);
        self.spare[member] -= 1;
        *left -= 1;
    }

    fn slots(&self, partition: usize) -> core::ops::Range<usize> {
        partition * self.shape.copies..(partition + 1) * self.shape.copies
    }

    fn has(&self, partition: usize, member: u16) -> bool {
        self.owners[self.slots(partition)].contains(&member)
    }

    /// Has the member's zone room at this partition?
    fn has_room(&self, partition: usize, member: u16) -> bool {
        let zone = self.zone(member);
        let owners = self.owners[self.slots(partition)].iter();
        owners.filter(|o| **o != NONE && self.zone(**o) == zone).count() < self.shape.per_zone
    }

    fn zone(&self, member: u16) -> usize {
        self.shape.zones[usize::from(member)]
    }

    /// What it costs that this member owns this partition.
    fn cost(&self, partition: usize, member: u16) -> i64 {
        let before = &self.before[partition * self.former..(partition + 1) * self.former];
        if before.contains(&member) { 0 } else { MOVE }
    }

    /// How far each member is from one that has quota left: moves first, then steps (Bellman 1958).
    fn distances(&self) -> Vec<i64> {
        let mut distance: Vec<i64> =
            self.spare.iter().map(|spare| if *spare > 0 { 0 } else { FAR }).collect();
        loop {
            let near = Nearest::new(self.shape, &distance);
            let mut next = distance.clone();
            for partition in 0..self.shape.partitions {
                let entry = self.entry(partition, &distance, &near);
                for slot in self.slots(partition) {
                    let owner = self.owners[slot];
                    if owner != NONE {
                        let through = entry.to(self.zone(owner)) - self.cost(partition, owner) + 1;
                        let known = &mut next[usize::from(owner)];
                        *known = through.min(*known);
                    }
                }
            }
            if next == distance {
                return distance;
            }
            distance = next;
        }
    }

    /// How near the entry to a partition is.
    fn entry(&self, partition: usize, distance: &[i64], near: &Nearest) -> Entry {
        let mut entry = Entry::default();
        let mut note = |member: u16, far: i64| {
            if self.has_room(partition, member) {
                entry.any = far.min(entry.any);
            } else {
                entry.note(self.zone(member), far);
            }
        };
        for place in partition * self.former..(partition + 1) * self.former {
            let member = self.before[place];
            if member != NONE && !self.has(partition, member) {
                note(member, distance[usize::from(member)]);
            }
        }
        let mut found = FAR;
        let full = |member: u16| !self.has_room(partition, member);
        // At most so many zones have an owner here, so the next one has none.
        for members in near.zones.iter().take(self.shape.copies + 1) {
            let Some(member) = members.iter().find(|m| !self.has(partition, **m)) else { continue };
            let far = distance[usize::from(*member)] + MOVE;
            if far < found && !full(*member) {
                found = far;
                note(*member, far);
            }
        }
        for slot in self.slots(partition) {
            let owner = self.owners[slot];
            if owner == NONE || !full(owner) {
                continue;
            }
            let members = &near.zones[near.rank[self.zone(owner)]];
            if let Some(member) = members.iter().find(|m| !self.has(partition, **m)) {
                note(*member, distance[usize::from(*member)] + MOVE);
            }
        }
        entry
    }

    /// How far the nearest end of a path is.
    fn nearest(&self, distance: &[i64]) -> Option<i64> {
        let near = Nearest::new(self.shape, distance);
        let lacking = (0..self.shape.partitions)
            .filter(|partition| self.owners[self.slots(*partition)].contains(&NONE))
            .map(|partition| self.entry(partition, distance, &near).any + 1);
        let over = self.spare.iter().zip(distance).filter(|(spare, _)| **spare < 0);
        let nearest = lacking.chain(over.map(|(_, distance)| *distance)).min();
        nearest.filter(|distance| *distance < FAR)
    }
}

/// The members of each zone that are nearest, and the zones in that order.
struct Nearest {
    zones: Vec<Vec<u16>>,
    /// Where each zone stands in the order.
    rank: Vec<usize>,
}

impl Nearest {
    fn new(shape: &Shape, distance: &[i64]) -> Self {
        let count = shape.zones.iter().max().map_or(0, |most| most + 1);
        let mut members: Vec<usize> = (0..distance.len()).filter(|m| distance[*m] < FAR).collect();
        members.sort_by_key(|m| (distance[*m], *m));
        let mut rank = vec![usize::MAX; count];
        let mut zones: Vec<Vec<u16>> = Vec::new();
        for member in members {
            let rank = &mut rank[shape.zones[member]];
            if *rank == usize::MAX {
                *rank = zones.len();
                zones.push(Vec::new());
            }
            // One more than may own one partition: one of them does not.
            if zones[*rank].len() <= shape.per_zone {
                zones[*rank].push(number(member));
            }
        }
        for rank in rank.iter_mut().filter(|rank| **rank == usize::MAX) {
            *rank = zones.len();
        }
        zones.push(Vec::new());
        Self { zones, rank }
    }
}

/// How far it is to a partition, for whoever may take the place of any of its owners, and for who may take that of one of
/// its own zone.
struct Entry {
    any: i64,
    /// The full zones, no more than owners.
    zones: [(usize, i64); MAX_COPIES as usize],
}

impl Default for Entry {
    fn default() -> Self {
        Self { any: FAR, zones: [(usize::MAX, FAR); MAX_COPIES as usize] }
    }
}

impl Entry {
    fn note(&mut self, zone: usize, far: i64) {
        let place = self.zones.iter_mut().find(|(z, _)| *z == zone || *z == usize::MAX);
        if let Some(place) = place {
            *place = (zone, far.min(place.1));
        }
    }

    fn to(&self, zone: usize) -> i64 {
        let own = self.zones.iter().find(|(z, _)| *z == zone).map_or(FAR, |(_, far)| *far);
        own.min(self.any)
    }
}

/// Goes along shortest paths, as long as there are any of one length.
struct Phase<'a, 's> {
    draft: &'a mut Assignment<'s>,
    distance: Vec<i64>,
    goal: i64,
    /// Partitions that each member has tried.
    tried: Vec<usize>,
}

/// A member enters the partition of this slot.
struct Step {
    member: u16,
    slot: usize,
}

impl<'a, 's> Phase<'a, 's> {
    fn new(draft: &'a mut Assignment<'s>, distance: Vec<i64>, goal: i64) -> Self {
        let tried = vec![0; distance.len()];
        Self { draft, distance, goal, tried }
    }

    fn run(&mut self) {
        for member in 0..self.distance.len() {
            while self.draft.spare[member] > 0 && self.path(number(member)) {
                self.draft.spare[member] -= 1;
            }
        }
    }

    /// Finds one path from a member to an end, and goes along it.
    fn path(&mut self, from: u16) -> bool {
        let mut path: Vec<Step> = Vec::new();
        let mut member = from;
        loop {
            match self.step(member) {
                Some((slot, owner)) => {
                    path.push(Step { member, slot });
                    let over = owner != NONE && self.draft.spare[usize::from(owner)] < 0;
                    if owner == NONE || over && self.distance[usize::from(owner)] == self.goal {
                        for step in &path {
                            self.draft.owners[step.slot] = step.member;
                        }
                        if over {
                            self.draft.spare[usize::from(owner)] += 1;
                        }
                        return true;
                    }
                    member = owner;
                }
                None => {
                    // A dead end: whoever led here goes another way.
                    let Some(step) = path.pop() else { return false };
                    member = step.member;
                }
            }
        }
    }

    /// The next step of a member along shortest paths: a slot, and who goes from there.
    fn step(&mut self, member: u16) -> Option<(usize, u16)> {
        let index = usize::from(member);
        let partitions = self.draft.shape.partitions;
        let start = usize::try_from(mix(index, 0)).unwrap_or(0) % partitions;
        while self.tried[index] < partitions {
            let partition = (start + self.tried[index]) % partitions;
            if let Some(found) = self.way(partition, member) {
                return Some(found);
            }
            self.tried[index] += 1;
        }
        None
    }

    /// Does a shortest path lead from this member through this partition?
    fn way(&self, partition: usize, member: u16) -> Option<(usize, u16)> {
        let draft = &*self.draft;
        let far = self.distance[usize::from(member)] + 1;
        // Most are no way at all: look at the cheap things first.
        let slots = draft.slots(partition);
        let possible = |far: i64, slot: usize| match draft.owners[slot] {
            NONE => far == self.goal,
            owner => {
                let there = self.distance[usize::from(owner)];
                let on = there == far - draft.cost(partition, owner);
                let over = draft.spare[usize::from(owner)] < 0 && there == self.goal;
                let leads_on = there.rem_euclid(MOVE) < self.goal.rem_euclid(MOVE)
                    && self.tried[usize::from(owner)] < draft.shape.partitions;
                on && (over || leads_on)
            }
        };
        if draft.has(partition, member) {
            return None;
        }
        let far = far + draft.cost(partition, member);
        let room = draft.has_room(partition, member);
        let own = draft.zone(member);
        let count = slots.len();
        // Not always the same place of the order first.
        (0..count).map(|n| slots.start + (n + partition) % count).find_map(|slot| {
            let owner = draft.owners[slot];
            let fits = room || owner != NONE && draft.zone(owner) == own;
            (fits && possible(far, slot)).then_some((slot, owner))
        })
    }
}

fn number(member: usize) -> u16 {
    u16::try_from(member).expect("members are numbered so")
}

/// Who has more left comes first, then chance.
fn rank(index: usize, left: i64) -> (i64, u64, usize) {
    (left, mix(index, left), index)
}

/// A number that looks like chance (the finish of SplitMix64, Steele et al. 2014).
fn mix(index: usize, left: i64) -> u64 {
    let mut z = (index as u64) << 32 ^ left.cast_unsigned();
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
