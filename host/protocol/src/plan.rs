//! What a change of the ring would come to: a pure function of the ring's record and of what is staged.
//!
//! An operator is shown a plan, and commits it by its digest: what was computed from anything else has another one, so a commit
//! makes exactly the plan that was shown, or says that it is out of date.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::catalogue::{Catalogue, MemberChange};
use crate::causality::Digest;
use crate::cbor;
use crate::id::NodeId;
use crate::layout::{Layout, LayoutError, Member};
use crate::record::{Record, State};

/// Copies that are kept once there are as many members.
pub const COPIES: u8 = 3;

/// A change that would be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The version of the record that it starts from.
    pub version: u64,
    /// The layout of that record.
    pub old: Layout,
    /// The layout to come.
    pub new: Layout,
    /// Members that are lost, and not waited for.
    pub gone: Vec<NodeId>,
}

/// A plan that can't be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A change is in progress.
    #[error("a change of the ring is in progress already: wait until it is over, or abort it")]
    Changing,
    /// Nodes still hold what they do not own any more.
    #[error(
        "node {0} has not yet handed over all that it held before the last change: wait until it has"
    )]
    Leaving(NodeId),
    /// Nothing is staged.
    #[error("nothing is staged: stage a change of the members first")]
    Nothing,
    /// A change of a node that is no member.
    #[error("node {0} is no member")]
    NoMember(NodeId),
    /// A node that is a member already.
    #[error("node {0} is a member already")]
    Member(NodeId),
    /// Two members of one name.
    #[error(
        "two members would be called `{0}`: a node of the same name with another disk is another node, which replaces the old one"
    )]
    Name(String),
    /// Fewer members than copies that a bucket keeps.
    #[error(
        "the layout would keep {copies} copies, and a bucket keeps {needed}: {needed} members have to stay"
    )]
    TooFew {
        /// Copies that the new layout would keep.
        copies: u8,
        /// The most copies that a bucket keeps.
        needed: u8,
    },
    /// The members can't own anything together.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

impl Plan {
    /// What is staged would come to this.
    ///
    /// # Errors
    /// [`PlanError`] says why it can't be done.
    pub fn of(record: &Record, catalogue: &Catalogue) -> Result<Self, PlanError> {
        let State::Stable { layout: old, leaving } = &record.state else {
            return Err(PlanError::Changing);
        };
        if let Some(member) = leaving.first() {
            return Err(PlanError::Leaving(member.id));
        }
        let mut draft = Draft {
            members: old.members().iter().map(|m| (m.id, m.clone())).collect(),
            previous: old.clone(),
            gone: Vec::new(),
        };
        let staged = catalogue.staged().iter().filter(|(_, entry)| entry.change == record.change);
        let staged = staged.filter_map(|(id, entry)| Some((*id, entry.what.clone()?)));
        let staged: Vec<(NodeId, MemberChange)> = staged.collect();
        if staged.is_empty() {
            return Err(PlanError::Nothing);
        }
        for (id, change) in staged {
            draft.apply(id, change)?;
        }
        let Draft { members, previous, gone } = draft;
        let members: Vec<Member> = members.into_values().collect();
        let mut names: Vec<&str> = members.iter().map(|m| m.name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(PlanError::Name(pair[0].into()));
        }
        let copies = old.copies().max(COPIES);
        let new = Layout::compute(members, old.ring(), copies, Some(&previous))?;
        let needed = catalogue.buckets().values().map(|entry| entry.config.n).max().unwrap_or(1);
        if new.copies() < needed {
            return Err(PlanError::TooFew { copies: new.copies(), needed });
        }
        Ok(Self { version: record.version, old: old.clone(), new, gone })
    }

    /// What this plan is called by whoever was shown it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&cbor::encode(self))
    }
}

/// Members in the making.
struct Draft {
    members: BTreeMap<NodeId, Member>,
    /// The layout before, with whoever is replaced under the other's name.
    previous: Layout,
    gone: Vec<NodeId>,
}

