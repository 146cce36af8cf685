//! The sweep: finds versions whose time is over, and has each replica turn its own into tombstones.
//!
//! A reader does not see them by then: its coordinator hides what is past by its own clock. A replica lets them go only once
//! they are past by every clock within the bound that is set for clocks, so that none lets go of what another still shows. The
//! store keeps its keys by when they are due, so a look costs what is due, and what is not costs nothing.

use crate::config::ExpiryLimits;
use crate::planted::{self, Bug};
use crate::store::DueKey;
use crate::survey::Survey;
use crate::time::{Duration, Expiry, Time, Timestamp};

/// A look takes so many times its pause while clients are served and more is due.
const BUSY: u64 = 4;

/// The sweep of a node.
#[derive(Debug)]
pub(crate) struct Sweep {
    limits: ExpiryLimits,
    next: Time,
    /// The store is looking.
    looking: bool,
    /// Keys found that are not done with.
    in_work: usize,
    /// The last key found; none to begin anew.
    after: Option<DueKey>,
    resting: bool,
}

impl Sweep {
    pub(crate) fn new(limits: ExpiryLimits, now: Time) -> Self {
        let next = now.after(limits.pause);
        Self { limits, next, looking: false, in_work: 0, after: None, resting: false }
    }

    /// Nothing goes on any more: the node is about to end.
    pub(crate) fn rest(&mut self) {
        self.resting = true;
    }

    /// When the next look is due.
    pub(crate) fn wake(&self) -> Time {
        let waits = self.resting || self.looking || self.in_work > 0;
        if waits { Time(u64::MAX) } else { self.next }
    }

    /// What is let go up to by a clock that reads `wall`.
    pub(crate) fn upto(&self, wall: Timestamp) -> Expiry {
        let early = if planted::has(Bug::HastyExpiry) { 600_000 } else { 0 };
        Expiry(wall.0.saturating_sub(self.limits.grace.0) / 1_000 + early)
    }

    /// The next look, if it is due.
    pub(crate) fn advance(&mut self, now: Time, wall: Timestamp) -> Option<Survey> {
        if self.wake() > now {
            return None;
        }
        self.looking = true;
        let (after, limit) = (self.after.take(), self.limits.batch);
        Some(Survey::Due { upto: self.upto(wall), after, limit })
    }

    /// The store has looked, or could not. `busy`: does the node serve clients at present?
    pub(crate) fn found(&mut self, now: Time, found: &[DueKey], busy: bool) {
        self.looking = false;
        self.in_work = found.len();
        let more = found.len() >= self.limits.batch;
        self.after = found.last().filter(|_| more).cloned();
        let Duration(pause) = self.limits.pause;
        let pause = match (more, busy) {
            (false, _) => Duration(pause),
            (true, true) => Duration(BUSY * pause / 16),
            (true, false) => Duration(pause / 16),
        };
        self.next = now.after(pause);
    }

    /// A key that was found is done with.
    pub(crate) fn done(&mut self) {
        self.in_work = self.in_work.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{BucketName, Key};
    use crate::ring::Partition;
    use alloc::vec::Vec;
    use bytes::Bytes;

    fn due(n: u64) -> DueKey {
        let key = Key { bucket: BucketName::new("b").unwrap(), key: Bytes::from_static(b"k") };
        (Expiry(n), Partition(0), key)
    }

    #[test]
    fn a_full_batch_is_followed_by_what_comes_after_it_and_the_last_one_by_a_new_beginning() {
        let limits = ExpiryLimits {
            grace: Duration::from_millis(10),
            pause: Duration::from_millis(16),
            batch: 2,
        };
        let mut sweep = Sweep::new(limits, Time(0));
        let wall = Timestamp(1_000_000);
        assert_eq!(sweep.advance(Time(15_999), wall), None);
        let first = sweep.advance(Time(16_000), wall);
        assert_eq!(first, Some(Survey::Due { upto: Expiry(990), after: None, limit: 2 }));
        assert_eq!(sweep.advance(Time(99_000), wall), None, "one look at a time");
        let page: Vec<DueKey> = [1, 2].map(due).into();
        sweep.found(Time(20_000), &page, false);
        sweep.done();
        assert_eq!(sweep.advance(Time(99_000), wall), None, "a key is in work");
        sweep.done();
        let after = Some(due(2));
        assert_eq!(
            sweep.advance(Time(21_000), wall),
            Some(Survey::Due { upto: Expiry(990), after, limit: 2 })
        );
        sweep.found(Time(22_000), &[due(3)], true);
        sweep.done();
        assert_eq!(sweep.advance(Time(37_999), wall), None);
        let again = sweep.advance(Time(38_000), wall);
        assert_eq!(again, Some(Survey::Due { upto: Expiry(990), after: None, limit: 2 }));
    }
}
