//! The network: it delays, loses, doubles and reorders, and is cut one way or both.

use std::collections::BTreeSet;

use crate::rng::Rng;

/// How bad the network is at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Usual delay, in microseconds.
    pub delay: u64,
    /// Messages lost, of a thousand.
    pub loss: u32,
    /// Messages that come twice, of a thousand.
    pub doubled: u32,
    /// Messages that take up to half a second more, of a thousand.
    pub straggling: u32,
}

impl Weather {
    /// A network that loses nothing.
    pub const CALM: Self = Self { delay: 500, loss: 0, doubled: 0, straggling: 0 };
}

/// The network between the nodes, and between clients and nodes.
#[derive(Debug)]
pub struct Net {
    rng: Rng,
    weather: Weather,
    cuts: BTreeSet<(usize, usize)>,
}

impl Net {
    /// A network.
    #[must_use]
    pub fn new(rng: Rng, weather: Weather) -> Self {
        Self { rng, weather, cuts: BTreeSet::new() }
    }

    /// The weather changes.
    pub fn turn(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// Nothing gets from `from` to `to` any more.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.cuts.insert((from, to));
    }

    /// All cuts are mended.
    pub fn mend(&mut self) {
        self.cuts.clear();
    }

    /// Does what is on its way from `from` to `to` get there?
    #[must_use]
    pub fn reaches(&self, from: usize, to: usize) -> bool {
        !self.cuts.contains(&(from, to))
    }

    /// The delays after which a message from node to node arrives: none, one or two.
    pub fn between_nodes(&mut self, from: usize, to: usize) -> [Option<u64>; 2] {
        if !self.reaches(from, to) || self.rng.chance(self.weather.loss) {
            return [None, None];
        }
        let twice = self.rng.chance(self.weather.doubled);
        [Some(self.delay()), twice.then(|| self.delay())]
    }

    /// The delay after which a message between a client and a node arrives, if it does. A stream delivers once.
    pub fn with_client(&mut self) -> Option<u64> {
        let lost = self.rng.chance(self.weather.loss);
        (!lost).then(|| self.delay())
    }

    fn delay(&mut self) -> u64 {
        let usual = self.rng.spread(self.weather.delay);
        if self.rng.chance(self.weather.straggling) {
            usual + self.rng.below(500_000)
        } else {
            usual
        }
    }
}
