//! What one replica does to one key: plain synchronous code over the [`Store`] port.
//!
//! It runs on a storage thread in production and inline in the simulator. The node never has two jobs that write the same
//! key at one time, so reading, deciding and writing here is atomic. What waits for a key is applied in one job and one
//! write, which is why a hot key gets cheaper per write.
//!
//! A job can't call a plugin. Where the versions of a lattice object have to be folded, or a resolver's put finds too many
//! siblings, the job stops before its write and hands the object out; the node has it merged, off this thread, and comes back
//! with a second job while the key still waits.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::causality::{Content, Context, Dot, Object};
use crate::config::{Shape, Tombstones};
use crate::id::{Key, RequestId};
use crate::merge;
use crate::ring::Position;
use crate::store::{Bodies, Store, StoreError, Stored, Write};
use crate::tree;

/// Names a job, and later its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A write of this node as coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// The siblings that the client has seen, and that this write replaces.
    pub seen: Context,
    /// The name of this write.
    pub dot: Dot,
    /// A value, or a tombstone for a delete.
    pub content: Content,
    /// The client's name for it.
    pub request: RequestId,
}

/// One change of a key's object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A write of this node as coordinator.
    Put(Put),
    /// What another replica holds.
    Join(Object),
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is part of the object now.
    Done,
    /// An earlier try of the same request is part of the object, under this dot.
    Duplicate(Dot),
    /// A put that would leave more siblings than the bound: refused, nothing changed.
    TooManySiblings {
        /// How many siblings the key has that the put has not seen.
        siblings: usize,
    },
    /// A put after which the siblings would hold more bytes than the bound: refused, nothing changed.
    TooManyBytes {
        /// How many bytes they would hold.
        bytes: u64,
    },
}

/// Bounds and rules for the steps of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How the bucket's objects join.
    pub shape: Shape,
    /// May the node have this bucket's versions merged at present?
    pub can_merge: bool,
    /// Most siblings that a put may leave.
    pub siblings: usize,
    /// Most bytes that the siblings may hold together after a put.
    pub object_bytes: u64,
}

/// Work for the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Reads a key.
    Read {
        /// Which bytes to bring.
        bodies: Bodies,
    },
    /// Applies steps to a key, in order.
    Apply {
        /// The bounds.
        rules: Rules,
        /// At least one step.
        steps: Vec<Step>,
    },
    /// Stores what a key was folded to. Only after [`Outcome::Fold`], while the key waits.
    Replace {
        /// The folded object and its note.
        stored: Stored,
    },
}

/// One job on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The key.
    pub key: Key,
    /// Where it lies.
    pub position: Position,
    /// What to do.
    pub task: Task,
}

/// What a job came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What a read found.
    Read(Option<Stored>),
    /// The steps are applied: visible, and durable once the shell says so.
    Applied(Applied),
    /// Lattice buckets: the steps are applied to `stored`, but nothing is written. The node has its versions folded and
    /// comes back with [`Task::Replace`].
    Fold {
        /// The object with all bytes at hand.
        stored: Stored,
        /// One answer a step.
        answers: Vec<Answer>,
        /// The last dot that this node gave out among the steps, to be claimed once folded.
        claim: Option<Dot>,
    },
    /// Resolver buckets: the steps before `put` are applied, but `put` would leave too many siblings. The node merges
    /// those of `object` that it has not seen with its value, and comes back with a put of the result.
    Crowded {
        /// The steps that were applied before; `None` if there were none.
        before: Option<Applied>,
        /// The object as it is, with all bytes at hand.
        object: Object,
        /// The put.
        put: Put,
        /// Steps that were not looked at.
        rest: Vec<Step>,
    },
}

/// Steps that were applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The object afterwards; if there was a put among the steps, with all bytes at hand.
    pub object: Object,
    /// One answer a step.
    pub answers: Vec<Answer>,
}

/// Work for the store, as the node hands it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreJob {
    /// A job on a key.
    Key(Job),
    /// Keeps a piece of the node's own state.
    Save {
        /// Its name.
        name: String,
        /// Its bytes.
        bytes: Bytes,
    },
}

