//! A document whose fields are edited apart; of two writes of a field the later wins.
//!
//! The value, its bytes and its join are `kinfold_values::Document`'s. Deleting the key resets it (`tombstones = "reset"`), so a
//! delete is not seen here; if one comes nevertheless it says nothing.

use kinfold_plugin_sdk::{
    Chance, Context, MergeError, Resolver, Samples, Sibling, Validator, export,
};
use kinfold_values::{Document, Value as _, join_all};

/// The plugin.
pub struct Plugin;

impl Resolver for Plugin {
    fn merge(_: Context, siblings: Vec<Sibling>) -> Result<Option<Vec<u8>>, MergeError> {
        let values = siblings.iter().map(|sibling| sibling.value.as_deref());
        join_all::<Document>(values).map(Some).map_err(|(index, malformed)| {
            MergeError::InvalidSibling { index, reason: malformed.to_string() }
        })
    }
}

impl Validator for Plugin {
    fn validate(_: Context, value: &[u8]) -> Result<(), String> {
        Document::parse(value).map(drop).map_err(|malformed| malformed.to_string())
    }
}

impl Samples for Plugin {
    fn sample(seed: u64, size: u32) -> Vec<u8> {
        let mut chance = Chance::new(seed);
        let mut document = Document::default();
        for _ in 0..=size / 24 {
            let names = ["a", "b", "c"];
            let mut name = || names[usize::try_from(chance.below(3)).unwrap_or(0)];
            let path = [name(), name(), name()];
            let depth = usize::try_from(1 + chance.below(3)).unwrap_or(1);
            let time = 1 + chance.below(9);
            let path = &path[..depth];
            if chance.below(5) == 0 {
                document.remove(path, time);
            } else {
                let value = i64::try_from(chance.below(5)).unwrap_or(0);
                let text = "x".repeat(usize::try_from(size / 16).unwrap_or(0));
                document.set(path, format!("{value}{text}").as_str().into(), time);
            }
        }
        document.to_bytes()
    }
}

export!(Plugin, samples, validator);

#[cfg(test)]
mod tests {
    use kinfold_plugin_sdk::laws;
    use kinfold_values::Value as _;

    use super::*;

    #[test]
    fn samples_are_values() {
        for (seed, size) in (0..60).zip([0, 8, 32, 128, 1024].into_iter().cycle()) {
            Document::parse(&Plugin::sample(seed, size)).unwrap();
        }
    }

    #[test]
    fn the_laws_hold() {
        laws::Trial::<Plugin>::new().assert();
    }

    #[test]
    fn what_is_no_value_is_named() {
        let siblings = ["", "?"].map(|value| Sibling { value: Some(value.into()), time: 1 });
        let refused = Plugin::merge(Context::default(), siblings.into());
        assert!(matches!(refused, Err(MergeError::InvalidSibling { index: 1, .. })), "{refused:?}");
    }

    #[test]
    fn what_is_no_value_is_refused_when_it_is_written() {
        assert_eq!(Plugin::validate(Context::default(), &Plugin::sample(1, 64)), Ok(()));
        let refused = Plugin::validate(Context::default(), b"?").unwrap_err();
        assert!(!refused.is_empty());
    }
}
