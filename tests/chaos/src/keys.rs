//! The buckets and keys that clients write, and when a key gives way to a new one.
//!
//! A key takes so many operations and is then left alone, so that what is to be judged of it stays small however long a run is. When a
//! disk was lost, all keys give way: those that were written meanwhile are exempt from what a quorum of disks guarantees, and the new
//! ones are not.

use kinfold_client::{BucketConfig, Consistency, Layout, Mode, Tombstones};
use kinfold_protocol::id::{BucketName, Key};
use sim::keyspace::{Bucket, Keyspace, Semantics, Spot};
use sim::rng::Rng;

/// Keys of each bucket that are written at one time.
const AT_ONCE: usize = 5;

/// Operations on a key before another one takes its place.
const MOST: u32 = 150;

/// The bucket of sets that are emptied by deletes.
pub const EMPTIED: &str = "emptied-sets";

/// All keys, and those that are being written.
#[derive(Debug)]
pub struct Keys {
    /// All of them.
    pub space: Keyspace,
    /// By place, the key that is being written there, and the operations on it so far.
    active: Vec<(usize, u32)>,
    layout: Layout,
    /// A disk has been lost, and is not whole again.
    exposed: bool,
}

impl Keys {
    /// The first keys.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        let mut keys =
            Self { space: Keyspace::default(), active: Vec::new(), layout, exposed: false };
        let resolver = Mode::Resolver { plugin: "set-union".into() };
        let lattice = Mode::Lattice { plugin: "set-union".into(), tombstones: Tombstones::Reset };
        let (sloppy, strict) = (Consistency::Sloppy, Consistency::Strict);
        for (name, mode, consistency, semantics) in [
            ("sloppy-siblings", Mode::Siblings, sloppy, Semantics::Causal),
            ("strict-siblings", Mode::Siblings, strict, Semantics::Causal),
            ("registers", Mode::Siblings, strict, Semantics::Register),
            ("resolved-sets", resolver, sloppy, Semantics::CausalSets),
            ("sets", lattice.clone(), sloppy, Semantics::Union),
            (EMPTIED, lattice, strict, Semantics::Union),
        ] {
            let config = BucketConfig { mode, consistency, ..BucketConfig::default() };
            let name = BucketName::new(name).expect("letters and hyphens");
            keys.space.buckets.push(Bucket { name, config, semantics });
        }
        keys.renew();
        keys
    }

    /// A key to write or read next.
    pub fn pick(&mut self, rng: &mut Rng) -> usize {
        let place = rng.index(self.active.len());
        let (spot, operations) = &mut self.active[place];
        *operations += 1;
        let picked = *spot;
        if *operations >= MOST {
            let bucket = place / AT_ONCE;
            self.active[place] = (self.add(bucket), 0);
        }
        picked
    }

    /// A disk is about to be lost: what is written now counts as exposed.
    pub fn expose(&mut self) {
        self.exposed = true;
        for (spot, _) in &self.active {
            self.space.spots[*spot].exposed = true;
        }
    }

    /// So many new keys of sloppy buckets, which clients leave alone.
    pub fn sloppy(&mut self, count: usize) -> Vec<usize> {
        let buckets = self.space.buckets.iter().enumerate();
        let sloppy = buckets.filter(|(_, bucket)| bucket.config.consistency == Consistency::Sloppy);
        let sloppy: Vec<usize> = sloppy.map(|(number, _)| number).collect();
        (0..count).map(|number| self.add(sloppy[number % sloppy.len()])).collect()
    }

    /// The keys so far are left alone, and new ones take their places. Those are still exposed, if a disk was lost.
    pub fn rest(&mut self) {
        let places = self.space.buckets.len() * AT_ONCE;
        self.active = (0..places).map(|place| (self.add(place / AT_ONCE), 0)).collect();
    }

    /// All disks are whole: what is written from now on is not exposed.
    pub fn renew(&mut self) {
        self.exposed = false;
        self.rest();
    }

    /// The owners are others from now on, also of the keys so far.
    pub fn follow(&mut self, layout: Layout) {
        self.layout = layout;
        for number in 0..self.space.spots.len() {
            let Spot { key, config, .. } = &self.space.spots[number];
            self.space.spots[number].owners = self.owners(key, config.n);
        }
    }

    /// The places of a key's owners among the members.
    fn owners(&self, key: &Key, n: u8) -> Vec<usize> {
        let owners = self.layout.owners(self.layout.ring().partition(key), n);
        let members = self.layout.members();
        owners.filter_map(|id| members.iter().position(|member| member.id == id)).collect()
    }

    fn add(&mut self, bucket: usize) -> usize {
        let number = self.space.spots.len();
        let Bucket { name, config, semantics } = self.space.buckets[bucket].clone();
        let key = Key { bucket: name, key: format!("key-{number}").into() };
        let owners = self.owners(&key, config.n);
        let least_w = config.w;
        let exposed = self.exposed;
        self.space.spots.push(Spot {
            key,
            config,
            semantics,
            owners,
            expires: false,
            least_w,
            exposed,
        });
        number
    }
}
