//! The shopping cart of the Dynamo paper (DeCandia et al. 2007): nothing that was added is lost.
//!
//! The value, its bytes and its join are `kinfold_values::Cart`'s. Deleting the key resets it (`tombstones = "reset"`), so a
//! delete is not seen here; if one comes nevertheless it says nothing.

use kinfold_plugin_sdk::{
    Chance, Context, MergeError, Resolver, Samples, Sibling, Validator, export,
};
use kinfold_values::{Cart, Value as _, join_all};

/// The plugin.
pub struct Plugin;

impl Resolver for Plugin {
    fn merge(_: Context, siblings: Vec<Sibling>) -> Result<Option<Vec<u8>>, MergeError> {
        let values = siblings.iter().map(|sibling| sibling.value.as_deref());
        join_all::<Cart>(values).map(Some).map_err(|(index, malformed)| {
            MergeError::InvalidSibling { index, reason: malformed.to_string() }
        })
    }
}

impl Validator for Plugin {
    fn validate(_: Context, value: &[u8]) -> Result<(), String> {
        Cart::parse(value).map(drop).map_err(|malformed| malformed.to_string())
    }
}

impl Samples for Plugin {
    fn sample(seed: u64, size: u32) -> Vec<u8> {
        let mut chance = Chance::new(seed);
        let mut cart = Cart::default();
        for _ in 0..=size / 10 {
            let item = chance.below(4 + u64::from(size / 8));
            cart.set(format!("item {item}"), chance.below(12));
        }
        cart.to_bytes()
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
            Cart::parse(&Plugin::sample(seed, size)).unwrap();
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
