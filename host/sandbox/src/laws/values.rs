//! Values that clients might write: good ones, nearly good ones, and bytes that mean nothing.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::laws::chance::Chance;
use crate::laws::report::Origins;
use crate::laws::subject::Subject;

/// Seeds that the plugin's samples are made from. Few, so that values have something in common.
const SEEDS: u64 = 12;
/// Sizes in bytes: from nothing to what shows whether large values collapse into small ones.
const SIZES: [u32; 5] = [0, 8, 32, 128, 1024];
/// Values that are made of others by small changes, and without any meaning.
const MUTATED: usize = 64;
const GENERIC: usize = 64;
/// A value of this size, in bytes, is a large one.
pub(super) const LARGE: usize = 1024 * 1024;

/// Bytes that formats trip over.
const AWKWARD: [&[u8]; 16] = [
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
    b"[null]",
    b"\"\\u0000\"",
    b"\xff\xfe",
    b"\xf0\x9f\x8c\xb1",
];

/// The values of one check.
pub(super) struct Values {
    /// The plugin's own samples and the author's corpus: a plugin should merge them.
    good: Vec<Bytes>,
    sampled: usize,
    corpus: usize,
    mutated: Vec<Bytes>,
    generic: Vec<Bytes>,
    /// A large one.
    pub(super) large: Bytes,
}

impl Values {
    /// Asks the plugin for samples and makes all the others.
    pub(super) fn gather(subject: &mut Subject<'_>, corpus: &[Bytes], chance: &mut Chance) -> Self {
        let mut sampled = BTreeSet::new();
        for size in SIZES {
            for seed in 0..SEEDS {
                sampled.extend(subject.sample(seed, size).and_then(Result::ok));
            }
        }
        let mut good: Vec<_> = sampled.into_iter().collect();
        let sampled = good.len();
        good.extend_from_slice(corpus);
        let mut generic: Vec<_> = (0..GENERIC).map(|_| generic(chance)).collect();
        generic.sort_by_key(Bytes::len);
        let mutated = (0..MUTATED).map(|_| {
            let parents = if good.is_empty() { &generic } else { &good };
            mutate(chance.pick(parents), chance.pick(parents), chance)
        });
        let mutated = mutated.collect();
        let large = large_sample(subject).unwrap_or_else(|| repeated(&good, chance));
        good.sort_by_key(Bytes::len);
        Self { good, sampled, corpus: corpus.len(), mutated, generic, large }
    }

    /// Any value: mostly one that the plugin should merge. See [`fine`](Self::fine) for `reach`.
    pub(super) fn any(&self, reach: u32, chance: &mut Chance) -> Bytes {
        match chance.below(8) {
            0 => chance.pick(&self.generic).clone(),
            1 => chance.pick(&self.mutated).clone(),
            _ => self.fine(reach, chance),
        }
    }

    /// A value that the plugin should merge, as far as anyone knows one: one of the shorter ones, so many percent of all.
    pub(super) fn fine(&self, reach: u32, chance: &mut Chance) -> Bytes {
        let all = if self.good.is_empty() { &self.generic } else { &self.good };
        let reach = usize::try_from(reach).unwrap_or(100).min(100);
        let shorter = (all.len() * reach / 100).max(4).min(all.len());
        chance.pick(&all[..shorter]).clone()
    }

    /// One of the longest values that the plugin should merge.
    pub(super) fn long(&self, chance: &mut Chance) -> Bytes {
        let all = if self.good.is_empty() { &self.generic } else { &self.good };
        chance.pick(&all[all.len() * 3 / 4..]).clone()
    }

    /// Where the values came from.
    pub(super) fn origins(&self) -> Origins {
        Origins {
            sampled: self.sampled,
            corpus: self.corpus,
            mutated: self.mutated.len(),
            generic: self.generic.len(),
        }
    }
}

/// Bytes without a meaning of their own, in the shapes that values often have.
fn generic(chance: &mut Chance) -> Bytes {
    let size = 1usize << chance.below(8);
    match chance.below(5) {
        0 => Bytes::from_static(chance.pick::<&[u8]>(&AWKWARD)),
        1 => (0..size).map(|_| chance.byte()).collect(),
        2 => (0..size).map(|_| *chance.pick(b"\n\t abc012")).collect(),
        3 => (0..size.min(20)).map(|_| *chance.pick(b"0123456789")).collect(),
        // Nesting, for parsers that recurse.
        _ => vec![*chance.pick(b"[{("); size * 64].into(),
    }
}

/// A value with one small change, which may take a part of another one.
fn mutate(value: &Bytes, other: &Bytes, chance: &mut Chance) -> Bytes {
    let mut changed = value.to_vec();
    let at = chance.below(changed.len() + 1);
    let end = at + chance.below(changed.len() - at + 1);
    match chance.below(5) {
        0 => drop(changed.drain(at..end)),
        1 => changed.insert(at, chance.byte()),
        2 => changed.extend_from_within(at..end),
        3 => {
            let from = chance.below(other.len() + 1);
            changed.splice(at..end, other[from..].iter().copied()).for_each(drop);
        }
        _ => {
            if let Some(byte) = changed.get_mut(at) {
                *byte ^= 1 << chance.below(8);
            }
        }
    }
    changed.into()
}

/// A large value of the plugin's own making, no larger than it should be: sizes are only roughly what was asked for.
fn large_sample(subject: &Subject<'_>) -> Option<Bytes> {
    let mut size = LARGE;
    for _ in 0..4 {
        let sample = subject.sample(0, u32::try_from(size).ok()?)?.ok()?;
        if sample.len() <= LARGE {
            return Some(sample);
        }
        size = size * LARGE / sample.len();
    }
    None
}

/// A large value: one that the plugin should merge, as often as it takes, or letters.
fn repeated(good: &[Bytes], chance: &mut Chance) -> Bytes {
    let longest = good.iter().max_by_key(|value| value.len());
    match longest.filter(|longest| !longest.is_empty()) {
        Some(longest) => longest.iter().copied().cycle().take(LARGE).collect(),
        None => (0..LARGE).map(|_| *chance.pick(b"abcdefghijklmno\n")).collect(),
    }
}
