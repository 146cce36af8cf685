//! The plugins of a node, by the name that buckets call them by, each with a breaker and counters for every bucket.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use kinfold_protocol::merge::MergeRequest;

use crate::breaker::{Breaker, BreakerConfig, Pass, Verdict};
use crate::load::LoadError;
use crate::outcome::MergeOutcome;
use crate::plugin::Plugin;
use crate::stats::{Call, PluginStats, verdict};

/// So many merges of a plugin go to the merge threads at once after one that was not quick.
const SLOW: u32 = 256;

/// A plugin and how it is doing.
pub(crate) struct Entry {
    pub(crate) plugin: Plugin,
    breaker: BreakerConfig,
    health: Mutex<BTreeMap<String, Health>>,
    /// Merges until it is tried again whether it is quick.
    slow: AtomicU32,
}

/// How a plugin is doing in one bucket. There are as many as there are buckets that it merges for.
struct Health {
    breaker: Breaker,
    stats: PluginStats,
}

impl Entry {
    fn new(plugin: Plugin, breaker: BreakerConfig) -> Self {
        Self { plugin, breaker, health: Mutex::default(), slow: AtomicU32::new(0) }
    }

    /// Merges on a thread that others wait for; `None` if that is not quick, or was not lately.
    pub(crate) fn merge_quickly(&self, request: &MergeRequest) -> Option<MergeOutcome> {
        let fewer = |left: u32| left.checked_sub(1);
        if self.slow.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok() {
            return None;
        }
        let outcome = self.plugin.merge_quickly(request);
        if outcome.is_none() {
            self.slow.store(SLOW, Ordering::Relaxed);
        }
        outcome
    }

    /// Asks the breaker for a call.
    pub(crate) fn admit(&self, bucket: &str, now: Instant) -> Option<Pass> {
        self.with(bucket, |health| health.breaker.admit(now))
    }

    /// Takes back a pass that nothing was done with.
    pub(crate) fn give_back(&self, bucket: &str, pass: Pass, now: Instant) {
        self.with(bucket, |health| health.judge(pass, Verdict::Nothing, now));
    }

    /// Counts a call that was let through; `true` if it opened the breaker.
    pub(crate) fn settle(&self, bucket: &str, pass: Pass, call: &Call<'_>, now: Instant) -> bool {
        self.with(bucket, |health| {
            health.stats.count(call);
            health.judge(pass, verdict(call.result), now)
        })
    }

    /// Counts a look at a value; `true` if it opened the breaker.
    pub(crate) fn settle_validation(
        &self,
        bucket: &str,
        pass: Pass,
        judged: Verdict,
        invalid: bool,
        now: Instant,
    ) -> bool {
        self.with(bucket, |health| {
            health.stats.validated += 1;
            health.stats.invalid += u64::from(invalid);
            health.judge(pass, judged, now)
        })
    }

    /// Counts a call that the breaker refused.
    pub(crate) fn refused(&self, bucket: &str, call: &Call<'_>) {
        self.with(bucket, |health| health.stats.count(call));
    }

    /// Counts a comparison of two runs.
    pub(crate) fn compared(&self, bucket: &str, equal: bool) {
        self.with(bucket, |health| {
            health.stats.compared += 1;
            health.stats.mismatches += u64::from(!equal);
        });
    }

    /// The counters of each bucket.
    pub(crate) fn stats(&self) -> BTreeMap<String, PluginStats> {
        let stats = |health: &Health| PluginStats {
            breaker_open: health.breaker.is_open(),
            ..health.stats.clone()
        };
        self.lock().iter().map(|(bucket, health)| (bucket.clone(), stats(health))).collect()
    }

    fn with<T>(&self, bucket: &str, act: impl FnOnce(&mut Health) -> T) -> T {
        let mut all = self.lock();
        if let Some(health) = all.get_mut(bucket) {
            return act(health);
        }
        let breaker = Breaker::new(self.breaker.clone());
        let new = Health { breaker, stats: PluginStats::default() };
        act(all.entry(bucket.to_owned()).or_insert(new))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Health>> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Health {
    fn judge(&mut self, pass: Pass, judged: Verdict, now: Instant) -> bool {
        let opened = self.breaker.settle(pass, judged, now);
        self.stats.breaker_opened += u64::from(opened);
        opened
    }
}

/// All plugins of a node.
pub(crate) struct Registry {
    breaker: BreakerConfig,
    entries: RwLock<BTreeMap<String, Arc<Entry>>>,
}

impl Registry {
    pub(crate) fn new(breaker: BreakerConfig) -> Self {
        Self { breaker, entries: RwLock::default() }
    }

    /// Adds a plugin under its manifest's name.
    pub(crate) fn add(&self, plugin: Plugin) -> Result<(), LoadError> {
        let name = plugin.manifest().name.clone();
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.contains_key(&name) {
            return Err(LoadError::NameTaken(name));
        }
        entries.insert(name, Arc::new(Entry::new(plugin, self.breaker.clone())));
        Ok(())
    }

    /// Puts a plugin in the place of whatever has this name.
    pub(crate) fn replace(&self, name: &str, plugin: Plugin) {
        let entry = Arc::new(Entry::new(plugin, self.breaker.clone()));
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.insert(name.to_owned(), entry);
    }

    /// Takes a plugin out. Merges that run with it end as they would.
    pub(crate) fn remove(&self, name: &str) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.remove(name);
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Entry>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(name).cloned()
    }

    /// All of them, in the order of their names.
    pub(crate) fn all(&self) -> Vec<(String, Arc<Entry>)> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.iter().map(|(name, entry)| (name.clone(), Arc::clone(entry))).collect()
    }
}
