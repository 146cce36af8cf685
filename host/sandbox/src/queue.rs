//! The merges that wait for a thread: first come, first served, and only so many.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use kinfold_protocol::merge::{MergeRequest, MergeResult};

/// A merge and what to do with its result.
pub(crate) struct Job {
    pub(crate) request: MergeRequest,
    pub(crate) done: Box<dyn FnOnce(MergeResult) + Send>,
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
        let mut waiting = self.lock();
        if waiting.closed || waiting.jobs.len() >= self.bound {
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
