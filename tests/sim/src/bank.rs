//! The bug bank: every planted bug has a lane that catches it.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use kinfold_protocol::planted::Bug;

use crate::run::run;
use crate::storm;

/// Where a planted bug is caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// By the checkers, in seeds of whole clusters.
    Seeds,
    /// By the checkers `linearizable` and `contract`, in seeds of a storm of conditional puts.
    Storm,
    /// It takes a coincidence, which this test of the simulator sets up.
    Stage(&'static str),
    /// It is made around the core, where the simulator has none of it: by this test of the node.
    Node(&'static str),
}

/// The lane that catches a bug.
#[must_use]
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "most are caught by seeds, and the bank's tests say if one is not"
)]
pub fn lane(bug: Bug) -> Lane {
    match bug {
        Bug::PromiseNotDurable
        | Bug::AcceptanceNotDurable
        | Bug::BrokenPromise
        | Bug::RefusalAsAccept
        | Bug::LostProposal
        | Bug::HalfIsMajority => Lane::Storm,
        Bug::CopyNotDurable => Lane::Stage("availability::a_hint_counts_once_it_is_durable"),
        Bug::FallbackAsOwner => Lane::Stage("availability::a_fallback_is_no_owner"),
        Bug::UnsyncedRead => Lane::Stage("availability::what_was_read_survives_a_power_cut"),
        Bug::ForgottenRequest => {
            Lane::Stage("causality::a_request_that_is_tried_again_is_made_once")
        }
        Bug::VersionVector => Lane::Stage(
            "causality::a_coordinator_whose_disk_was_wiped_writes_beside_what_the_others_hold",
        ),
        Bug::StaleLayout => Lane::Stage("ring::nobody_takes_a_write_by_an_older_layout"),
        Bug::DroppedUnderMarks => Lane::Stage("ring::a_hint_that_goes_under_marks_is_caught"),
        Bug::HastyCopy => Lane::Stage("ring::a_new_owner_that_counts_too_early_is_caught"),
        Bug::EarlyCollect => {
            Lane::Stage("deletes::a_tombstone_waits_until_its_past_lies_within_the_marks")
        }
        Bug::UnnoticedLoss => {
            Lane::Stage("damage::who_has_lost_something_does_not_say_that_it_is_not_there")
        }
        Bug::ForgottenPeers => {
            Lane::Stage("damage::an_empty_disk_is_found_out_though_all_others_were_started_anew")
        }
        Bug::KeptMarks => Lane::Stage("damage::marks_over_what_is_lost_are_forgotten"),
        Bug::EarlyData => Lane::Node("early_data_is_never_offered"),
        _ => Lane::Seeds,
    }
}

/// How a bug was caught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catch {
    /// After how many seeds.
    pub seeds: u64,
    /// By which checkers.
    pub checkers: BTreeSet<&'static str>,
}

/// Tries seeds, from 0 on, until the bug is caught. None if it is not, or has a test of its own.
#[must_use]
pub fn catch(bug: Bug, most: u64) -> Option<Catch> {
    (0..most).find_map(|seed| {
        let checkers: BTreeSet<&'static str> = match lane(bug) {
            Lane::Seeds => {
                let violations = run(seed, Some(bug), false).violations;
                violations.iter().map(|violation| violation.checker).collect()
            }
            Lane::Storm => {
                let violations = storm::run(seed, Some(bug));
                violations.iter().map(|violation| violation.checker).collect()
            }
            Lane::Stage(_) | Lane::Node(_) => return None,
        };
        (!checkers.is_empty()).then_some(Catch { seeds: seed + 1, checkers })
    })
}

/// A third of the bugs: every third one, from this one on.
pub fn third(first: usize) -> impl Iterator<Item = Bug> {
    Bug::ALL.iter().copied().skip(first).step_by(3)
}

/// One line of the table of the bank.
#[derive(Debug)]
pub struct Row {
    /// The bug.
    pub bug: Bug,
    /// How it was caught, if it was tried and was.
    pub catch: Option<Catch>,
}

/// The head of the table of the bank.
pub const HEAD: &str =
    "| bug | the slip | lane | seeds | checkers |\n| --- | --- | --- | --- | --- |";

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bug, catch } = self;
        let slip = bug.slip().trim_end_matches('.');
        let slip = slip
            .chars()
            .next()
            .into_iter()
            .flat_map(char::to_lowercase)
            .chain(slip.chars().skip(1));
        write!(f, "| {} | ", bug.name())?;
        slip.into_iter().try_for_each(|letter| f.write_char(letter))?;
        match (lane(*bug), catch) {
            (Lane::Stage(test), _) => write!(f, " | `sim {test}` | 1 | |"),
            (Lane::Node(test), _) => write!(f, " | `kinfold-host {test}` | 1 | |"),
            (_, None) => write!(f, " | NOT CAUGHT | | |"),
            (lane, Some(Catch { seeds, checkers })) => {
                let lane = if lane == Lane::Storm { "storm" } else { "seeds" };
                let checkers: Vec<&str> = checkers.iter().copied().collect();
                write!(f, " | {lane} | {seeds} | {} |", checkers.join(", "))
            }
        }
    }
}
