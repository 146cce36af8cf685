//! The calls of plugins that wait for a thread: first come, first served, and only so many.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use kinfold_protocol::merge::{MergeFailure, MergeRequest, MergeResult, ValidateRequest, Validity};

/// A call of a plugin and what to do with its result.
pub(crate) enum Job {
    /// A merge.
    Merge { request: MergeRequest, done: Box<dyn FnOnce(MergeResult) + Send> },
    /// A look at a value that is about to be written.
    Validate { request: ValidateRequest, done: Box<dyn FnOnce(Validity) + Send> },
    /// A merge that was done already, by a candidate: for comparison with what it gave.
    Shadow { candidate: String, request: MergeRequest, result: MergeResult },
}

impl Job {
    /// Answers whoever waits that there was too much to do.
    pub(crate) fn refuse(self) {
        match self {
            Self::Merge { done, .. } => done(Err(MergeFailure::Overloaded)),
            Self::Validate { done, .. } => done(Validity::Unknown(MergeFailure::Overloaded)),
            Self::Shadow { .. } => {}
        }
    }
}

/// A bounded queue between whoever submits and the threads that merge.
pub(crate) struct Queue {
    bound: usize,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

struct Waiting {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Queue {
    /// A queue in which at most `bound` jobs wait.
    pub(crate) fn new(bound: usize) -> Self {
        Self {
            bound,
            waiting: Mutex::new(Waiting { jobs: VecDeque::new(), closed: false }),
            changed: Condvar::new(),
        }
    }

    /// Adds a job; gives it back where the queue is full or closed.
    #[must_use]
    pub(crate) fn push(&self, job: Job) -> Option<Job> {
        self.push_below(self.bound, job)
    }

    /// Adds a job that nobody waits for: only while most of the queue is free. Says whether there was room.
    pub(crate) fn push_idly(&self, job: Job) -> bool {
        self.push_below(self.bound / 4, job).is_none()
    }

    fn push_below(&self, bound: usize, job: Job) -> Option<Job> {
        let mut waiting = self.lock();
        if waiting.closed || waiting.jobs.len() >= bound {
            return Some(job);
        }
        waiting.jobs.push_back(job);
        drop(waiting);
        self.changed.notify_one();
        None
    }

    /// The next job; waits for one. `None` once the queue is closed.
    pub(crate) fn pop(&self) -> Option<Job> {
        let mut waiting = self.lock();
        loop {
            if waiting.closed {
                return None;
            }
            if let Some(job) = waiting.jobs.pop_front() {
                return Some(job);
            }
            let woken = self.changed.wait(waiting);
            waiting = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Refuses jobs from now on, wakes all threads, and gives back the jobs that still wait.
    pub(crate) fn close(&self) -> VecDeque<Job> {
        let mut waiting = self.lock();
        waiting.closed = true;
        self.changed.notify_all();
        std::mem::take(&mut waiting.jobs)
    }

    /// How many jobs wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No code that could panic runs under this lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
