//! The planted bugs: faults of a shell or of a disk that make a right core do wrong, so that the checkers can show that
//! they see it. The product has no switch for any of them.

use bytes::Bytes;
use clap::ValueEnum;
use kinfold_protocol::causality::{Context, Marks, Object};
use kinfold_protocol::config::Shape;
use kinfold_protocol::id::{BucketName, Key, NodeId};
use kinfold_protocol::replica::{Job, Step, StoreJob, Task};
use kinfold_protocol::ring::{Partition, Position, Tree};
use kinfold_protocol::store::{Bodies, DueChange, DueKey, Store, StoreError, Stored, Write};
use kinfold_protocol::survey::Survey;
use kinfold_protocol::time::{Expiry, Timestamp};
use kinfold_protocol::tree::Sums;

use crate::disk::Disk;

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Bug {
    /// The shell reports a write as durable as soon as it is visible.
    EarlyAck,
    /// A join keeps the versions of both sides that stand, and forgets what else the sides had seen.
    ForgetfulJoin,
    /// A fallback counts its hint as handed over as soon as it has sent it.
    HastyHandoff,
    /// A fallback reports a hint as durable as soon as it is visible.
    HintNotDurable,
    /// The acknowledgement of a fallback counts as that of the owner that it stands in for, also in a strict bucket.
    FallbackAsOwner,
    /// A node that crashed goes on as the same actor, as if it had stopped in good order.
    KeptActor,
    /// A put in a lattice bucket replaces the value instead of joining it.
    ReplacingPut,
    /// An owner reports a promise as durable as soon as it is visible.
    PromiseNotDurable,
    /// An owner that has promised a later ballot counts as one that has accepted.
    RefusalAsAccept,
    /// An owner does not say what it has accepted when it promises.
    LostProposal,
    /// A write leaves the sum of its leaf as it was.
    StaleTree,
    /// What deletes leave is dropped although not all that it has seen lies within the marks.
    EarlyCollect,
    /// Marks rise further than the data that came with them.
    BareMarks,
    /// Nobody looks at marks but to collect: a join not at its own nor at those that come with what it joins, and a read brings
    /// none.
    ForgottenFill,
    /// Contexts are stripped beyond what the marks say.
    StripBeyond,
    /// An owner lets go of what expires ten minutes before its time.
    HastyExpiry,
    /// A replica keeps what expires without its time.
    LostExpiry,
    /// A node whose disk has lost a record is not told, and answers for it.
    UnnoticedLoss,
    /// Of a disk that has lost a record the marks are kept.
    KeptMarks,
    /// A new owner says that it has copied all before it has.
    HastyCopy,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::EarlyAck,
        Self::ForgetfulJoin,
        Self::HastyHandoff,
        Self::HintNotDurable,
        Self::FallbackAsOwner,
        Self::KeptActor,
        Self::ReplacingPut,
        Self::PromiseNotDurable,
        Self::RefusalAsAccept,
        Self::LostProposal,
        Self::StaleTree,
        Self::EarlyCollect,
        Self::BareMarks,
        Self::ForgottenFill,
        Self::StripBeyond,
        Self::HastyExpiry,
        Self::LostExpiry,
        Self::UnnoticedLoss,
        Self::KeptMarks,
        Self::HastyCopy,
    ];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EarlyAck => "early-ack",
            Self::ForgetfulJoin => "forgetful-join",
            Self::HastyHandoff => "hasty-handoff",
            Self::HintNotDurable => "hint-not-durable",
            Self::FallbackAsOwner => "fallback-as-owner",
            Self::KeptActor => "kept-actor",
            Self::ReplacingPut => "replacing-put",
            Self::PromiseNotDurable => "promise-not-durable",
            Self::RefusalAsAccept => "refusal-as-accept",
            Self::LostProposal => "lost-proposal",
            Self::StaleTree => "stale-tree",
            Self::EarlyCollect => "early-collect",
            Self::BareMarks => "bare-marks",
            Self::ForgottenFill => "forgotten-fill",
            Self::StripBeyond => "strip-beyond",
            Self::HastyExpiry => "hasty-expiry",
            Self::LostExpiry => "lost-expiry",
            Self::UnnoticedLoss => "unnoticed-loss",
            Self::KeptMarks => "kept-marks",
            Self::HastyCopy => "hasty-copy",
        }
    }
}

/// A disk between whose lines a bug may sit.
pub struct FaultyStore<'d> {
    disk: &'d mut Disk,
    forgets: bool,
    replaces: bool,
    misses_tree: bool,
    collects_early: Option<Key>,
    fills_nothing: bool,
    strips_all: bool,
    loses_expiry: bool,
}

impl<'d> FaultyStore<'d> {
    /// The disk as `job` sees it under `bug`.
    #[must_use]
    pub fn new(disk: &'d mut Disk, bug: Option<Bug>, job: &Job) -> Self {
        let (joins, lattice_put) = match &job.task {
            Task::Apply { rules, steps } => (
                steps.iter().any(|step| matches!(step, Step::Join(_) | Step::Keep(..))),
                matches!(rules.shape, Shape::Lattice(_))
                    && steps.iter().any(|step| matches!(step, Step::Put(_))),
            ),
            Task::Read { .. } | Task::Replace { .. } => (false, false),
        };
        Self {
            disk,
            forgets: bug == Some(Bug::ForgetfulJoin) && joins,
            replaces: bug == Some(Bug::ReplacingPut) && lattice_put,
            misses_tree: bug == Some(Bug::StaleTree),
            collects_early: (bug == Some(Bug::EarlyCollect) && collects(job))
                .then(|| job.key.clone()),
            fills_nothing: bug == Some(Bug::ForgottenFill) && !collects(job),
            strips_all: bug == Some(Bug::StripBeyond),
            loses_expiry: bug == Some(Bug::LostExpiry),
        }
    }
}

