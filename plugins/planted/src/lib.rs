//! Breaks the laws of merging in nine ways that real merge functions do, to see whether the checker of the laws finds them. Not for
//! any bucket.
//!
//! The bucket's config says which:
//!
//! | config | what it does | what is wrong |
//! | --- | --- | --- |
//! | `ties` | last write wins, field by field, by `>=` | of tied fields the later position wins, and positions change |
//! | `subtraction` | the first number less all the others | the steps matter |
//! | `first` | the earliest write wins | a merged value has the time of the latest |
//! | `concatenation` | all the bytes, one after the other | merging again repeats them |
//! | `empty-items` | a union with the least count of each item, without those of which nothing is left | what was dropped comes back |
//! | `average` | the mean of the numbers | the steps matter |
//! | `count` | the greatest value, and how many there were | the steps change the count |
//! | `order` | a union of lines in the order in which they come | equal sets as unequal bytes |
//! | `smallest` | the smallest value | nothing: it keeps the laws, and loses all the others |
//!
//! Last write wins by `>=` on whole values is no fault, because the host sorts siblings by their bytes: the later of two that are tied
//! is the greater. Field by field it is one.

use std::collections::BTreeMap;

use kinfold_plugin_sdk::{Chance, Context, MergeError, Resolver, Samples, Sibling, export};

/// The plugin.
pub struct Planted;

impl Resolver for Planted {
    fn merge(ctx: Context, siblings: Vec<Sibling>) -> Result<Option<Vec<u8>>, MergeError> {
        let values = || siblings.iter().filter_map(|sibling| sibling.value.as_deref());
        Ok(Some(match &ctx.config[..] {
            b"ties" => ties(values()),
            b"subtraction" => {
                let mut numbers = values().map(number);
                let first = numbers.next().unwrap_or(0);
                numbers.fold(first, i64::wrapping_sub).to_string().into()
            }
            b"first" => {
                let first = siblings.iter().min_by_key(|sibling| sibling.time);
                first.and_then(|sibling| sibling.value.clone()).unwrap_or_default()
            }
            b"concatenation" => values().flatten().copied().collect(),
            b"empty-items" => empty_items(values()),
            b"average" => {
                let sum: i64 = values().map(number).fold(0, i64::wrapping_add);
                let count = i64::try_from(siblings.len()).unwrap_or(i64::MAX);
                (sum / count).to_string().into()
            }
            b"count" => {
                let greatest = values().max().unwrap_or_default();
                [greatest, format!(" of {}", siblings.len()).as_bytes()].concat()
            }
            b"order" => {
                let mut union: Vec<&[u8]> = Vec::new();
                for line in values().rev().flat_map(|value| value.split(|&byte| byte == b'\n')) {
                    if !union.contains(&line) {
                        union.push(line);
                    }
                }
                union.join(&b'\n')
            }
            b"smallest" => {
                let smallest = values().min_by_key(|value| (value.len(), *value));
                smallest.unwrap_or_default().to_vec()
            }
            other => {
                let reason = format!("there is no fault called `{}`", other.escape_ascii());
                return Err(MergeError::Internal(reason));
            }
        }))
    }
}

impl Samples for Planted {
    /// `NAME<TAB>NUMBER` a line, which all of the faults take.
    fn sample(seed: u64, size: u32) -> Vec<u8> {
        let mut chance = Chance::new(seed);
        let line =
            |_| format!("{}\t{}\n", ["a", "b", "c"][chance.below(3) as usize], chance.below(4));
        (0..=size / 4).map(line).collect::<String>().into_bytes()
    }

    /// Whether both have the same lines.
    fn equivalent(a: &[u8], b: &[u8]) -> bool {
        let lines = |value: &[u8]| {
            let mut lines: Vec<_> =
                value.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
            lines.sort();
            lines
        };
        lines(a) == lines(b)
    }
}

export!(Planted, samples);

/// `NAME<TAB>TIME` a line: of each name the latest line, as it is.
fn ties<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut latest: BTreeMap<&[u8], (u64, &[u8])> = BTreeMap::new();
    for (name, time, line) in values.flat_map(entries) {
        // The text after the time is the field's value; the time alone decides, and `>=` lets the later position win.
        let time = time / 2;
        if latest.get(name).is_none_or(|(kept, _)| time >= *kept) {
            latest.insert(name, (time, line));
        }
    }
    latest.into_values().flat_map(|(_, line)| [line, b"\n"].concat()).collect()
}

/// `NAME<TAB>COUNT` a line: of each name the least count, and none of those that came to 0.
fn empty_items<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut least: BTreeMap<&[u8], u64> = BTreeMap::new();
    for (name, count, _) in values.flat_map(entries) {
        let kept = least.entry(name).or_insert(count);
        *kept = count.min(*kept);
    }
    least.retain(|_, count| *count > 0);
    let line = |(name, count): (&[u8], u64)| [name, format!("\t{count}\n").as_bytes()].concat();
    least.into_iter().flat_map(line).collect()
}

/// The lines of a value, each with its name and its number.
fn entries(value: &[u8]) -> impl Iterator<Item = (&[u8], u64, &[u8])> {
    value.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(|line| {
        let tab = line.iter().position(|&byte| byte == b'\t').unwrap_or(line.len());
        (&line[..tab], number(&line[tab..]).unsigned_abs(), line)
    })
}

/// The digits of some bytes as a number.
fn number(value: &[u8]) -> i64 {
    let digits = value.iter().filter(|byte| byte.is_ascii_digit());
    let number = digits
        .fold(0i64, |number, digit| number.wrapping_mul(10).wrapping_add(i64::from(digit - b'0')));
    if value.starts_with(b"-") { number.wrapping_neg() } else { number }
}
