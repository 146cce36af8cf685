//! The laws as questions about some siblings.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::breach::{Breach, letter};
use crate::{Context, MergeError, Resolver, Sibling};

/// Up to so many siblings are merged in all possible steps, more of them in some.
const ALL_STEPS: usize = 5;

type Merged = Result<Sibling, MergeError>;

/// Merges siblings as the host does. The result carries the greatest time of all.
///
/// # Errors
/// What `R` answers. Its panic is [`MergeError::Internal`] with its message, as in a component.
///
/// # Panics
/// If `siblings` is empty: there is nothing to merge.
pub fn merge<R: Resolver>(ctx: &Context, siblings: &[Sibling]) -> Result<Sibling, MergeError> {
    let time = siblings.iter().map(|sibling| sibling.time).max();
    let time = time.expect("at least one sibling");
    let mut siblings = siblings.to_vec();
    siblings.sort_by(|a, b| a.value.cmp(&b.value).then(b.time.cmp(&a.time)));
    siblings.dedup_by(|later, first| later.value == first.value);
    if siblings.len() == 1 {
        return Ok(Sibling { value: siblings.swap_remove(0).value, time });
    }
    let merged = catch_unwind(AssertUnwindSafe(|| R::merge(ctx.clone(), siblings)));
    let value = merged.unwrap_or_else(|panic| Err(MergeError::Internal(words(&*panic))))?;
    Ok(Sibling { value, time })
}

fn words(panic: &(dyn Any + Send)) -> String {
    let fixed = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
    let words = fixed.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panicked: {}", words.unwrap_or_else(|| "with something that is no text".into()))
}

/// Checks some siblings:
///
/// - *deterministic*: merging them twice gives the same bytes;
/// - *total*: there is an answer or an error, never a panic or [`MergeError::Internal`];
/// - *associative*: merging them in any steps gives what merging them at once gives (all possible steps up to five siblings,
///   of more of them one after the other from either end, and in halves);
/// - *absorbing*: merging one of them once more changes nothing.
///
/// A plugin that refuses the siblings with another error breaks no law.
///
/// # Errors
/// The first breach.
pub fn check<R: Resolver>(ctx: &Context, siblings: &[Sibling]) -> Result<(), Box<Breach>> {
    tried::<R>(ctx, siblings).map(drop)
}

/// The same; gives whether the plugin merged them.
pub(super) fn tried<R: Resolver>(ctx: &Context, siblings: &[Sibling]) -> Result<bool, Box<Breach>> {
    let expected = merge::<R>(ctx, siblings);
    let breach = |law, how: String, actual| {
        let (siblings, expected) = (siblings.to_vec(), expected.clone());
        Err(Box::new(Breach { law, siblings, expected, how, actual }))
    };
    if let Err(MergeError::Internal(_)) = expected {
        return breach("total", "merged".into(), expected.clone());
    }
    let again = merge::<R>(ctx, siblings);
    if again != expected {
        return breach("deterministic", "once more".into(), again);
    }
    let Ok(merged) = &expected else {
        return Ok(false);
    };
    let ways = if siblings.len() <= ALL_STEPS { all_steps::<R> } else { some_steps::<R> };
    if let Some((how, actual)) = ways(ctx, siblings).into_iter().find(|way| way.1 != expected) {
        return breach("associative", how, actual);
    }
    for (number, sibling) in siblings.iter().enumerate() {
        let actual = merge::<R>(ctx, &[merged.clone(), sibling.clone()]);
        if actual != expected {
            return breach("absorbing", format!("merge(all of them, {})", letter(number)), actual);
        }
    }
    Ok(true)
}

