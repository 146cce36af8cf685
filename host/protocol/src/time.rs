//! Time as the core sees it: always an argument, never read.
//!
//! Two clocks come in with every call. [`Time`] is monotonic and only measures waiting: deadlines and
//! timers. The wall clock feeds [`Clock`], a hybrid logical clock (Kulkarni et al. 2014), whose [`Timestamp`]s order
//! writes: each is later than every write its writer had seen, even when the wall clock steps back.

use serde::{Deserialize, Serialize};

use crate::planted::{self, Bug};

/// A point on the shell's monotonic clock, in microseconds since an origin that only the shell knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// This point, `duration` later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.0))
    }

    /// How long from `earlier` until this point; zero if `earlier` is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }
}

/// A span of time, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub u64);

impl Duration {
    /// A span of `n` milliseconds.
    #[must_use]
    pub const fn from_millis(n: u64) -> Self {
        Self(n.saturating_mul(1_000))
    }

    /// This span in whole milliseconds, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }
}

/// A reading of the hybrid logical clock: microseconds since 1970, below 2^53 so that every plugin language can hold it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The greatest timestamp that is valid anywhere (about the year 2255).
    pub const MAX: Self = Self((1 << 53) - 1);
}

/// When a version expires: milliseconds since 1970, by the wall clock of whoever coordinated its write.
///
/// Absolute, so that all replicas agree on it however late they hear of the version.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Expiry(pub u64);

impl Expiry {
    /// `ttl_ms` milliseconds after `wall`.
    #[must_use]
    pub fn after(wall: Timestamp, ttl_ms: u64) -> Self {
        Self((wall.0 / 1_000).saturating_add(ttl_ms))
    }

    /// Is it past by a wall clock that reads `wall`?
    #[must_use]
    pub fn is_past(self, wall: Timestamp) -> bool {
        self.0 <= wall.0 / 1_000
    }

    /// When what was made of several versions expires: with the last of them, and never if one of them never does.
    #[must_use]
    pub fn of_all(all: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        all.into_iter().try_fold(Self::default(), |latest, one| Some(latest.max(one?)))
    }
}

/// Both clocks of the shell, read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock.
    pub time: Time,
    /// The wall clock, microseconds since 1970; it may step.
    pub wall: Timestamp,
}

impl Now {
    /// What the wall clock reads at `time`, if it has not been set meanwhile.
    #[must_use]
    pub fn wall_at(self, time: Time) -> Timestamp {
        Timestamp(self.wall.0.saturating_add(time.since(self.time).0))
    }
}

/// How far a foreign timestamp may be ahead of this node's wall clock before it is refused.
pub const MAX_CLOCK_AHEAD: Duration = Duration::from_millis(5 * 60 * 1_000);

/// How far ahead of its readings the clock's high-water mark is leased on disk.
pub const LEASE: Duration = Duration::from_millis(10_000);

/// A timestamp that is further ahead of this node's wall clock than [`MAX_CLOCK_AHEAD`]. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("timestamp {timestamp} is more than five minutes ahead of this node's clock ({wall}): check the clocks", timestamp = .timestamp.0, wall = .wall.0)]
pub struct ClockAhead {
    /// What was refused.
    pub timestamp: Timestamp,
    /// What this node's wall clock said.
    pub wall: Timestamp,
}

/// The hybrid logical clock of one node.
///
/// Readings never pass the lease, which is durable before it is used: so after a crash the clock starts at the lease and
/// is later than everything it gave out before.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    last: Timestamp,
    lease: Timestamp,
}

impl Clock {
    /// A clock that starts after `last` and may give out readings up to `lease`.
    #[must_use]
    pub fn new(last: Timestamp, lease: Timestamp) -> Self {
        Self { last, lease }
    }

