//! Sample values for the checker of the laws.

/// Makes values that the plugin merges. Without them `kinfold plugin check` has only an author's fixtures and bytes at
/// random, most of which a plugin with a format of its own refuses before its interesting code runs.
pub trait Samples {
    /// A value that `merge` accepts, of very roughly `size` bytes. Equal arguments give equal bytes. Small seeds should give
    /// values that have something in common, so that merging them does something.
    fn sample(seed: u64, size: u32) -> Vec<u8>;

    /// Whether two values mean the same. The checker uses it only to explain a breach: replicas compare bytes.
    fn equivalent(a: &[u8], b: &[u8]) -> bool {
        a == b
    }
}

/// Numbers that look random, all from one seed: what samples are made with (Steele, Lea and Flood 2014).
pub struct Chance(u64);

impl Chance {
    /// A stream of its own for each seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`, or 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).checked_rem(bound).unwrap_or(0)
    }
}
