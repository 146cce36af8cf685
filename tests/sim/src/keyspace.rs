//! The buckets and keys of a run, and what may be expected of them.

use kinfold_protocol::config::BucketConfig;
use kinfold_protocol::id::{BucketName, Key};

/// What a key's value is, as far as the checkers are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Semantics {
    /// Siblings: a write goes when another one that had seen it replaces it.
    Causal,
    /// As [`Semantics::Causal`], and all writes are conditional: one register with compare-and-set.
    Register,
    /// Siblings that hold sets, read as their union: the same for every line.
    CausalSets,
    /// One set, to which every write adds, and which a delete empties.
    Union,
    /// The latest write.
    Latest,
}

impl Semantics {
    /// By how much deletes are rarer than elsewhere.
    #[must_use]
    pub fn delete_rarity(self) -> u32 {
        match self {
            Self::Causal | Self::Register | Self::CausalSets | Self::Latest => 1,
            Self::Union => 5,
        }
    }
}

/// A bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// Its name.
    pub name: BucketName,
    /// Its properties.
    pub config: BucketConfig,
    /// What its values are.
    pub semantics: Semantics,
}

/// A key.
#[derive(Clone, Debug)]
pub struct Spot {
    /// The key.
    pub key: Key,
    /// Its bucket's properties.
    pub config: BucketConfig,
    /// What its value is.
    pub semantics: Semantics,
    /// The nodes that own it.
    pub owners: Vec<usize>,
    /// May its values expire?
    pub expires: bool,
    /// The fewest acknowledgements that a client waits for.
    pub least_w: u8,
    /// Was a disk lost while it was written? Then fewer owners hold a write than acknowledged it.
    pub exposed: bool,
}

/// All keys.
#[derive(Clone, Debug, Default)]
pub struct Keyspace {
    /// The buckets.
    pub buckets: Vec<Bucket>,
    /// The keys.
    pub spots: Vec<Spot>,
}

impl Keyspace {
    /// The same, with every acknowledged write on the disks of two nodes at least, of which one will be lost.
    ///
    /// Without lattice buckets: what a delete took out of a folded value comes back with an old copy of a disk, if that is written
    /// to before its node has met the others.
    #[must_use]
    pub fn on_two_disks(mut self) -> Self {
        let fits = |semantics| matches!(semantics, Semantics::Causal | Semantics::CausalSets);
        self.spots.retain(|spot| fits(spot.semantics));
        self.buckets.retain(|bucket| fits(bucket.semantics));
        self.in_two_copies()
    }

    /// The same, with every acknowledged write on the disks of two nodes at least.
    #[must_use]
    pub fn in_two_copies(mut self) -> Self {
        self.spots.retain(|spot| spot.config.n >= 2);
        self.buckets.retain(|bucket| bucket.config.n >= 2);
        for config in self
            .spots
            .iter_mut()
            .map(|s| &mut s.config)
            .chain(self.buckets.iter_mut().map(|b| &mut b.config))
        {
            config.w = config.w.max(2);
        }
        for spot in &mut self.spots {
            spot.least_w = 2;
            spot.exposed = true;
        }
        self
    }
}
