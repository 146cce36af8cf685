//! The node's part in deletes: its marks, its rounds, its greetings, and what the collector wants done.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::Node;
use super::repair::Surveying;
use crate::causality::{Digest, Marks};
use crate::collector::{Collector, Found};
use crate::config::{CollectLimits, Shape};
use crate::dots::Dots;
use crate::id::{Actor, BucketName, NodeId};
use crate::io::Output;
use crate::keys::Asker;
use crate::message::client::{DeleteStatus, HeldBack};
use crate::message::exchange::Answer;
use crate::message::peer::{Greeting, Message, Refusal};
use crate::planted::{self, Bug};
use crate::replica::{Step, StoreJob, Ticket};
use crate::ring::{Partition, Tree};
use crate::rounds::{Rounds, Word};
use crate::store::StoreError;
use crate::survey::Surveyed;
use crate::time::{Now, Time, Timestamp};
use crate::twins::Spoken;

/// Who is to be told when marks are durable.
#[derive(Debug)]
enum Raising {
    /// This node's own exchange, by the number of its question.
    Own(u64),
    /// A peer, by the number of its question.
    For(NodeId, u64),
    /// Nobody.
    Quietly,
}

/// What a node knows for the sake of deletes.
#[derive(Debug)]
pub(super) struct Deletes {
    pub(super) dots: Dots,
    rounds: Rounds,
    collector: Collector,
    raising: BTreeMap<Ticket, Raising>,
    /// What the other members said when they kept nothing, if they did.
    words: BTreeMap<NodeId, Option<Word>>,
    /// The present actors of the other members, as far as they said.
    actors: BTreeMap<NodeId, Actor>,
    /// The last greeting of each peer in this node's present life.
    heard: BTreeMap<NodeId, (Actor, u64)>,
    /// The number of this node's last greeting.
    greeting: u64,
    /// The catalogue of which the trees are known.
    catalogue: Option<Digest>,
}

impl Deletes {
    pub(super) fn new(
        limits: CollectLimits,
        peers: impl Iterator<Item = NodeId>,
        now: Time,
    ) -> Self {
        Self {
            dots: Dots::default(),
            rounds: Rounds::default(),
            collector: Collector::new(limits, now),
            raising: BTreeMap::new(),
            words: peers.map(|peer| (peer, None)).collect(),
            actors: BTreeMap::new(),
            heard: BTreeMap::new(),
            greeting: 0,
            catalogue: None,
        }
    }

    pub(super) fn wake(&self) -> Time {
        self.collector.wake()
    }

    pub(super) fn rest(&mut self) {
        self.collector.rest();
    }

    /// Are no marks on their way to the disk?
    pub(super) fn is_idle(&self) -> bool {
        self.raising.is_empty()
    }
}

impl Node {
    /// Up to which time all own writes are applied on this node's disk.
    fn upto(&self) -> Timestamp {
        self.deletes.dots.upto(self.boot.clock.last())
    }

    /// Goes on with the rounds, before a greeting is sent, and numbers that greeting.
    pub(super) fn before_greeting(&mut self, now: Now) {
        self.deletes.greeting += 1;
        self.know_trees();
        self.advance_rounds(now);
    }

    /// What goes with the greeting of a peer.
    pub(super) fn greeting(&self, peer: NodeId) -> Greeting {
        let heard = self.deletes.heard.get(&peer).copied();
        Greeting {
            actor: self.boot.life.actor,
            upto: self.upto(),
            clear: self.handoff.total().keys == 0 && self.ring.kept.dropping.is_empty(),
            number: self.deletes.greeting,
            heard,
            before: self.met_before(peer, heard.map(|(actor, _)| actor)),
        }
    }

