//! How evenly load is spread and how little moves: the layout beside Dynamo's first two strategies of placing keys, and beside the
//! fewest moves that there can be.
//!
//! DeCandia et al. 2007, section 6.2: strategy 1 gives each node T random tokens, which also cut the ring; strategy 2 gives each
//! node T random tokens on a ring of Q equal parts; a part belongs to the first N different nodes clockwise. Strategy 3, equal
//! parts and Q / S tokens a node, is the layout's. The paper counts a node as out of balance if its load is over 15 % off the
//! mean (section 6.2, figure 6), and calls the mean load over the highest one the efficiency (figure 8, 30 nodes, N = 3).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::{Duration, Instant};

use kinfold_protocol::id::NodeId;
use kinfold_protocol::layout::moves::Moves;
use kinfold_protocol::layout::{Layout, Member};
use kinfold_protocol::ring::Ring;

use crate::rng::Rng;

/// Copies of every key.
const COPIES: usize = 3;

/// How far off the mean a node's load may be.
const TOLERANCE: f64 = 0.15;

/// How evenly load lies on nodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evenness {
    /// Share of the nodes whose load is more than 15 % off the mean.
    pub out_of_balance: f64,
    /// Mean load over the highest one.
    pub efficiency: f64,
}

impl Evenness {
    /// Of these loads.
    #[must_use]
    pub fn of(loads: &[f64]) -> Self {
        let mean = loads.iter().sum::<f64>() / loads.len() as f64;
        let off = loads.iter().filter(|load| (**load - mean).abs() > TOLERANCE * mean).count();
        let highest = loads.iter().copied().fold(f64::MIN, f64::max);
        Self { out_of_balance: off as f64 / loads.len() as f64, efficiency: mean / highest }
    }

    fn mean(of: &[Self]) -> Self {
        let mean = |value: fn(&Self) -> f64| of.iter().map(value).sum::<f64>() / of.len() as f64;
        Self { out_of_balance: mean(|e| e.out_of_balance), efficiency: mean(|e| e.efficiency) }
    }
}

/// The share of the keys that each node holds a copy of, by strategy 1.
#[must_use]
pub fn random_tokens(rng: &mut Rng, nodes: usize, tokens: usize) -> Vec<f64> {
    let ring = tokens_of(rng, nodes, tokens);
    let mut loads = vec![0.0; nodes];
    for at in 0..ring.len() {
        // From the token before, around the end, up to this one.
        let from = ring[(at + ring.len() - 1) % ring.len()].0;
        let part = ring[at].0.wrapping_sub(from) as f64 / 2f64.powi(64);
        walk(&ring, at).into_iter().for_each(|node| loads[node] += part);
    }
    loads
}

/// The same by strategy 2, on a ring of so many equal parts.
#[must_use]
pub fn random_tokens_on_equal_parts(
    rng: &mut Rng,
    nodes: usize,
    tokens: usize,
    parts: u32,
) -> Vec<f64> {
    let ring = tokens_of(rng, nodes, tokens);
    let mut loads = vec![0.0; nodes];
    for part in 0..parts {
        let end = ((u128::from(part) + 1) << 64) / u128::from(parts) - 1;
        let at = ring.partition_point(|(token, _)| u128::from(*token) < end) % ring.len();
        walk(&ring, at).into_iter().for_each(|node| loads[node] += 1.0 / f64::from(parts));
    }
    loads
}

fn tokens_of(rng: &mut Rng, nodes: usize, tokens: usize) -> Vec<(u64, usize)> {
    let mut ring: Vec<(u64, usize)> =
        (0..nodes * tokens).map(|n| (rng.draw(), n % nodes)).collect();
    ring.sort_unstable();
    ring
}

/// The first different nodes clockwise from a token.
fn walk(ring: &[(u64, usize)], at: usize) -> Vec<usize> {
    let mut nodes = Vec::with_capacity(COPIES);
    for step in 0..ring.len() {
        let node = ring[(at + step) % ring.len()].1;
        if !nodes.contains(&node) {
            nodes.push(node);
        }
        if nodes.len() == COPIES {
            break;
        }
    }
    nodes
}

/// So many members of equal capacity over so many zones, from this number on.
#[must_use]
pub fn members(numbers: std::ops::Range<usize>, zones: usize) -> Vec<Member> {
    let member = |n: usize| Member {
        id: NodeId(n as u64),
        name: format!("n{n}"),
        address: format!("n{n}:7401"),
        zone: format!("z{}", n % zones),
        capacity: 1,
    };
    numbers.map(member).collect()
}

/// The layout of these members.
///
/// # Panics
/// They have no layout.
#[must_use]
pub fn layout(members: Vec<Member>, partitions: u32, before: Option<&Layout>) -> Layout {
    let ring = Ring::new(partitions).expect("a power of two");
    Layout::compute(members, ring, 3, before).expect("members of these names and capacities")
}

/// Loads of a layout, as shares of all keys.
#[must_use]
pub fn loads(layout: &Layout) -> Vec<f64> {
    let partitions = f64::from(layout.ring().partitions());
    layout.loads().iter().map(|(all, _)| f64::from(*all) / partitions).collect()
}

/// One change of a layout, measured.
#[derive(Clone, Debug)]
pub struct Step {
    /// Copies that moved.
    pub moved: u32,
    /// The fewest that must, whatever the assignment: what members own more than before.
    pub least: u32,
    /// The fewest and the most partitions of a member.
    pub loads: (u32, u32),
    /// The fewest and the most partitions that a member is the first owner of.
    pub first: (u32, u32),
    /// How long it took.
    pub took: Duration,
}

