//! The two clocks that the core is told the time by. Nothing else in the shell may tell it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kinfold_protocol::time::{Now, Time, Timestamp};

/// The shell's clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    start: Instant,
}

impl Clocks {
    /// Clocks whose monotonic one starts now.
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Both clocks, read together.
    pub(crate) fn now(&self) -> Now {
        Now { time: Time(micros(self.start.elapsed())), wall: wall() }
    }

    /// The moment that the core means by `time`.
    pub(crate) fn moment(&self, time: Time) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.start + Duration::from_micros(time.0))
    }
}

/// What the wall clock says.
pub(crate) fn wall() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros).min(Timestamp::MAX.0))
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
