//! How many partitions each member is to own.
//!
//! Shares go by capacity, except where a member would own more than every partition, or a zone more copies of each than it
//! may: what is over goes to the others, by capacity again. The shares are exact fractions; they are rounded so that the
//! sum is right, and up rather for those who have the partition already.

use alloc::vec;
use alloc::vec::Vec;

/// What the rules of an assignment come to for given members.
pub(super) struct Shape {
    /// Partitions.
    pub(super) partitions: usize,
    /// Owners of each.
    pub(super) copies: usize,
    /// Zone of each member, numbered from zero.
    pub(super) zones: Vec<usize>,
    /// Share of each member, relative to the others'; zero for none.
    pub(super) capacity: Vec<u32>,
    /// Most owners of one partition that may share a zone: the least with which every partition gets its owners.
    pub(super) per_zone: usize,
    /// Members of each zone that may own something.
    in_zone: Vec<usize>,
}

impl Shape {
    /// At least `copies` members have capacity.
    pub(super) fn new(
        partitions: usize,
        copies: usize,
        zones: Vec<usize>,
        capacity: Vec<u32>,
    ) -> Self {
        let mut in_zone = vec![0; zones.iter().max().map_or(0, |most| most + 1)];
        for (zone, _) in zones.iter().zip(&capacity).filter(|(_, capacity)| **capacity > 0) {
            in_zone[*zone] += 1;
        }
        let room = |most: usize| in_zone.iter().map(|members| most.min(*members)).sum::<usize>();
        let per_zone = (1..=copies).find(|most| room(*most) >= copies).unwrap_or(copies);
        Self { partitions, copies, zones, capacity, per_zone, in_zone }
    }

    /// Partitions of each member. `held` says how many each has so far.
    ///
    /// An assignment that gives each member exactly so many always exists: let every member own of each partition as large a
    /// part as its quota is of all partitions. That is a flow which keeps all rules, so there is one in whole numbers too.
    pub(super) fn quotas(&self, held: &[usize]) -> Vec<usize> {
        let mut quotas = Quotas {
            shape: self,
            quota: vec![0; self.zones.len()],
            room: self.in_zone.iter().map(|n| self.per_zone.min(*n) * self.partitions).collect(),
        };
        let open = (0..self.zones.len()).filter(|m| self.capacity[*m] > 0).collect();
        quotas.fill(open, self.partitions * self.copies, held);
        quotas.quota
    }
}

struct Quotas<'s> {
    shape: &'s Shape,
    quota: Vec<usize>,
    /// What each zone may still take.
    room: Vec<usize>,
}

impl Quotas<'_> {
    /// Shares so many slots among members. A member or zone that is full at some rate stays full at the higher one that the
    /// others then get.
    fn fill(&mut self, mut open: Vec<usize>, mut slots: usize, held: &[usize]) {
        loop {
            let capacity = self.capacity(&open);
            if let Some(zone) = self.full_zone(&open, slots, capacity) {
                let (inside, outside): (Vec<_>, Vec<_>) =
                    open.iter().partition(|m| self.shape.zones[**m] == zone);
                let room = self.room[zone];
                slots -= room;
                open = outside;
                self.share(inside, room, held);
                continue;
            }
            let Some(at) = self.full_member(&open, slots, capacity) else { break };
            let member = open.swap_remove(at);
            slots -= self.shape.partitions;
            self.give(member, self.shape.partitions);
        }
        self.round(open, slots, held);
    }

    /// Shares a full zone's slots among its members.
    fn share(&mut self, mut open: Vec<usize>, mut slots: usize, held: &[usize]) {
        while let Some(at) = self.full_member(&open, slots, self.capacity(&open)) {
            let member = open.swap_remove(at);
            slots -= self.shape.partitions;
            self.give(member, self.shape.partitions);
        }
        self.round(open, slots, held);
    }

    fn capacity(&self, open: &[usize]) -> u64 {
        open.iter().map(|m| u64::from(self.shape.capacity[*m])).sum()
    }

    /// A member that would get every partition, or more.
    fn full_member(&self, open: &[usize], slots: usize, capacity: u64) -> Option<usize> {
        let all = self.shape.partitions as u64 * capacity;
        open.iter().position(|m| slots as u64 * u64::from(self.shape.capacity[*m]) >= all)
    }

    /// A zone whose members would get all that it may take, or more.
    fn full_zone(&self, open: &[usize], slots: usize, capacity: u64) -> Option<usize> {
        let all = self.shape.partitions as u64 * capacity;
        let mut sums = vec![0u128; self.room.len()];
        for m in open {
            let share = slots as u64 * u64::from(self.shape.capacity[*m]);
            sums[self.shape.zones[*m]] += u128::from(share.min(all));
        }
        let full = |zone: &usize| {
            sums[*zone] > 0 && sums[*zone] >= self.room[*zone] as u128 * u128::from(capacity)
        };
        (0..sums.len()).find(full)
    }

    fn give(&mut self, member: usize, slots: usize) {
        self.quota[member] += slots;
        self.room[self.shape.zones[member]] -= slots;
    }

    fn round(&mut self, mut open: Vec<usize>, slots: usize, held: &[usize]) {
        let capacity = self.capacity(&open);
        let share = |m: usize| slots as u64 * u64::from(self.shape.capacity[m]);
        let mut left = slots;
        let mut rest = vec![0; self.quota.len()];
        for m in &open {
            let whole = usize::try_from(share(*m) / capacity).expect("at most all partitions");
            rest[*m] = share(*m) % capacity;
            left -= whole;
            self.give(*m, whole);
        }
        open.retain(|m| rest[*m] > 0);
        open.sort_by_key(|m| (held[*m] <= self.quota[*m], core::cmp::Reverse(rest[*m]), *m));
        for m in open {
            if left > 0 && self.room[self.shape.zones[m]] > 0 {
                self.give(m, 1);
                left -= 1;
            }
        }
        debug_assert_eq!(left, 0, "the fractions of a zone are no more than its room");
    }
}
