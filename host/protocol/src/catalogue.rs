//! The catalogue: what all nodes have to agree on beside the layout: the buckets, and the plugins that are installed.
//!
//! Each entry is a versioned value. The greatest version wins, so catalogues join in any order; nodes compare digests when
//! they greet each other, and pull where they differ.

mod bucket;
mod plugin;
mod release;
mod staged;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::causality::{Digest, Dot};
use crate::cbor;
use crate::config::BucketConfig;
use crate::id::{BucketName, NodeId};

pub use bucket::{BucketEntry, MergeFunction};
pub use plugin::{
    Component, Contract, Evidence, LawEvidence, LawVerdict, MAX_EVIDENCE_TEXT, MAX_INSTALLED,
    PluginEntry,
};
pub use release::{BadRelease, Release};
pub use staged::{MAX_STAGED, MemberChange, StagedEntry};

/// What every node should be able to merge with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginPlan {
    /// The component of each installed release.
    pub components: BTreeMap<Release, Digest>,
    /// Candidates that run beside the plugins of buckets.
    pub shadows: BTreeMap<BucketName, String>,
}

/// All buckets, installed plugins, and changes of the ring that are staged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    buckets: BTreeMap<BucketName, BucketEntry>,
    plugins: BTreeMap<Release, PluginEntry>,
    staged: BTreeMap<NodeId, StagedEntry>,
}

impl Catalogue {
    /// A catalogue of these entries.
    #[must_use]
    pub fn of(
        buckets: BTreeMap<BucketName, BucketEntry>,
        plugins: BTreeMap<Release, PluginEntry>,
    ) -> Self {
        Self { buckets, plugins, staged: BTreeMap::new() }
    }

    /// The same with these staged changes.
    #[must_use]
    pub fn with_staged(mut self, staged: BTreeMap<NodeId, StagedEntry>) -> Self {
        self.staged = staged;
        self
    }

    /// What is staged, by the member that it concerns.
    #[must_use]
    pub fn staged(&self) -> &BTreeMap<NodeId, StagedEntry> {
        &self.staged
    }

    /// Takes in what is staged of one member, unless something later is here. Says whether anything changed.
    pub fn stage(&mut self, member: NodeId, entry: StagedEntry) -> bool {
        match self.staged.get(&member) {
            Some(present) if present.version >= entry.version => false,
            Some(_) | None => {
                self.staged.insert(member, entry);
                true
            }
        }
    }

    /// Forgets what was staged for an earlier change than the one after this number of them. Says whether anything went.
    pub fn void_staged(&mut self, change: u64) -> bool {
        let before = self.staged.len();
        self.staged.retain(|_, entry| entry.change >= change);
        before != self.staged.len()
    }

    /// Its buckets and its releases.
    #[must_use]
    pub fn into_parts(self) -> (BTreeMap<BucketName, BucketEntry>, BTreeMap<Release, PluginEntry>) {
        (self.buckets, self.plugins)
    }

    /// What every node should be able to merge with.
    #[must_use]
    pub fn plan(&self) -> PluginPlan {
        let shadow = |(name, entry): (&BucketName, &BucketEntry)| {
            Some((name.clone(), entry.shadow.clone()?))
        };
        PluginPlan {
            components: self
                .installed()
                .map(|(r, component)| (r.clone(), component.hash))
                .collect(),
            shadows: self.buckets.iter().filter_map(shadow).collect(),
        }
    }

    /// The properties of a bucket.
    #[must_use]
    pub fn bucket(&self, name: &BucketName) -> Option<&BucketConfig> {
        self.buckets.get(name).map(|entry| &entry.config)
    }

    /// All buckets by name.
    #[must_use]
    pub fn buckets(&self) -> &BTreeMap<BucketName, BucketEntry> {
        &self.buckets
    }

    /// All releases by name, also those that were removed.
    #[must_use]
    pub fn plugins(&self) -> &BTreeMap<Release, PluginEntry> {
        &self.plugins
    }

    /// The releases that are installed.
    pub fn installed(&self) -> impl Iterator<Item = (&Release, &Component)> {
        self.plugins
            .iter()
            .filter_map(|(release, entry)| Some((release, entry.component.as_ref()?)))
    }

    /// What is installed under this name.
    #[must_use]
    pub fn component(&self, plugin: &str) -> Option<&Component> {
        self.plugins.get(plugin)?.component.as_ref()
    }

    /// The buckets that merge with this plugin, or have it run beside their own.
    #[must_use]
    pub fn users(&self, plugin: &str) -> Vec<&BucketName> {
        let uses = |entry: &BucketEntry| {
            entry.config.mode.plugin() == Some(plugin) || entry.shadow.as_deref() == Some(plugin)
        };
        self.buckets.iter().filter(|(_, entry)| uses(entry)).map(|(name, _)| name).collect()
    }