fn collects(job: &Job) -> bool {
    match &job.task {
        Task::Apply { steps, .. } => steps.iter().any(|step| matches!(step, Step::Collect(_))),
        Task::Read { .. } | Task::Replace { .. } => false,
    }
}

/// Under [`Bug::ForgottenFill`] and [`Bug::ForgetfulJoin`]: what is joined comes without its sender's marks.
pub fn forget_fill(job: &mut StoreJob) {
    let StoreJob::Key(Job { task: Task::Apply { steps, .. }, .. }) = job else {
        return;
    };
    for step in steps {
        if let Step::Join(object) | Step::Keep(object, _) = step {
            object.marks = Marks::default();
        }
    }
}

/// Under [`Bug::BareMarks`]: five seconds more than is known.
#[must_use]
pub fn bare(marks: Vec<(Tree, Marks)>) -> Vec<(Tree, Marks)> {
    let later = |(actor, time): (_, Timestamp)| (actor, Timestamp(time.0 + 5_000_000));
    let raised = |(tree, marks): (Tree, Marks)| (tree, marks.iter().map(later).collect());
    marks.into_iter().map(raised).collect()
}

/// Under [`Bug::HastyExpiry`]: what is due in the next ten minutes is due.
pub fn hasten(job: &mut StoreJob) {
    match job {
        StoreJob::Survey(Survey::Due { upto, .. }) => upto.0 += 600_000,
        StoreJob::Key(Job { task: Task::Apply { steps, .. }, .. }) => {
            for step in steps {
                if let Step::Expire(upto) = step {
                    upto.0 += 600_000;
                }
            }
        }
        StoreJob::Key(_)
        | StoreJob::Survey(_)
        | StoreJob::Save { .. }
        | StoreJob::Hints { .. }
        | StoreJob::Forget(_)
        | StoreJob::Raise(_) => {}
    }
}

/// Under [`Bug::EarlyCollect`]: marks that say that all is here.
#[must_use]
pub fn over_confident(object: &Object) -> Marks {
    let seen = object.context.intervals().iter().map(|interval| (interval.actor, interval.to));
    let held = object.versions.iter().map(|version| (version.dot.actor, version.dot.time));
    seen.chain(held).collect()
}

impl Store for FaultyStore<'_> {
    fn read(
        &self,
        key: &Key,
        position: Position,
        bodies: Bodies,
    ) -> Result<Option<Stored>, StoreError> {
        let mut stored = self.disk.read(key, position, bodies)?;
        if self.replaces
            && let Some(stored) = &mut stored
        {
            stored.object.versions.clear();
        }
        Ok(stored)
    }

    fn hints(
        &self,
        owner: NodeId,
        after: Option<&(Partition, Key)>,
        limit: usize,
    ) -> Result<Vec<(Partition, Key)>, StoreError> {
        self.disk.hints(owner, after, limit)
    }

    fn due(
        &self,
        upto: Expiry,
        after: Option<&DueKey>,
        limit: usize,
    ) -> Result<Vec<DueKey>, StoreError> {
        self.disk.due(upto, after, limit)
    }

    fn write(&mut self, mut write: Write) -> Result<(), StoreError> {
        if self.loses_expiry {
            write.stored.versions_mut().for_each(|version| version.expires = None);
            write.due = DueChange::default();
        }
        if self.forgets {
            let mut context = Context::new();
            for version in &write.stored.object.versions {
                context.unite(&Context::of(version.dot));
            }
            write.stored.object.context = context;
        }
        if self.misses_tree {
            write.leaf_change = 0;
        }
        if self.strips_all && write.stored != Stored::default() {
            write.stored.object.context = Context::new();
        }
        self.disk.write(write)
    }

    fn sums(&self, tree: Tree) -> Result<Sums, StoreError> {
        self.disk.sums(tree)
    }

    fn heads(
        &self,
        partition: Partition,
        bucket: &BucketName,
        after: Option<&Bytes>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Stored)>, StoreError> {
        self.disk.heads(partition, bucket, after, limit)
    }

    fn marks(&self, tree: Tree) -> Result<Marks, StoreError> {
        match &self.collects_early {
            _ if self.fills_nothing => Ok(Marks::default()),
            Some(key) => {
                let stored = self.disk.visible(key).map(|stored| over_confident(&stored.object));
                Ok(stored.unwrap_or_default())
            }
            None => self.disk.marks(tree),
        }
    }

    fn raise_marks(&mut self, marks: &[(Tree, Marks)]) -> Result<(), StoreError> {
        self.disk.raise_marks(marks)
    }

    fn forget_marks(&mut self, tree: Tree) -> Result<(), StoreError> {
        self.disk.forget_marks(tree)
    }

    fn save(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.disk.save(name, bytes)
    }
}
