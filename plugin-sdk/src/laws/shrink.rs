//! Makes siblings that break a law smaller: of all the ways to do so the first that still breaks one, and over again. Parts of a
//! value go by halving, as in delta debugging (Zeller and Hildebrandt 2002).

use crate::Sibling;

/// So many candidates are tried at most.
const BUDGET: usize = 20_000;

/// Makes `siblings` smaller as long as `found` finds something in them; gives what it found last.
pub(super) fn smallest<T>(
    mut siblings: Vec<Sibling>,
    mut last: T,
    mut found: impl FnMut(&[Sibling]) -> Option<T>,
) -> T {
    let mut left = BUDGET;
    loop {
        let smaller = candidates(&siblings).take(left).find_map(|smaller| {
            left -= 1;
            found(&smaller).map(|what| (smaller, what))
        });
        match smaller {
            Some((smaller, what)) => (siblings, last) = (smaller, what),
            None => return last,
        }
    }
}

/// Smaller siblings, the much smaller ones first.
fn candidates(siblings: &[Sibling]) -> impl Iterator<Item = Vec<Sibling>> {
    let with = |number: usize, sibling: Sibling| {
        let mut smaller = siblings.to_vec();
        smaller[number] = sibling;
        smaller
    };
    let fewer = (0..siblings.len()).filter(|_| siblings.len() > 2).map(|number| {
        let mut fewer = siblings.to_vec();
        fewer.remove(number);
        fewer
    });
    let shorter = siblings.iter().enumerate().flat_map(move |(number, Sibling { value, time })| {
        let shorter = value.iter().flat_map(|value| shorter(value));
        shorter.map(move |value| with(number, Sibling { value: Some(value), time: *time }))
    });
    let earlier = siblings.iter().enumerate().flat_map(move |(number, Sibling { value, time })| {
        (1..(*time).min(4)).map(move |time| with(number, Sibling { value: value.clone(), time }))
    });
    fewer.chain(shorter).chain(earlier)
}

/// The value without one of its parts: halves, quarters and so on, down to single bytes.
fn shorter(value: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let sizes = std::iter::successors(Some(value.len()), |size| Some(size / 2));
    sizes.take_while(|&size| size > 0).flat_map(move |size| {
        (0..value.len()).step_by(size).map(move |from| {
            let to = value.len().min(from + size);
            [&value[..from], &value[to..]].concat()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_goes() {
        let values = ["milk\nbread\n", "eggs\nx marks it\nham\n", "tea"];
        let all = values.map(|value| Sibling { value: Some(value.into()), time: 9 }).to_vec();
        let has_x = |siblings: &[Sibling]| {
            let values = siblings.iter().filter_map(|sibling| sibling.value.as_ref());
            let found = values.into_iter().any(|value| value.contains(&b'x'));
            found.then(|| siblings.to_vec())
        };
        let smallest = smallest(all.clone(), all, has_x);
        let sibling = |value: &str| Sibling { value: Some(value.into()), time: 1 };
        assert_eq!(smallest, [sibling("x"), sibling("")]);
    }
}
