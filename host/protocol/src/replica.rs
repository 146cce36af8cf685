//! What one replica does to one key: plain synchronous code over the [`Store`] port.
//!
//! It runs on a storage thread in production and inline in the simulator. The node never has two jobs that write the same
//! key at one time, so reading, deciding and writing here is atomic. What waits for a key is applied in one job and one
//! write, which is why a hot key gets cheaper per write.
//!
//! A job can't call a plugin. Where the versions of a lattice object have to be folded, or a resolver's put finds too many
//! siblings, the job stops before its write and hands the object out; the node has it merged, off this thread, and comes back
//! with a second job while the key still waits.

mod job;

use alloc::vec::Vec;

use crate::ballot;
use crate::causality::{Content, Context, DebtChange, Dot, Interval, Marks, Object, Version};
use crate::config::{Shape, Tombstones};
use crate::id::Key;
use crate::ledger::{self, Discarded};
use crate::merge;
use crate::planted::{self, Bug};
use crate::ring::Position;
use crate::store::{Bodies, DueChange, Store, StoreError, Stored, Write};
use crate::time::Timestamp;
use crate::tree;

pub use job::{
    Answer, Applied, Collect, HandedOver, Job, Outcome, Put, Reassign, Rules, StandsIn, Step,
    StoreJob, Task, Ticket,
};

/// Runs one job.
///
/// # Errors
/// [`StoreError`]: nothing was written by this job, except, for [`Outcome::Crowded`], nothing at all.
pub fn execute(job: Job, store: &mut impl Store) -> Result<Outcome, StoreError> {
    let Job { key, position, task } = job;
    match task {
        Task::Read { bodies } => {
            // The marks first: what they say must be true of the object.
            let mut marks = store.marks(position.tree)?;
            if planted::has(Bug::ForgottenFill) {
                marks = Marks::default();
            }
            let mut stored = store.read(&key, position, bodies)?.unwrap_or_default();
            stored.object.marks = marks;
            Ok(Outcome::Read(Some(stored)))
        }
        Task::Apply { rules, steps } => {
            let mut marks = store.marks(position.tree)?;
            let collects = steps.iter().any(|step| matches!(step, Step::Collect(_)));
            if planted::has(Bug::ForgottenFill) && !collects {
                marks = Marks::default();
            }
            let mut before = store.read(&key, position, Bodies::Heads)?.unwrap_or_default();
            before.object.marks = marks;
            let discarded = Vec::new();
            let desk = Desk { key, position, rules, before, store, discarded };
            match rules.shape {
                Shape::Siblings => desk.apply_siblings(steps),
                Shape::Lattice(tombstones) => desk.apply_lattice(steps, tombstones),
            }
        }
        Task::Replace { stored } => {
            let before = store.read(&key, position, Bodies::Heads)?.unwrap_or_default();
            let object = stored.object.clone();
            let debts = write(store, key, position, &before, stored)?;
            Ok(Outcome::Applied(Applied {
                object,
                answers: Vec::new(),
                debts,
                discarded: Vec::new(),
            }))
        }
    }
}

/// One key on the desk: what was read, and what may be done with it.
struct Desk<'s, S> {
    key: Key,
    position: Position,
    rules: Rules,
    before: Stored,
    store: &'s mut S,
    discarded: Vec<Discarded>,
}

