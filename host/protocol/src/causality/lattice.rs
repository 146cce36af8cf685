//! Objects of lattice buckets, whose versions are folded into one value.
//!
//! The invariant: *the value of a version is the join of every write that it covers.* So a version whose `covers` lies
//! within another's is already part of that other and can go; two versions of which neither covers the other have to be
//! merged by the bucket's plugin, and until that is done, or where it can't be done, both are kept. Never is a version
//! replaced by mere coverage of the *object*: the values of an object's versions only together hold all that it covers.

use alloc::vec::Vec;

use crate::causality::{Content, Context, Dot, Object, Opened, Version};
use crate::config::Tombstones;
use crate::id::RequestId;
use crate::merge::{self, MergeInput};

/// The versions of an object, about to become one: what the plugin is asked, and what to make of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    /// The inputs in canonical order. With fewer than two, no plugin is needed.
    pub inputs: Vec<MergeInput>,
    dot: Dot,
}

impl Object {
    /// Joins the parts that another replica holds. What neither side covers stays beside the rest until it is folded.
    pub fn join_lattice(&mut self, other: &Self, tombstones: Tombstones) {
        for theirs in &other.versions {
            for mine in &mut self.versions {
                mine.content.adopt(&theirs.content);
            }
        }
        self.versions.extend(other.versions.iter().cloned());
        self.context.unite(&other.context);
        self.unite_requests(other);
        if tombstones == Tombstones::Reset {
            self.keep_latest_generation();
        }
        self.keep_maximal();
    }

    /// Writes `content` as a part of its own under `dot`, to be folded with the others.
    pub fn put_part(&mut self, dot: Dot, content: Content, request: RequestId) {
        let generation = self.versions.iter().map(|v| v.generation).max().flatten();
        self.context.unite(&Context::of(dot));
        self.versions.push(Version { dot, content, covers: Context::of(dot), generation });
        self.remember(dot, request);
        self.keep_maximal();
    }

    /// Starts a new generation, named by its dot, without a value: the parts that are here go, and parts that others hold
    /// and that had not seen this delete go when they meet it.
    pub fn reset(&mut self, dot: Dot, request: RequestId, opened: &mut Option<Opened>) {
        self.claim(dot, opened);
        self.versions = alloc::vec![Version {
            dot,
            content: Content::Tombstone,
            covers: self.context.clone(),
            generation: Some(dot),
        }];
        self.remember(dot, request);
    }

    /// Drops values of older generations, and bare markers of this one beside values; what they covered stays covered.
    pub(crate) fn keep_latest_generation(&mut self) {
        let Some(latest) = self.versions.iter().map(|v| v.generation).max() else {
            return;
        };
        let in_latest = |v: &Version| v.generation == latest;
        let valued = self.versions.iter().any(|v| in_latest(v) && !v.content.is_tombstone());
        let (mut kept, silent): (Vec<_>, Vec<_>) = core::mem::take(&mut self.versions)
            .into_iter()
            .partition(|v| in_latest(v) && !(valued && v.content.is_tombstone()));
        let mut absorbed = Context::new();
        for version in &silent {
            absorbed.unite(&version.covers);
        }
        for version in &mut kept {
            version.covers.unite(&absorbed);
        }
        self.versions = kept;
    }

    /// Drops every version whose writes all lie within another's.
    fn keep_maximal(&mut self) {
        // Equal coverage and equal bytes are one version, under the greater dot.
        self.versions.sort_by(|a, b| {
            (&a.covers, a.content.digest(), b.dot).cmp(&(&b.covers, b.content.digest(), a.dot))
        });
        self.versions.dedup_by(|a, b| a.covers == b.covers && a.content == b.content);
        let all = core::mem::take(&mut self.versions);
        self.versions = all
            .iter()
            .filter(|v| !all.iter().any(|w| w.covers != v.covers && w.covers.covers(&v.covers)))
            .cloned()
            .collect();
        self.versions.sort_by_key(|v| (v.dot, v.content.digest()));
    }

    /// What folding this object's versions into one takes; `None` where there is at most one, or where two with equal
    /// contexts are unequal: then the plugin broke its laws, and asking it again would only pick one of them.
    #[must_use]
    pub fn fold(&self) -> Option<Fold> {
        if self.versions.len() < 2 || self.has_clash() {
            return None;
        }
        Some(Fold { inputs: self.merge_inputs(), dot: self.versions.iter().map(|v| v.dot).max()? })
    }

    /// This object's versions as the inputs of a merge, in canonical order and without duplicates.
    #[must_use]
    pub fn merge_inputs(&self) -> Vec<MergeInput> {
        let inputs = self
            .versions
            .iter()
            .map(|v| MergeInput { value: v.content.bytes().cloned(), time: v.dot.time });
        merge::canonical(inputs.collect())
    }

    /// Replaces the versions by the one that they were folded to.
    pub fn folded(&mut self, fold: &Fold, content: Content) {
        let generation = self.versions.iter().map(|v| v.generation).max().flatten();
        self.versions = alloc::vec![Version {
            dot: fold.dot,
            content,
            covers: self.context.clone(),
            generation,
        }];
    }

    /// Extends the interval that this replica opened by `dot`, in the context and in the one folded version.
    ///
    /// Only right where this object is folded: a part that covered more than it holds would swallow the others.
    pub fn claim_folded(&mut self, dot: Dot, opened: &mut Option<Opened>) {
        self.claim(dot, opened);
        if let [only] = self.versions.as_mut_slice() {
            only.covers.clone_from(&self.context);
        }
    }
}

impl Fold {
    /// The content, where the inputs are all equal and no plugin is needed.
    #[must_use]
    pub fn trivial(&self) -> Option<Content> {
        match self.inputs.as_slice() {
            [only] => Some(Content::from_option(only.value.clone())),
            _ => None,
        }
    }
}
