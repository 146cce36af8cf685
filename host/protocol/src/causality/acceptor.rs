//! What an owner has promised and accepted of a key: the acceptor of CASPaxos (Rystsov 2018).
//!
//! A conditional put is decided by ballots. Its coordinator asks a majority of the owners to *promise* that they accept
//! nothing under an earlier ballot, learns what they have accepted, and has a majority *accept* what it makes of that. What a
//! majority has accepted is *chosen*: each later ballot meets it at one owner at least, and builds on it. What only a minority
//! has accepted may have been overtaken, so a proposal stands beside the object, and joins it once it is known to be chosen.

use crate::causality::{Dot, Object};
use crate::planted::{self, Bug};

/// The number of a ballot: a reading of its coordinator's clock, so it is unique and later than all that its coordinator had
/// seen. A conditional put makes its version under the dot of the ballot that proposes it.
pub type Ballot = Dot;

/// What an owner has promised and accepted of a key, or a voter of the ring's next record. Durable before it is answered, and
/// never sent but in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptor<P = Object> {
    /// Nothing is accepted under a ballot before this one.
    pub promised: Option<Ballot>,
    /// The latest ballot under which something was accepted here, or of which it is known that it chose what the object has
    /// joined.
    pub accepted: Option<Ballot>,
    /// What was accepted under that ballot: the whole object as it would be. None once the object has joined it.
    pub proposal: Option<P>,
}

impl<P> Default for Acceptor<P> {
    fn default() -> Self {
        Self { promised: None, accepted: None, proposal: None }
    }
}

impl<P> Acceptor<P> {
    /// Promises to accept nothing before `ballot`.
    ///
    /// # Errors
    /// A later ballot that this was promised for already.
    pub fn prepare(&mut self, ballot: Ballot) -> Result<(), Ballot> {
        match self.promised {
            Some(promised) if promised > ballot && !planted::has(Bug::BrokenPromise) => {
                Err(promised)
            }
            Some(_) | None => {
                self.promised = Some(ballot);
                Ok(())
            }
        }
    }

    /// Accepts `proposal` under `ballot`. A second time changes nothing: by then the object may have joined it.
    ///
    /// # Errors
    /// As of [`Acceptor::prepare`].
    pub fn accept(&mut self, ballot: Ballot, proposal: P) -> Result<(), Ballot> {
        self.prepare(ballot)?;
        if self.accepted != Some(ballot) {
            self.accepted = Some(ballot);
            self.proposal = Some(proposal);
        }
        Ok(())
    }
}

impl Acceptor {
    /// The object has joined what `ballot` chose. What was accepted before is overtaken or part of it.
    pub fn commit(&mut self, ballot: Ballot) {
        if self.accepted <= Some(ballot) {
            self.promised = self.promised.max(Some(ballot));
            self.accepted = Some(ballot);
            self.proposal = None;
        }
    }

    /// Drops the proposal if this object has joined it: then it was chosen, since nothing else is joined.
    pub fn drop_if_joined(&mut self, object: &Object) {
        if self.proposal.as_ref().is_some_and(|proposal| object.has_seen_all(&proposal.context)) {
            self.proposal = None;
        }
    }

    /// No message of a ballot up to this one is listened to any more, and it was the last one: forgets its promise, and, if
    /// all owners have joined what it chose, that it chose it. As long as one has not, it may hold a proposal that was
    /// overtaken, which only the number of the later ballot tells from one that was chosen.
    pub fn settle(&mut self, ballot: Ballot, by_all: bool) {
        if self.promised == Some(ballot) && self.proposal.is_none() {
            if by_all && self.accepted == Some(ballot) {
                self.accepted = None;
            }
            self.promised = self.accepted;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causality::Context;
    use crate::id::Actor;
    use crate::time::Timestamp;

    fn ballot(time: u64) -> Ballot {
        Dot { time: Timestamp(time), actor: Actor(1) }
    }

    fn proposal(time: u64) -> Object {
        Object { context: Context::of(ballot(time)), ..Object::default() }
    }

    #[test]
    fn a_promise_keeps_earlier_ballots_out_and_no_later_one() {
        let mut acceptor = Acceptor::default();
        assert_eq!(acceptor.prepare(ballot(5)), Ok(()));
        assert_eq!(acceptor.prepare(ballot(4)), Err(ballot(5)));
        assert_eq!(acceptor.accept(ballot(4), proposal(4)), Err(ballot(5)));
        assert_eq!(acceptor.accept(ballot(5), proposal(5)), Ok(()));
        assert_eq!(acceptor.accept(ballot(7), proposal(7)), Ok(()), "no promise is needed");
        assert_eq!(acceptor.prepare(ballot(6)), Err(ballot(7)));
        assert_eq!(acceptor.proposal, Some(proposal(7)));
    }

    #[test]
    fn what_is_joined_is_not_proposed_again_and_its_ballot_is_remembered() {
        let mut acceptor = Acceptor::default();
        acceptor.accept(ballot(5), proposal(5)).unwrap();
        acceptor.commit(ballot(4));
        assert_eq!(acceptor.proposal, Some(proposal(5)), "an earlier ballot says nothing of it");
        acceptor.drop_if_joined(&proposal(4));
        assert_eq!(acceptor.proposal, Some(proposal(5)));
        acceptor.drop_if_joined(&proposal(5));
        assert_eq!(acceptor.proposal, None);
        acceptor.accept(ballot(5), proposal(5)).unwrap();
        assert_eq!(acceptor.proposal, None, "a late copy of the question");
        acceptor.commit(ballot(6));
        assert_eq!(acceptor.accepted, Some(ballot(6)), "it was chosen without this owner");
    }

    #[test]
    fn a_ballot_is_forgotten_when_all_have_what_it_chose_and_none_came_after() {
        let mut acceptor = Acceptor::default();
        acceptor.accept(ballot(5), proposal(5)).unwrap();
        acceptor.settle(ballot(5), true);
        assert!(acceptor.proposal.is_some(), "this one has not");
        acceptor.commit(ballot(5));
        acceptor.settle(ballot(4), true);
        acceptor.settle(ballot(5), false);
        assert_eq!(acceptor.accepted, Some(ballot(5)));
        acceptor.settle(ballot(5), true);
        assert_eq!(acceptor, Acceptor::default());
        acceptor.commit(ballot(6));
        acceptor.prepare(ballot(7)).unwrap();
        acceptor.settle(ballot(7), false);
        assert_eq!((acceptor.promised, acceptor.accepted), (Some(ballot(6)), Some(ballot(6))));
    }
}
