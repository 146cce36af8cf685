//! What plugins said lately, and why their merges failed: the last lines, for whoever asks.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use kinfold_protocol::merge::{MergeFailure, MergeResult};
use kinfold_protocol::message::plugin::{LogLine as Line, Logs};

use crate::contract::{Level, LogLine};

/// Lines that are kept. With lines of 1 KiB at most that is 2 MiB.
const MOST_LINES: usize = 2_048;

/// The last lines of all plugins. When it is full, the oldest make room.
#[derive(Default)]
pub(crate) struct LogRing {
    lines: Mutex<Lines>,
}

#[derive(Default)]
struct Lines {
    kept: VecDeque<Line>,
    last: u64,
}

impl LogRing {
    /// Takes in what a plugin said in one call, and why the call failed if it did.
    pub(crate) fn note(
        &self,
        plugin: &str,
        bucket: &str,
        said: &[LogLine],
        failure: Option<&MergeFailure>,
    ) {
        if said.is_empty() && failure.is_none() {
            return;
        }
        let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let at_ms = u64::try_from(at_ms).unwrap_or(u64::MAX);
        let said = said.iter().map(|LogLine { level, message }| {
            let level = match level {
                Level::Debug => "debug",
                Level::Info => "info",
                Level::Warn => "warn",
                Level::Error => "error",
            };
            (level, message.clone())
        });
        let failure = failure.map(|failure| ("failure", failure.to_string()));
        let mut lines = self.lock();
        for (level, message) in said.chain(failure) {
            lines.last += 1;
            let number = lines.last;
            lines.kept.push_back(Line {
                number,
                at_ms,
                plugin: plugin.to_owned(),
                bucket: bucket.to_owned(),
                level: level.to_owned(),
                message,
            });
            if lines.kept.len() > MOST_LINES {
                lines.kept.pop_front();
            }
        }
    }

    /// At most `most` of the lines after the one of this number, oldest first.
    pub(crate) fn after(&self, number: u64, most: usize) -> Logs {
        let lines = self.lock();
        let wanted = lines.kept.iter().filter(|line| line.number > number).take(most);
        Logs { lines: wanted.cloned().collect(), last: lines.last }
    }

    // No code that could panic runs under this lock.
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a merge failed, if that is the plugin's doing and not that of the node's queues.
pub(crate) fn worth_a_line(result: &MergeResult) -> Option<&MergeFailure> {
    match result {
        Err(
            failure @ (MergeFailure::Trap(_)
            | MergeFailure::TooLarge(_)
            | MergeFailure::OutOfFuel
            | MergeFailure::OutOfMemory
            | MergeFailure::BadResult(_)
            | MergeFailure::InvalidSibling { .. }
            | MergeFailure::KeepSiblings(_)
            | MergeFailure::Internal(_)),
        ) => Some(failure),
        Ok(_)
        | Err(MergeFailure::NoPlugin(_) | MergeFailure::Overloaded | MergeFailure::BreakerOpen) => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_lines_make_room_and_their_numbers_tell() {
        let ring = LogRing::default();
        let line = LogLine { level: Level::Warn, message: "odd".into() };
        for _ in 0..MOST_LINES {
            ring.note("p", "b", std::slice::from_ref(&line), Some(&MergeFailure::OutOfFuel));
        }
        let logs = ring.after(0, 2);
        assert_eq!(logs.last, 2 * MOST_LINES as u64);
        let numbers = [1, 2].map(|n| n + MOST_LINES as u64);
        assert_eq!(logs.lines.iter().map(|line| line.number).collect::<Vec<_>>(), numbers);
        assert_eq!(logs.lines[0].level, "warn");
        assert_eq!(logs.lines[1].level, "failure");
        assert_eq!(ring.after(logs.last, 9).lines, []);
    }
}
