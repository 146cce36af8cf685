//! What a replica stores for a key: its object, and what it never sends.

use alloc::vec::Vec;

use crate::causality::{Acceptor, DebtChange, Object, Opened, Owed, Version};
use crate::id::NodeId;
use crate::time::Timestamp;

/// What a replica stores for a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The object.
    pub object: Object,
    /// The local note of the interval that this replica opened.
    pub opened: Option<Opened>,
    /// The owners that this replica stood in for, sorted. At most as many as a layout keeps copies.
    pub owed: Vec<Owed>,
    /// What this owner has promised and accepted of the key; none where no conditional put is under way or remembered.
    pub acceptor: Option<Acceptor>,
}

impl Stored {
    /// The versions whose values are kept: those of the object, and those of a proposal beside it.
    pub fn versions(&self) -> impl Iterator<Item = &Version> {
        let proposal = self.acceptor.as_ref().and_then(|acceptor| acceptor.proposal.as_ref());
        self.object.versions.iter().chain(proposal.into_iter().flat_map(|o| &o.versions))
    }

    /// As [`Stored::versions`], to be changed.
    pub fn versions_mut(&mut self) -> impl Iterator<Item = &mut Version> {
        let proposal = self.acceptor.as_mut().and_then(|acceptor| acceptor.proposal.as_mut());
        self.object.versions.iter_mut().chain(proposal.into_iter().flat_map(|o| &mut o.versions))
    }

    /// Takes over the bytes of equal values from `other`.
    pub fn adopt_bytes(&mut self, other: &Self) {
        for version in self.versions_mut() {
            for theirs in other.versions() {
                version.content.adopt(&theirs.content);
            }
        }
    }

    /// Owes the object to `owner` too. A debt that stands already keeps its age.
    pub fn owe(&mut self, owner: NodeId, since: Timestamp) {
        if let Err(at) = self.owed.binary_search_by_key(&owner, |owed| owed.owner) {
            self.owed.insert(at, Owed { owner, since, bytes: 0 });
        }
    }

    /// What `self`, written over `before`, changes of what is owed.
    #[must_use]
    pub fn debt_changes(&self, before: &Self) -> Vec<DebtChange> {
        let find = |stored: &Self, owner| stored.owed.iter().find(|o| o.owner == owner).copied();
        let mut owners: Vec<NodeId> =
            before.owed.iter().chain(&self.owed).map(|owed| owed.owner).collect();
        owners.sort_unstable();
        owners.dedup();
        owners
            .into_iter()
            .map(|owner| DebtChange {
                owner,
                before: find(before, owner),
                after: find(self, owner),
            })
            .filter(|change| change.before != change.after)
            .collect()
    }
}