/// Runs one job.
///
/// # Errors
/// [`StoreError`]: nothing was written by this job, except, for [`Outcome::Crowded`], nothing at all.
pub fn execute(job: Job, store: &mut impl Store) -> Result<Outcome, StoreError> {
    let Job { key, position, task } = job;
    match task {
        Task::Read { bodies } => Ok(Outcome::Read(store.read(&key, position, bodies)?)),
        Task::Apply { rules, steps } => {
            let before = store.read(&key, position, Bodies::Heads)?.unwrap_or_default();
            let desk = Desk { key, position, rules, before, store };
            match rules.shape {
                Shape::Siblings => desk.apply_siblings(steps),
                Shape::Lattice(tombstones) => desk.apply_lattice(steps, tombstones),
            }
        }
        Task::Replace { stored } => {
            let before = store.read(&key, position, Bodies::Heads)?.unwrap_or_default();
            let object = stored.object.clone();
            write(store, key, position, &before, stored)?;
            Ok(Outcome::Applied(Applied { object, answers: Vec::new() }))
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
}

impl<S: Store> Desk<'_, S> {
    fn apply_siblings(self, steps: Vec<Step>) -> Result<Outcome, StoreError> {
        let mut stored = self.before.clone();
        let mut answers = Vec::with_capacity(steps.len());
        let mut steps = steps.into_iter();
        let mut has_put = false;
        while let Some(step) = steps.next() {
            match step {
                Step::Join(theirs) => {
                    stored.object.join(&theirs);
                    answers.push(Answer::Done);
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
                            let Put { seen, dot, content, request } = put;
                            stored.object.put(&seen, dot, content, request, &mut stored.opened);
                            answers.push(Answer::Done);
                        }
                    }
                }
            }
        }
        if has_put {
            self.fetch_bytes(&mut stored.object)?;
        }
        let object = stored.object.clone();
        write(self.store, self.key, self.position, &self.before, stored)?;
        Ok(Outcome::Applied(Applied { object, answers }))
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
        let before = (!answers.is_empty()).then(|| Applied { object: object.clone(), answers });
        write(self.store, self.key, self.position, &self.before, stored)?;
        Ok(Outcome::Crowded { before, object, put, rest })
    }

    fn apply_lattice(
        self,
        steps: Vec<Step>,
        tombstones: Tombstones,
    ) -> Result<Outcome, StoreError> {
        let mut stored = self.before.clone();
        let mut answers = Vec::with_capacity(steps.len());
        let mut claim = None;
        // Also of a duplicate put: its coordinator sends the object on, with all bytes.
        let has_put = steps.iter().any(|step| matches!(step, Step::Put(_)));
        for step in steps {
            let answer = match step {
                Step::Join(theirs) => {
                    stored.object.join_lattice(&theirs, tombstones);
                    Answer::Done
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
                        Answer::Done
                    }
                },
            };
            answers.push(answer);
        }
        if stored.object.versions.len() > 1 || has_put {
            self.fetch_bytes(&mut stored.object)?;
        }
        match merge::fold(&stored.object).as_deref() {
            Some([only]) => {
                let content = Content::from_option(only.value.clone());
                stored.object.replace_by_fold(content);
            }
            Some(_) if self.rules.can_merge => {
                return Ok(Outcome::Fold { stored, answers, claim });
            }
            Some(_) | None => {}
        }
        if let Some(dot) = claim {
            claim_if_folded(&mut stored, dot);
        }
        let object = stored.object.clone();
        write(self.store, self.key, self.position, &self.before, stored)?;
        Ok(Outcome::Applied(Applied { object, answers }))
    }

    /// Why a put can't be applied to `object`; `None` if it can.
    fn refusal(&self, object: &Object, put: &Put) -> Option<Answer> {
        if let Some(dot) = object.dot_of(put.request) {
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

/// Extends this replica's interval by its last dot, if the object is folded.
pub(crate) fn claim_if_folded(stored: &mut Stored, dot: Dot) {
    if stored.object.versions.len() == 1 {
        stored.object.claim_folded(dot, &mut stored.opened);
    }
}

/// Writes what changed, if anything did.
fn write(
    store: &mut impl Store,
    key: Key,
    position: Position,
    before: &Stored,
    after: Stored,
) -> Result<(), StoreError> {
    if *before == after {
        return Ok(());
    }
    let mut dropped: Vec<_> = before
        .object
        .versions
        .iter()
        .filter_map(|v| v.content.digest().map(|digest| (digest, v.content.len())))
        .filter(|(digest, _)| {
            !after.object.versions.iter().any(|v| v.content.digest() == Some(*digest))
        })
        .collect();
    dropped.sort_unstable();
    dropped.dedup();
    let leaf_change = tree::contribution(&key, Some(&after.object))
        .wrapping_sub(tree::contribution(&key, Some(&before.object)));
    store.write(Write { key, position, stored: after, dropped, leaf_change })
}
