//! Stops calling a plugin that keeps failing by its own fault, so that it doesn't take the processor from the others.
//!
//! Closed, it lets every call through and counts faults in a row. After enough of them it opens: calls are refused
//! until the cool-down is over. Then one call goes through as a trial: if the plugin does its work the breaker closes, and
//! otherwise it stays open for another cool-down.

use std::time::{Duration, Instant};

/// When a breaker opens and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// So many faults in a row open it. At least 1. Low enough that a broken plugin costs little, high enough that one
    /// key with unmergeable values among many good ones doesn't stop the rest.
    pub faults: u32,
    /// How long it stays open before a trial.
    pub cool_down: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { faults: 5, cool_down: Duration::from_secs(10) }
    }
}

/// What a call showed of the plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It did its work, which may be to say that the siblings can't be merged.
    Healthy,
    /// It trapped, passed a limit or gave a bad result.
    Fault,
    /// It was not run.
    Nothing,
}

/// The right to make one call, to be given back with its verdict.
#[derive(Debug)]
pub(crate) struct Pass {
    trial: bool,
}

#[derive(Debug)]
enum State {
    Closed { faults: u32 },
    Open { until: Instant },
    Trial,
}

/// The breaker of one plugin.
#[derive(Debug)]
pub(crate) struct Breaker {
    config: BreakerConfig,
    state: State,
}

impl Breaker {
    pub(crate) fn new(config: BreakerConfig) -> Self {
        Self { config, state: State::Closed { faults: 0 } }
    }

    /// Whether calls are being refused.
    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }

    /// Lets a call through, or not. A pass has to come back by [`Breaker::settle`].
    pub(crate) fn admit(&mut self, now: Instant) -> Option<Pass> {
        match self.state {
            State::Closed { .. } => Some(Pass { trial: false }),
            State::Open { until } if now >= until => {
                self.state = State::Trial;
                Some(Pass { trial: true })
            }
            State::Open { .. } | State::Trial => None,
        }
    }

    /// Takes a pass back; `true` if that opened the breaker.
    pub(crate) fn settle(&mut self, pass: Pass, verdict: Verdict, now: Instant) -> bool {
        let open = State::Open { until: now + self.config.cool_down };
        match (&mut self.state, verdict) {
            (State::Trial, Verdict::Healthy) if pass.trial => {
                self.state = State::Closed { faults: 0 };
            }
            (State::Trial, Verdict::Fault) if pass.trial => {
                self.state = open;
                return true;
            }
            (State::Trial, Verdict::Nothing) if pass.trial => {
                self.state = State::Open { until: now };
            }
            (State::Closed { faults }, Verdict::Healthy) => *faults = 0,
            (State::Closed { faults }, Verdict::Fault) => {
                *faults = faults.saturating_add(1);
                if *faults >= self.config.faults {
                    self.state = open;
                    return true;
                }
            }
            // Calls that began before it opened say nothing new.
            (State::Open { .. } | State::Trial, _) | (State::Closed { .. }, Verdict::Nothing) => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOL_DOWN: Duration = Duration::from_secs(10);

    fn breaker(faults: u32) -> Breaker {
        Breaker::new(BreakerConfig { faults, cool_down: COOL_DOWN })
    }

    fn call(breaker: &mut Breaker, verdict: Verdict, now: Instant) -> bool {
        let pass = breaker.admit(now).unwrap();
        breaker.settle(pass, verdict, now)
    }

    #[test]
    fn only_faults_in_a_row_open_it() {
        let now = Instant::now();
        let mut breaker = breaker(2);
        assert!(!call(&mut breaker, Verdict::Fault, now));
        assert!(!call(&mut breaker, Verdict::Healthy, now));
        assert!(!call(&mut breaker, Verdict::Fault, now));
        assert!(!call(&mut breaker, Verdict::Nothing, now));
        assert!(call(&mut breaker, Verdict::Fault, now));
        assert!(breaker.admit(now).is_none());
    }

    #[test]
    fn after_the_cool_down_one_trial_decides() {
        let start = Instant::now();
        let mut breaker = breaker(1);
        call(&mut breaker, Verdict::Fault, start);
        let later = start + COOL_DOWN;
        let trial = breaker.admit(later).unwrap();
        assert!(breaker.admit(later).is_none());
        assert!(breaker.settle(trial, Verdict::Fault, later));
        assert!(breaker.admit(later).is_none());
        let latest = later + COOL_DOWN;
        assert!(!call(&mut breaker, Verdict::Healthy, latest));
        assert!(!breaker.is_open());
    }

    #[test]
    fn a_trial_that_did_not_run_makes_room_for_another() {
        let start = Instant::now();
        let mut breaker = breaker(1);
        call(&mut breaker, Verdict::Fault, start);
        let later = start + COOL_DOWN;
        call(&mut breaker, Verdict::Nothing, later);
        assert!(breaker.admit(later).is_some());
    }

    #[test]
    fn calls_from_before_it_opened_change_nothing() {
        let now = Instant::now();
        let mut breaker = breaker(1);
        let (early, late) = (breaker.admit(now).unwrap(), breaker.admit(now).unwrap());
        assert!(breaker.settle(early, Verdict::Fault, now));
        assert!(!breaker.settle(late, Verdict::Healthy, now));
        assert!(breaker.is_open());
    }
}
