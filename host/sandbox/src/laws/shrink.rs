//! The smallest siblings that still show a breach.
//!
//! Greedy, like QuickCheck's shrinking: of the ways to make the siblings smaller take the first that still breaks the
//! law, and start over. Parts of a value go by halving, as in delta debugging (Zeller and Hildebrandt 2002), and by line, since
//! values often have lines.

use bytes::Bytes;
use kinfold_protocol::merge::MergeInput;
use kinfold_protocol::time::Timestamp;

/// So many bytes are tried at most, in all candidates together: an end for what never gets smaller.
const BUDGET: usize = 64 * 1024 * 1024;
/// What a candidate costs besides its bytes: some thirty merges.
const EACH: usize = 64 * 1024;

/// Makes `siblings` smaller as long as they are `broken`, which they are to begin with.
pub(super) fn smallest(
    mut siblings: Vec<MergeInput>,
    mut broken: impl FnMut(&[MergeInput]) -> bool,
) -> Vec<MergeInput> {
    let mut left = BUDGET;
    let mut afford = |candidate: &Vec<MergeInput>| {
        let values = candidate.iter().flat_map(|sibling| &sibling.value);
        let cost = values.fold(EACH, |cost, value| cost + value.len());
        left = left.saturating_sub(cost);
        left > 0
    };
    loop {
        let smaller = candidates(&siblings).take_while(&mut afford).find(|smaller| broken(smaller));
        match smaller {
            Some(smaller) => siblings = smaller,
            None => return siblings,
        }
    }
}

/// Smaller siblings, the much smaller ones first.
fn candidates(siblings: &[MergeInput]) -> impl Iterator<Item = Vec<MergeInput>> {
    let with = |n: usize, sibling: MergeInput| {
        let mut smaller = siblings.to_vec();
        smaller[n] = sibling;
        smaller
    };
    let fewer = (0..siblings.len()).filter(|_| siblings.len() > 2).map(|n| {
        let mut fewer = siblings.to_vec();
        fewer.remove(n);
        fewer
    });
    let shorter = (0..siblings.len()).flat_map(move |n| {
        let MergeInput { value, time } = &siblings[n];
        let values = value.iter().flat_map(|value| shorter(value).chain(plainer(value)));
        values.map(move |value| with(n, MergeInput { value: Some(value), time: *time }))
    });
    let earlier = (0..siblings.len()).flat_map(move |n| {
        let MergeInput { value, time } = &siblings[n];
        let times = (1..time.0.min(4)).map(Timestamp);
        times.map(move |time| with(n, MergeInput { value: value.clone(), time }))
    });
    fewer.chain(shorter).chain(earlier)
}

/// The value without one of its parts.
fn shorter(value: &Bytes) -> impl Iterator<Item = Bytes> {
    let without = |from: usize, to: usize| Bytes::from([&value[..from], &value[to..]].concat());
    let halving = std::iter::successors(Some(value.len()), |size| Some(size / 2));
    let parts = halving.take_while(|&size| size > 0).flat_map(move |size| {
        (0..value.len()).step_by(size).map(move |from| (from, value.len().min(from + size)))
    });
    // A line longer than a few bytes rarely begins where a half does. Of very many, the halves will do.
    let ends = value.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let ends: Vec<_> = ends.map(|(at, _)| at + 1).take(64).collect();
    let starts = std::iter::once(0).chain(ends.clone());
    let lines: Vec<_> = starts.zip(ends).collect();
    lines.into_iter().chain(parts).map(move |(from, to)| without(from, to))
}

/// The value with one of its bytes replaced by a plainer one.
fn plainer(value: &Bytes) -> impl Iterator<Item = Bytes> {
    let short = value.len() <= 64;
    let places = (0..value.len()).filter(move |_| short);
    places.flat_map(move |at| {
        let byte = value[at];
        let plain = [b'0', b'1', b'a', b'b'].into_iter();
        // Only towards the front of this list, or it would never end.
        let rank = |byte: u8| [b'0', b'1', b'a', b'b'].iter().position(|&plain| plain == byte);
        let better = move |&plain: &u8| rank(plain) < rank(byte).or(Some(usize::MAX));
        plain.filter(better).map(move |plain| {
            let mut plainer = value.to_vec();
            plainer[at] = plain;
            Bytes::from(plainer)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn siblings(values: &[&'static str]) -> Vec<MergeInput> {
        let sibling = |(n, value): (usize, &&'static str)| MergeInput {
            value: Some(Bytes::from_static(value.as_bytes())),
            time: Timestamp(9 + n as u64),
        };
        values.iter().enumerate().map(sibling).collect()
    }

    #[test]
    fn what_does_not_matter_goes() {
        let all = siblings(&["milk\nbread\n", "eggs\nx marks it\nham\n", "z", "tea"]);
        let has = |siblings: &[MergeInput], byte: u8| {
            let values = siblings.iter().filter_map(|sibling| sibling.value.as_ref());
            values.into_iter().any(|value| value.contains(&byte))
        };
        let smallest = smallest(all, |siblings| has(siblings, b'x') && has(siblings, b'z'));
        let values: Vec<_> = smallest.iter().flat_map(|sibling| sibling.value.clone()).collect();
        assert_eq!(values, ["x", "z"]);
        assert!(smallest.iter().all(|sibling| sibling.time == Timestamp(1)));
    }

    #[test]
    fn it_ends_even_if_everything_is_broken() {
        let smallest = smallest(siblings(&["some", "bytes", "here"]), |_| true);
        assert_eq!(smallest, siblings(&["", ""]).map_times());
        let mut asked = 0;
        let never = super::smallest(siblings(&["a", "b"]), |_| {
            asked += 1;
            false
        });
        assert_eq!(never, siblings(&["a", "b"]));
        assert!(asked < 20);
    }

    trait MapTimes {
        fn map_times(self) -> Self;
    }

    impl MapTimes for Vec<MergeInput> {
        fn map_times(self) -> Self {
            self.into_iter().map(|sibling| MergeInput { time: Timestamp(1), ..sibling }).collect()
        }
    }
}
