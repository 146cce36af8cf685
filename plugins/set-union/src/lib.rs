//! A set of lines that keeps every item of every sibling.
//!
//! The value, its bytes and its join are `kinfold_values::Set`'s. It is text: one item a line, in any order, repeated or
//! not. An item is any bytes but a newline. The newline of the last line may be missing. The empty value is the empty set;
//! a single newline is the set of the empty item.
//! A merged value is canonical: its items sorted by their bytes, each once, each ended by a newline.
//!
//! Items can't be taken out one by one: a replica that still has the item would bring it back. Deleting the whole key
//! resets the set (`tombstones = "reset"`), so a delete is not seen here; if one comes nevertheless it adds no items.

use kinfold_plugin_sdk::{Chance, Context, MergeError, Resolver, Samples, Sibling, export};
use kinfold_values::{Set, join_all};

/// The plugin.
pub struct SetUnion;

impl Resolver for SetUnion {
    fn merge(_: Context, siblings: Vec<Sibling>) -> Result<Option<Vec<u8>>, MergeError> {
        let values = siblings.iter().map(|sibling| sibling.value.as_deref());
        join_all::<Set>(values).map(Some).map_err(|(index, malformed)| MergeError::InvalidSibling {
            index,
            reason: malformed.to_string(),
        })
    }
}

impl Samples for SetUnion {
    fn sample(seed: u64, size: u32) -> Vec<u8> {
        let mut chance = Chance::new(seed);
        let mut letter = || b'a' + u8::try_from(chance.below(26)).unwrap_or(0);
        // Every other item has one letter, so that values have some in common.
        let items = (0..size.div_ceil(3)).map(|n| match n % 2 {
            0 => vec![letter()],
            _ => vec![letter(), letter(), letter()],
        });
        items.flat_map(|item| [&item[..], b"\n"].concat()).collect()
    }
}

export!(SetUnion, samples);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kinfold_plugin_sdk::laws;
    use proptest::prelude::{Strategy, any, prop, proptest};

    use super::*;

    /// The items of a value.
    fn items(value: &[u8]) -> impl Iterator<Item = &[u8]> {
        let lines = value.strip_suffix(b"\n").unwrap_or(value);
        // Splitting nothing gives one empty item, which an empty value doesn't have.
        let items = (!value.is_empty()).then(|| lines.split(|&byte| byte == b'\n'));
        items.into_iter().flatten()
    }

    fn siblings(values: &[&str]) -> Vec<Sibling> {
        let sibling = |value: &&str| Sibling { value: Some((*value).into()), time: 7 };
        values.iter().map(sibling).collect()
    }

    fn union(values: &[&str]) -> String {
        let merged = SetUnion::merge(Context::default(), siblings(values)).unwrap();
        String::from_utf8(merged.unwrap()).unwrap()
    }

    #[test]
    fn every_item_is_kept_once_and_sorted() {
        assert_eq!(union(&["milk\nbread\n", "eggs\nmilk\n"]), "bread\neggs\nmilk\n");
    }

    #[test]
    fn a_missing_last_newline_changes_nothing() {
        assert_eq!(union(&["a\nb", "b\n"]), "a\nb\n");
        assert_eq!(union(&["a", "a\n"]), "a\n");
    }

    #[test]
    fn the_empty_set_is_not_the_set_of_the_empty_item() {
        assert_eq!(union(&["", "a\n"]), "a\n");
        assert_eq!(union(&["\n", "a\n"]), "\na\n");
        assert_eq!(union(&["", "\n"]), "\n");
        assert_eq!(union(&["a\n\nb", "a"]), "\na\nb\n");
    }

    #[test]
    fn a_delete_adds_nothing() {
        let mut siblings = siblings(&["a\n"]);
        siblings.insert(0, Sibling { value: None, time: 9 });
        let merged = SetUnion::merge(Context::default(), siblings).unwrap();
        assert_eq!(merged, Some(b"a\n".to_vec()));
    }

    fn any_siblings() -> impl Strategy<Value = Vec<Sibling>> {
        // Newlines everywhere, also at the ends.
        let bytes = prop::sample::select(b"\n\nab".to_vec());
        let value = prop::option::weighted(0.9, prop::collection::vec(bytes, 0..6));
        let sibling = (value, 0..3u64).prop_map(|(value, time)| Sibling { value, time });
        prop::collection::vec(sibling, 2..6)
    }

    proptest! {
        #[test]
        fn the_laws_hold(siblings in any_siblings()) {
            laws::check::<SetUnion>(&Context::default(), &siblings)?;
        }

        #[test]
        fn no_item_is_lost_and_none_is_invented(a in any::<Vec<u8>>(), b in any::<Vec<u8>>()) {
            let siblings = [a.clone(), b.clone()].map(|value| Sibling { value: Some(value), time: 1 });
            let merged = SetUnion::merge(Context::default(), siblings.into()).unwrap().unwrap();
            let expected: BTreeSet<&[u8]> = items(&a).chain(items(&b)).collect();
            assert!(items(&merged).eq(expected));
        }
    }
}
