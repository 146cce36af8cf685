//! The plugins of a node, by name, each with its breaker and its counters.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use kinfold_protocol::merge::MergeResult;

use crate::breaker::{Breaker, BreakerConfig, Pass};
use crate::load::LoadError;
use crate::plugin::Plugin;
use crate::stats::{PluginStats, verdict};

/// A plugin and how it is doing.
pub(crate) struct Entry {
    pub(crate) plugin: Plugin,
    health: Mutex<Health>,
}

struct Health {
    breaker: Breaker,
    stats: PluginStats,
}

/// What one call took and gave, for the counters.
pub(crate) struct Call<'a> {
    pub(crate) inputs: usize,
    pub(crate) fuel: u64,
    pub(crate) result: &'a MergeResult,
}

impl Entry {
    fn new(plugin: Plugin, breaker: BreakerConfig) -> Self {
        Self {
            plugin,
            health: Mutex::new(Health {
                breaker: Breaker::new(breaker),
                stats: PluginStats::default(),
            }),
        }
    }

    /// Asks the breaker for a call.
    pub(crate) fn admit(&self, now: Instant) -> Option<Pass> {
        self.lock().breaker.admit(now)
    }

    /// Counts a call that was let through; `true` if it opened the breaker.
    pub(crate) fn settle(&self, pass: Pass, call: &Call<'_>, now: Instant) -> bool {
        let mut health = self.lock();
        health.stats.count(call.inputs, call.fuel, call.result);
        let opened = health.breaker.settle(pass, verdict(call.result), now);
        health.stats.breaker_opened += u64::from(opened);
        opened
    }

    /// Counts a call that the breaker refused.
    pub(crate) fn refused(&self, call: &Call<'_>) {
        self.lock().stats.count(call.inputs, call.fuel, call.result);
    }

    /// Counts a comparison of two runs.
    pub(crate) fn compared(&self, equal: bool) {
        let mut health = self.lock();
        health.stats.compared += 1;
        health.stats.mismatches += u64::from(!equal);
    }

    pub(crate) fn stats(&self) -> PluginStats {
        let health = self.lock();
        PluginStats { breaker_open: health.breaker.is_open(), ..health.stats.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
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

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Entry>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(name).cloned()
    }

    /// All of them, in the order of their names.
    pub(crate) fn all(&self) -> Vec<Arc<Entry>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.values().cloned().collect()
    }
}
