//! Values of lines: what most of the formats are made of.

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
