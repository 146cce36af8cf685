//! What goes wrong in a run, and when: all of it from the seed.

use std::fmt;

use sim::net::Weather;
use sim::rng::Rng;

use crate::proxy::CALM;

/// Nodes.
pub const NODES: usize = 5;

/// The number of the node that comes and goes: the one after the others.
pub const GUEST: usize = NODES;

/// The node that has a small disk of its own.
pub const SMALL: usize = 4;

/// What goes wrong. Nodes are numbered from zero here; their names are `n1` to `n5`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A node is killed, and started again at the end.
    Kill(usize),
    /// All nodes are killed at one time.
    KillAll,
    /// A node is told to stop, and started again.
    Restart(usize),
    /// A node stands still.
    Freeze(usize),
    /// A node's wall clock is off by so many milliseconds, and then right again.
    Clock(usize, i64),
    /// The disk of a node is full, but for so many MiB.
    FullDisk(usize, u64),
    /// A node may open no more files.
    Descriptors(usize),
    /// Each sync of a node takes so many microseconds longer.
    SlowDisk(usize, i64),
    /// Each sync of a node fails; then it is killed and started again.
    FailingDisk(usize),
    /// A node loses all that it keeps.
    Wipe(usize),
    /// A node comes back with what it kept at the beginning of this.
    Restore(usize),
    /// All nodes get certificates of another authority, one after the other.
    Rotate,
    /// A sixth node joins, as far as it comes in the time; the calm sees to the rest.
    Join,
    /// It leaves again.
    Leave,
    /// Nothing gets from these nodes to those any more.
    OneWayCut(Vec<(usize, usize)>),
    /// The cluster falls in two.
    Split(Vec<(usize, usize)>),
    /// Datagrams are lost.
    Loss(Weather),
    /// Datagrams are late.
    Delay(Weather),
    /// Datagrams overtake each other.
    Reordering(Weather),
    /// Datagrams come twice.
    Duplication(Weather),
}

/// The kinds of faults, by name; the last one is a phase of its own.
pub const KINDS: [&str; 21] = [
    "kill",
    "kill all",
    "restart",
    "freeze",
    "clock step",
    "full disk",
    "descriptors",
    "slow disk",
    "failing disk",
    "wiped directory",
    "old directory",
    "rotation",
    "one-way cut",
    "split",
    "loss",
    "delay",
    "reordering",
    "duplication",
    "join",
    "leave",
    "long absence",
];

impl Fault {
    /// The name of its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        KINDS[match self {
            Self::Kill(_) => 0,
            Self::KillAll => 1,
            Self::Restart(_) => 2,
            Self::Freeze(_) => 3,
            Self::Clock(..) => 4,
            Self::FullDisk(..) => 5,
            Self::Descriptors(_) => 6,
            Self::SlowDisk(..) => 7,
            Self::FailingDisk(_) => 8,
            Self::Wipe(_) => 9,
            Self::Restore(_) => 10,
            Self::Rotate => 11,
            Self::OneWayCut(_) => 12,
            Self::Split(_) => 13,
            Self::Loss(_) => 14,
            Self::Delay(_) => 15,
            Self::Reordering(_) => 16,
            Self::Duplication(_) => 17,
            Self::Join => 18,
            Self::Leave => 19,
        }]
    }

    /// Does an owner lose what it has acknowledged?
    #[must_use]
    pub fn loses_disk(&self) -> bool {
        matches!(self, Self::Wipe(_) | Self::Restore(_))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            Self::Kill(node)
            | Self::Restart(node)
            | Self::Freeze(node)
            | Self::Descriptors(node)
            | Self::FailingDisk(node)
            | Self::Wipe(node)
            | Self::Restore(node) => write!(f, " n{}", node + 1),
            Self::Clock(node, ms) => write!(f, " n{} {:+.1} s", node + 1, *ms as f64 / 1e3),
            Self::FullDisk(node, left) => write!(f, " n{} {left} MiB left", node + 1),
            Self::SlowDisk(node, us) => write!(f, " n{} {} ms a sync", node + 1, us / 1_000),
            Self::OneWayCut(cuts) | Self::Split(cuts) => {
                cuts.iter().try_for_each(|(from, to)| write!(f, " n{}>n{}", from + 1, to + 1))
            }
            Self::KillAll | Self::Rotate | Self::Join | Self::Leave => Ok(()),
            Self::Loss(w) | Self::Delay(w) | Self::Reordering(w) | Self::Duplication(w) => {
                let Weather { delay, loss, doubled, straggling } = w;
                write!(
                    f,
                    " {delay} us, of a thousand {loss} lost, {doubled} doubled, {straggling} late"
                )
            }
        }
    }
}