    /// A peer greets.
    pub(super) fn on_greeting(&mut self, now: Now, from: NodeId, greeting: Greeting) {
        let Greeting { actor, upto, clear, number, heard, before } = greeting;
        let ours = heard.filter(|(me, _)| *me == self.boot.life.actor);
        let spoken = Spoken { actor, number, heard: ours.map_or(0, |(_, heard)| heard) };
        if self.twins.is_later(now.time, from, spoken, self.deletes.greeting) {
            // What it says of the node is not so: it is not the one that others reach.
            self.count("twins_refused");
            self.outputs.push_back(Output::Refuse { node: from, actor });
            return;
        }
        self.on_known_as(from, heard.map(|(actor, _)| actor), before);
        let last = self.deletes.heard.entry(from).or_insert((actor, number));
        if last.0 != actor || last.1 < number {
            *last = (actor, number);
        }
        if self.meet(from, actor) && self.is_member() {
            // It may not know that it had a life before, and has to before it answers anything.
            self.greet(now, from);
        }
        self.deletes.actors.insert(from, actor);
        let (Some((me, heard)), Some(word)) = (heard, self.deletes.words.get_mut(&from)) else {
            return;
        };
        let is_later = word.is_none_or(|word| word.heard < heard);
        if clear && me == self.boot.life.actor && is_later {
            *word = Some(Word { actor, upto, heard });
        }
    }

    /// The ring has changed: these are the other members, and all rounds begin anew with them.
    pub(super) fn deletes_moved(&mut self, others: &[NodeId]) {
        let Deletes { words, actors, heard, rounds, catalogue, greeting, .. } = &mut self.deletes;
        words.retain(|node, _| others.contains(node));
        actors.retain(|node, _| others.contains(node));
        heard.retain(|node, _| others.contains(node));
        self.boot.met.retain(|node, _| others.contains(node));
        for node in others {
            words.entry(*node).or_insert(None);
        }
        rounds.begin_anew(*greeting + 1);
        *catalogue = None;
        self.know_trees();
    }

    /// Finds out of which trees this node has a whole copy, when the buckets or the ring have changed.
    fn know_trees(&mut self) {
        let catalogue = self.boot.catalogue.digest();
        if self.deletes.catalogue == Some(catalogue) {
            return;
        }
        self.deletes.catalogue = Some(catalogue);
        let copies: BTreeSet<u8> = self.buckets_by_copies().into_keys().collect();
        let partitions = (0..self.ring.acting.ring().partitions()).map(Partition);
        let trees = partitions.flat_map(|partition| {
            copies.iter().map(move |copies| Tree { partition, copies: *copies })
        });
        let owned: Vec<Tree> = trees.filter(|tree| self.owns(*tree)).collect();
        self.deletes.rounds.own(owned, self.deletes.greeting);
    }

    fn owns(&self, tree: Tree) -> bool {
        self.ring.acting.holds(self.boot.id, tree)
    }

    pub(super) fn advance_rounds(&mut self, now: Now) {
        if self.ring.acting.is_changing() {
            // A new owner may hold what no other one does.
            return;
        }
        let (record, me) = (&self.ring.acting, self.boot.id);
        let others = |tree: Tree| -> BTreeSet<NodeId> {
            record.readers(tree).into_iter().filter(|owner| *owner != me).collect()
        };
        let Deletes { rounds, words, greeting, .. } = &mut self.deletes;
        let clock = self.boot.clock.last();
        let marks = rounds.advance(now.time, clock, words, *greeting + 1, others);
        if !marks.is_empty() {
            self.raise(marks, Raising::Quietly);
        }
    }

    /// Raises the mark of this node's own actor where it has written.
    pub(super) fn raise_own(&mut self) {
        let upto = self.upto();
        let mark: Marks = [(self.boot.life.actor, upto)].into_iter().collect();
        let fresh = self.deletes.dots.take_fresh(upto);
        let marks: Vec<_> = fresh.filter(|t| self.owns(*t)).map(|t| (t, mark.clone())).collect();
        if !marks.is_empty() {
            self.raise(marks, Raising::Quietly);
        }
    }

    fn raise(&mut self, mut marks: Vec<(Tree, Marks)>, whose: Raising) {
        if planted::has(Bug::BareMarks) {
            let further = |(actor, at): (_, Timestamp)| (actor, Timestamp(at.0 + 5_000_000));
            marks.iter_mut().for_each(|(_, marks)| *marks = marks.iter().map(further).collect());
        }
        let ticket = self.tickets.next();
        self.deletes.raising.insert(ticket, whose);
        self.outputs.push_back(Output::Store { ticket, job: StoreJob::Raise(marks) });
    }