impl<S: Store> Desk<'_, S> {
    fn apply_siblings(mut self, steps: Vec<Step>) -> Result<Outcome, StoreError> {
        let mut stored = self.before.clone();
        let mut answers = Vec::with_capacity(steps.len());
        let mut steps = steps.into_iter();
        let mut has_put = wants_bytes(steps.as_slice());
        self.fetch_proposal(&mut stored)?;
        while let Some(step) = steps.next() {
            let (was, cause) = (stored.object.versions.clone(), step.cause());
            match step {
                Step::Join(theirs) => {
                    if planted::has(Bug::BlindJoin) {
                        stored.object = Object::default();
                    }
                    stored.object.join(&theirs);
                    answers.push(Answer::Done);
                }
                Step::Keep(theirs, StandsIn { owner, since }) => {
                    stored.object.join(&theirs);
                    // Nobody hands this node marks of a tree that it does not own: what they say goes with the object.
                    for (actor, to) in theirs.marks.latest(Marks::IN_MESSAGE).iter() {
                        let from = Timestamp(1);
                        stored.object.context.insert(Interval { actor, from, to });
                    }
                    stored.owe(owner, since);
                    answers.push(Answer::Done);
                }
                Step::Collect(collect) => {
                    // What is written is stripped in any case.
                    let collected = collect.may_go(&stored, &self.before.object.marks);
                    if collected {
                        self.clear(&mut stored);
                    }
                    answers.push(if collected { Answer::Collected } else { Answer::Done });
                }
                Step::HandedOver(handed) => {
                    handed.settle(&mut stored);
                    answers.push(Answer::Done);
                }
                Step::Expire(upto) => {
                    stored.object.expire(upto);
                    answers.push(Answer::Done);
                }
                Step::Reassign(reassign) => {
                    reassign.apply(&mut stored);
                    answers.push(Answer::Done);
                }
                Step::Leave => {
                    self.leave(&mut stored);
                    answers.push(Answer::Done);
                }
                Step::Ballot(step) => {
                    answers.push(Answer::Ballot(step.apply(&mut stored, self.rules.shape)));
                }
                Step::Put(put) => {
                    has_put = true;
                    let refusal = self.refusal(&stored.object, &put);
                    match refusal {
                        Some(Answer::TooManySiblings { .. }) if self.rules.can_merge => {
                            let rest = steps.collect();
                            return self.crowded(stored, answers, put, rest);
                        }
                        Some(answer) => answers.push(answer),
                        None => {
                            let Put { mut seen, dot, content, expires, request, stands_in, .. } =
                                put;
                            if planted::has(Bug::BlindPut) {
                                seen.unite(&stored.object.context_for_client());
                            }
                            let version = Version { expires, ..Version::new(dot, content) };
                            let opened = &mut stored.opened;
                            stored.object.put_version(&seen, version, request, opened);
                            if let Some(StandsIn { owner, since }) = stands_in {
                                stored.owe(owner, since);
                            }
                            answers.push(Answer::Done);
                        }
                    }
                }
            }
            self.discarded.extend(cause.gone(&was, &stored.object));
        }
        if has_put {
            self.fetch_bytes(&mut stored.object)?;
        }
        let object = stored.object.clone();
        self.strip(&mut stored);
        let debts = write(self.store, self.key, self.position, &self.before, stored)?;
        let discarded = self.discarded;
        Ok(Outcome::Applied(Applied { object, answers, debts, discarded }))
    }

    /// Hands out a put that would leave too many siblings, after writing what came before it.
    fn crowded(
        self,
        mut stored: Stored,
        answers: Vec<Answer>,
        put: Put,
        rest: Vec<Step>,
    ) -> Result<Outcome, StoreError> {
        self.fetch_bytes(&mut stored.object)?;
        let object = stored.object.clone();
        self.strip(&mut stored);
        let debts = write(self.store, self.key, self.position, &self.before, stored)?;
        let discarded = self.discarded;
        let before = (!answers.is_empty()).then(|| Applied {
            object: object.clone(),
            answers,
            debts,
            discarded,
        });
        Ok(Outcome::Crowded { before, object, put, rest })
    }

    fn apply_lattice(
        mut self,
        steps: Vec<Step>,
        tombstones: Tombstones,
    ) -> Result<Outcome, StoreError> {
        let mut stored = self.before.clone();
        let mut answers = Vec::with_capacity(steps.len());
        let mut claim = None;
        // Also of a duplicate put: its coordinator sends the object on, with all bytes.
        let has_put = steps.iter().any(|step| matches!(step, Step::Put(_))) || wants_bytes(&steps);
        self.fetch_proposal(&mut stored)?;
        for step in steps {
            let (was, cause) = (stored.object.versions.clone(), step.cause());
            let answer = match step {
                Step::Join(theirs) => {
                    stored.object.join_lattice(&theirs, tombstones);
                    Answer::Done
                }
                Step::Keep(theirs, StandsIn { owner, since }) => {
                    stored.object.join_lattice(&theirs, tombstones);
                    stored.owe(owner, since);
                    Answer::Done
                }
                Step::HandedOver(handed) => {
                    if handed.settle(&mut stored) {
                        claim = None;
                    }
                    Answer::Done
                }
                Step::Reassign(reassign) => {
                    reassign.apply(&mut stored);
                    Answer::Done
                }
                Step::Leave => {
                    if self.leave(&mut stored) {
                        claim = None;
                    }
                    Answer::Done
                }
                Step::Ballot(step) => Answer::Ballot(step.apply(&mut stored, self.rules.shape)),
                // A part of a folded value can't go alone.
                Step::Expire(_) => Answer::Done,
                Step::Collect(collect) => {
                    let waited = collect.waited.as_ref() == Some(&stored.object.context);
                    if waited && collect.may_go(&stored, &self.before.object.marks) {
                        self.clear(&mut stored);
                        claim = None;
                        Answer::Collected
                    } else {
                        Answer::Done
                    }
                }
                Step::Put(put) => match self.refusal(&stored.object, &put) {
                    Some(answer) => answer,
                    None => {
                        if put.content.is_tombstone() && tombstones == Tombstones::Reset {
                            stored.object.reset(put.dot, put.request, &mut stored.opened);
                        } else {
                            stored.object.put_part(put.dot, put.content, put.request);
                            if tombstones == Tombstones::Reset {
                                stored.object.keep_latest_generation();
                            }
                        }
                        claim = Some(put.dot);
                        if let Some(StandsIn { owner, since }) = put.stands_in {
                            stored.owe(owner, since);
                        }
                        Answer::Done
                    }
                },
            };
            answers.push(answer);
            self.discarded.extend(cause.gone(&was, &stored.object));
        }
        if stored.object.versions.len() > 1 || has_put {
            self.fetch_bytes(&mut stored.object)?;
        }
        match merge::fold(&stored.object).as_deref() {
            Some([only]) => {
                let content = Content::from_option(only.value.clone());
                let parts = &stored.object.versions;
                self.discarded.extend(ledger::folded(parts, &content, claim));
                stored.object.replace_by_fold(content, self.rules.epoch);
            }
            Some(_) if self.rules.can_merge => {
                let discarded = self.discarded;
                return Ok(Outcome::Fold { stored, answers, claim, discarded });
            }
            Some(_) | None => {}
        }
        if let Some(dot) = claim {
            claim_if_folded(&mut stored, dot);
        }
        let object = stored.object.clone();
        let debts = write(self.store, self.key, self.position, &self.before, stored)?;
        let discarded = self.discarded;
        Ok(Outcome::Applied(Applied { object, answers, debts, discarded }))
    }

    /// Nothing is left but the marks: what comes next in this job has to meet them.
    fn clear(&self, stored: &mut Stored) {
        *stored = Stored::default();
        stored.object.marks.clone_from(&self.before.object.marks);
    }

    /// The object goes, if it is kept for nobody. Says whether it went.
    fn leave(&self, stored: &mut Stored) -> bool {
        let goes = stored.owed.is_empty();
        if goes {
            self.clear(stored);
        }
        goes
    }

    /// Leaves out of the context what this replica's marks say anyway. Not in a lattice bucket, where what a folded value covers
    /// must be known exactly wherever it goes.
    fn strip(&self, stored: &mut Stored) {
        if let Some(left) = self.before.object.marks.strip(&stored.object.context) {
            stored.object.context = left;
        }
        if planted::has(Bug::StripBeyond) {
            stored.object.context = Context::new();
        }
        if planted::has(Bug::PrunedContext) {
            let mut kept = stored.object.context.intervals().to_vec();
            kept.sort_by_key(|interval| core::cmp::Reverse(interval.to));
            stored.object.context = Context::new();
            kept.into_iter().take(2).for_each(|interval| stored.object.context.insert(interval));
        }
    }

    /// Why a put can't be applied to `object`; `None` if it can.
    fn refusal(&self, object: &Object, put: &Put) -> Option<Answer> {
        let request = object.dot_of(put.request);
        if let Some(dot) = request.filter(|_| !planted::has(Bug::ForgottenRequest)) {
            return Some(Answer::Duplicate(dot));
        }
        let folds = matches!(self.rules.shape, Shape::Lattice(_)) && self.rules.can_merge;
        let unseen = object.versions.iter().filter(|v| !put.seen.covers_dot(v.dot));
        let (siblings, bytes) = unseen
            .fold((0, 0), |(count, bytes), v| (count + 1, bytes + u64::from(v.content.len())));
        let bytes = bytes + u64::from(put.content.len());
        if !folds && siblings + 1 > self.rules.siblings {
            Some(Answer::TooManySiblings { siblings })
        } else if bytes > self.rules.object_bytes {
            Some(Answer::TooManyBytes { bytes })
        } else {
            None
        }
    }

    /// Brings the bytes of a proposal, since its coordinator's successor may have to propose it again.
    fn fetch_proposal(&self, stored: &mut Stored) -> Result<(), StoreError> {
        let proposal = stored.acceptor.as_ref().and_then(|acceptor| acceptor.proposal.as_ref());
        if proposal.is_some_and(Object::lacks_bytes)
            && let Some(all) = self.store.read(&self.key, self.position, Bodies::All)?
        {
            stored.adopt_bytes(&all);
        }
        Ok(())
    }

    /// Brings the bytes that `object` lacks. They are the ones that the disk held before this job.
    fn fetch_bytes(&self, object: &mut Object) -> Result<(), StoreError> {
        if object.lacks_bytes()
            && let Some(stored) = self.store.read(&self.key, self.position, Bodies::All)?
        {
            object.adopt_bytes(&stored.object);
        }
        Ok(())
    }
}

