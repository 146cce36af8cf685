//! How fast background work may go: it watches what the foreground's slowest answers take, and yields.
//!
//! Exchanges, hand-overs and transfers cost clients disk and network. How much may not be set once for all machines, so it is found
//! out: while the slowest hundredth of the answers takes at most so many times what it takes in quiet, the rate rises by a
//! quarter; where it takes more, the rate is halved (DeCandia et al. 2007, §6.5, keep background work within bounds by the same
//! measure). Both are multiples, unlike TCP's: what a disk can spare is anywhere within a factor of hundreds, and a step that is
//! right at one end of that would be the whole rate, or nothing, at the other. It comes to rest where a window in four is too slow,
//! which leaves room for windows that are slow by chance. Where nobody is there to be held up the rate is doubled.
//!
//! Quiet is what was measured while no background work went on. Time is cut into windows; a window counts as quiet if nothing was
//! spent in it or in the one before. There is no clock here: times that passed go in.
//!
//! To use it: tell each foreground answer with [`Pacer::answered`], do some work when [`Pacer::free_at`] has come, and then
//! tell how much it was with [`Pacer::spend`].

use crate::latency::Latency;
use crate::time::{Duration, Time};

/// The bounds of background work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaceLimits {
    /// Bytes a second that it always may take, however busy the node is: else repair would never end.
    pub least: u64,
    /// Bytes a second that it takes at most.
    pub most: u64,
    /// The foreground's p99 may be so many thousandths of what it is in quiet.
    pub ratio: u32,
    /// How long one measurement takes.
    pub window: Duration,
}

impl Default for PaceLimits {
    fn default() -> Self {
        Self {
            least: 1024 * 1024,
            most: 64 * 1024 * 1024,
            ratio: 1_200,
            window: Duration::from_millis(2_000),
        }
    }
}

/// Below this many answers a window says nothing of its slowest ones.
const FEW: u32 = 32;

/// A quiet window weighs one in so many.
const MEMORY: u64 = 4;

/// Paces the background work of one node.
#[derive(Clone, Debug)]
pub struct Pacer {
    limits: PaceLimits,
    rate: u64,
    /// What the other side of the work allows.
    allowed: u64,
    free: Time,
    window: Window,
    /// Was nothing spent in the window before?
    was_quiet: bool,
    quiet: Option<Duration>,
    latest: Option<Duration>,
    yielded: u64,
}

#[derive(Clone, Debug)]
struct Window {
    end: Time,
    took: Latency,
    spent: bool,
}

impl Window {
    fn new(end: Time) -> Self {
        Self { end, took: Latency::that_forgets_nothing(), spent: false }
    }
}

impl Pacer {
    /// Nothing is known yet: begins in the middle, by ratio.
    #[must_use]
    pub fn new(limits: PaceLimits, now: Time) -> Self {
        Self {
            rate: limits.least.saturating_mul(limits.most).isqrt().max(1),
            allowed: u64::MAX,
            free: now,
            window: Window::new(now.after(limits.window)),
            was_quiet: false,
            quiet: None,
            latest: None,
            yielded: 0,
            limits,
        }
    }

    /// The foreground gave an answer after so long.
    pub fn answered(&mut self, now: Time, took: Duration) {
        self.turn(now);
        self.window.took.add(took);
    }

    /// The background has done so many bytes of work.
    pub fn spend(&mut self, now: Time, bytes: u64) {
        self.turn(now);
        self.window.spent = true;
        let rate = self.rate.min(self.allowed).max(1);
        let micros = bytes.saturating_mul(1_000_000) / rate;
        self.free = self.free.max(now).after(Duration(micros));
    }

    /// The other side of the work, whose clients are to be spared too, allows so many bytes a second.
    pub fn heed(&mut self, allowed: u64) {
        self.allowed = allowed.max(self.limits.least);
    }

    /// When the background may do more. What is already past means now.
    #[must_use]
    pub fn free_at(&self) -> Time {
        self.free
    }

    /// May the background do more now?
    #[must_use]
    pub fn is_free(&self, now: Time) -> bool {
        self.free <= now
    }

    /// Bytes a second that the background may take at present.
    #[must_use]
    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// The foreground's p99 without background work, and the latest one; none where too little is known.
    #[must_use]
    pub fn p99(&self) -> (Option<Duration>, Option<Duration>) {
        (self.quiet, self.latest)
    }

    /// How often the background had to yield.
    #[must_use]
    pub fn yielded(&self) -> u64 {
        self.yielded
    }

    /// Judges the window that is over.
    fn turn(&mut self, now: Time) {
        if now < self.window.end {
            return;
        }
        let next = Window::new(now.after(self.limits.window));
        // More than a window without any call: nobody spent anything, and nobody asked.
        let idle = now.since(self.window.end) >= self.limits.window;
        let Window { took, spent, .. } = core::mem::replace(&mut self.window, next);
        let quiet = !spent && self.was_quiet;
        self.was_quiet = !spent || idle;
        let p99 = took.quantile(990).filter(|_| took.answers() >= FEW);
        let Some(p99) = p99 else {
            // Hardly anybody is there who could be held up.
            if spent {
                self.faster(self.rate);
            }
            return;
        };
        self.latest = Some(p99);
        if quiet {
            let known = self.quiet.map_or(p99.0, |q| (q.0 * (MEMORY - 1) + p99.0) / MEMORY);
            self.quiet = Some(Duration(known));
        }
        if spent && let Some(quiet) = self.quiet {
            if p99.0.saturating_mul(1_000) > quiet.0.saturating_mul(self.limits.ratio.into()) {
                self.rate = (self.rate / 2).max(self.limits.least).max(1);
                self.yielded += 1;
            } else {
                self.faster(self.rate / 4);
            }
        }
    }

