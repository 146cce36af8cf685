//! The clocks of one simulated node.
//!
//! The wall clock drifts and steps; the monotonic clock does neither, and begins anywhere at every start.

use kinfold_protocol::time::{Now, Time, Timestamp};

use crate::rng::Rng;

/// Where simulated time begins on a right wall clock: November 2023.
pub const ORIGIN: u64 = 1_700_000_000_000_000;

/// The clocks of one node.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Microseconds that the wall clock is wrong by, at `since`.
    wrong_by: i64,
    /// Microseconds that it gains in a second.
    drift: i64,
    since: u64,
    /// What the monotonic clock says at simulated time zero, in this life.
    mono_origin: u64,
}

impl Clock {
    /// Clocks that are wrong by so much and gain so many microseconds a second.
    #[must_use]
    pub fn new(wrong_by: i64, drift: i64) -> Self {
        Self { wrong_by, drift, since: 0, mono_origin: 0 }
    }

    /// The node starts: the monotonic clock begins anywhere.
    pub fn start(&mut self, rng: &mut Rng) {
        self.mono_origin = rng.below(1 << 40);
    }

    /// The wall clock steps.
    pub fn step(&mut self, now: u64, by: i64) {
        self.wrong_by = self.error(now).saturating_add(by);
        self.since = now;
    }

    /// The wall clock is set: from now on it is wrong by so much, and does not drift.
    pub fn set(&mut self, now: u64, wrong_by: i64) {
        *self = Self { wrong_by, drift: 0, since: now, ..self.clone() };
    }

    /// By how much the wall clock is wrong.
    #[must_use]
    pub fn error(&self, now: u64) -> i64 {
        let seconds = (now - self.since) / 1_000_000;
        self.wrong_by + self.drift * i64::try_from(seconds).unwrap_or(i64::MAX)
    }

    /// Both clocks.
    #[must_use]
    pub fn read(&self, now: u64) -> Now {
        Now {
            time: Time(self.mono_origin + now),
            wall: Timestamp((ORIGIN + now).saturating_add_signed(self.error(now))),
        }
    }

    /// The simulated time at which the monotonic clock reads `time`.
    #[must_use]
    pub fn when(&self, time: Time) -> u64 {
        time.0.saturating_sub(self.mono_origin)
    }
}

/// Between which readings the wall clocks of all nodes lie.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readings {
    /// While things go wrong, microseconds that a clock may be wrong by.
    pub wrong_by: u64,
    /// From this simulated time on, all clocks are ahead by `ahead`.
    pub calm_from: u64,
    /// In microseconds.
    pub ahead: i64,
}

impl Readings {
    /// No clock reads less.
    #[must_use]
    pub fn least(&self, at: u64) -> Timestamp {
        match at < self.calm_from {
            true => Timestamp(ORIGIN + at - self.wrong_by),
            false => Timestamp((ORIGIN + at).saturating_add_signed(self.ahead)),
        }
    }

    /// No clock reads more.
    #[must_use]
    pub fn most(&self, at: u64) -> Timestamp {
        match at < self.calm_from {
            true => Timestamp(ORIGIN + at + self.wrong_by),
            false => Timestamp((ORIGIN + at).saturating_add_signed(self.ahead)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_steps_and_the_monotonic_one_does_not() {
        let mut clock = Clock::new(0, 100);
        clock.start(&mut Rng::new(3));
        let before = clock.read(5_000_000);
        clock.step(5_000_000, -2_000_000);
        let after = clock.read(6_000_000);
        assert_eq!(before.wall.0, ORIGIN + 5_000_500);
        assert_eq!(after.wall.0, ORIGIN + 4_000_600);
        assert_eq!(after.time.since(before.time).0, 1_000_000);
        assert_eq!(clock.when(after.time), 6_000_000);
    }
}
