//! The laws, as checks for a plugin's own tests. They merge the way the host does: siblings are sorted, equal values
//! become one with the greatest time, and a single one is not merged at all.
//!
//! ```
//! # use kinfold_plugin_sdk::{Context, MergeError, Resolver, Sibling, laws};
//! # struct Greatest;
//! # impl Resolver for Greatest {
//! #     fn merge(_: Context, siblings: Vec<Sibling>) -> Result<Option<Vec<u8>>, MergeError> {
//! #         Ok(siblings.into_iter().filter_map(|sibling| sibling.value).max())
//! #     }
//! # }
//! let siblings = [("b", 2), ("a", 1), ("c", 2)].map(|(value, time)| Sibling {
//!     value: Some(value.into()),
//!     time,
//! });
//! laws::check::<Greatest>(&Context::default(), &siblings).unwrap();
//! ```

use std::fmt;

use crate::{Context, MergeError, Resolver, Sibling};

/// A law that does not hold, with the siblings that show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The law, in a word.
    pub law: &'static str,
    /// What was merged.
    pub siblings: Vec<Sibling>,
    /// What merging all of them at once gave.
    pub expected: Result<Sibling, MergeError>,
    /// What came out instead.
    pub actual: Result<Sibling, MergeError>,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "not {}: merging {:?} at once gives {:?}, but also {:?}",
            self.law, self.siblings, self.expected, self.actual
        )
    }
}

impl std::error::Error for Breach {}

/// Merges siblings as the host does. The result carries the greatest time of all.
///
/// # Errors
/// What `R` answers.
///
/// # Panics
/// If `siblings` is empty: there is nothing to merge.
pub fn merge<R: Resolver>(ctx: &Context, siblings: &[Sibling]) -> Result<Sibling, MergeError> {
    let time = siblings.iter().map(|sibling| sibling.time).max();
    let time = time.expect("at least one sibling");
    let mut siblings = siblings.to_vec();
    siblings.sort_by(|a, b| a.value.cmp(&b.value).then(b.time.cmp(&a.time)));
    siblings.dedup_by(|later, first| later.value == first.value);
    let value = if siblings.len() == 1 {
        siblings.swap_remove(0).value
    } else {
        R::merge(ctx.clone(), siblings)?
    };
    Ok(Sibling { value, time })
}

/// Checks that every way to bracket `siblings` in this order gives what merging them at once gives, and that merging
/// one of them again changes nothing. A plugin that refuses the siblings breaks no law.
///
/// The number of bracketings doubles with every sibling: three to five are enough to find a fault.
///
/// # Errors
/// The first breach.
pub fn check<R: Resolver>(ctx: &Context, siblings: &[Sibling]) -> Result<(), Breach> {
    let expected = merge::<R>(ctx, siblings);
    if expected.is_err() {
        return Ok(());
    }
    let breach = |law, actual| Breach {
        law,
        siblings: siblings.to_vec(),
        expected: expected.clone(),
        actual,
    };
    for actual in bracketings::<R>(ctx, siblings) {
        if actual != expected {
            return Err(breach("associative", actual));
        }
    }
    if let Ok(merged) = &expected {
        for sibling in siblings {
            let actual = merge::<R>(ctx, &[merged.clone(), sibling.clone()]);
            if actual != expected {
                return Err(breach("absorbing", actual));
            }
        }
    }
    Ok(())
}

/// The results of all full bracketings: each cuts the siblings in two and merges what the halves gave.
fn bracketings<R: Resolver>(
    ctx: &Context,
    siblings: &[Sibling],
) -> Vec<Result<Sibling, MergeError>> {
    if let [only] = siblings {
        return vec![Ok(only.clone())];
    }
    let mut results = Vec::new();
    for cut in 1..siblings.len() {
        let (left, right) = siblings.split_at(cut);
        for a in bracketings::<R>(ctx, left) {
            for b in bracketings::<R>(ctx, right) {
                let merged = match (&a, &b) {
                    (Ok(a), Ok(b)) => merge::<R>(ctx, &[a.clone(), b.clone()]),
                    (Err(error), _) | (_, Err(error)) => Err(error.clone()),
                };
                if !results.contains(&merged) {
                    results.push(merged);
                }
            }
        }
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Last write wins by `>=`: on tied times the later position wins, which is the classic mistake.
    struct LaterPosition;

    impl Resolver for LaterPosition {
        fn merge(_: Context, siblings: Vec<Sibling>) -> Result<Option<Vec<u8>>, MergeError> {
            let first = siblings[0].value.clone();
            let last = siblings.into_iter().max_by_key(|sibling| sibling.time);
            Ok(last.map_or(first, |sibling| sibling.value))
        }
    }

    /// Joins the values, so that merging again repeats them.
    struct Concatenate;

    impl Resolver for Concatenate {
        fn merge(_: Context, siblings: Vec<Sibling>) -> Result<Option<Vec<u8>>, MergeError> {
            let values = siblings.into_iter().filter_map(|sibling| sibling.value);
            Ok(Some(values.flatten().collect()))
        }
    }

    fn siblings(values: &[(&str, u64)]) -> Vec<Sibling> {
        let sibling = |&(value, time): &(&str, u64)| Sibling { value: Some(value.into()), time };
        values.iter().map(sibling).collect()
    }

    #[test]
    fn an_order_by_bytes_passes() {
        let siblings = siblings(&[("b", 1), ("a", 1), ("c", 1), ("a", 2)]);
        check::<LaterPosition>(&Context::default(), &siblings).unwrap();
    }

    #[test]
    fn concatenation_is_found_out() {
        let siblings = siblings(&[("b", 1), ("a", 1), ("c", 1)]);
        let breach = check::<Concatenate>(&Context::default(), &siblings).unwrap_err();
        assert_eq!(breach.law, "associative");
    }
}
