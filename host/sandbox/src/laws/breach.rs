//! Each law as a question about some siblings.

use std::collections::BTreeMap;

use kinfold_protocol::merge::{MergeInput, canonical};
use kinfold_protocol::time::Timestamp;

use crate::laws::law::Law;
use crate::laws::report::Side;
use crate::laws::subject::{Folded, Subject, is_fault};

/// Up to so many siblings are merged in all possible steps, which are 29 for four and 105 for five; more of them in some.
const ALL_STEPS: usize = 5;

/// What trying a law on some siblings showed.
pub(super) enum Tried {
    /// The law holds here.
    Held,
    /// The plugin doesn't merge these siblings, so the law says nothing about them.
    Silent,
    /// It does not hold: what should have come out, if that is one thing, and what did.
    Broken(Option<Side>, Side),
}

impl Tried {
    pub(super) fn is_broken(&self) -> bool {
        matches!(self, Self::Broken(..))
    }

    fn compare(expected: Side, actual: Side) -> Self {
        if expected.result == actual.result {
            Self::Held
        } else {
            Self::Broken(Some(expected), actual)
        }
    }

    /// Goes on with the next question as long as the law is not broken.
    fn or(self, next: impl FnOnce() -> Self) -> Self {
        if self.is_broken() { self } else { next() }
    }
}

/// Tries one law on these siblings.
pub(super) fn try_law(law: Law, subject: &mut Subject<'_>, siblings: &[MergeInput]) -> Tried {
    match law {
        Law::Deterministic => deterministic(subject, siblings),
        Law::Total => total(subject, siblings),
        Law::Symmetric => symmetric(subject, siblings),
        Law::Associative if siblings.len() <= ALL_STEPS => all_steps(subject, siblings),
        Law::Associative => some_steps(subject, siblings),
        Law::Absorbing => absorbing(subject, siblings),
    }
}

fn deterministic(subject: &mut Subject<'_>, siblings: &[MergeInput]) -> Tried {
    let inputs = canonical(siblings.to_vec());
    let side = |how: &str, subject: &mut Subject<'_>| {
        let outcome = subject.run(&inputs);
        let time = inputs.iter().map(|input| input.time).max().unwrap_or_default();
        let result = outcome.result.map(|value| MergeInput { value, time });
        (Side { how: how.to_owned(), result }, outcome.fuel)
    };
    let (first, fuel) = side("the first time", subject);
    subject.poison();
    let (again, fuel_again) = side("again, in another instance", subject);
    if fuel == fuel_again || first.result != again.result {
        return Tried::compare(first, again);
    }
    let with =
        |side: Side, fuel: u64| Side { how: format!("{}, with {fuel} fuel", side.how), ..side };
    Tried::Broken(Some(with(first, fuel)), with(again, fuel_again))
}

fn total(subject: &mut Subject<'_>, siblings: &[MergeInput]) -> Tried {
    match subject.fold(siblings) {
        Err(failure) if is_fault(&failure) => {
            Tried::Broken(None, Side { how: "merged".into(), result: Err(failure) })
        }
        Ok(_) | Err(_) => Tried::Held,
    }
}

fn symmetric(subject: &mut Subject<'_>, siblings: &[MergeInput]) -> Tried {
    let Some(expected) = at_once(subject, siblings) else {
        return Tried::Silent;
    };
    // Backwards, and each once more with an earlier time.
    let earlier = |sibling: &MergeInput| MergeInput {
        time: Timestamp(sibling.time.0.saturating_sub(1)),
        ..sibling.clone()
    };
    let copies = siblings.iter().rev().cloned().chain(siblings.iter().map(earlier));
    let result = subject.fold(&copies.collect::<Vec<_>>());
    Tried::compare(expected, Side { how: "backwards and with copies".into(), result })
}