    /// The next reading: later than every one before, and the wall clock where that is later still. `None` where the lease
    /// is used up: the caller refuses the write until [`Clock::extend`].
    pub fn tick(&mut self, wall: Timestamp) -> Option<Timestamp> {
        let next = Timestamp((self.last.0 + 1).max(wall.0.min(self.lease.0)));
        if next > self.lease || next > Timestamp::MAX {
            return None;
        }
        self.last = next;
        Some(next)
    }

    /// Is this no further in the future than [`MAX_CLOCK_AHEAD`]?
    #[must_use]
    pub fn believes(&self, seen: Timestamp, wall: Timestamp) -> bool {
        seen.0 <= wall.0.max(self.last.0).saturating_add(MAX_CLOCK_AHEAD.0)
    }

    /// Takes note of a write made elsewhere, so that the next reading is later.
    ///
    /// # Errors
    /// [`ClockAhead`] if `seen` is too far in the future to be believed; the clock is unchanged.
    pub fn observe(&mut self, seen: Timestamp, wall: Timestamp) -> Result<(), ClockAhead> {
        if !self.believes(seen, wall) {
            return Err(ClockAhead { timestamp: seen, wall });
        }
        if !planted::has(Bug::DeafClock) {
            self.last = self.last.max(seen);
        }
        Ok(())
    }

    /// The lease to make durable now, if the present one is less than half full.
    #[must_use]
    pub fn wanted_lease(&self, wall: Timestamp) -> Option<Timestamp> {
        let present = self.last.0.max(wall.0);
        (self.lease.0 < present.saturating_add(LEASE.0 / 2))
            .then(|| Timestamp(present.saturating_add(LEASE.0).min(Timestamp::MAX.0)))
    }

    /// The lease is durable up to `lease`.
    pub fn extend(&mut self, lease: Timestamp) {
        self.lease = self.lease.max(lease);
    }

    /// How far readings may go.
    #[must_use]
    pub fn lease(&self) -> Timestamp {
        self.lease
    }

    /// The last reading given out or seen.
    #[must_use]
    pub fn last(&self) -> Timestamp {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> Clock {
        Clock::new(Timestamp(100), Timestamp(10_000_000_000))
    }

    #[test]
    fn readings_rise_when_the_wall_clock_steps_back() {
        let mut clock = clock();
        let first = clock.tick(Timestamp(5_000)).unwrap();
        let second = clock.tick(Timestamp(10)).unwrap();
        assert_eq!(first, Timestamp(5_000));
        assert_eq!(second, Timestamp(5_001));
    }

    #[test]
    fn a_seen_write_is_earlier_than_the_next_own_one() {
        let mut clock = clock();
        clock.observe(Timestamp(9_000), Timestamp(5_000)).unwrap();
        assert_eq!(clock.tick(Timestamp(5_000)), Some(Timestamp(9_001)));
    }

    #[test]
    fn a_clock_far_ahead_is_refused_and_changes_nothing() {
        let mut clock = clock();
        let far = Timestamp(5_000 + MAX_CLOCK_AHEAD.0 + 1);
        assert!(clock.observe(far, Timestamp(5_000)).is_err());
        assert_eq!(clock.last(), Timestamp(100));
    }

    #[test]
    fn what_is_made_of_several_expires_with_the_last_of_them() {
        let at = |ms| Some(Expiry(ms));
        assert_eq!(Expiry::of_all([at(5), at(9), at(7)]), at(9));
        assert_eq!(Expiry::of_all([at(5), None]), None);
        assert!(Expiry(5).is_past(Timestamp(5_000)) && !Expiry(5).is_past(Timestamp(4_999)));
    }

    #[test]
    fn readings_stop_at_the_lease() {
        let mut clock = Clock::new(Timestamp(100), Timestamp(102));
        assert_eq!(clock.tick(Timestamp(5_000)), Some(Timestamp(102)));
        assert_eq!(clock.tick(Timestamp(5_000)), None);
        let lease = clock.wanted_lease(Timestamp(5_000)).unwrap();
        clock.extend(lease);
        assert_eq!(clock.tick(Timestamp(5_000)), Some(Timestamp(5_000)));
    }
}