/// What merging in all possible steps of two at a time gives: the different results, each with one way to it.
fn all_steps<R: Resolver>(ctx: &Context, siblings: &[Sibling]) -> Vec<(String, Merged)> {
    // By the set of siblings, as bits.
    let mut ways: BTreeMap<u32, Vec<(String, Merged)>> = BTreeMap::new();
    let everything = (1u32 << siblings.len()) - 1;
    for set in 1..=everything {
        let mut found: Vec<(String, Merged)> = Vec::new();
        if set.count_ones() == 1 {
            let only = set.trailing_zeros() as usize;
            found.push((letter(only), Ok(siblings[only].clone())));
        }
        let mut left = (set - 1) & set;
        while left > 0 {
            // Every split once: the lowest sibling is on the left.
            if left & set & set.wrapping_neg() != 0 {
                for a in &ways[&left] {
                    for b in &ways[&(set ^ left)] {
                        if let (Ok(one), Ok(other)) = (&a.1, &b.1) {
                            let merged = merge::<R>(ctx, &[one.clone(), other.clone()]);
                            if found.iter().all(|(_, result)| *result != merged) {
                                found.push((format!("merge({}, {})", a.0, b.0), merged));
                            }
                        }
                    }
                }
            }
            left = (left - 1) & set;
        }
        ways.insert(set, found);
    }
    ways.remove(&everything).unwrap_or_default()
}

fn some_steps<R: Resolver>(ctx: &Context, siblings: &[Sibling]) -> Vec<(String, Merged)> {
    let step = |merged: Merged, next: &Sibling| merge::<R>(ctx, &[merged?, next.clone()]);
    let (Some(first), Some(last)) = (siblings.first(), siblings.last()) else {
        return Vec::new();
    };
    let forwards = siblings.iter().fold(Ok(first.clone()), step);
    let backwards = siblings.iter().rev().fold(Ok(last.clone()), step);
    let (front, back) = siblings.split_at(siblings.len() / 2);
    let halves =
        merge::<R>(ctx, front).and_then(|front| merge::<R>(ctx, &[front, merge::<R>(ctx, back)?]));
    vec![
        ("one after the other".into(), forwards),
        ("one after the other, from the last".into(), backwards),
        ("two halves first".into(), halves),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::planted::{Concatenate, Fragile, Greatest, LaterPosition};
    use super::*;

    fn siblings(values: &[(&str, u64)]) -> Vec<Sibling> {
        let sibling = |&(value, time): &(&str, u64)| Sibling { value: Some(value.into()), time };
        values.iter().map(sibling).collect()
    }

    #[test]
    fn an_order_by_bytes_passes() {
        let few = siblings(&[("b", 1), ("a", 1), ("c", 1), ("a", 2)]);
        check::<Greatest>(&Context::default(), &few).unwrap();
        let many: Vec<_> = (0..20).flat_map(|_| few.clone()).collect();
        check::<Greatest>(&Context::default(), &many).unwrap();
    }

    #[test]
    fn concatenation_is_found_out() {
        let siblings = siblings(&[("b", 1), ("a", 1), ("c", 1)]);
        let breach = check::<Concatenate>(&Context::default(), &siblings).unwrap_err();
        assert_eq!(breach.law, "associative");
        let twenty: Vec<_> = (0..7).flat_map(|_| siblings.clone()).collect();
        check::<Concatenate>(&Context::default(), &twenty).unwrap_err();
    }

    #[test]
    fn a_tie_by_position_is_found_out() {
        let siblings = siblings(&[("a0\nb2", 1), ("a5\nb1", 1), ("a9", 1)]);
        let breach = check::<LaterPosition>(&Context::default(), &siblings).unwrap_err();
        assert_eq!(breach.law, "associative", "{breach}");
    }

    #[test]
    fn a_panic_is_a_breach_with_its_words() {
        let siblings = siblings(&[("a", 1), ("x", 1)]);
        let breach = check::<Fragile>(&Context::default(), &siblings).unwrap_err();
        assert_eq!(breach.law, "total");
        assert!(breach.to_string().contains("panicked: an x"), "{breach}");
    }
}