/// Does one of the steps take the bytes of all values?
fn wants_bytes(steps: &[Step]) -> bool {
    steps.iter().any(|step| matches!(step, Step::Ballot(step) if step.wants_bytes()))
}

impl HandedOver {
    /// Settles the debt, unless more has come to the object since it was sent. Says whether the object went with it: nobody
    /// owns it here any more, and with it goes the note of the interval that was opened, so that a later write of this
    /// replica claims nothing that it dropped.
    fn settle(&self, stored: &mut Stored) -> bool {
        if !self.object.includes(&stored.object) {
            return false;
        }
        let owed_before = !stored.owed.is_empty();
        stored.owed.retain(|owed| owed.owner != self.owner);
        let drop = owed_before && stored.owed.is_empty() && !self.stays;
        if drop {
            *stored = Stored::default();
        }
        drop
    }
}

impl Reassign {
    fn apply(&self, stored: &mut Stored) {
        let Some(since) = stored.owed.iter().find(|o| o.owner == self.from).map(|o| o.since) else {
            return;
        };
        stored.owed.retain(|owed| owed.owner != self.from);
        for owner in &self.to {
            stored.owe(*owner, since);
        }
    }
}

impl Collect {
    /// May the object go without a trace? It must hold nothing but tombstones, be owed to nobody, and lie within the marks.
    fn may_go(&self, stored: &Stored, marks: &Marks) -> bool {
        let object = &stored.object;
        stored.owed.is_empty()
            && stored.acceptor.is_none()
            && object.is_deleted()
            && object.latest() <= self.before
            && is_stable(object, marks)
    }
}