impl Draft {
    fn apply(&mut self, id: NodeId, change: MemberChange) -> Result<(), PlanError> {
        if let MemberChange::Join(member) = change {
            return match self.members.insert(member.id, member) {
                Some(member) => Err(PlanError::Member(member.id)),
                None => Ok(()),
            };
        }
        let member = self.members.get_mut(&id).ok_or(PlanError::NoMember(id))?;
        match change {
            MemberChange::Join(_) => {}
            MemberChange::SetZone(zone) => member.zone = zone,
            MemberChange::SetCapacity(capacity) => member.capacity = capacity,
            MemberChange::Leave { lost } => {
                self.members.remove(&id);
                self.gone.extend(lost.then_some(id));
            }
            MemberChange::Replace { by, lost } => {
                self.members.remove(&id);
                self.gone.extend(lost.then_some(id));
                self.previous = self.previous.clone().replaced(id, by.clone());
                if let Some(member) = self.members.insert(by.id, by) {
                    return Err(PlanError::Member(member.id));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::StagedEntry;
    use crate::causality::Dot;
    use crate::config::MAX_COPIES;
    use crate::id::Actor;
    use crate::ring::{Partition, Ring};
    use crate::time::Timestamp;
    use alloc::format;

    fn member(n: u64) -> Member {
        Member {
            id: NodeId(n),
            name: format!("n{n}"),
            address: format!("127.0.0.1:{n}"),
            zone: "z".into(),
            capacity: 1,
        }
    }

    fn record() -> Record {
        let members = (1..=4).map(member).collect();
        Record::founding(Layout::compute(members, Ring::new(32).unwrap(), 3, None).unwrap())
    }

    fn staged(changes: &[(u64, MemberChange)]) -> Catalogue {
        let mut catalogue = Catalogue::default();
        for (n, change) in changes {
            let version = Dot { time: Timestamp(1), actor: Actor(1) };
            let what = Some(change.clone());
            catalogue.stage(NodeId(*n), StagedEntry { version, change: 0, what });
        }
        catalogue
    }

    #[test]
    fn a_replaced_member_hands_all_of_its_own_to_the_other_and_nothing_else_moves() {
        let record = record();
        let by = MemberChange::Replace { by: member(9), lost: true };
        let plan = Plan::of(&record, &staged(&[(2, by)])).unwrap();
        assert_eq!(plan.gone, [NodeId(2)]);
        for partition in (0..32).map(Partition) {
            let renamed = |id| if id == NodeId(2) { NodeId(9) } else { id };
            let mut before: Vec<_> = plan.old.owners(partition, MAX_COPIES).map(renamed).collect();
            let mut after: Vec<_> = plan.new.owners(partition, MAX_COPIES).collect();
            before.sort_unstable();
            after.sort_unstable();
            assert_eq!(before, after);
        }
    }

    #[test]
    fn a_plan_of_anything_else_has_another_digest_and_what_can_t_be_is_refused() {
        let record = record();
        let join = |n| (n, MemberChange::Join(member(n)));
        let one = Plan::of(&record, &staged(&[join(5)])).unwrap();
        let two = Plan::of(&record, &staged(&[join(5), join(6)])).unwrap();
        assert_ne!(one.digest(), two.digest());
        assert_eq!(one.digest(), Plan::of(&record, &staged(&[join(5)])).unwrap().digest());
        let plan = |changes: &[(u64, MemberChange)]| Plan::of(&record, &staged(changes));
        assert_eq!(plan(&[]), Err(PlanError::Nothing));
        assert_eq!(plan(&[join(4)]), Err(PlanError::Member(NodeId(4))));
        let leave = MemberChange::Leave { lost: false };
        assert_eq!(plan(&[(7, leave)]), Err(PlanError::NoMember(NodeId(7))));
        let again = Member { id: NodeId(8), ..member(1) };
        assert_eq!(plan(&[(8, MemberChange::Join(again))]), Err(PlanError::Name("n1".into())));
        let begun = record.begun(one.new.clone(), Vec::new()).unwrap();
        assert_eq!(Plan::of(&begun, &staged(&[join(5)])), Err(PlanError::Changing));
    }
}