    /// Takes in one change of a bucket, unless a later one is here. Says whether anything changed.
    pub fn set(&mut self, name: BucketName, entry: BucketEntry) -> bool {
        match self.buckets.get(&name) {
            Some(present) if present.version >= entry.version => false,
            Some(_) | None => {
                self.buckets.insert(name, entry);
                true
            }
        }
    }

    /// Takes in one change of a release, unless a later one is here. Says whether anything changed.
    pub fn set_plugin(&mut self, release: Release, entry: PluginEntry) -> bool {
        match self.plugins.get(&release) {
            Some(present) if present.version >= entry.version => false,
            Some(_) | None => {
                self.plugins.insert(release, entry);
                true
            }
        }
    }

    /// Takes in all changes of another catalogue. Says whether anything changed.
    pub fn join(&mut self, other: Self) -> bool {
        let buckets = other.buckets.into_iter();
        let changed = buckets.fold(false, |changed, (name, entry)| self.set(name, entry) | changed);
        let plugins = other.plugins.into_iter();
        let changed = plugins
            .fold(changed, |changed, (release, entry)| self.set_plugin(release, entry) | changed);
        let staged = other.staged.into_iter();
        staged.fold(changed, |changed, (member, entry)| self.stage(member, entry) | changed)
    }

    /// The latest change.
    #[must_use]
    pub fn latest(&self) -> Option<Dot> {
        let buckets = self.buckets.values().map(|entry| entry.version);
        let plugins = self.plugins.values().map(|entry| entry.version);
        buckets.chain(plugins).chain(self.staged.values().map(|entry| entry.version)).max()
    }

    /// Equal for equal catalogues. While no plugin is installed, it is the digest of the buckets alone, as nodes that know of
    /// no plugins make it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        if !self.staged.is_empty() {
            return Digest::of(&cbor::encode(&(&self.buckets, &self.plugins, &self.staged)));
        }
        if self.plugins.is_empty() {
            return Digest::of(&cbor::encode(&self.buckets));
        }
        Digest::of(&cbor::encode(&(&self.buckets, &self.plugins)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Mode, Tombstones};
    use crate::id::Actor;
    use crate::time::Timestamp;

    fn dot(time: u64) -> Dot {
        Dot { time: Timestamp(time), actor: Actor(1) }
    }

    fn entry(time: u64, hash: Option<&[u8]>) -> PluginEntry {
        let component = hash.map(|hash| Component {
            hash: Digest::of(hash),
            size: 1,
            contract: Contract::Lattice,
            tombstones: Tombstones::Reset,
            description: "".into(),
            installed_by: "boss".into(),
            evidence: Evidence::default(),
        });
        PluginEntry { version: dot(time), component }
    }

    fn one(time: u64, hash: Option<&[u8]>) -> Catalogue {
        let mut catalogue = Catalogue::default();
        catalogue.set_plugin(Release::parse("a@1").unwrap(), entry(time, hash));
        catalogue
    }

    #[test]
    fn the_latest_change_of_a_release_wins_in_any_order() {
        let parts = [one(1, Some(b"x")), one(3, None), one(2, Some(b"y"))];
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            let mut all = Catalogue::default();
            order.into_iter().for_each(|at: usize| _ = all.join(parts[at].clone()));
            assert_eq!(all, parts[1]);
            assert_eq!(all.component("a@1"), None);
            assert_eq!(all.installed().count(), 0);
        }
        // A removed one is an entry all the same: whoever missed the removal learns of it.
        assert_ne!(parts[1].digest(), Catalogue::default().digest());
        assert_ne!(parts[0].digest(), parts[2].digest());
    }

    #[test]
    fn a_plugin_is_used_by_buckets_that_merge_with_it_or_try_it() {
        let mut catalogue = one(1, Some(b"x"));
        let name = |name| BucketName::new(name).unwrap();
        let mode = Mode::Resolver { plugin: "a@1".into() };
        let config = BucketConfig { mode, ..BucketConfig::default() };
        catalogue.set(name("merges"), BucketEntry::new(dot(1), config));
        let plain = BucketEntry::new(dot(1), BucketConfig::default());
        let tries = BucketEntry { shadow: Some("a@1".into()), ..plain.clone() };
        catalogue.set(name("tries"), tries);
        catalogue.set(name("without"), plain);
        assert_eq!(catalogue.users("a@1"), [&name("merges"), &name("tries")]);
        assert!(catalogue.users("a@2").is_empty());
    }
}
