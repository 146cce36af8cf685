//! A thread that runs jobs.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use kinfold_protocol::replica::{StoreJob, Task, Ticket, execute};
use kinfold_protocol::ring::Tree;
use kinfold_protocol::store::{Store, StoreError};
use kinfold_protocol::survey::{self, Survey};

use crate::damage::Damage;
use crate::queue::Queue;
use crate::{Disk, Done, StoreEvent};

pub(crate) type OnEvent = Arc<dyn Fn(StoreEvent) + Send + Sync>;
pub(crate) type Jobs = Queue<(Ticket, StoreJob)>;

/// Runs the jobs of a queue.
pub(crate) struct Worker {
    pub(crate) disk: Disk,
    pub(crate) jobs: Arc<Jobs>,
    /// Where to announce what was written; `None` if it counts as durable at once.
    pub(crate) applied: Option<Arc<Queue<Ticket>>>,
    pub(crate) on_event: OnEvent,
}

impl Worker {
    pub(crate) fn run(mut self) {
        while let Some((ticket, job)) = self.jobs.pop() {
            let writes = match &job {
                StoreJob::Key(job) => !matches!(job.task, Task::Read { .. }),
                StoreJob::Save { .. } | StoreJob::Raise(_) | StoreJob::Forget(_) => true,
                StoreJob::Hints { .. } => false,
                StoreJob::Survey(_) => false,
            };
            let trees = trees(&job);
            // A panic here is a fault in the engine or the core. What it left behind is unknown, but the node must hear.
            let result = catch_unwind(AssertUnwindSafe(|| self.execute(job)))
                .unwrap_or_else(|panic| Err(self.disk.poison(&said(&*panic))));
            if let Err(StoreError::Corrupt(_)) = &result {
                self.note(&trees);
            }
            let tell_synced = writes && result.is_ok();
            (self.on_event)(StoreEvent::Done { ticket, result });
            if !tell_synced {
                continue;
            }
            match &self.applied {
                Some(applied) => {
                    if applied.push(ticket).is_err() {
                        unreachable!("the queue of applied writes closes after the workers ended");
                    }
                }
                None => (self.on_event)(StoreEvent::Synced { ticket }),
            }
        }
    }

    /// Notes which of these trees a read found damaged.
    fn note(&self, trees: &[Tree]) {
        let is_damaged = |tree: &Tree| {
            let corrupt = |error| matches!(error, StoreError::Corrupt(_));
            trees.len() == 1
                || self.disk.sums(*tree).is_err_and(corrupt)
                || self.disk.marks(*tree).is_err_and(corrupt)
        };
        for tree in trees.iter().filter(|tree| is_damaged(tree)) {
            self.disk.note(Damage::Partition(tree.partition));
        }
    }

    fn execute(&mut self, job: StoreJob) -> Result<Done, StoreError> {
        match job {
            StoreJob::Key(job) => execute(job, &mut self.disk).map(Done::Key),
            StoreJob::Hints { owner, after, limit } => {
                self.disk.hints(owner, after.as_ref(), limit).map(Done::Hints)
            }
            StoreJob::Survey(survey) => survey::execute(&survey, &self.disk).map(Done::Surveyed),
            StoreJob::Save { name, bytes } => self.disk.save(&name, &bytes).map(|()| Done::Saved),
            StoreJob::Forget(tree) => self.disk.forget_marks(tree).map(|()| Done::Saved),
            StoreJob::Raise(marks) => self.disk.raise_marks(&marks).map(|()| Done::Saved),
        }
    }
}

/// The trees of which a job reads.
fn trees(job: &StoreJob) -> Vec<Tree> {
    match job {
        StoreJob::Key(job) => vec![job.position.tree],
        StoreJob::Survey(Survey::Roots(trees)) => trees.clone(),
        StoreJob::Survey(Survey::Sums(tree) | Survey::Left { tree, .. }) => vec![*tree],
        StoreJob::Survey(Survey::Heads { span, .. }) => vec![span.tree],
        StoreJob::Survey(Survey::Keys(question)) => {
            vec![Tree { partition: question.partition, copies: question.copies }]
        }
        StoreJob::Raise(marks) => marks.iter().map(|(tree, _)| *tree).collect(),
        StoreJob::Forget(tree) | StoreJob::Survey(Survey::Leftover { tree, .. }) => vec![*tree],
        // Lists of keys, and the node's own state.
        StoreJob::Survey(Survey::Due { .. }) | StoreJob::Hints { .. } | StoreJob::Save { .. } => {
            Vec::new()
        }
    }
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a worker panicked: {}", text.unwrap_or("it did not say why"))
}
