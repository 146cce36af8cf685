//! The node's part in moving data: a new owner copies its trees from all old owners, an old one hands over and drops its own,
//! and some member sees to it that the ring goes on to its next record once everybody is ready.
//!
//! A new owner counts for reads only after it has compared every key of a tree with every old owner that is not lost, by the
//! record by which it is a new owner. An old owner answers only by the record that it acts by, and acknowledges nothing that
//! was asked by the one before: so whatever a quorum of old owners has acknowledged before is found by the comparison, and
//! whatever is acknowledged later has reached a quorum of the new owners too.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::repair::Surveying;
use super::{Node, Saving};
use crate::anti_entropy::{Kind, Plan};
use crate::coordinator::ReplyTo;
use crate::id::{Key, NodeId};
use crate::io::Output;
use crate::keys::{Asker, Target};
use crate::leaving::{Leaving, Order};
use crate::message::client::{Code, Failure};
use crate::message::vote::Progress;
use crate::planted::{self, Bug};
use crate::record::{Kept, Phase, State};
use crate::replica::{Reassign, Step, StoreJob, Ticket};
use crate::ring::Tree;
use crate::store::StoreError;
use crate::survey::Surveyed;
use crate::time::{Duration, Now, Time};

/// How long a vote of the ring's own may take, before another one begins.
const VOTE: Duration = Duration::from_millis(5_000);

/// What a node has to copy and to drop.
#[derive(Debug)]
pub(super) struct Moves {
    /// Old owners that each tree is still to be copied from.
    to_copy: BTreeMap<Tree, BTreeSet<NodeId>>,
    /// Trees that are copied, which is not durable yet.
    unsaved: BTreeSet<Tree>,
    /// Trees that are dropped, which is not durable yet: a start would find them again.
    undropped: BTreeSet<Tree>,
    leaving: Leaving,
    /// Marks of a tree that is left are being forgotten.
    forgetting: Option<Ticket>,
    /// The operation that votes on the next record.
    voting: Option<u64>,
    /// With whom to begin.
    turn: usize,
}

impl Moves {
    pub(super) fn new(me: NodeId, kept: &Kept) -> Self {
        Self {
            to_copy: to_copy(me, kept),
            unsaved: BTreeSet::new(),
            undropped: BTreeSet::new(),
            leaving: Leaving::default(),
            forgetting: None,
            voting: None,
            turn: 0,
        }
    }

    pub(super) fn wake(&self) -> Time {
        self.leaving.wake()
    }

    /// Is nothing on its way to the disk?
    pub(super) fn is_idle(&self) -> bool {
        self.forgetting.is_none()
    }
}

/// The old owners that `me` still has to copy each of its new trees from.
fn to_copy(me: NodeId, kept: &Kept) -> BTreeMap<Tree, BTreeSet<NodeId>> {
    let sources = |tree: Tree| {
        let sources = kept.record.sources(me, tree).into_iter();
        let open = sources.filter(|source| !kept.copied.contains(&(tree, *source)));
        (tree, open.collect::<BTreeSet<NodeId>>())
    };
    kept.record.trees().map(sources).filter(|(_, open)| !open.is_empty()).collect()
}

impl Node {
    /// The ring has changed: what is to be copied is another thing.
    pub(super) fn moves_moved(&mut self, now: Now) {
        self.moves.to_copy = to_copy(self.boot.id, &self.ring.kept);
        self.moves.unsaved.clear();
        self.moves.leaving = Leaving::default();
        self.repair.due_by(now.time);
    }

