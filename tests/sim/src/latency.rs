//! Published latencies of Dynamo-style stores, leg by leg, to be fed into the simulated network.
//!
//! Bailis, Venkataraman, Franklin, Hellerstein and Stoica, "Probabilistically Bounded Staleness for Practical Partial
//! Quorums" (VLDB 2012), table 3: mixtures of a Pareto body and an exponential tail, in milliseconds, fitted to one-way
//! latencies at LinkedIn (LNKD) and Yammer (YMMR). W is the way of a write to a replica with its disk, A that of the
//! acknowledgement, R that of a read, S that of its answer.

use std::collections::BTreeSet;

use clap::ValueEnum;
use kinfold_protocol::message::peer::Message;

use crate::rng::Rng;

/// One production system of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Production {
    /// LinkedIn's store on solid-state disks.
    LnkdSsd,
    /// The same on spinning disks.
    LnkdDisk,
    /// Yammer's store.
    Ymmr,
}

/// A Pareto body in so many of all cases, and an exponential tail in the others.
#[derive(Clone, Copy, Debug)]
struct Mixture {
    body: f64,
    least: f64,
    shape: f64,
    rate: f64,
}

const SSD: Mixture = Mixture { body: 0.9122, least: 0.235, shape: 10.0, rate: 1.66 };
const DISK: Mixture = Mixture { body: 0.38, least: 1.05, shape: 1.51, rate: 0.183 };
const YMMR_WRITE: Mixture = Mixture { body: 0.939, least: 3.0, shape: 3.35, rate: 0.0028 };
const YMMR_REST: Mixture = Mixture { body: 0.982, least: 1.5, shape: 3.8, rate: 0.0217 };

impl Mixture {
    /// A latency, in microseconds.
    fn draw(&self, rng: &mut Rng) -> f64 {
        let tail = unit(rng) >= self.body;
        let unit = unit(rng);
        let milliseconds =
            if tail { -unit.ln() / self.rate } else { self.least / unit.powf(1.0 / self.shape) };
        milliseconds * 1_000.0
    }
}

/// A number above zero, and at most one.
fn unit(rng: &mut Rng) -> f64 {
    ((rng.draw() >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

impl Production {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::LnkdSsd, Self::LnkdDisk, Self::Ymmr];

    /// Its name in the paper.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LnkdSsd => "LNKD-SSD",
            Self::LnkdDisk => "LNKD-DISK",
            Self::Ymmr => "YMMR",
        }
    }

    /// A way of a write to a replica, in microseconds.
    pub fn write(self, rng: &mut Rng) -> f64 {
        match self {
            Self::LnkdSsd => SSD.draw(rng),
            Self::LnkdDisk => DISK.draw(rng),
            Self::Ymmr => YMMR_WRITE.draw(rng),
        }
    }

    /// A way of an acknowledgement, a read or its answer, in microseconds.
    pub fn rest(self, rng: &mut Rng) -> f64 {
        match self {
            Self::LnkdSsd | Self::LnkdDisk => SSD.draw(rng),
            Self::Ymmr => YMMR_REST.draw(rng),
        }
    }
}

/// Delays of a run, by the kind of message. What is sent a second time is not: in the model nothing is, and neither is a
/// repair.
#[derive(Debug)]
pub struct Legs {
    production: Production,
    rng: Rng,
    sent: BTreeSet<(usize, usize, u64)>,
}

impl Legs {
    /// Delays after a production system.
    #[must_use]
    pub fn new(production: Production, rng: Rng) -> Self {
        Self { production, rng, sent: BTreeSet::new() }
    }

    /// The delay of a message from node to node in microseconds, if it is sent.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the model knows four kinds of messages, whatever others there come to be"
    )]
    pub fn delay(&mut self, from: usize, to: usize, message: &Message) -> Option<u64> {
        let (ask, writes) = match message {
            Message::Replicate { ask, .. } | Message::Hint { ask, .. } => (Some(*ask), true),
            Message::Read { ask, .. } => (Some(*ask), false),
            // Answers, and what has no part in reads and writes.
            _ => (None, false),
        };
        let repair = writes && ask == Some(0);
        if repair || ask.is_some_and(|ask| !self.sent.insert((from, to, ask))) {
            return None;
        }
        let rng = &mut self.rng;
        let micros = if writes { self.production.write(rng) } else { self.production.rest(rng) };
        Some(micros as u64)
    }
}
