//! An owner's steps in a ballot on one key. See [`Acceptor`] for what they are for.
//!
//! They run in the key's jobs like every other step, so a promise and the object that is answered with it are of one moment,
//! and both are durable before the answer leaves.

use crate::causality::{Acceptor, Ballot, Object, Stored};
use crate::config::Shape;
use crate::planted::{self, Bug};

/// A step of an owner in a ballot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BallotStep {
    /// Promise to accept nothing before `ballot`.
    Prepare {
        /// The ballot.
        ballot: Ballot,
        /// Are the bytes of the object's values wanted with the answer?
        bodies: bool,
    },
    /// Accept a proposal.
    Accept {
        /// The ballot.
        ballot: Ballot,
        /// The object as it would be.
        proposal: Object,
    },
    /// Join what was chosen.
    Commit {
        /// The ballot that chose it; none where it was chosen before.
        ballot: Option<Ballot>,
        /// What was chosen.
        object: Object,
    },
    /// Nothing of a ballot up to this one is listened to any more: forget it, if nothing came after it.
    Settle {
        /// The ballot.
        ballot: Ballot,
        /// Has every owner joined what it chose?
        by_all: bool,
    },
}

/// What an owner promised, and what it had accepted before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Promise {
    /// The latest ballot under which it had accepted something.
    pub accepted: Option<Ballot>,
    /// What it had accepted, with all bytes, unless its object has joined it.
    pub proposal: Option<Object>,
}

/// What became of a step in a ballot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BallotAnswer {
    /// The promise is made.
    Promised(Promise),
    /// The step is done.
    Done,
    /// A later ballot was promised: nothing changed.
    Outbid(Ballot),
}

impl BallotStep {
    /// Does the answer take the bytes of values that the disk holds?
    #[must_use]
    pub fn wants_bytes(&self) -> bool {
        match self {
            Self::Prepare { bodies, .. } => *bodies,
            Self::Accept { .. } | Self::Commit { .. } | Self::Settle { .. } => false,
        }
    }

    /// Carries the step out. All bytes of a proposal have to be at hand.
    pub fn apply(self, stored: &mut Stored, shape: Shape) -> BallotAnswer {
        match self {
            Self::Prepare { ballot, .. } => {
                let acceptor = stored.acceptor.get_or_insert_default();
                match acceptor.prepare(ballot) {
                    Ok(()) if planted::has(Bug::LostProposal) => {
                        BallotAnswer::Promised(Promise::default())
                    }
                    Ok(()) => BallotAnswer::Promised(Promise {
                        accepted: acceptor.accepted,
                        proposal: acceptor.proposal.clone(),
                    }),
                    Err(later) => BallotAnswer::Outbid(later),
                }
            }
            Self::Accept { ballot, proposal } => {
                match stored.acceptor.get_or_insert_default().accept(ballot, proposal) {
                    Ok(()) => BallotAnswer::Done,
                    Err(later) => BallotAnswer::Outbid(later),
                }
            }
            Self::Commit { ballot, object } => {
                match shape {
                    Shape::Siblings => stored.object.join(&object),
                    Shape::Lattice(tombstones) => stored.object.join_lattice(&object, tombstones),
                }
                if let Some(ballot) = ballot {
                    stored.acceptor.get_or_insert_default().commit(ballot);
                }
                BallotAnswer::Done
            }
            Self::Settle { ballot, by_all } => {
                if let Some(acceptor) = &mut stored.acceptor {
                    acceptor.settle(ballot, by_all);
                }
                BallotAnswer::Done
            }
        }
    }
}

/// Drops a proposal that the object has joined by another way, such as anti-entropy.
pub(crate) fn tidy(stored: &mut Stored) {
    if let Some(acceptor) = &mut stored.acceptor {
        acceptor.drop_if_joined(&stored.object);
        if *acceptor == Acceptor::default() {
            stored.acceptor = None;
        }
    }
}
