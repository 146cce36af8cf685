//! The store as the node sees it: jobs go in, events come out.
//!
//! Jobs that write run on the worker of their partition, in the order of their submission; reads run on threads of their
//! own, and so do surveys, for which no client waits. So a read may overtake a write that was submitted before it, unless
//! that write is `Done`.
//!
//! A writing job (apply, replace, save) that succeeds is told of twice: `Done` once it is visible, then `Synced` or
//! `SyncFailed`, also if it wrote nothing: what it read is durable too by then. One that fails, and a read, are told of
//! once.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use kinfold_protocol::causality::Debt;
use kinfold_protocol::id::NodeId;
use kinfold_protocol::replica::{StoreJob, Task, Ticket};
use kinfold_protocol::store::StoreError;

use crate::group_commit::{self, Ticking};
use crate::queue::Queue;
use crate::worker::{Jobs, OnEvent, Worker};
use crate::{Disk, Durability, OpenError, Options, Stats, StoreEvent};

/// A running store. Dropping it closes it.
pub struct Storage {
    disk: Disk,
    workers: Vec<Arc<Jobs>>,
    reads: Arc<Jobs>,
    surveys: Arc<Jobs>,
    applied: Arc<Queue<Ticket>>,
    ticking: Arc<Ticking>,
    /// Those that run jobs, then the one that syncs.
    threads: Vec<JoinHandle<()>>,
    syncer: Option<JoinHandle<()>>,
}

impl Storage {
    /// Opens or makes the store in the directory `path` and starts its threads.
    ///
    /// `on_event` is called on those threads, with two rules: it must not block, and it must not submit a job and wait for
    /// it. Events of one ticket come in order; those of different tickets in any.
    ///
    /// # Errors
    /// [`OpenError`] if the directory is in use, damaged or not accessible.
    pub fn open(
        path: &Path,
        options: Options,
        on_event: impl Fn(StoreEvent) + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let disk = Disk::open(path, &options)?;
        let queue = || Arc::new(Queue::new(options.queue.max(1)));
        let mut storage = Self {
            disk,
            workers: (0..options.workers.max(1)).map(|_| queue()).collect(),
            reads: queue(),
            surveys: queue(),
            // What has been applied can't be refused any more; the queues before it bound it.
            applied: Arc::new(Queue::new(usize::MAX)),
            ticking: Arc::default(),
            threads: Vec::new(),
            syncer: None,
        };
        storage.start(&options, &(Arc::new(on_event) as OnEvent))?;
        Ok(storage)
    }

    fn start(&mut self, options: &Options, on_event: &OnEvent) -> io::Result<()> {
        let readers = (0..options.readers.max(1)).map(|_| Arc::clone(&self.reads));
        let surveyor = [Arc::clone(&self.surveys)];
        let queues = self.workers.iter().cloned().chain(readers).chain(surveyor).enumerate();
        for (number, jobs) in queues.collect::<Vec<_>>() {
            let worker = Worker {
                disk: self.disk.clone(),
                jobs,
                applied: match options.durability {
                    Durability::Sync => Some(Arc::clone(&self.applied)),
                    Durability::Interval(_) => None,
                },
                on_event: Arc::clone(on_event),
            };
            let thread = thread::Builder::new().name(format!("store-{number}"));
            self.threads.push(thread.spawn(move || worker.run())?);
        }
        let (disk, on_event) = (self.disk.clone(), Arc::clone(on_event));
        let thread = thread::Builder::new().name("store-sync".into());
        self.syncer = Some(match options.durability {
            Durability::Sync => {
                let applied = Arc::clone(&self.applied);
                thread.spawn(move || group_commit::run(&disk, &applied, &*on_event))?
            }
            Durability::Interval(interval) => {
                let ticking = Arc::clone(&self.ticking);
                thread.spawn(move || ticking.run(&disk, interval))?
            }
        });
        Ok(())
    }

    /// Hands over a job. Its outcome comes as events that carry `ticket`.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] if too many jobs wait: this one is not taken, and no event will tell of it.
    pub fn submit(&self, ticket: Ticket, job: StoreJob) -> Result<(), StoreError> {
        let queue = match &job {
            StoreJob::Key(job) => match job.task {
                Task::Read { .. } => &self.reads,
                Task::Apply { .. } | Task::Replace { .. } => {
                    &self.workers[job.position.tree.partition.0 as usize % self.workers.len()]
                }
            },
            StoreJob::Hints { .. } => &self.reads,
            StoreJob::Survey(_) => &self.surveys,
            // One worker for all names, so that saves of one name keep their order.
            StoreJob::Save { .. } | StoreJob::Raise(_) | StoreJob::Forget(_) => &self.workers[0],
        };
        queue.push((ticket, job)).map_err(|_| StoreError::Overloaded)
    }

    /// How many bytes at the end of the journal made no sense when the store was opened: see [`Disk::cut_bytes`].
    #[must_use]
    pub fn cut_bytes(&self) -> u64 {
        self.disk.cut_bytes()
    }

    /// A piece of the node's own state; `None` if there is none of that name. Reads the disk on the calling thread.
    ///
    /// # Errors
    /// [`StoreError`] if it can't be read.
    pub fn load(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        self.disk.load(name)
    }

    /// What is owed to other nodes. Reads the disk on the calling thread.
    ///
    /// # Errors
    /// [`StoreError`] if it can't be read.
    pub fn debts(&self) -> Result<BTreeMap<NodeId, Debt>, StoreError> {
        self.disk.debts()
    }

    /// The store's figures.
    ///
    /// # Errors
    /// [`StoreError`] if the file system does not answer.
    pub fn stats(&self) -> Result<Stats, StoreError> {
        self.disk.stats()
    }

    /// Of how many keys only a delete is left: see [`Disk::tombstones`].
    #[must_use]
    pub fn tombstones(&self) -> u64 {
        self.disk.tombstones()
    }

    /// The disk itself, for work besides jobs, on a thread that may wait for it.
    #[must_use]
    pub fn disk(&self) -> Disk {
        self.disk.clone()
    }

    /// How many jobs wait for a thread.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queues().map(|queue| queue.len()).sum()
    }

    /// Runs what was submitted, makes it durable, tells of it, and stops the threads. The directory is free for others once
    /// every [`Disk`] of this store is dropped too.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`] if not everything could be made durable.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.stop();
        self.disk.sync()
    }

    fn queues(&self) -> impl Iterator<Item = &Arc<Jobs>> {
        self.workers.iter().chain([&self.reads, &self.surveys])
    }

    fn stop(&mut self) {
        for queue in self.queues() {
            queue.close();
        }
        for thread in self.threads.drain(..) {
            join(thread);
        }
        self.applied.close();
        self.ticking.stop();
        if let Some(thread) = self.syncer.take() {
            join(thread);
        }
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        self.stop();
        if let Err(error) = self.disk.sync() {
            tracing::error!(%error, "the store was closed without its last writes");
        }
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread of the store had panicked");
    }
}
