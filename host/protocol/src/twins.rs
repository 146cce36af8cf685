//! Two processes with one identity: a data directory that was copied, as with a virtual machine, and started twice.
//!
//! Every start is another actor, so their writes can't be confused. But whoever speaks for a node says what it keeps and who
//! writes there, and of two only one can be reached by the others. That they are two shows in what they have heard: a greeting names
//! the last greeting of its receiver that had come. Who has heard what was sent after another one had begun to greet did not
//! end before that, so it is no former life. The other one is to be refused, if it has greeted less often and so started later, or
//! if both started about the same time and only it is out of reach.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::id::{Actor, NodeId};
use crate::time::{Duration, Time};

/// Speakers of a node that are told apart at one time.
const SPEAKERS: usize = 4;

/// Numbers of greetings that lie no further apart say nothing of who was first.
const CLOSE: u64 = 2;

/// Who greets as which node.
#[derive(Debug)]
pub(crate) struct Twins {
    /// Who has not greeted for so long speaks no more.
    silence: Duration,
    speakers: BTreeMap<NodeId, Vec<Speaker>>,
}

/// What of a greeting tells two speakers apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spoken {
    pub(crate) actor: Actor,
    /// The greeting's number.
    pub(crate) number: u64,
    /// The last of this node's greetings that had come before it was sent; zero if none of its present life.
    pub(crate) heard: u64,
}

#[derive(Clone, Copy, Debug)]
struct Speaker {
    spoken: Spoken,
    last: Time,
    /// The number of this node's greeting when it began.
    began: u64,
}

impl Twins {
    /// Nobody has greeted. Nodes greet every `hello`.
    pub(crate) fn new(hello: Duration) -> Self {
        Self { silence: Duration(3 * hello.0), speakers: BTreeMap::new() }
    }

    /// Somebody greets as `node`; this node's own last greeting was `own`. Is it to be refused, since another process is that node?
    pub(crate) fn is_later(&mut self, now: Time, node: NodeId, spoken: Spoken, own: u64) -> bool {
        let speakers = self.speakers.entry(node).or_default();
        speakers.retain(|speaker| now <= speaker.last.after(self.silence));
        let known = speakers.iter_mut().find(|speaker| speaker.spoken.actor == spoken.actor);
        let me = match known {
            Some(speaker) => {
                if speaker.spoken.number < spoken.number {
                    (speaker.spoken, speaker.last) = (spoken, now);
                }
                *speaker
            }
            None => {
                let speaker = Speaker { spoken, last: now, began: own };
                speakers.truncate(SPEAKERS - 1);
                speakers.push(speaker);
                speaker
            }
        };
        let mut others = speakers.iter().filter(|other| other.spoken.actor != spoken.actor);
        others.any(|other| other.was_there_after(&me) && me.is_after(other))
    }
}

impl Speaker {
    /// Has it heard what this node sent after both had begun?
    fn was_there_after(&self, other: &Self) -> bool {
        self.spoken.heard > self.began.max(other.began)
    }

    fn is_after(&self, other: &Self) -> bool {
        if self.spoken.number.abs_diff(other.spoken.number) <= CLOSE {
            !self.was_there_after(other) || self.spoken.actor > other.spoken.actor
        } else {
            self.spoken.number < other.spoken.number
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(7);
    const OLD: Actor = Actor(9);
    const NEW: Actor = Actor(1);

    /// Greetings (time, actor, number, heard), where this node greets every 10; which of them are refused.
    fn refused(greetings: &[(u64, Actor, u64, u64)]) -> Vec<usize> {
        let mut twins = Twins::new(Duration(10));
        let refused = greetings.iter().enumerate().filter(|(_, greeting)| {
            let (time, actor, number, heard) = **greeting;
            twins.is_later(Time(time), NODE, Spoken { actor, number, heard }, time / 10)
        });
        refused.map(|(at, _)| at).collect()
    }

    #[test]
    fn a_restart_is_no_second_process_however_late_its_former_life_is_heard() {
        let restart = [(100, OLD, 50, 9), (110, OLD, 51, 10), (120, NEW, 1, 0), (130, NEW, 2, 12)];
        assert_eq!(refused(&restart), []);
        let late = [
            (100, OLD, 50, 9),
            (120, NEW, 1, 0),
            (121, OLD, 51, 10),
            (130, NEW, 2, 12),
            (131, OLD, 52, 11),
            (140, NEW, 3, 13),
            (141, OLD, 53, 11),
            (150, NEW, 4, 14),
        ];
        assert_eq!(refused(&late), []);
    }

    #[test]
    fn of_two_processes_the_later_one_is_refused_and_no_other() {
        let turns = [
            (100, OLD, 50, 9),
            (105, NEW, 1, 0),
            (110, OLD, 51, 10),
            (115, NEW, 2, 0),
            (120, OLD, 52, 11),
            (125, NEW, 3, 0),
            (130, OLD, 53, 12),
        ];
        assert_eq!(refused(&turns), [5]);
        // Also where both can hear this node.
        let turns = [
            (100, NEW, 1, 0),
            (105, OLD, 51, 10),
            (115, NEW, 2, 11),
            (125, OLD, 52, 12),
            (126, NEW, 3, 12),
        ];
        assert_eq!(refused(&turns), [4]);
    }

    #[test]
    fn of_two_that_started_together_the_one_out_of_reach_is_refused() {
        let turns = [(100, OLD, 1, 0), (101, NEW, 1, 0), (115, OLD, 2, 11), (116, NEW, 2, 0)];
        assert_eq!(refused(&turns), [3]);
    }
}
