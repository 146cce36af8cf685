//! Keeps the longest value; of equally long ones the greatest.
//!
//! `cargo test` runs the tests natively, `kinfold plugin build` makes the component, `kinfold plugin check` tries the laws
//! on it. The manual of `merge` is in the documentation of `Resolver`: `cargo doc --open -p kinfold-plugin-sdk`.

use kinfold_plugin_sdk::{Context, MergeError, Resolver, Samples, Sibling, export};

/// The plugin.
pub struct Plugin;

impl Resolver for Plugin {
    fn merge(_: Context, siblings: Vec<Sibling>) -> Result<Option<Vec<u8>>, MergeError> {
        let values = siblings.into_iter().filter_map(|sibling| sibling.value);
        Ok(values.max_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b))))
    }
}

/// Values for the checker of the laws. Once your values have a format, make some of it here: the checker knows no better
/// than to try bytes at random.
impl Samples for Plugin {
    fn sample(seed: u64, size: u32) -> Vec<u8> {
        let letter = b'a' + (seed % 26) as u8;
        vec![letter; size as usize]
    }
}

export!(Plugin, samples);

#[cfg(test)]
mod tests {
    use kinfold_plugin_sdk::laws;

    use super::*;

    fn siblings(values: &[&str]) -> Vec<Sibling> {
        values.iter().map(|value| Sibling { value: Some((*value).into()), time: 1 }).collect()
    }

    #[test]
    fn the_longest_is_kept() {
        let merged = Plugin::merge(Context::default(), siblings(&["milk", "bread", "tea"]));
        assert_eq!(merged, Ok(Some(b"bread".to_vec())));
    }

    /// On samples, on small changes to them and on bytes that mean nothing. What breaks a law is shown, as small as it gets.
    #[test]
    fn the_laws_hold() {
        laws::Trial::<Plugin>::new().corpus(["a value that users have"]).assert();
    }
}
