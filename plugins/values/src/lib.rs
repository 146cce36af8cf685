#![forbid(unsafe_code)]
//! The values of the plugins that Kinfold ships: how they are written as bytes, and how two of them become one.
//!
//! A plugin joins them on the nodes; a client makes and reads them. Both use this crate, so that they can't disagree. It
//! depends on nothing. The formats are written down in docs/PLUGINS.md, for clients in other languages.
//!
//! All joins are those of state-based replicated data types (Shapiro, Preguiça, Baquero and Zawirski 2011): commutative,
//! associative and idempotent. A written value need not be the whole state: one that says only what changed is a
//! delta (Almeida, Shoker and Baquero 2018), and the bucket's plugin joins it with the rest.

mod cart;
mod counter;
mod json;
mod lines;
mod max;
mod or_set;
mod set;

use std::fmt;

pub use cart::{Cart, MAX_QUANTITY};
pub use counter::Counter;
pub use json::{Document, Json};
pub use max::Max;
pub use or_set::OrSet;
pub use set::Set;

/// A value of a shipped plugin: bytes with a meaning, and a join.
pub trait Value: Sized + Default {
    /// Reads a value. No bytes at all are the value of nothing.
    ///
    /// # Errors
    /// If the bytes are no such value.
    fn parse(bytes: &[u8]) -> Result<Self, Malformed>;

    /// Takes up everything that `other` says.
    fn join(&mut self, other: Self);

    /// The bytes of the value: the same for equal values.
    fn to_bytes(&self) -> Vec<u8>;

    /// [`join_all`], which is what a merge is. A value that can do it without taking everything out of the bytes first says how.
    ///
    /// # Errors
    /// As there.
    fn join_bytes<'a>(
        values: impl IntoIterator<Item = Option<&'a [u8]>>,
    ) -> Result<Vec<u8>, (u32, Malformed)> {
        one_by_one::<Self>(values)
    }
}

/// Joins values into the bytes of one. A value that is not there, which is a delete, says nothing.
///
/// # Errors
/// The position of the first one that can't be read, and why.
pub fn join_all<'a, V: Value>(
    values: impl IntoIterator<Item = Option<&'a [u8]>>,
) -> Result<Vec<u8>, (u32, Malformed)> {
    V::join_bytes(values)
}

fn one_by_one<'a, V: Value>(
    values: impl IntoIterator<Item = Option<&'a [u8]>>,
) -> Result<Vec<u8>, (u32, Malformed)> {
    let mut all = V::default();
    for (position, value) in (0..).zip(values) {
        let value = V::parse(value.unwrap_or_default());
        all.join(value.map_err(|malformed| (position, malformed))?);
    }
    Ok(all.to_bytes())
}

/// Why bytes are not a value of the kind that was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    place: Place,
    reason: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// From 1.
    Line(usize),
    /// From 0.
    Byte(usize),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Line(number) => write!(f, "line {number}: {}", self.reason),
            Place::Byte(at) => write!(f, "byte {at}: {}", self.reason),
        }
    }
}

impl std::error::Error for Malformed {}

#[cfg(test)]
mod laws {
    //! The laws of a join, for the tests of each value.

    use super::Value;

    /// Whether three values, as bytes, can be joined in any steps; bytes that are no values are passed over.
    pub(crate) fn hold<V: Value>(values: [&[u8]; 3]) {
        let parsed = values.map(V::parse);
        if parsed.iter().any(Result::is_err) {
            return;
        }
        let join = |of: &[&[u8]]| super::join_all::<V>(of.iter().map(|v| Some(*v))).unwrap();
        let [a, b, c] = values;
        let all = join(&[a, b, c]);
        assert_eq!(join(&[&join(&[a, b]), c]), all, "in steps");
        assert_eq!(join(&[a, &join(&[c, b])]), all, "in other steps");
        assert_eq!(join(&[&all, a]), all, "once more");
        assert_eq!(join(&[&all]), all, "alone");
        assert_eq!(super::one_by_one::<V>(values.map(Some)).unwrap(), all, "as values");
    }
}
