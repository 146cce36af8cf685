//! What happens again and again is said once in a while, with how often it was not said.

use std::time::{Duration, Instant};

/// Between two times that the same is said.
const BETWEEN: Duration = Duration::from_secs(10);

/// Which kinds of things were said when. There are few kinds.
#[derive(Debug)]
pub(crate) struct Seldom<K> {
    said: Vec<Said<K>>,
}

#[derive(Debug)]
struct Said<K> {
    kind: K,
    at: Instant,
    unsaid: u64,
}

impl<K> Default for Seldom<K> {
    fn default() -> Self {
        Self { said: Vec::new() }
    }
}

impl<K: PartialEq> Seldom<K> {
    /// Something of this kind has happened. If it is to be said, gives how often it was not since it was said last.
    pub(crate) fn say(&mut self, kind: K, now: Instant) -> Option<u64> {
        let Some(said) = self.said.iter_mut().find(|said| said.kind == kind) else {
            self.said.push(Said { kind, at: now, unsaid: 0 });
            return Some(0);
        };
        if now.saturating_duration_since(said.at) < BETWEEN {
            said.unsaid += 1;
            return None;
        }
        said.at = now;
        Some(std::mem::take(&mut said.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_in_a_while_and_another_thing_at_once() {
        let mut seldom = Seldom::default();
        let begun = Instant::now();
        let said = |s| begun + Duration::from_secs(s);
        assert_eq!(seldom.say("full", said(0)), Some(0));
        assert_eq!(seldom.say("full", said(1)), None);
        assert_eq!(seldom.say("stopped", said(2)), Some(0));
        assert_eq!(seldom.say("full", said(9)), None);
        assert_eq!(seldom.say("full", said(10)), Some(2));
        assert_eq!(seldom.say("full", said(11)), None);
    }
}
