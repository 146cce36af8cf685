//! `set-union`: a set that only grows. An item a line.

use std::collections::BTreeSet;

use crate::lines::{Name, lines, push, runs, united};
use crate::{Malformed, Value};

/// A set of items; an item is any bytes but a newline. Joining is union.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    items: BTreeSet<Vec<u8>>,
}

impl Set {
    /// Adds an item. A newline ends an item, so bytes with newlines are several.
    pub fn add(&mut self, item: impl AsRef<[u8]>) {
        self.items.extend(item.as_ref().split(|&byte| byte == b'\n').map(<[u8]>::to_vec));
    }

    /// Whether the item is in the set.
    #[must_use]
    pub fn contains(&self, item: impl AsRef<[u8]>) -> bool {
        self.items.contains(item.as_ref())
    }

    /// The items, in the order of their bytes.
    pub fn items(&self) -> impl Iterator<Item = &[u8]> {
        self.items.iter().map(Vec::as_slice)
    }
}

impl Value for Set {
    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        Ok(Self { items: lines(bytes).map(|(_, item)| item.to_vec()).collect() })
    }

    fn join(&mut self, mut other: Self) {
        self.items.append(&mut other.items);
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for item in &self.items {
            push(&mut text, &[item]);
        }
        text
    }

    fn join_bytes<'a>(
        values: impl IntoIterator<Item = Option<&'a [u8]>>,
    ) -> Result<Vec<u8>, (u32, Malformed)> {
        let read = |value| Ok(lines(value).map(|(_, item)| Name::from(item)).collect());
        let all = united(runs(values, read)?, |before, item| *before == item);
        let mut text = Vec::with_capacity(all.iter().map(|item| item.len() + 1).sum());
        for item in all {
            push(&mut text, &[&item]);
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, prop, proptest};

    use super::*;
    use crate::laws;

    #[test]
    fn the_empty_set_is_not_the_set_of_the_empty_item() {
        let parse = |bytes: &[u8]| Set::parse(bytes).unwrap();
        assert_eq!(parse(b"").items().count(), 0);
        assert!(parse(b"\n").contains(""));
        assert_eq!(parse(b"a\n\nb").to_bytes(), b"\na\nb\n");
    }

    #[test]
    fn what_is_added_is_there() {
        let mut set = Set::default();
        set.add("milk");
        set.add("bread");
        assert_eq!(set.to_bytes(), b"bread\nmilk\n");
    }

    fn text() -> impl Strategy<Value = String> {
        // Newlines everywhere, also at the ends.
        let letters = prop::sample::select(vec!['\n', '\n', 'a', 'b']);
        prop::collection::vec(letters, 0..6).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn the_laws_hold(a in text(), b in text(), c in text()) {
            laws::hold::<Set>([a.as_bytes(), b.as_bytes(), c.as_bytes()]);
        }
    }
}
