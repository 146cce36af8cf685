//! What an owner pledges in a ballot: no word of it may leave before it is durable.

use kinfold_protocol::ballot::BallotStep;
use kinfold_protocol::causality::Ballot;
use kinfold_protocol::message::ballot::BallotReply;
use kinfold_protocol::message::peer::Message;
use kinfold_protocol::replica::{Job, Step, StoreJob, Task};

/// What an owner answers to a ballot, and has to hold to after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pledge {
    /// It will accept nothing earlier.
    Promise(Ballot),
    /// It has accepted what the ballot proposes.
    Acceptance(Ballot),
}

impl Pledge {
    /// What a job pledges, unless a later ballot was promised before.
    pub(crate) fn of(job: &StoreJob) -> Vec<Self> {
        let StoreJob::Key(Job { task: Task::Apply { steps, .. }, .. }) = job else {
            return Vec::new();
        };
        let pledge = |step: &Step| {
            let Step::Ballot(step) = step else { return None };
            match step {
                BallotStep::Prepare { ballot, .. } => Some(Self::Promise(*ballot)),
                BallotStep::Accept { ballot, .. } => Some(Self::Acceptance(*ballot)),
                BallotStep::Commit { .. } | BallotStep::Settle { .. } => None,
            }
        };
        steps.iter().filter_map(pledge).collect()
    }

    /// What a message tells a peer of.
    pub(crate) fn told_by(message: &Message) -> Option<Self> {
        let Message::Balloted { ballot, reply: Ok(reply), .. } = message else { return None };
        match reply {
            BallotReply::Promised { .. } => Some(Self::Promise(*ballot)),
            BallotReply::Accepted => Some(Self::Acceptance(*ballot)),
            BallotReply::Committed | BallotReply::Outbid(_) => None,
        }
    }
}