    /// Raises marks for this node's own exchange.
    pub(super) fn raise_for_exchange(&mut self, number: u64, marks: Vec<(Tree, Marks)>) {
        self.raise(marks, Raising::Own(number));
    }

    /// A peer that has exchanged trees with this node tells marks.
    pub(super) fn on_marks(
        &mut self,
        now: Now,
        from: NodeId,
        ask: u64,
        actor: Actor,
        mut marks: Vec<(Tree, Marks)>,
    ) {
        if actor != self.boot.life.actor {
            let answer = Err(Refusal::AnotherLife);
            return self.send(now, from, Message::Exchanged { ask, answer });
        }
        marks.retain(|(tree, _)| self.owns(*tree));
        self.raise(marks, Raising::For(from, ask));
    }

    /// Marks are durable, or are not. Says whether the ticket was theirs.
    pub(super) fn on_raised(
        &mut self,
        now: Now,
        ticket: Ticket,
        result: Result<(), StoreError>,
    ) -> bool {
        match self.deletes.raising.remove(&ticket) {
            Some(Raising::Own(number)) => self.tell_raised(now, number, result.is_ok()),
            Some(Raising::For(to, ask)) => {
                let answer = result.map(|()| Answer::Marks).map_err(|e| super::refusal_of(&e));
                self.send(now, to, Message::Exchanged { ask, answer });
            }
            Some(Raising::Quietly) => {}
            None => return false,
        }
        true
    }

    /// These trees are alike here and at the peer, after an exchange that began then.
    pub(super) fn on_alike(&mut self, now: Now, peer: NodeId, begun: Time, trees: &[Tree]) {
        self.heal(peer, trees);
        self.deletes.rounds.exchanged(peer, begun, trees);
        self.advance_rounds(now);
    }

    /// The next page for the collector, if one is due.
    pub(super) fn advance_collector(&mut self, now: Now) {
        if self.deletes.wake() > now.time {
            return;
        }
        let buckets = self.buckets_by_copies();
        let busy = !self.operations.is_empty();
        let Deletes { collector, rounds, .. } = &mut self.deletes;
        if let Some((tree, survey)) = collector.advance(now.time, busy, rounds.trees(), &buckets) {
            self.survey(Surveying::Collector(tree), survey);
        }
    }

    /// A page for the collector.
    pub(super) fn on_left(&mut self, now: Now, tree: Tree, result: Result<Surveyed, StoreError>) {
        let Ok(Surveyed::Left(left)) = result else {
            self.deletes.collector.failed();
            return;
        };
        self.count_more("keys_looked_through", left.seen);
        let catalogue = &self.boot.catalogue;
        let folds = |bucket: &BucketName| {
            let shape = catalogue.bucket(bucket).map(|config| config.mode.shape());
            matches!(shape, Some(Shape::Lattice(_)))
        };
        let Deletes { collector, rounds, .. } = &mut self.deletes;
        let Found { steps, open } = collector.found(now.wall, left, rounds.done(tree), folds);
        for dot in open.into_iter().filter(|dot| dot.actor != self.boot.life.actor) {
            rounds.want(tree, dot);
        }
        for (key, collect) in steps {
            if let Some(target) = self.target_of(key) {
                let step = Step::Collect(collect);
                self.keys.step(Asker::Collector, target, step, &mut self.tickets);
            }
        }
    }

    /// What waits to be collected, and for whom.
    pub(super) fn delete_status(&self) -> DeleteStatus {
        let Deletes { collector, rounds, words, actors, .. } = &self.deletes;
        let waiting = collector.waiting();
        let node_of = |actor: Actor| {
            let own = (actor == self.boot.life.actor).then_some(self.boot.id);
            own.or_else(|| actors.iter().find(|(_, a)| **a == actor).map(|(node, _)| *node))
        };
        let held = waiting.held.iter().map(|(actor, tombstones)| HeldBack {
            actor: *actor,
            node: node_of(*actor),
            tombstones: *tombstones,
        });
        DeleteStatus {
            waiting: waiting.tombstones,
            stable: waiting.young,
            held: held.collect(),
            rounds_wait_for: rounds.waits_for(words).into_iter().collect(),
        }
    }
}
