//! What a broken law looks like.

use std::fmt;

use crate::{MergeError, Sibling};

/// Bytes of a value that are shown.
const SHOWN: usize = 160;

/// A law that does not hold, with the siblings that show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Breach {
    /// The law, in a word.
    pub law: &'static str,
    /// What was merged: `a`, `b` and so on.
    pub siblings: Vec<Sibling>,
    /// What merging all of them at once gave.
    pub expected: Result<Sibling, MergeError>,
    /// How something else came out, such as `merge(merge(a, b), c)`.
    pub how: String,
    /// What came out instead.
    pub actual: Result<Sibling, MergeError>,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "not {}:", self.law)?;
        for (number, Sibling { value, time }) in self.siblings.iter().enumerate() {
            writeln!(f, "    {} = {} at time {time}", letter(number), shown(value.as_deref()))?;
        }
        let names: Vec<_> = (0..self.siblings.len()).map(letter).collect();
        writeln!(f, "  merge({}) = {}", names.join(", "), outcome(&self.expected))?;
        write!(f, "  {} = {}", self.how, outcome(&self.actual))
    }
}

/// As for people: it is what `unwrap` shows.
impl fmt::Debug for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Breach {}

/// `a`, `b` and so on.
pub(super) fn letter(number: usize) -> String {
    let letter = u8::try_from(number).ok().filter(|number| *number < 26);
    letter.map_or_else(|| format!("s{number}"), |number| char::from(b'a' + number).into())
}

fn outcome(result: &Result<Sibling, MergeError>) -> String {
    match result {
        Ok(merged) => shown(merged.value.as_deref()),
        Err(error) => format!("{error:?}"),
    }
}

fn shown(value: Option<&[u8]>) -> String {
    let Some(value) = value else {
        return "a delete".into();
    };
    let cut = &value[..value.len().min(SHOWN)];
    let more = value.len() - cut.len();
    let more = if more > 0 { format!(" and {more} bytes") } else { String::new() };
    format!("\"{}\"{more}", cut.escape_ascii())
}
