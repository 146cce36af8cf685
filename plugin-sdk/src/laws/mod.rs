//! The laws of merging, for a plugin's own tests: natively, in milliseconds, before there is a component.
//!
//! ```
//! # use kinfold_plugin_sdk::{Context, MergeError, Resolver, Samples, Sibling, laws};
//! # struct Greatest;
//! # impl Resolver for Greatest {
//! #     fn merge(_: Context, siblings: Vec<Sibling>) -> Result<Option<Vec<u8>>, MergeError> {
//! #         Ok(siblings.into_iter().filter_map(|sibling| sibling.value).max())
//! #     }
//! # }
//! # impl Samples for Greatest {
//! #     fn sample(seed: u64, size: u32) -> Vec<u8> { vec![b'a' + (seed % 26) as u8; size as usize] }
//! # }
//! // Values of the plugin's own making, small changes to them, and bytes that mean nothing; what breaks a law is shrunk.
//! laws::Trial::<Greatest>::new().corpus([b"a value that users have"]).assert();
//!
//! // Siblings that someone chose.
//! let siblings = [("b", 2), ("a", 1), ("c", 2)].map(|(value, time)| Sibling {
//!     value: Some(value.into()),
//!     time,
//! });
//! laws::check::<Greatest>(&Context::default(), &siblings).unwrap();
//! ```
//!
//! Both merge the way the host does: siblings are sorted, equal values become one with the greatest time, and a single one is
//! not merged at all. So that order and copies don't matter needs no test. `kinfold plugin check` tries the same laws once more
//! on the component, within the limits of a node.

mod breach;
mod shrink;
mod steps;
mod trial;
mod values;

pub use breach::Breach;
pub use steps::{check, merge};
pub use trial::{Tally, Trial};

#[cfg(test)]
mod planted {
    //! Plugins that break the laws, for the tests.

    use crate::{Context, MergeError, Resolver, Samples, Sibling};

    /// Fields of one letter, of each the line of the latest sibling, by `>=`: of tied times the later position wins, and positions
    /// change with what else is merged.
    pub(super) struct LaterPosition;

    /// Joins the values, so that merging again repeats them.
    pub(super) struct Concatenate;

    /// Panics on what has an `x` in it.
    pub(super) struct Fragile;

    /// Keeps the greatest.
    pub(super) struct Greatest;

    impl Resolver for LaterPosition {
        fn merge(_: Context, siblings: Vec<Sibling>) -> Result<Option<Vec<u8>>, MergeError> {
            let mut latest = std::collections::BTreeMap::new();
            for Sibling { value, time } in siblings {
                let value = value.unwrap_or_default();
                for line in value.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                    let name = line[0];
                    if latest.get(&name).is_none_or(|(kept, _)| time >= *kept) {
                        latest.insert(name, (time, line.to_vec()));
                    }
                }
            }
            let lines: Vec<_> = latest.into_values().map(|(_, line)| line).collect();
            Ok(Some(lines.join(&b'\n')))
        }
    }

    impl Resolver for Concatenate {
        fn merge(_: Context, siblings: Vec<Sibling>) -> Result<Option<Vec<u8>>, MergeError> {
            Ok(Some(siblings.into_iter().filter_map(|sibling| sibling.value).flatten().collect()))
        }
    }

    impl Resolver for Fragile {
        fn merge(ctx: Context, siblings: Vec<Sibling>) -> Result<Option<Vec<u8>>, MergeError> {
            let values = siblings.iter().filter_map(|sibling| sibling.value.as_ref());
            assert!(!values.into_iter().any(|value| value.contains(&b'x')), "an x");
            Greatest::merge(ctx, siblings)
        }
    }

    impl Resolver for Greatest {
        fn merge(_: Context, siblings: Vec<Sibling>) -> Result<Option<Vec<u8>>, MergeError> {
            Ok(siblings.into_iter().filter_map(|sibling| sibling.value).max())
        }
    }

    fn letters(seed: u64, size: u32) -> Vec<u8> {
        let mut chance = crate::Chance::new(seed);
        (0..size / 3)
            .flat_map(|_| [b"ab"[chance.below(2) as usize], b"01"[chance.below(2) as usize], b'\n'])
            .collect()
    }

    macro_rules! samples {
        ($($plugin:ty),+) => {
            $(impl Samples for $plugin {
                fn sample(seed: u64, size: u32) -> Vec<u8> {
                    letters(seed, size)
                }
            })+
        };
    }
    samples!(LaterPosition, Concatenate, Greatest);

    impl Samples for Fragile {
        fn sample(seed: u64, size: u32) -> Vec<u8> {
            let mut value = letters(seed, size);
            if seed == 7 {
                value.extend(b"and an x");
            }
            value
        }
    }
}
