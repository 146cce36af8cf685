//! Values of lines: what most of the formats are made of.

use std::ops::Deref;

use crate::{Malformed, Place};

/// The lines of a value with their numbers, from 1. The newline of the last one may be missing; no bytes are no lines.
pub(crate) fn lines(value: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let text = value.strip_suffix(b"\n").unwrap_or(value);
    // Splitting nothing gives one empty line, which a value of nothing doesn't have.
    let lines = (!value.is_empty()).then(|| text.split(|&byte| byte == b'\n'));
    (1..).zip(lines.into_iter().flatten())
}

/// Cuts a line at its first tab.
pub(crate) fn cut(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let tab = line.iter().position(|&byte| byte == b'\t')?;
    Some((&line[..tab], &line[tab + 1..]))
}

/// Bytes that are compared with many others: the first eight of them as one number, which mostly decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name<'a> {
    /// Of fewer than eight bytes as if zeros followed: less than any that go on otherwise, as the bytes are.
    first: u64,
    bytes: &'a [u8],
}

impl Deref for Name<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl<'a> From<&'a [u8]> for Name<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        let first = bytes.first_chunk().map_or_else(
            || bytes.iter().rev().fold(0, |first, byte| first >> 8 | u64::from(*byte) << 56),
            |first| u64::from_be_bytes(*first),
        );
        Self { first, bytes }
    }
}

/// Reads decimal digits and nothing else: no sign, no blank.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|&digit| digit < 10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

/// What `read` finds in each of the values. One that is not there says nothing.
pub(crate) fn runs<'a, T>(
    values: impl IntoIterator<Item = Option<&'a [u8]>>,
    read: impl Fn(&'a [u8]) -> Result<Vec<T>, Malformed>,
) -> Result<Vec<Vec<T>>, (u32, Malformed)> {
    let run = |(position, value): (u32, Option<&'a [u8]>)| {
        read(value.unwrap_or_default()).map_err(|malformed| (position, malformed))
    };
    (0..).zip(values).map(run).collect()
}

/// The entries of several runs in order, each name once: `take_up` says whether an entry has the name of the one before it, and if so
/// has that one take it up. Runs that are in order already, as those that a merge made are, cost one comparison an entry for each
/// halving of their number.
pub(crate) fn united<T: Ord + Copy>(
    mut runs: Vec<Vec<T>>,
    take_up: impl Fn(&mut T, T) -> bool,
) -> Vec<T> {
    for run in &mut runs {
        if !run.is_sorted() {
            run.sort_unstable();
        }
    }
    while runs.len() > 1 {
        let mut halved = Vec::with_capacity(runs.len().div_ceil(2));
        let mut pairs = runs.into_iter();
        while let Some(run) = pairs.next() {
            halved.push(match pairs.next() {
                Some(other) => woven(&run, &other),
                None => run,
            });
        }
        runs = halved;
    }
    let mut all = runs.pop().unwrap_or_default();
    all.dedup_by(|entry, before| take_up(before, *entry));
    all
}

/// Two runs as one.
fn woven<T: Ord + Copy>(mut a: &[T], mut b: &[T]) -> Vec<T> {
    let mut all = Vec::with_capacity(a.len() + b.len());
    while let ([first, a_rest @ ..], [other, b_rest @ ..]) = (a, b) {
        if first <= other {
            all.push(*first);
            a = a_rest;
        } else {
            all.push(*other);
            b = b_rest;
        }
    }
    all.extend_from_slice(a);
    all.extend_from_slice(b);
    all
}

/// Appends a number in decimal digits.
pub(crate) fn push_number(text: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    text.extend_from_slice(&digits[first..]);
}

/// A fault of a line.
pub(crate) fn fault(line: usize, reason: &'static str) -> Malformed {
    Malformed { place: Place::Line(line), reason }
}

/// Appends a line of fields.
pub(crate) fn push(text: &mut Vec<u8>, fields: &[&[u8]]) {
    for (n, field) in fields.iter().enumerate() {
        if n > 0 {
            text.push(b'\t');
        }
        text.extend_from_slice(field);
    }
    text.push(b'\n');
}
