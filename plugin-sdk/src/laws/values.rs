//! Values to try: good ones, nearly good ones, and bytes that mean nothing.

use crate::{Chance, Samples};

/// Few seeds, so that values have something in common.
const SEEDS: u64 = 12;
/// In bytes.
const SIZES: [u32; 5] = [0, 8, 32, 128, 1024];
/// Values that are made of others by a small change.
const CHANGED: usize = 64;

/// Bytes that formats trip over.
const AWKWARD: [&[u8]; 15] = [
    b"",
    b"\0",
    b"\n",
    b"\n\n",
    b"\t",
    b" ",
    b"a",
    b"0",
    b"-1",
    b"18446744073709551616",
    b"1e400",
    b"{}",
    b"[[[[[[[[[[[[[[[[",
    b"\xff\xfe",
    b"\xf0\x9f\x8c\xb1",
];

/// The values of one trial.
pub(super) struct Values {
    /// The plugin's samples and the author's corpus, the shorter ones first.
    good: Vec<Vec<u8>>,
    odd: Vec<Vec<u8>>,
}

impl Values {
    pub(super) fn gather<S: Samples>(corpus: &[Vec<u8>], chance: &mut Chance) -> Self {
        let seeds = SIZES.into_iter().flat_map(|size| (0..SEEDS).map(move |seed| (seed, size)));
        let mut good: Vec<_> = seeds.map(|(seed, size)| S::sample(seed, size)).collect();
        good.extend_from_slice(corpus);
        good.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
        good.dedup();
        let mut odd: Vec<_> = (0..CHANGED).map(|_| changed(pick(&good, chance), chance)).collect();
        odd.extend(AWKWARD.map(<[u8]>::to_vec));
        Self { good, odd }
    }

    /// A value that the plugin should merge: one of the shorter ones, so many percent of all.
    pub(super) fn fine(&self, reach: usize, chance: &mut Chance) -> Vec<u8> {
        let shorter = (self.good.len() * reach / 100).max(4).min(self.good.len());
        pick(&self.good[..shorter], chance).to_vec()
    }

    /// Mostly such a value, but any other one too.
    pub(super) fn any(&self, reach: usize, chance: &mut Chance) -> Vec<u8> {
        match chance.below(4) {
            0 => pick(&self.odd, chance).to_vec(),
            _ => self.fine(reach, chance),
        }
    }
}

fn pick<'a>(from: &'a [Vec<u8>], chance: &mut Chance) -> &'a [u8] {
    from.get(below(from.len(), chance)).map_or(&[], Vec::as_slice)
}

fn below(bound: usize, chance: &mut Chance) -> usize {
    chance.below(bound as u64) as usize
}

/// A value with one small change.
fn changed(value: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut changed = value.to_vec();
    let from = below(changed.len() + 1, chance);
    let to = from + below(changed.len() - from + 1, chance);
    match chance.below(4) {
        0 => drop(changed.drain(from..to)),
        1 => changed.insert(from, below(256, chance) as u8),
        2 => changed.extend_from_within(from..to),
        _ => {
            if let Some(byte) = changed.get_mut(from) {
                *byte ^= 1 << chance.below(8);
            }
        }
    }
    changed
}