/// Goes from a layout to that of `members`, and measures it.
#[must_use]
pub fn step(before: &Layout, members: Vec<Member>) -> (Step, Layout) {
    let begun = Instant::now();
    let after = layout(members, before.ring().partitions(), Some(before));
    let took = begun.elapsed();
    let held: BTreeMap<NodeId, u32> =
        before.members().iter().map(|m| m.id).zip(before.loads().iter().map(|l| l.0)).collect();
    let more = |(member, (owned, _)): (&Member, (u32, u32))| {
        owned.saturating_sub(held.get(&member.id).copied().unwrap_or(0))
    };
    let least = after.members().iter().zip(after.loads()).map(more).sum();
    let moved = Moves::between(before, &after, 3, &BTreeMap::new(), None).copies;
    let range = |of: Vec<u32>| {
        (of.iter().copied().min().unwrap_or(0), of.iter().copied().max().unwrap_or(0))
    };
    let (all, first): (Vec<u32>, Vec<u32>) = after.loads().into_iter().unzip();
    (Step { moved, least, loads: range(all), first: range(first), took }, after)
}

/// The table of `sim balance`.
#[must_use]
pub fn table(seeds: u64) -> String {
    let mut out = String::new();
    strategies(&mut out, seeds);
    changes(&mut out);
    out
}

fn strategies(out: &mut String, seeds: u64) {
    let _ = writeln!(
        out,
        "30 nodes, N = 3, share of the keys\nstrategy                                   over 15 % off the mean  efficiency"
    );
    let mut row = |name: &str, place: &mut dyn FnMut(&mut Rng) -> Vec<f64>| {
        let evenness = |seed| Evenness::of(&place(&mut Rng::new(seed)));
        let all: Vec<Evenness> = (0..seeds).map(evenness).collect();
        let Evenness { out_of_balance, efficiency } = Evenness::mean(&all);
        let _ = writeln!(out, "{name:<42} {:>20.1} %  {efficiency:>10.3}", out_of_balance * 100.0);
    };
    for tokens in [8, 64, 128] {
        row(&format!("1: {tokens} random tokens a node"), &mut |rng| {
            random_tokens(rng, 30, tokens)
        });
    }
    for tokens in [8, 64, 128] {
        row(&format!("2: {tokens} random tokens a node, 4096 parts"), &mut |rng| {
            random_tokens_on_equal_parts(rng, 30, tokens, 4_096)
        });
    }
    for partitions in [256, 1_024, 4_096] {
        row(&format!("the layout, {partitions} partitions"), &mut |_| {
            loads(&layout(members(0..30, 3), partitions, None))
        });
    }
}

fn changes(out: &mut String) {
    let _ = writeln!(
        out,
        "\nnodes  partitions  zones  change     moved   least  partitions a node  first of      took (ms)  floor (ms)"
    );
    let mut row = |nodes: usize, partitions: u32, zones: usize, what: &str, step: &Step| {
        // What placing this ring by random tokens takes, in the same run.
        let begun = Instant::now();
        let loads = random_tokens_on_equal_parts(&mut Rng::new(1), nodes, 64, partitions);
        let floor = begun.elapsed();
        assert_eq!(loads.len(), nodes);
        let _ = writeln!(
            out,
            "{nodes:>5}  {partitions:>10}  {zones:>5}  {what:<8} {:>7} {:>7}  {:>8} to {:<6}  {:>4} to {:<5}  {:>9.1}  {:>10.1}",
            step.moved,
            step.least,
            step.loads.0,
            step.loads.1,
            step.first.0,
            step.first.1,
            step.took.as_secs_f64() * 1_000.0,
            floor.as_secs_f64() * 1_000.0,
        );
    };
    for (nodes, partitions) in [(3, 256), (30, 1_024), (100, 4_096), (1_000, 65_536)] {
        for zones in [1, 3, 7] {
            let begun = Instant::now();
            let fresh = layout(members(0..nodes, zones), partitions, None);
            let took = begun.elapsed();
            let (step_of_none, _) = step(&fresh, members(0..nodes, zones));
            let slots = partitions * u32::from(fresh.copies());
            row(
                nodes,
                partitions,
                zones,
                "fresh",
                &Step { moved: slots, least: slots, took, ..step_of_none },
            );
            let (joined, four) = step(&fresh, members(0..nodes + 1, zones));
            row(nodes, partitions, zones, "join", &joined);
            let (left, _) = step(&four, members(1..nodes + 1, zones));
            row(nodes, partitions, zones, "leave", &left);
        }
    }
    let (mut moved, mut least, mut now) = (0, 0, layout(members(0..3, 3), 4_096, None));
    let mut firsts = BTreeSet::new();
    let many = (4..=100).map(|n| 0..n).chain((1..=97).map(|n| n..100));
    for numbers in many {
        let (step, after) = step(&now, members(numbers, 3));
        (moved, least, now) = (moved + step.moved, least + step.least, after);
        firsts.insert(step.first.1 * 100 / (4_096 / now.members().len() as u32));
    }
    let _ = writeln!(
        out,
        "from 3 to 100 nodes and back, one at a time, 4096 partitions, 3 zones: {moved} moved, {least} at least; the first owner of most partitions at any time had {} % of the mean",
        firsts.last().copied().unwrap_or_default()
    );
}