/// Merges in all possible steps of two at a time, and of all that are left.
fn all_steps(subject: &mut Subject<'_>, siblings: &[MergeInput]) -> Tried {
    let Some(expected) = at_once(subject, siblings) else {
        return Tried::Silent;
    };
    // By the set of siblings, as bits: the different results that there are ways to. All of them once the law is broken;
    // one each while it holds, so that there is little to do.
    let mut ways: BTreeMap<u32, Vec<Side>> = BTreeMap::new();
    let everything = (1u32 << siblings.len()) - 1;
    for set in 1..=everything {
        let chosen = || (0..siblings.len()).filter(move |n| set & (1 << n) != 0);
        let mut found: Vec<Side> = Vec::new();
        if set.count_ones() == 1 {
            let only = chosen().next().unwrap_or_default();
            found.push(Side { how: letter(only), result: Ok(siblings[only].clone()) });
        } else {
            let names: Vec<_> = chosen().map(letter).collect();
            let members: Vec<_> = chosen().map(|n| siblings[n].clone()).collect();
            push(&mut found, merge_of(&names), subject.fold(&members));
        }
        // Every split in two, each once: the lowest sibling is always on the left.
        let lowest = set & set.wrapping_neg();
        let mut left = (set - 1) & set;
        while left > 0 {
            if left & lowest != 0 {
                for a in ways.get(&left).into_iter().flatten() {
                    for b in ways.get(&(set ^ left)).into_iter().flatten() {
                        if let (Ok(one), Ok(other)) = (&a.result, &b.result) {
                            let how = merge_of(&[a.how.clone(), b.how.clone()]);
                            push(&mut found, how, subject.fold(&[one.clone(), other.clone()]));
                        }
                    }
                }
            }
            left = (left - 1) & set;
        }
        ways.insert(set, found);
    }
    let last = ways.remove(&everything).unwrap_or_default();
    let other = last.into_iter().find(|way| way.result != expected.result);
    other.map_or(Tried::Held, |actual| Tried::Broken(Some(expected), actual))
}

/// Merges one after the other from either end, and in two halves.
fn some_steps(subject: &mut Subject<'_>, siblings: &[MergeInput]) -> Tried {
    let Some(expected) = at_once(subject, siblings) else {
        return Tried::Silent;
    };
    let mut chain = |how: &str, order: &mut dyn Iterator<Item = &MergeInput>| {
        let first = order.next().cloned().map(Ok);
        let result = order.fold(first, |merged, next| {
            let merged: Folded = merged?;
            Some(merged.and_then(|merged| subject.fold(&[merged, next.clone()])))
        });
        Some(Side { how: how.to_owned(), result: result? })
    };
    let forwards = chain("one after the other", &mut siblings.iter());
    let backwards = chain("one after the other, from the last", &mut siblings.iter().rev());
    let (front, back) = siblings.split_at(siblings.len() / 2);
    let halves = match (subject.fold(front), subject.fold(back)) {
        (Ok(front), Ok(back)) => subject.fold(&[front, back]),
        (Err(failure), _) | (_, Err(failure)) => Err(failure),
    };
    let halves = Side { how: "two halves first".into(), result: halves };
    let mut tried = Tried::Held;
    for actual in [forwards, backwards, Some(halves)].into_iter().flatten() {
        let expected = expected.clone();
        tried = tried.or(|| Tried::compare(expected, actual));
    }
    tried
}

fn absorbing(subject: &mut Subject<'_>, siblings: &[MergeInput]) -> Tried {
    let Some(merged) = at_once(subject, siblings) else {
        return Tried::Silent;
    };
    let Ok(value) = &merged.result else {
        return Tried::Silent;
    };
    let mut tried = Tried::Held;
    for (n, sibling) in siblings.iter().enumerate() {
        let how = merge_of(&[merged.how.clone(), letter(n)]);
        tried = tried.or(|| {
            let result = subject.fold(&[value.clone(), sibling.clone()]);
            Tried::compare(merged.clone(), Side { how, result })
        });
    }
    // And what is in it can be the result of a step.
    if let [a, b, _, ..] = siblings
        && let Ok(step) = subject.fold(&[a.clone(), b.clone()])
    {
        let how = merge_of(&[merged.how.clone(), merge_of(&[letter(0), letter(1)])]);
        tried = tried.or(|| {
            let result = subject.fold(&[value.clone(), step]);
            Tried::compare(merged.clone(), Side { how, result })
        });
    }
    tried
}

/// Merges all of them at once; `None` if the plugin doesn't, or isn't asked because they are copies of one.
fn at_once(subject: &mut Subject<'_>, siblings: &[MergeInput]) -> Option<Side> {
    if canonical(siblings.to_vec()).len() < 2 {
        return None;
    }
    let names: Vec<_> = (0..siblings.len()).map(letter).collect();
    let result = subject.fold(siblings);
    result.is_ok().then(|| Side { how: merge_of(&names), result })
}

fn push(found: &mut Vec<Side>, how: String, result: Folded) {
    if found.iter().all(|side| side.result != result) {
        found.push(Side { how, result });
    }
}

fn merge_of(names: &[String]) -> String {
    if names.len() > ALL_STEPS {
        return "merge(all)".into();
    }
    format!("merge({})", names.join(", "))
}

/// `a`, `b` and so on, as the report names siblings.
pub(super) fn letter(number: usize) -> String {
    let place = u32::try_from(number).ok().filter(|&place| place < 26);
    let letter = place.and_then(|place| char::from_u32('a' as u32 + place));
    letter.map_or_else(|| format!("s{number}"), String::from)
}
