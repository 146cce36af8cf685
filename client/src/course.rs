//! The course of one request: which node to try next, for how long, and what it all came to.
//!
//! Decides, and does nothing: time is an argument. What must hold: a write that may have reached a node, and that no node
//! answered definitely, ends as [`Error::Unknown`], whatever other nodes said afterwards; and every course ends by its
//! deadline.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kinfold_protocol::message::client::{Code, Failure};

use crate::error::Error;
use crate::exchange::Fault;
use crate::request_id::RequestId;
use crate::route::Target;

/// An attempt gets no less than this, if the deadline allows: a smaller share would fail on any long path.
const LEAST: Duration = Duration::from_millis(500);

/// The pause after everybody was asked once; it doubles each round.
const FIRST_PAUSE: Duration = Duration::from_millis(25);

/// The longest pause between two rounds.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What a request does to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing.
    Read,
    /// It changes something, under this name if it has one.
    Write(Option<RequestId>),
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Ask this node, for so long.
    Try(Target, Duration),
    /// Wait so long.
    Wait(Duration),
    /// Stop.
    GiveUp(Error),
}

/// The course of one request.
#[derive(Debug)]
pub(crate) struct Course {
    kind: Kind,
    deadline: Instant,
    targets: Vec<Target>,
    next: usize,
    attempts: u32,
    rounds: u32,
    /// Can another round end better than this one?
    again: bool,
    retry_after: Duration,
    /// Was a write sent to somebody who gave no definite answer?
    undecided: bool,
    refusal: Option<Failure>,
    broken: bool,
    notes: BTreeMap<String, String>,
}

/// What a refusal means for the course.
enum Sense {
    /// Every node would say the same.
    Final,
    /// Another node may say otherwise; asking the same one again is no use.
    Elsewhere,
    /// Another node may say otherwise, and so may this one later.
    Later,
}

impl Course {
    /// A course along `targets`, in order, that ends at `deadline`.
    pub(crate) fn new(kind: Kind, targets: Vec<Target>, deadline: Instant) -> Self {
        Self {
            kind,
            deadline,
            targets,
            next: 0,
            attempts: 0,
            rounds: 0,
            again: false,
            retry_after: Duration::ZERO,
            undecided: false,
            refusal: None,
            broken: false,
            notes: BTreeMap::new(),
        }
    }

    /// What to do next. What came of a `Try` is to be told before the next call.
    pub(crate) fn step(&mut self, now: Instant) -> Step {
        let left = self.deadline.saturating_duration_since(now);
        if left.is_zero() || self.targets.is_empty() {
            return Step::GiveUp(self.verdict());
        }
        if let Some(target) = self.targets.get(self.next).cloned() {
            let waiting = u32::try_from(self.targets.len() - self.next).unwrap_or(u32::MAX);
            self.next += 1;
            self.attempts += 1;
            return Step::Try(target, (left / waiting).max(LEAST).min(left));
        }
        let pause = FIRST_PAUSE
            .saturating_mul(1 << self.rounds.min(10))
            .min(LONGEST_PAUSE)
            .max(self.retry_after);
        if !self.again || pause >= left {
            return Step::GiveUp(self.verdict());
        }
        self.next = 0;
        self.rounds += 1;
        self.again = false;
        self.retry_after = Duration::ZERO;
        Step::Wait(pause)
    }

    /// Another node to ask while one that was asked is silent, and for how long; `None` if all were asked in this round.
    pub(crate) fn another(&mut self, now: Instant) -> Option<(Target, Duration)> {
        let left = self.deadline.saturating_duration_since(now);
        let target = self.targets.get(self.next).cloned().filter(|_| !left.is_zero())?;
        self.next += 1;
        self.attempts += 1;
        Some((target, left))
    }

    /// Attempts so far.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// No answer came of an attempt.
    pub(crate) fn fault(&mut self, target: &Target, fault: Fault) {
        let (note, reached) = match fault {
            Fault::NotSent(note) => (note, false),
            Fault::Lost(note) => (note, true),
            Fault::Broken(note) => {
                self.broken = true;
                (note, true)
            }
        };
        self.again = true;
        self.undecided |= reached;
        self.note(target, note);
    }