/// A fault, with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strike {
    /// Milliseconds after the round began.
    pub at: u64,
    /// Milliseconds until it is mended.
    pub lasts: u64,
    /// What it is.
    pub fault: Fault,
}

/// How long and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Milliseconds without a fault in the beginning, in which latencies are measured.
    pub healthy: u64,
    /// Milliseconds with one node away, in which they are measured again.
    pub absence: u64,
    /// Rounds of faults, each followed by calm.
    pub rounds: usize,
    /// How often each of most kinds comes, in all rounds together.
    pub repeats: usize,
    /// Milliseconds of faults in each.
    pub round: u64,
    /// Clients.
    pub clients: usize,
    /// Replicas that are unequal in a calm are made equal by reads, and not by anti-entropy alone.
    pub hasty: bool,
    /// Rounds go on, with the plans of the seeds that follow, until so many operations are acknowledged.
    pub operations: usize,
}

impl Size {
    /// As little as has every kind of fault.
    pub const SHORT: Self = Self {
        healthy: 5_000,
        absence: 8_000,
        rounds: 2,
        repeats: 1,
        round: 16_000,
        clients: 12,
        hasty: true,
        operations: 0,
    };

    /// No faults but cuts, beside fewer clients: the steps of a change are to be seen.
    pub const CUTS: Self = Self { clients: 6, ..Self::SHORT };

    /// So many minutes of faults, an even number: who joins in one leaves in the next.
    #[must_use]
    pub fn minutes(minutes: u64) -> Self {
        let rounds = usize::try_from(minutes.max(2).next_multiple_of(2)).unwrap_or(usize::MAX - 1);
        Self {
            healthy: 30_000,
            absence: 30_000,
            rounds,
            repeats: rounds,
            round: 60_000,
            clients: 24,
            hasty: false,
            operations: 0,
        }
    }

    /// As many rounds, four at a time, as it takes until so many operations are acknowledged.
    #[must_use]
    pub fn operations(operations: usize) -> Self {
        Self { operations, ..Self::minutes(4) }
    }
}

/// All that a seed decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The node that is away while latencies are measured.
    pub absent: usize,
    /// The faults of each round, in the order of their times.
    pub rounds: Vec<Vec<Strike>>,
}

impl Plan {
    /// The plan of a seed. Each round has a node that joins or leaves from its beginning on, one fault that loses a disk, and its share of
    /// all the others.
    #[must_use]
    pub fn new(seed: u64, size: Size) -> Self {
        let mut rng = Rng::new(seed);
        let absent = rng.index(NODES);
        let mut faults: Vec<Fault> = (0..size.repeats)
            .flat_map(|_| 0..OFTEN)
            .map(|kind| fault(&mut rng, kind))
            .chain((0..size.rounds.div_ceil(2)).map(|_| Fault::Rotate))
            .collect();
        let first = rng.below(2);
        let rounds = (0..size.rounds).map(|round| {
            let mut share = vec![lost_disk(&mut rng, (round as u64 + first).is_multiple_of(2))];
            for _ in 0..faults.len() / (size.rounds - round) {
                share.push(faults.swap_remove(rng.index(faults.len())));
            }
            let moves = if round.is_multiple_of(2) { Fault::Join } else { Fault::Leave };
            round_of(&mut rng, size, moves, share)
        });
        Self { absent, rounds: rounds.collect() }
    }

    /// The rounds of a seed, and after them those of the seeds that follow it.
    pub fn rounds_without_end(seed: u64, size: Size) -> impl Iterator<Item = Vec<Strike>> {
        (0..).flat_map(move |more| Self::new(seed.wrapping_add(more), size).rounds)
    }
}

fn lost_disk(rng: &mut Rng, wiped: bool) -> Fault {
    // Not at the small disk: while that is full, what heals it finds no room.
    let node = rng.index(SMALL);
    if wiped { Fault::Wipe(node) } else { Fault::Restore(node) }
}

