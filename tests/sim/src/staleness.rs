//! How soon after its acknowledgement a write is read: t-visibility, of Bailis et al. (see [`crate::latency`]), measured on
//! the real core beside what their model expects, and their model beside what they published.
//!
//! The published model has a coordinator that owns nothing, sends reads to all N replicas and waits for the first R. Here an
//! owner coordinates, so one of the copies is at hand, and a get asks R owners at first. [`Shape`] names both; the simulator
//! is compared with the second.

use std::fmt::Write as _;

use bytes::Bytes;
use kinfold_protocol::config::{BucketConfig, Consistency, Limits};
use kinfold_protocol::time::Duration;

use crate::latency::{Legs, Production};
use crate::rng::Rng;
use crate::shell::AUDIT;
use crate::stage::Stage;

/// Copies of a key.
const N: usize = 3;

/// A quorum of the paper's table 4, and the time there after which 99.9 of 100 reads see a write, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Published {
    /// The latencies.
    pub production: Production,
    /// Replicas that a read waits for.
    pub r: usize,
    /// Replicas that a write waits for.
    pub w: usize,
    /// t-visibility at 99.9 %, in milliseconds.
    pub visible: f64,
}

/// The rows of table 4 whose quorums may miss each other.
pub const TABLE: [Published; 9] = [
    Published { production: Production::LnkdSsd, r: 1, w: 1, visible: 1.85 },
    Published { production: Production::LnkdSsd, r: 1, w: 2, visible: 1.79 },
    Published { production: Production::LnkdSsd, r: 2, w: 1, visible: 0.0 },
    Published { production: Production::LnkdDisk, r: 1, w: 1, visible: 45.5 },
    Published { production: Production::LnkdDisk, r: 1, w: 2, visible: 43.3 },
    Published { production: Production::LnkdDisk, r: 2, w: 1, visible: 13.6 },
    Published { production: Production::Ymmr, r: 1, w: 1, visible: 1_364.0 },
    Published { production: Production::Ymmr, r: 1, w: 2, visible: 1_352.0 },
    Published { production: Production::Ymmr, r: 2, w: 1, visible: 202.0 },
];

/// Who coordinates, and whom a get asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A coordinator without a copy; a get asks all and takes the first R answers.
    Paper,
    /// An owner, with its own copy at hand; a get asks R owners.
    Owner,
}

/// The model: for so many writes, each followed by a read, the time after the acknowledgement from which on the read would
/// have seen the write, in microseconds, in ascending order.
#[must_use]
pub fn model(row: Published, shape: Shape, trials: usize, rng: &mut Rng) -> Vec<f64> {
    let mut times: Vec<f64> = (0..trials).map(|_| trial(row, shape, rng)).collect();
    times.sort_by(f64::total_cmp);
    times
}

fn trial(Published { production, r, w, .. }: Published, shape: Shape, rng: &mut Rng) -> f64 {
    let mut arrival: [f64; N] = std::array::from_fn(|_| production.write(rng));
    let mut acknowledged: [f64; N] = std::array::from_fn(|at| arrival[at] + production.rest(rng));
    let mut read: [f64; N] = std::array::from_fn(|_| production.rest(rng));
    let mut answered: [f64; N] = std::array::from_fn(|at| read[at] + production.rest(rng));
    if shape == Shape::Owner {
        let (writer, reader) = (rng.index(N), rng.index(N));
        (arrival[writer], acknowledged[writer]) = (0.0, 0.0);
        (read[reader], answered[reader]) = (0.0, 0.0);
        // The first R - 1 of the others, whoever is faster.
        for (place, at) in (0..N).filter(|at| *at != reader).enumerate() {
            answered[at] = 1.0 + place as f64;
        }
    }
    acknowledged.sort_by(f64::total_cmp);
    let committed = acknowledged[w - 1];
    let mut replicas: [usize; N] = std::array::from_fn(|at| at);
    replicas.sort_by(|a, b| answered[*a].total_cmp(&answered[*b]));
    let sees = replicas[..r].iter().map(|at| arrival[*at] - committed - read[*at]);
    sees.fold(f64::INFINITY, f64::min).max(0.0)
}

