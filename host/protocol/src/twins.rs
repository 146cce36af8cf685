//! Two processes with one identity: a data directory that was copied, as with a virtual machine, and started twice.
//!
//! Every start is another actor, so their writes can't be confused. But whoever speaks for a node says what it keeps and who
//! writes there, and of two only one can be reached by the others. That they are two shows in their greetings: an actor that
//! is gone greets no more once the next one has begun, two processes greet in turns. Of the two the one that has greeted less
//! often started later: it is the one to be refused, and all peers see that alike.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::id::{Actor, NodeId};
use crate::time::{Duration, Time};

/// Greetings that both have to send after the later one has begun: one of a former life may come late.
const TURNS: u8 = 2;

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

#[derive(Clone, Copy, Debug)]
struct Speaker {
    actor: Actor,
    /// The number of its last greeting.
    number: u64,
    last: Time,
    /// Its greetings since the last speaker has begun.
    turns: u8,
}

impl Twins {
    /// Nobody has greeted. Nodes greet every `hello`.
    pub(crate) fn new(hello: Duration) -> Self {
        Self { silence: Duration(3 * hello.0), speakers: BTreeMap::new() }
    }

    /// Somebody greets as `node`. Is it to be refused, since another process is that node, and runs for longer?
    pub(crate) fn is_later(&mut self, now: Time, node: NodeId, actor: Actor, number: u64) -> bool {
        let speakers = self.speakers.entry(node).or_default();
        speakers.retain(|speaker| now <= speaker.last.after(self.silence));
        match speakers.iter_mut().find(|speaker| speaker.actor == actor) {
            Some(speaker) if speaker.number < number => {
                speaker.turns = speaker.turns.saturating_add(1);
                (speaker.number, speaker.last) = (number, now);
            }
            // It came twice, or late.
            Some(_) => {}
            None => {
                speakers.iter_mut().for_each(|speaker| speaker.turns = 0);
                speakers.truncate(SPEAKERS - 1);
                speakers.push(Speaker { actor, number, last: now, turns: 1 });
            }
        }
        let mut in_turns = speakers.iter().filter(|speaker| speaker.turns >= TURNS);
        in_turns.any(|other| other.actor != actor && started_before(other, actor, number))
            && speakers.iter().any(|speaker| speaker.actor == actor && speaker.turns >= TURNS)
    }
}

fn started_before(speaker: &Speaker, actor: Actor, number: u64) -> bool {
    if speaker.number.abs_diff(number) <= CLOSE {
        speaker.actor < actor
    } else {
        speaker.number > number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(7);
    const OLD: Actor = Actor(9);
    const NEW: Actor = Actor(1);

    fn twins() -> Twins {
        Twins::new(Duration(10))
    }

    /// Greetings at these times; which of them are refused.
    fn refused(greetings: &[(u64, Actor, u64)]) -> Vec<usize> {
        let mut twins = twins();
        let refused = greetings.iter().enumerate().filter(|(_, (time, actor, number))| {
            twins.is_later(Time(*time), NODE, *actor, *number)
        });
        refused.map(|(at, _)| at).collect()
    }

    #[test]
    fn a_restart_is_no_second_process() {
        assert_eq!(refused(&[(0, OLD, 50), (10, OLD, 51), (20, NEW, 1), (30, NEW, 2)]), []);
        // A greeting of the former life that comes late, and twice.
        let late = [(0, OLD, 50), (20, NEW, 1), (21, OLD, 51), (22, OLD, 51), (30, NEW, 2)];
        assert_eq!(refused(&late), []);
    }

    #[test]
    fn of_two_that_greet_in_turns_the_later_one_is_refused_and_no_other() {
        let (o, n) = (|t, number| (t, OLD, number), |t, number| (t, NEW, number));
        let turns =
            [o(0, 50), n(5, 1), o(10, 51), n(15, 2), o(20, 52), n(25, 3), o(30, 53), n(35, 4)];
        assert_eq!(refused(&turns), [5, 7]);
        // Whichever of them this node heard first.
        let turns = [n(0, 1), o(5, 51), n(10, 2), o(15, 52), n(20, 3), o(25, 53)];
        assert_eq!(refused(&turns), [4]);
    }

    #[test]
    fn who_is_left_alone_is_refused_no_more() {
        let (o, n) = (|t, number| (t, OLD, number), |t, number| (t, NEW, number));
        let end = [
            o(0, 50),
            n(5, 1),
            o(10, 51),
            n(15, 2),
            o(20, 52),
            n(25, 3),
            n(35, 4),
            n(45, 5),
            n(55, 6),
        ];
        assert_eq!(refused(&end), [5, 6, 7]);
    }

    #[test]
    fn of_two_that_started_together_one_is_refused() {
        let turns =
            [(0, OLD, 1), (1, NEW, 1), (10, OLD, 2), (11, NEW, 2), (20, OLD, 3), (21, NEW, 3)];
        assert_eq!(refused(&turns), [4]);
    }
}