    fn faster(&mut self, by: u64) {
        self.rate = self.rate.saturating_add(by.max(1)).min(self.limits.most.max(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: u64 = 1_000;

    /// Ten seconds in which clients are answered every millisecond; the background does what it may if `works`. Answers take
    /// 1 ms, and as many microseconds more as `cost` makes of the background's rate.
    fn ten_seconds(pacer: &mut Pacer, from: u64, works: bool, cost: impl Fn(u64) -> u64) -> u64 {
        let mut bytes = 0;
        for now in (from..from + 10_000).map(|ms| Time(ms * MILLI)) {
            let rate = if works { pacer.rate() } else { 0 };
            pacer.answered(now, Duration(MILLI + cost(rate)));
            while works && pacer.is_free(now) {
                pacer.spend(now, 16 * 1024);
                bytes += 16 * 1024;
            }
        }
        bytes
    }

    #[test]
    fn it_goes_as_fast_as_clients_do_not_notice() {
        let mut pacer = Pacer::new(PaceLimits::default(), Time(0));
        ten_seconds(&mut pacer, 0, false, |_| 0);
        assert!(pacer.p99().0.is_some_and(|quiet| quiet.0 <= 1_250));
        // Above 20 MB/s clients wait three times as long.
        let held_up = |rate| if rate > 20_000_000 { 2_000 } else { 0 };
        ten_seconds(&mut pacer, 10_000, true, held_up);
        let bytes = ten_seconds(&mut pacer, 20_000, true, held_up);
        assert!((80_000_000..220_000_000).contains(&bytes), "{bytes} bytes in ten seconds");
        assert!(pacer.yielded() > 0);
    }

    #[test]
    fn it_never_stands_still_and_never_goes_beyond_its_bounds() {
        let limits = PaceLimits::default();
        let mut pacer = Pacer::new(limits.clone(), Time(0));
        ten_seconds(&mut pacer, 0, false, |_| 0);
        ten_seconds(&mut pacer, 10_000, true, |_| 5_000);
        assert_eq!(pacer.rate(), limits.least);
        for from in 2..8 {
            ten_seconds(&mut pacer, from * 10_000, true, |_| 0);
        }
        assert_eq!(pacer.rate(), limits.most);
    }

    #[test]
    fn little_is_left_to_the_background_where_little_can_be_spared() {
        let mut pacer = Pacer::new(PaceLimits::default(), Time(0));
        ten_seconds(&mut pacer, 0, false, |_| 0);
        // Above 3 MB/s clients wait three times as long: a twentieth of the most.
        let held_up = |rate| if rate > 3_000_000 { 2_000 } else { 0 };
        ten_seconds(&mut pacer, 10_000, true, held_up);
        let mut slow = 0;
        let bytes: u64 = (2..12)
            .map(|from| {
                slow += u32::from(pacer.rate() > 3_000_000);
                ten_seconds(&mut pacer, from * 10_000, true, held_up)
            })
            .sum();
        assert!((150_000_000..300_000_000).contains(&bytes), "{bytes} bytes in a hundred seconds");
        assert!(slow <= 4, "clients were held up at the start of {slow} of ten times");
    }

    #[test]
    fn without_clients_it_goes_at_full_speed() {
        let mut pacer = Pacer::new(PaceLimits::default(), Time(0));
        for now in (0..60_000).map(|ms| Time(ms * MILLI)) {
            while pacer.is_free(now) {
                pacer.spend(now, 64 * 1024);
            }
        }
        assert_eq!(pacer.rate(), PaceLimits::default().most);
    }

    #[test]
    fn the_other_side_s_clients_are_spared_too() {
        let mut pacer = Pacer::new(PaceLimits::default(), Time(0));
        pacer.heed(1024 * 1024);
        let bytes = ten_seconds(&mut pacer, 0, true, |_| 0);
        assert!((9 << 20..11 << 20).contains(&bytes), "{bytes} bytes in ten seconds");
        pacer.heed(u64::MAX);
        // As long as nothing is known of quiet it goes on as it began.
        let bytes = ten_seconds(&mut pacer, 10_000, true, |_| 0);
        assert!((75 << 20..81 << 20).contains(&bytes), "{bytes} bytes in ten seconds");
    }

    #[test]
    fn what_clients_wait_for_while_it_works_is_no_measure_of_quiet() {
        let mut pacer = Pacer::new(PaceLimits::default(), Time(0));
        ten_seconds(&mut pacer, 0, true, |_| 9_000);
        assert_eq!(pacer.p99().0, None);
        ten_seconds(&mut pacer, 10_000, false, |_| 0);
        assert!(pacer.p99().0.is_some_and(|quiet| quiet.0 <= 1_250));
    }
}