    /// How far this node has come with the ring's record.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let counted = |name: &str| self.counters.get(name).copied().unwrap_or_default();
        let Self { ring, moves, .. } = self;
        Progress {
            version: ring.acting.version,
            to_copy: if planted::has(Bug::HastyCopy) {
                0
            } else {
                (moves.to_copy.len() + moves.unsaved.len()) as u64
            },
            // What it keeps for others has to go, too, before it may leave.
            to_drop: (ring.kept.dropping.len() + moves.undropped.len()) as u64
                + self.handoff.total().keys * u64::from(self.is_leaving()),
            keys: counted("keys_copied"),
            bytes: counted("bytes_copied"),
        }
    }

    /// Does it own nothing any more, and is to be left out of the members?
    pub(super) fn is_leaving(&self) -> bool {
        let State::Stable { leaving, .. } = &self.ring.acting.state else {
            return false;
        };
        leaving.iter().any(|member| member.id == self.boot.id)
    }

    /// Trees that this node still has to copy or to drop.
    #[must_use]
    pub fn left_to_move(&self) -> u64 {
        let Progress { to_copy, to_drop, .. } = self.progress();
        to_copy + to_drop
    }

    /// Is there something to copy or to hand over?
    pub(super) fn has_to_move(&self) -> bool {
        !self.moves.to_copy.is_empty()
            || (!self.ring.acting.is_changing() && !self.ring.kept.dropping.is_empty())
    }

    /// The next exchange that moves something.
    pub(super) fn next_move(&mut self, now: Now) -> Option<Plan> {
        self.moves.turn = self.moves.turn.wrapping_add(1);
        let turn = self.moves.turn;
        let (record, moves) = (&self.ring.acting, &self.moves);
        let near = |node| self.is_near(node, now.time);
        let (kind, tree, peer) = if record.phase() == Some(Phase::Copying) {
            let open = moves.to_copy.iter().flat_map(|(t, nodes)| nodes.iter().map(|n| (*t, *n)));
            // What is settled by a step from before this record may go yet, after it was compared.
            let ready = |(tree, node): &(Tree, NodeId)| near(*node) && !self.keys.settles_in(*tree);
            let open: Vec<(Tree, NodeId)> = open.filter(ready).collect();
            let (tree, peer) = open.get(turn.checked_rem(open.len())?).copied()?;
            (Kind::Copy, tree, peer)
        } else if !record.is_changing() {
            let dropping = &self.ring.kept.dropping;
            let (tree, peer) =
                moves.leaving.wanted(turn, dropping, |tree| record.readers(tree), near)?;
            (Kind::Give, tree, peer)
        } else {
            return None;
        };
        let (buckets, ring) = (self.buckets_by_copies(), record.ring());
        Some(Plan { peer, trees: [tree].into(), buckets, ring, kind })
    }

    /// All that the peer held of these trees is here.
    pub(super) fn on_copied(&mut self, now: Now, peer: NodeId, trees: &[Tree]) {
        for tree in trees {
            let Some(open) = self.moves.to_copy.get_mut(tree) else {
                continue;
            };
            open.remove(&peer);
            self.ring.kept.copied.insert((*tree, peer));
            if open.is_empty() {
                self.moves.to_copy.remove(tree);
                self.moves.unsaved.insert(*tree);
                self.count("trees_copied");
                // Durable with all that was copied, which was written before.
                self.save_ring(Saving::Copied(*tree));
            }
        }
        self.repair.due_by(now.time);
    }

    /// That a tree is copied is durable, or is not.
    pub(super) fn on_copied_saved(&mut self, tree: Tree, durable: bool) {
        if durable {
            self.moves.unsaved.remove(&tree);
        } else if self.moves.unsaved.remove(&tree) {
            let again = self.ring.acting.sources(self.boot.id, tree);
            self.ring.kept.copied.retain(|(copied, _)| *copied != tree);
            self.moves.to_copy.insert(tree, again.into_iter().collect());
        }
    }

    /// That a tree is dropped is durable, or is not: then it is to be dropped still, since a start would find it again.
    pub(super) fn on_dropped_saved(&mut self, tree: Tree, durable: bool) {
        self.moves.undropped.remove(&tree);
        if !durable && !self.ring.kept.record.owns(self.boot.id, tree) {
            self.ring.kept.dropping.insert(tree);
        }
    }

    /// The peer has all that this node holds of these trees.
    pub(super) fn on_given(&mut self, now: Now, peer: NodeId, trees: &[Tree]) {
        trees.iter().for_each(|tree| self.moves.leaving.given(*tree, peer));
        self.repair.due_by(now.time);
    }

    // Dropping

    /// Goes on dropping what all owners have been given.
    pub(super) fn advance_leaving(&mut self, now: Now) {
        let record = &self.ring.acting;
        let dropping = &self.ring.kept.dropping;
        if record.is_changing()
            || dropping.is_empty()
            || record.version != self.ring.kept.record.version
        {
            return;
        }
        let buckets = self.buckets_by_copies();
        let (keys, marks_rest) = (&self.keys, self.deletes.is_idle());
        let order = self.moves.leaving.advance(
            now.time,
            dropping,
            |tree| record.readers(tree),
            |tree| !keys.works_on(tree) && marks_rest,
            &buckets,
        );
        self.leave(order);
    }

    fn leave(&mut self, order: Option<Order>) {
        match order {
            Some(Order::Forget(tree)) => {
                let ticket = self.tickets.next();
                self.moves.forgetting = Some(ticket);
                let job = StoreJob::Forget(tree);
                self.outputs.push_back(Output::Store { ticket, job });
            }
            Some(Order::Look(survey)) => self.survey(Surveying::Leaving, survey),
            Some(Order::Drop(keys)) => {
                for key in keys {
                    if let Some(target) = self.target_of(key) {
                        self.keys.step(Asker::Leaving, target, Step::Leave, &mut self.tickets);
                    }
                }
            }
            Some(Order::Done(tree)) => {
                self.ring.kept.dropping.remove(&tree);
                self.moves.undropped.insert(tree);
                self.count("trees_dropped");
                self.save_ring(Saving::Dropped(tree));
            }
            None => {}
        }
    }

    /// Does this node not own a tree any more, and may still have marks that claim what it held?
    pub(super) fn may_have_marks(&self, tree: Tree) -> bool {
        let may =
            self.ring.kept.dropping.contains(&tree) && self.moves.leaving.may_have_marks(tree);
        may && !planted::has(Bug::DroppedUnderMarks)
    }

    /// Marks are forgotten, durably or not. Says whether the ticket was theirs.
    pub(super) fn on_forgotten(&mut self, now: Now, ticket: Ticket, durable: bool) -> bool {
        if self.moves.forgetting != Some(ticket) {
            return false;
        }
        self.moves.forgetting = None;
        self.moves.leaving.forgot(now.time, durable);
        self.repair.due_by(now.time);
        self.advance_leaving(now);
        true
    }

    /// A page of keys to drop.
    pub(super) fn on_leftover(&mut self, now: Now, result: Result<Surveyed, StoreError>) {
        let page = match result {
            Ok(Surveyed::Leftover { keys, upto }) => Some((keys, upto)),
            Ok(_) | Err(_) => None,
        };
        let buckets = self.buckets_by_copies();
        let order = self.moves.leaving.found(now.time, page, &buckets);
        self.leave(order);
    }

    /// A key is dropped, or could not be.
    pub(super) fn on_left_key(&mut self, now: Now) {
        let buckets = self.buckets_by_copies();
        let order = self.moves.leaving.dropped(now.time, &buckets);
        self.leave(order);
    }

    // Hints

    /// Who is to get what is owed to a node that does not own the key any more; none if it still does.
    pub(super) fn heirs(&self, owner: NodeId, tree: Tree) -> Option<Vec<NodeId>> {
        let record = &self.ring.acting;
        if record.owns(owner, tree) {
            return None;
        }
        // What this node owns itself stays here, and the other owners get it by exchange.
        let mine = record.owns(self.boot.id, tree);
        Some(if mine { Vec::new() } else { record.owners(tree) })
    }

    /// What is owed to a node that does not own the key any more is owed to its owners from now on.
    pub(super) fn reassign(&mut self, ask: u64, key: Key, from: NodeId, to: Vec<NodeId>) {
        self.count("hints_reassigned");
        match self.target_of(key) {
            Some(Target { key, position, rules, merge }) => {
                let step = Step::Reassign(Reassign { from, to });
                let target = Target { key, position, rules, merge };
                self.keys.step(Asker::Handoff(ask), target, step, &mut self.tickets);
            }
            None => self.handoff.settled(ask),
        }
    }

    // The next record

    /// Has everybody said what the next record waits for? If so, and it is this node's turn, has the members vote on it.
    pub(super) fn advance_ring(&mut self, now: Now) {
        let in_progress = |id: &u64| self.operations.contains_key(id);
        self.moves.voting = self.moves.voting.filter(in_progress);
        let record = &self.ring.acting;
        if self.moves.voting.is_some() || record.version != self.ring.kept.record.version {
            return;
        }
        let Some(next) = record.following() else {
            return;
        };
        let down = self.membership.down();
        let voters: BTreeSet<NodeId> = record.voters().into_iter().flatten().collect();
        let up = voters.into_iter().find(|node| !down.contains(node) && !record.is_gone(*node));
        if up != Some(self.boot.id) || !self.is_ready() {
            return;
        }
        let deadline = now.time.after(VOTE);
        if self.begin_vote(now, ReplyTo::Nobody, next, deadline).is_ok() {
            self.moves.voting = Some(self.next_operation);
        }
    }

    /// Is everybody ready for the record that follows?
    fn is_ready(&self) -> bool {
        let record = &self.ring.acting;
        let said = |node: NodeId| {
            let own = (node == self.boot.id).then(|| self.progress());
            let said = own.or_else(|| self.ring.progress.get(&node).copied());
            said.filter(|progress| progress.version == record.version)
        };
        match &record.state {
            State::Changing { phase, .. } => record
                .present()
                .into_iter()
                .all(|node| said(node).is_some_and(|p| *phase == Phase::Handing || p.to_copy == 0)),
            State::Stable { leaving, .. } => {
                leaving.iter().all(|member| said(member.id).is_some_and(|p| p.to_drop == 0))
            }
        }
    }

    /// May a change begin that does not wait for `gone`? Only when everybody else has dropped what the last one left.
    pub(super) fn check_settled(&self, gone: &[NodeId]) -> Result<(), Failure> {
        let version = self.ring.acting.version;
        for (id, member) in self.ring.acting.members() {
            let progress = self.ring.progress.get(&id).copied();
            let progress = if id == self.boot.id { Some(self.progress()) } else { progress };
            let settled = progress.is_some_and(|p| p.version == version && p.to_drop == 0);
            if !settled && !gone.contains(&id) {
                let text = alloc::format!(
                    "`{}` has not said that it has handed over all that it held before the last change; nothing was changed: \
                     wait until it has, or stage that it leaves or is replaced and is lost",
                    member.name
                );
                return Err(Failure::new(Code::Unavailable, text));
            }
        }
        Ok(())
    }
}