/// Spreads faults over the time of a round, in all of which the ring changes.
fn round_of(rng: &mut Rng, size: Size, moves: Fault, mut faults: Vec<Fault>) -> Vec<Strike> {
    let gap = size.round / faults.len() as u64;
    let mut strikes = vec![Strike { at: rng.below(gap), lasts: size.round - gap, fault: moves }];
    while !faults.is_empty() {
        let fault = faults.swap_remove(rng.index(faults.len()));
        let lasts = if matches!(fault, Fault::Restore(_)) {
            rng.within(size.round / 4..=size.round / 2)
        } else {
            rng.spread(size.round / 14).min(size.round / 3)
        };
        let at = (strikes.len() as u64 - 1) * gap + rng.below(gap);
        strikes.push(Strike { at, lasts, fault });
    }
    strikes
}

/// Kinds of which every plan has some, apart from rotations and lost disks.
const OFTEN: u64 = 15;

fn fault(rng: &mut Rng, kind: u64) -> Fault {
    let node = rng.index(NODES);
    match kind {
        0 => Fault::Kill(rng.index(GUEST + 1)),
        1 => Fault::KillAll,
        2 => Fault::Restart(node),
        3 => Fault::Freeze(node),
        4 => {
            let most = *rng.pick(&[2_000, 10_000, 30_000]);
            Fault::Clock(node, rng.below(2 * most) as i64 - most as i64)
        }
        5 => Fault::FullDisk(SMALL, *rng.pick(&[0, 4, 12])),
        6 => Fault::Descriptors(node),
        7 => Fault::SlowDisk(node, rng.within(10_000..=300_000) as i64),
        8 => Fault::FailingDisk(node),
        9 => Fault::OneWayCut(one_way(rng)),
        10 => Fault::Split(split(rng)),
        11 => Fault::Loss(Weather { loss: rng.within(20..=200) as u32, ..CALM }),
        12 => Fault::Delay(Weather { delay: rng.within(2_000..=60_000), ..CALM }),
        13 => {
            let straggling = rng.within(20..=200) as u32;
            Fault::Reordering(Weather { delay: 1_000, straggling, ..CALM })
        }
        _ => Fault::Duplication(Weather { doubled: rng.within(50..=500) as u32, ..CALM }),
    }
}

/// One node no longer reaches some others, which still reach it.
fn one_way(rng: &mut Rng) -> Vec<(usize, usize)> {
    let from = rng.index(GUEST + 1);
    let others: Vec<usize> = (0..=GUEST).filter(|to| *to != from).collect();
    let first = *rng.pick(&others);
    let more = others.iter().filter(|to| **to != first && rng.chance(500));
    std::iter::once(&first).chain(more).map(|to| (from, *to)).collect()
}

/// One or two nodes on one side, the rest on the other.
fn split(rng: &mut Rng) -> Vec<(usize, usize)> {
    let (a, b) = (rng.index(GUEST + 1), rng.index(GUEST + 1));
    let here = |node: usize| node == a || node == b;
    let pairs = (0..=GUEST).flat_map(|from| (0..=GUEST).map(move |to| (from, to)));
    pairs.filter(|(from, to)| here(*from) != here(*to)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_same_seed_plans_the_same_and_another_one_otherwise() {
        let plan = |seed| Plan::new(seed, Size::SHORT);
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
    }

    #[test]
    fn every_plan_has_every_kind() {
        for seed in 0..100 {
            for size in [Size::SHORT, Size::minutes(4)] {
                let plan = Plan::new(seed, size);
                let mut kinds: BTreeSet<_> =
                    plan.rounds.iter().flatten().map(|strike| strike.fault.kind()).collect();
                // It is a phase of its own.
                kinds.insert("long absence");
                let missing: Vec<_> = KINDS.iter().filter(|kind| !kinds.contains(*kind)).collect();
                assert!(missing.is_empty(), "seed {seed}: {missing:?}");
                let losses = |round: &Vec<Strike>| {
                    round.iter().filter(|strike| strike.fault.loses_disk()).count()
                };
                assert!(plan.rounds.iter().all(|round| losses(round) == 1), "seed {seed}");
            }
        }
    }
}