    /// A node refused. Says how the whole request ends, if that settles it.
    pub(crate) fn refused(&mut self, target: &Target, failure: Failure) -> Option<Error> {
        self.undecided |= failure.code == Code::Unknown;
        if let Some(ms) = failure.retry_after_ms {
            self.retry_after = self.retry_after.max(Duration::from_millis(ms.into()));
        }
        self.note(target, failure.message.clone());
        let sense = sense(failure.code);
        self.refusal = Some(failure);
        match sense {
            Sense::Final => return Some(self.verdict()),
            Sense::Elsewhere => {}
            Sense::Later => self.again = true,
        }
        None
    }

    /// A conditional write met another object. If an earlier attempt may have been carried out, and the nodes do not remember
    /// whether it was, then nobody knows: says how the request ends then.
    pub(crate) fn conflict(&mut self, target: &Target, settled: bool) -> Option<Error> {
        if settled || !self.undecided {
            return None;
        }
        self.note(target, "the key has changed several times since the first attempt".to_owned());
        Some(self.verdict())
    }

    /// An attempt of an earlier course may have been carried out.
    pub(crate) fn doubt(&mut self) {
        self.undecided = true;
    }

    /// Goes on along other targets, from the first of them.
    pub(crate) fn redirect(&mut self, targets: Vec<Target>) {
        self.targets = targets;
        self.next = 0;
    }

    fn note(&mut self, target: &Target, note: String) {
        tracing::debug!(node = target.name, address = target.address, note, "attempt failed");
        self.notes.insert(target.name.clone(), note);
    }

    /// How the request ends, as things stand.
    fn verdict(&self) -> Error {
        let notes: Vec<_> =
            self.notes.iter().map(|(name, note)| format!("{name}: {note}")).collect();
        let notes = if notes.is_empty() {
            "the deadline left no time to ask".to_owned()
        } else {
            notes.join("; ")
        };
        match (self.kind, self.undecided, &self.refusal) {
            (Kind::Write(request), true, _) => Error::Unknown { request, notes },
            (_, _, Some(refusal)) => Error::Refused {
                code: refusal.code,
                message: refusal.message.clone(),
                retry_after: refusal.retry_after_ms.map(|ms| Duration::from_millis(ms.into())),
            },
            (_, _, None) if self.broken => Error::Protocol { notes },
            (_, _, None) => Error::Unreachable { notes },
        }
    }
}

