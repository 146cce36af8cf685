//! Merges: quick ones on the thread that asks, and the others on threads of their own, so that a slow plugin delays other merges and
//! nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::{fs, io};

use bytes::Bytes;
use kinfold_protocol::merge::{MergeRequest, MergeResult, ValidateRequest, Validity};
use kinfold_protocol::message::plugin::{FailedMerge, Logs};

use crate::breaker::BreakerConfig;
use crate::builtin::BUILT_IN;
use crate::engine::{Engine, EngineError};
use crate::failures::Failures;
use crate::limits::Limits;
use crate::load::LoadError;
use crate::log_ring::LogRing;
use crate::manifest::Manifest;
use crate::plugin::Plugin;
use crate::queue::{Job, Queue};
use crate::registry::Registry;
use crate::samples::Samples;
use crate::shadow::Shadows;
use crate::stats::{MergerStats, PluginStats};
use crate::worker::Workshop;

/// What a merge thread needs besides the component's own stack, in bytes.
const HOST_STACK: usize = 1024 * 1024;

/// How a node merges.
#[derive(Clone, Debug)]
pub struct MergerConfig {
    /// Threads that merge; at least 1. By default as many as there are processors, but no more than 8.
    pub threads: usize,
    /// Merges that may wait for a thread. Beyond it a merge is refused as overloaded, which costs its reader nothing but
    /// the merged view; so a bound of a second's work is plenty.
    pub queue: usize,
    /// Components of the operator's: every `*.wasm` in this folder is loaded at the start.
    pub plugins_dir: Option<PathBuf>,
    /// Where compiled code is kept, so that the next start need not compile: a folder in the node's data directory, closed to
    /// others ([`Engine::with_compiled_code`]).
    pub compiled_dir: Option<PathBuf>,
    /// What one merge may use.
    pub limits: Limits,
    /// When a failing plugin is left alone.
    pub breaker: BreakerConfig,
    /// One merge in so many runs twice, and the results are compared. At least 1.
    pub compare_every: u64,
}

impl Default for MergerConfig {
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self {
            threads: processors.min(8),
            queue: 4096,
            plugins_dir: None,
            compiled_dir: None,
            limits: Limits::default(),
            breaker: BreakerConfig::default(),
            compare_every: 1000,
        }
    }
}

impl MergerConfig {
    /// The stack that a thread needs on which merges run, in bytes.
    #[must_use]
    pub fn stack(&self) -> usize {
        self.limits.stack.saturating_add(HOST_STACK)
    }
}

/// A component of the plugins folder that was not loaded. The node runs without it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", .path.display())]
pub struct Refused {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub error: LoadError,
}

/// The plugins of a node and the threads that run them. Dropping it lets running merges finish, and answers those that
/// still wait as overloaded.
pub struct Merger {
    engine: Engine,
    workshop: Arc<Workshop>,
    threads: Vec<JoinHandle<()>>,
}

impl Merger {
    /// Loads the built-in plugins and those of the plugins folder, and starts the threads. What was refused comes back for
    /// the operator to see; a folder that can't be read is refused as a whole.
    ///
    /// # Errors
    /// If this machine can't run the engine or start a thread.
    pub fn start(config: MergerConfig) -> Result<(Self, Vec<Refused>), EngineError> {
        let threads = config.threads.max(1);
        // Besides those of the threads and as many visitors, a few instances for loading and checking plugins.
        let instances = u32::try_from(threads * 2).unwrap_or(u32::MAX).saturating_add(4);
        let stack = config.stack();
        let engine = match &config.compiled_dir {
            Some(folder) => Engine::with_compiled_code(config.limits, instances, folder)?,
            None => Engine::new(config.limits, instances)?,
        };
        let mut merger = Self {
            engine,
            workshop: Arc::new(Workshop {
                queue: Queue::new(config.queue),
                registry: Registry::new(config.breaker),
                shadows: Shadows::default(),
                logs: LogRing::default(),
                samples: Samples::default(),
                failures: Failures::default(),
                compare_every: config.compare_every,
                visitors: AtomicUsize::new(0),
                merges: AtomicU64::new(0),
                overloaded: AtomicU64::new(0),
                no_plugin: AtomicU64::new(0),
            }),
            threads: Vec::with_capacity(threads),
        };
        for (name, component) in BUILT_IN {
            merger.load(component).map_err(|error| EngineError::BuiltIn { name, error })?;
        }
        let mut refused = Vec::new();
        if let Some(folder) = &config.plugins_dir {
            merger.load_folder(folder, &mut refused);
        }
        for number in 0..threads {
            let workshop = Arc::clone(&merger.workshop);
            let thread = thread::Builder::new()
                .name(format!("merge-{number}"))
                .stack_size(stack)
                .spawn(move || workshop.work())?;
            merger.threads.push(thread);
        }
        Ok((merger, refused))
    }

