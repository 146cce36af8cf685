//! The core workloads of YCSB (Cooper et al. 2010, "Benchmarking Cloud Serving Systems with YCSB") that need no scans.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::generator::{Latest, Scrambled};
use crate::bench::chance::Chance;

/// A core workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Letter {
    /// Half reads, half updates.
    A,
    /// 95 % reads, 5 % updates.
    B,
    /// Reads only.
    C,
    /// 95 % reads of what is new, 5 % inserts.
    D,
    /// Half reads, half read-modify-writes.
    F,
}

/// What is asked of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    /// A get.
    Read,
    /// A put that has not seen what it replaces.
    Update,
    /// A put of a new record.
    Insert,
    /// A get, and a put with its context.
    ReadModifyWrite,
}

impl Operation {
    /// A word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Update => "update",
            Self::Insert => "insert",
            Self::ReadModifyWrite => "read-modify-write",
        }
    }
}

impl Letter {
    /// What is asked for besides reads, and in how many of a hundred.
    fn others(self) -> (Operation, u64) {
        match self {
            Self::A => (Operation::Update, 50),
            Self::B => (Operation::Update, 5),
            Self::C => (Operation::Read, 0),
            Self::D => (Operation::Insert, 5),
            Self::F => (Operation::ReadModifyWrite, 50),
        }
    }
}

/// The records that there are: those up to `known` can be read, while some beyond are on their way.
#[derive(Debug)]
pub(super) struct Records {
    next: AtomicU64,
    known: AtomicU64,
    /// Acknowledged ones that an earlier one is still waited for.
    early: Mutex<BTreeSet<u64>>,
}

impl Records {
    pub(super) fn new(records: u64) -> Self {
        Self { next: records.into(), known: records.into(), early: Mutex::default() }
    }

    fn begin(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// An insert has ended. A failed one leaves a hole, as YCSB's does.
    pub(super) fn ended(&self, number: u64) {
        let mut early = self.early.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        early.insert(number);
        while early.remove(&self.known.load(Ordering::Relaxed)) {
            self.known.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.known.load(Ordering::Relaxed)
    }
}

/// Draws one client's operations.
pub(super) struct Draw {
    letter: Letter,
    scrambled: Scrambled,
    latest: Latest,
}

impl Draw {
    pub(super) fn new(letter: Letter, records: u64) -> Self {
        Self { letter, scrambled: Scrambled::new(records), latest: Latest::new(records) }
    }

    /// The next operation, and on which record.
    pub(super) fn next(&mut self, records: &Records, chance: &mut Chance) -> (Operation, u64) {
        let (other, percent) = self.letter.others();
        let operation = if chance.below(100) < percent { other } else { Operation::Read };
        let number = match (operation, self.letter) {
            (Operation::Insert, _) => records.begin(),
            (_, Letter::D) => self.latest.next(records.count(), chance),
            (_, Letter::A | Letter::B | Letter::C | Letter::F) => self.scrambled.next(chance),
        };
        (operation, number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_workload_has_its_mix() {
        for (letter, other, percent) in [
            (Letter::A, Operation::Update, 50),
            (Letter::B, Operation::Update, 5),
            (Letter::C, Operation::Update, 0),
            (Letter::D, Operation::Insert, 5),
            (Letter::F, Operation::ReadModifyWrite, 50),
        ] {
            let (mut draw, records) = (Draw::new(letter, 100), Records::new(100));
            let mut chance = Chance::new(3);
            let drawn: Vec<_> = (0..10_000).map(|_| draw.next(&records, &mut chance).0).collect();
            let others = drawn.iter().filter(|operation| **operation == other).count();
            assert!(others.abs_diff(percent * 100) < 200, "{letter:?}: {others}");
            let reads = drawn.iter().filter(|operation| **operation == Operation::Read).count();
            assert_eq!(reads + others, 10_000, "{letter:?} asks nothing else");
        }
    }

    #[test]
    fn a_record_is_read_once_it_and_all_before_it_are_there() {
        let records = Records::new(10);
        let numbers: Vec<_> = (0..3).map(|_| records.begin()).collect();
        assert_eq!(numbers, [10, 11, 12]);
        records.ended(12);
        records.ended(11);
        assert_eq!(records.count(), 10);
        records.ended(10);
        assert_eq!(records.count(), 13);
    }
}