/// Does all that an object has seen, and all that it holds, lie within the marks?
#[must_use]
pub fn is_stable(object: &Object, marks: &Marks) -> bool {
    let covered =
        marks.covers(&object.context) && object.versions.iter().all(|v| marks.covers_dot(v.dot));
    covered || planted::has(Bug::EarlyCollect)
}

/// Extends this replica's interval by its last dot, if the object is folded.
pub(crate) fn claim_if_folded(stored: &mut Stored, dot: Dot) {
    if stored.object.versions.len() == 1 {
        stored.object.claim_folded(dot, &mut stored.opened);
    }
}

/// Writes what changed, if anything did, and says what that changed of the hints.
fn write(
    store: &mut impl Store,
    key: Key,
    position: Position,
    before: &Stored,
    mut after: Stored,
) -> Result<Vec<DebtChange>, StoreError> {
    let bytes = key.key.len() as u64 + after.object.value_bytes();
    for owed in &mut after.owed {
        owed.bytes = bytes;
    }
    ballot::tidy(&mut after);
    if planted::has(Bug::LostExpiry) {
        after.versions_mut().for_each(|version| version.expires = None);
    }
    if *before == after {
        return Ok(Vec::new());
    }
    let mut dropped: Vec<_> = before
        .versions()
        .filter_map(|v| v.content.digest().map(|digest| (digest, v.content.len())))
        .filter(|(digest, _)| !after.versions().any(|v| v.content.digest() == Some(*digest)))
        .collect();
    dropped.sort_unstable();
    dropped.dedup();
    let mut leaf_change = tree::contribution(&key, Some(&after.object))
        .wrapping_sub(tree::contribution(&key, Some(&before.object)));
    if planted::has(Bug::StaleTree) {
        leaf_change = 0;
    }
    let mut debts = after.debt_changes(before);
    if planted::has(Bug::UnlistedHint) {
        debts.clear();
    }
    let due = DueChange { before: before.object.due(), after: after.object.due() };
    let tombstones = i8::from(after.object.is_tombstone()) - i8::from(before.object.is_tombstone());
    store.write(Write {
        key,
        position,
        stored: after,
        dropped,
        leaf_change,
        debts: debts.clone(),
        due,
        tombstones,
    })?;
    Ok(debts)
}