fn sense(code: Code) -> Sense {
    match code {
        Code::Malformed
        | Code::BadRequest
        | Code::BadContext
        | Code::BucketExists
        | Code::TooLarge
        | Code::TooManySiblings
        | Code::Outdated
        | Code::Forbidden => Sense::Final,
        // A new bucket is not known everywhere at once; a disk or a store is one node's own.
        Code::UnknownBucket | Code::DiskFull | Code::Storage => Sense::Elsewhere,
        Code::Unavailable | Code::Unknown | Code::Overloaded | Code::StaleLayout => Sense::Later,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> Target {
        Target { name: name.to_owned(), address: format!("{name}:1") }
    }

    fn failure(code: Code, retry_after_ms: Option<u32>) -> Failure {
        Failure { code, message: format!("{code:?}"), retry_after_ms }
    }

    fn course(kind: Kind, now: Instant) -> Course {
        Course::new(kind, vec![target("a"), target("b")], now + Duration::from_secs(4))
    }

    fn write() -> Kind {
        Kind::Write(Some(RequestId::random().unwrap()))
    }

    fn lost() -> Fault {
        Fault::Lost("cut".to_owned())
    }

    fn give_up(course: &mut Course, now: Instant) -> Error {
        match course.step(now + Duration::from_secs(4)) {
            Step::GiveUp(error) => error,
            step @ (Step::Try(..) | Step::Wait(_)) => panic!("{step:?} after the deadline"),
        }
    }

    #[test]
    fn each_attempt_gets_its_share_of_what_is_left() {
        let now = Instant::now();
        let mut course = course(Kind::Read, now);
        let s = Duration::from_secs;
        assert_eq!(course.step(now), Step::Try(target("a"), s(2)));
        course.fault(&target("a"), Fault::NotSent("away".to_owned()));
        assert_eq!(course.step(now + s(1)), Step::Try(target("b"), s(3)));
        course.fault(&target("b"), Fault::NotSent("away".to_owned()));
        assert_eq!(course.step(now + s(2)), Step::Wait(FIRST_PAUSE));
        assert_eq!(course.step(now + s(2)), Step::Try(target("a"), s(1)));
        assert_eq!(course.attempts(), 3);
        let end = course.step(now + s(4));
        assert!(matches!(end, Step::GiveUp(Error::Unreachable { .. })), "{end:?}");
    }

    #[test]
    fn a_hedge_goes_to_the_next_one_and_not_around() {
        let now = Instant::now();
        let mut course = course(Kind::Read, now);
        let s = Duration::from_secs;
        assert_eq!(course.step(now), Step::Try(target("a"), s(2)));
        assert_eq!(course.another(now + s(1)), Some((target("b"), s(3))));
        assert_eq!(course.another(now + s(1)), None);
        course.fault(&target("b"), lost());
        course.fault(&target("a"), lost());
        assert_eq!(course.step(now + s(2)), Step::Wait(FIRST_PAUSE));
    }

    #[test]
    fn a_short_deadline_goes_to_the_first() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        let mut course = Course::new(Kind::Read, vec![target("a"), target("b")], now + ms(600));
        assert_eq!(course.step(now), Step::Try(target("a"), ms(500)));
    }

    #[test]
    fn a_write_that_was_sent_and_not_answered_is_unknown_whatever_comes_after() {
        let now = Instant::now();
        for code in [Code::Forbidden, Code::Unavailable, Code::DiskFull, Code::TooLarge] {
            let mut course = course(write(), now);
            course.step(now);
            course.fault(&target("a"), lost());
            course.step(now);
            let settled = course.refused(&target("b"), failure(code, None));
            let error = settled.unwrap_or_else(|| give_up(&mut course, now));
            assert!(matches!(error, Error::Unknown { request: Some(_), .. }), "{error:?}");
        }
        let mut course = course(write(), now);
        course.step(now);
        course.refused(&target("a"), failure(Code::Unknown, None));
        assert!(matches!(give_up(&mut course, now), Error::Unknown { .. }));
    }

    #[test]
    fn a_write_that_never_left_is_unreachable() {
        let now = Instant::now();
        let mut course = course(write(), now);
        course.step(now);
        course.fault(&target("a"), Fault::NotSent("away".to_owned()));
        assert!(matches!(give_up(&mut course, now), Error::Unreachable { .. }));
    }

    #[test]
    fn a_read_is_never_unknown() {
        let now = Instant::now();
        let mut one = course(Kind::Read, now);
        one.step(now);
        one.fault(&target("a"), lost());
        assert!(matches!(give_up(&mut one, now), Error::Unreachable { .. }));
        let mut two = course(Kind::Read, now);
        two.step(now);
        two.fault(&target("a"), Fault::Broken("what?".to_owned()));
        assert!(matches!(give_up(&mut two, now), Error::Protocol { .. }));
    }

    #[test]
    fn what_all_would_refuse_ends_at_once_and_what_one_refuses_is_asked_elsewhere_once() {
        let now = Instant::now();
        let mut one = course(Kind::Read, now);
        one.step(now);
        let ended = one.refused(&target("a"), failure(Code::Forbidden, None));
        assert!(matches!(ended, Some(Error::Refused { code: Code::Forbidden, .. })));

        let mut two = course(Kind::Read, now);
        for name in ["a", "b"] {
            assert!(matches!(two.step(now), Step::Try(t, _) if t == target(name)));
            assert_eq!(two.refused(&target(name), failure(Code::UnknownBucket, None)), None);
        }
        let end = two.step(now);
        assert!(
            matches!(end, Step::GiveUp(Error::Refused { code: Code::UnknownBucket, .. })),
            "{end:?}"
        );
    }

    #[test]
    fn overload_is_waited_for_as_long_as_the_node_says() {
        let now = Instant::now();
        let mut course = course(write(), now);
        course.step(now);
        course.refused(&target("a"), failure(Code::Overloaded, Some(900)));
        course.step(now);
        course.refused(&target("b"), failure(Code::Overloaded, Some(300)));
        assert_eq!(course.step(now), Step::Wait(Duration::from_millis(900)));
        let late = now + Duration::from_secs(3);
        course.step(late);
        course.refused(&target("a"), failure(Code::Overloaded, Some(2_000)));
        course.step(late);
        course.refused(&target("b"), failure(Code::Overloaded, None));
        let end = course.step(late);
        let Step::GiveUp(Error::Refused { code, .. }) = end else { panic!("{end:?}") };
        assert_eq!(code, Code::Overloaded);
    }
}