/// The value below which so much of an ascending list lies.
#[must_use]
pub fn quantile(ascending: &[f64], share: f64) -> f64 {
    let at = (ascending.len() as f64 * share) as usize;
    ascending[at.min(ascending.len() - 1)]
}

/// One point of a curve.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// After the acknowledgement, in microseconds.
    pub after: u64,
    /// The share of reads that the model expects to see the write.
    pub expected: f64,
    /// The share of the simulated reads that saw it.
    pub seen: f64,
}

/// Has a simulated cluster of three write and read so often for each point; each write has a key of its own.
///
/// # Panics
/// If the cluster does not answer.
#[must_use]
pub fn simulate(row: Published, points: &[f64], trials: u32, seed: u64) -> Vec<Point> {
    let mut rng = Rng::new(seed);
    let expected = model(row, Shape::Owner, 200_000, &mut rng);
    let mut stage = stage(row, seed);
    stage.world.legs = Some(Legs::new(row.production, rng.fork()));
    let mut number = 0_u64;
    let curve = points.iter().map(|share| {
        let after = (quantile(&expected, *share) as u64).max(AUDIT);
        let mut seen = 0;
        for _ in 0..trials {
            number += 1;
            stage.turn_to(Bytes::copy_from_slice(&number.to_be_bytes()));
            let (writer, reader) = (rng.index(N), rng.index(N));
            stage.put(writer, "value", None, u8::try_from(row.w).ok()).expect("nothing is wrong");
            stage.world.run(stage.world.now - AUDIT + after);
            let (values, _) = stage
                .read(reader, Consistency::Sloppy, u8::try_from(row.r).ok())
                .expect("nothing is wrong");
            seen += u32::from(!values.is_empty());
        }
        let below = expected.partition_point(|time| *time <= after as f64);
        Point {
            after,
            expected: below as f64 / expected.len() as f64,
            seen: f64::from(seen) / f64::from(trials),
        }
    });
    curve.collect()
}

/// Three nodes that own everything, without what the model doesn't have: repairs, fallbacks and second questions.
fn stage(row: Published, seed: u64) -> Stage {
    let never = Duration::from_millis(100_000_000);
    let limits = Limits {
        hedge: never,
        stand_in: never,
        hello: never,
        exchange: never,
        default_deadline: never,
        max_deadline: never,
        ..Limits::default()
    };
    let (r, w) = (u8::try_from(row.r).unwrap_or(1), u8::try_from(row.w).unwrap_or(1));
    let config = BucketConfig { r, w, ..BucketConfig::default() };
    let mut stage = Stage::within(N, config, &limits, None, seed);
    stage.world.machines.iter_mut().for_each(|machine| machine.disk_delay = 8);
    stage
}

/// The whole comparison as a table.
#[must_use]
pub fn table(trials: u32, seed: u64) -> String {
    let mut text = String::from(
        "99.9 % of reads see a write after (ms)      | simulated: seen of expected, in %\n\
                       R W   published  the model  here  |\n",
    );
    let mut rng = Rng::new(seed);
    for row in TABLE {
        let at = |shape, rng: &mut Rng| quantile(&model(row, shape, 1_000_000, rng), 0.999) / 1e3;
        let (paper, here) = (at(Shape::Paper, &mut rng), at(Shape::Owner, &mut rng));
        let Published { production, r, w, visible } = row;
        let name = production.name();
        let _ = write!(text, "{name:<10} {r} {w} {visible:>11.2} {paper:>10.2} {here:>9.2} |");
        for point in simulate(row, &[0.0, 0.9, 0.99, 0.999], trials, seed) {
            let Point { after, expected, seen } = point;
            let _ = write!(
                text,
                "  {:.2} of {:.2} at {:.1} ms",
                seen * 100.0,
                expected * 100.0,
                after as f64 / 1e3
            );
        }
        text.push('\n');
    }
    text
}