    /// Queues a merge. `done` is called exactly once: on a merge thread, or at once, on this thread, with
    /// [`MergeFailure::Overloaded`](kinfold_protocol::merge::MergeFailure::Overloaded) if the queue is full. It should hand the result on and return.
    pub fn submit(&self, request: MergeRequest, done: impl FnOnce(MergeResult) + Send + 'static) {
        self.queue(Job::Merge { request, done: Box::new(done) });
    }

    /// Merges on this thread, if that is a matter of a millisecond or two and not too many others are at it, and queues what takes more,
    /// to be done from the start. Most merges take microseconds, and waking another thread and being woken by it takes longer.
    ///
    /// The thread needs [`MergerConfig::stack`]. `done` is called as in [`Merger::submit`].
    pub fn merge(&self, request: MergeRequest, done: impl FnOnce(MergeResult) + Send + 'static) {
        let most = self.threads.len();
        let one_more = |now: usize| (now < most).then_some(now + 1);
        let visitors = &self.workshop.visitors;
        if visitors.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
            return self.submit(request, done);
        }
        let left = self.workshop.merge_quickly(request, done);
        visitors.fetch_sub(1, Ordering::Relaxed);
        if let Some((request, done)) = left {
            self.submit(request, done);
        }
    }

    /// Queues a look at a value. `done` is called as in [`Merger::submit`].
    pub fn validate(&self, request: ValidateRequest, done: impl FnOnce(Validity) + Send + 'static) {
        self.queue(Job::Validate { request, done: Box::new(done) });
    }

    fn queue(&self, job: Job) {
        if let Some(job) = self.workshop.queue.push(job) {
            self.workshop.overloaded.fetch_add(1, Ordering::Relaxed);
            job.refuse();
        }
    }

    /// Loads a component under a name that the caller chooses, in the place of whatever has it. It compiles on this thread.
    ///
    /// # Errors
    /// See [`LoadError`]; what had the name stays.
    pub fn install(&self, name: &str, component: &[u8]) -> Result<Manifest, LoadError> {
        let plugin = Plugin::load(&self.engine, component)?;
        let manifest = plugin.manifest().clone();
        self.workshop.registry.replace(name, plugin);
        Ok(manifest)
    }

    /// Forgets the plugin of this name. Merges that run with it end as they would.
    pub fn uninstall(&self, name: &str) {
        self.workshop.registry.remove(name);
    }

    /// The bounds of every merge.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        self.engine.limits()
    }

    /// The hash of the component that has this name, if there is one.
    #[must_use]
    pub fn hash(&self, name: &str) -> Option<blake3::Hash> {
        Some(self.workshop.registry.find(name)?.plugin.hash())
    }

    /// The names of the plugins that look at values before they are written.
    #[must_use]
    pub fn validators(&self) -> BTreeSet<String> {
        let all = self.workshop.registry.all().into_iter();
        all.filter(|(_, entry)| entry.plugin.validates()).map(|(name, _)| name).collect()
    }

    /// Has these candidates run beside the plugins of buckets, by bucket, and no others.
    pub fn set_shadows(&self, candidates: BTreeMap<String, String>) {
        self.workshop.shadows.set(candidates);
    }

    /// At most `most` lines that plugins wrote, and failures of theirs, after the one of this number.
    #[must_use]
    pub fn logs(&self, after: u64, most: usize) -> Logs {
        self.workshop.logs.after(after, most)
    }

    /// The last merges that the plugin of this name failed on by a fault of its own, oldest first, and the values of their siblings, one
    /// after the other.
    #[must_use]
    pub fn failures(&self, plugin: &str) -> (Vec<FailedMerge>, Vec<Bytes>) {
        self.workshop.failures.of(plugin)
    }

    /// Values that a bucket merged lately.
    #[must_use]
    pub fn samples(&self, bucket: &str) -> Vec<Bytes> {
        self.workshop.samples.of(bucket)
    }

    /// Loads one more plugin, under the name that its manifest says. It compiles on this thread.
    ///
    /// # Errors
    /// See [`LoadError`]; the plugins that were there before stay.
    pub fn load(&self, component: &[u8]) -> Result<Manifest, LoadError> {
        let plugin = Plugin::load(&self.engine, component)?;
        let manifest = plugin.manifest().clone();
        self.workshop.registry.add(plugin)?;
        Ok(manifest)
    }

    /// What the plugin of this name says of itself, if there is one.
    #[must_use]
    pub fn manifest(&self, name: &str) -> Option<Manifest> {
        let entry = self.workshop.registry.find(name)?;
        Some(entry.plugin.manifest().clone())
    }

    /// What all plugins say of themselves, with the hashes of their components, in the order of the names that they have here.
    #[must_use]
    pub fn plugins(&self) -> Vec<(Manifest, blake3::Hash)> {
        self.named_plugins().into_iter().map(|(_, manifest, hash)| (manifest, hash)).collect()
    }

    /// The same, with those names.
    #[must_use]
    pub fn named_plugins(&self) -> Vec<(String, Manifest, blake3::Hash)> {
        let entries = self.workshop.registry.all().into_iter();
        let plugin = |entry: &Plugin| (entry.manifest().clone(), entry.hash());
        entries
            .map(|(name, entry)| {
                let (manifest, hash) = plugin(&entry.plugin);
                (name, manifest, hash)
            })
            .collect()
    }

    /// The counters as they are now.
    #[must_use]
    pub fn stats(&self) -> MergerStats {
        let entries = self.workshop.registry.all().into_iter();
        let buckets: BTreeMap<_, _> = entries.map(|(name, entry)| (name, entry.stats())).collect();
        let total = |of: &BTreeMap<String, PluginStats>| {
            let mut total = PluginStats::default();
            of.values().for_each(|stats| total.add(stats));
            total
        };
        MergerStats {
            plugins: buckets.iter().map(|(name, of)| (name.clone(), total(of))).collect(),
            buckets,
            shadows: self.workshop.shadows.counts(),
            overloaded: self.workshop.overloaded.load(Ordering::Relaxed),
            no_plugin: self.workshop.no_plugin.load(Ordering::Relaxed),
            waiting: self.workshop.queue.len(),
        }
    }

    fn load_folder(&self, folder: &Path, refused: &mut Vec<Refused>) {
        let mut files = match components(folder) {
            Ok(files) => files,
            Err(error) => {
                let error = LoadError::File(error.to_string());
                refused.push(Refused { path: folder.to_owned(), error });
                return;
            }
        };
        // Of two plugins with one name the first by file name is taken, on every node.
        files.sort();
        for path in files {
            let component = read(&path, self.engine.limits().component);
            if let Err(error) = component.and_then(|component| self.load(&component)) {
                tracing::error!(path = %path.display(), %error, "a plugin was not loaded");
                refused.push(Refused { path, error });
            }
        }
    }
}

impl Drop for Merger {
    fn drop(&mut self) {
        for job in self.workshop.queue.close() {
            job.refuse();
        }
        for thread in self.threads.drain(..) {
            // The last owner may be a callback, and then this is one of the threads.
            if thread.thread().id() != thread::current().id() {
                thread.join().expect("a merge thread catches every panic");
            }
        }
    }
}

fn components(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let paths: io::Result<Vec<_>> = paths.collect();
    let is_component = |path: &PathBuf| path.extension().is_some_and(|end| end == "wasm");
    Ok(paths?.into_iter().filter(is_component).collect())
}

/// Reads a component, but not one that would be refused for its size anyway.
fn read(path: &Path, limit: usize) -> Result<Vec<u8>, LoadError> {
    let unreadable = |error: io::Error| LoadError::File(error.to_string());
    let size = fs::metadata(path).map_err(unreadable)?.len();
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size > limit {
        return Err(LoadError::TooLarge { size, limit });
    }
    fs::read(path).map_err(unreadable)
}
