//! Reading what can be read of a keyspace whose files are damaged.
//!
//! An iterator ends where it meets a block that it can't read, and does not say where the next one begins. So the keys are read
//! from both ends of a range; what is left between is cut in two, and each half is read in the same way, down to halves so
//! small that what they may still hold is given up.

use std::ops::Bound;

use fjall::{Keyspace, Slice};
use kinfold_protocol::store::StoreError;

use crate::fault::read_failed;
use crate::scrub::damaged;

/// How often what is left is cut in two.
const DEPTH: u32 = 10;

/// Keys between which something may be lost: neither of them is. None is an end of the keyspace.
pub(crate) type Gap = (Option<Vec<u8>>, Option<Vec<u8>>);

/// Gives what can be read to `take`, in no order. Where something could not be read.
///
/// # Errors
/// As of `take`, or [`StoreError::Io`]: nothing can be said of the rest.
pub(crate) fn salvage(
    keyspace: &Keyspace,
    mut take: impl FnMut(Slice, Slice) -> Result<(), StoreError>,
) -> Result<Vec<Gap>, StoreError> {
    let mut gaps = Vec::new();
    let mut waiting: Vec<(Gap, u32)> = vec![((None, None), 0)];
    while let Some(((after, before), depth)) = waiting.pop() {
        let range = |after: &Option<Vec<u8>>, before: &Option<Vec<u8>>| {
            let from = after.clone().map_or(Bound::Unbounded, Bound::Excluded);
            let to = before.clone().map_or(Bound::Unbounded, Bound::Excluded);
            keyspace.range::<Vec<u8>, _>((from, to))
        };
        let (mut low, mut high) = (after, before);
        let mut is_whole = true;
        for guard in range(&low, &high) {
            match key_of(guard)? {
                Some(key) => {
                    one(keyspace, &key, &mut take, &mut gaps)?;
                    low = Some(key.to_vec());
                }
                None => {
                    is_whole = false;
                    break;
                }
            }
        }
        if is_whole {
            continue;
        }
        for guard in range(&low, &high).rev() {
            let Some(key) = key_of(guard)? else { break };
            one(keyspace, &key, &mut take, &mut gaps)?;
            high = Some(key.to_vec());
        }
        match middle(low.as_deref(), high.as_deref()).filter(|_| depth < DEPTH) {
            Some(middle) => {
                // It may be a key itself.
                if let Ok(Some(value)) = keyspace.get(&middle) {
                    take(middle.clone().into(), value)?;
                }
                waiting.push(((low, Some(middle.clone())), depth + 1));
                waiting.push(((Some(middle), high), depth + 1));
            }
            None => gaps.push((low, high)),
        }
    }
    Ok(gaps)
}

/// The key of an entry; none if the block that should hold it can't be read.
fn key_of(guard: fjall::Guard) -> Result<Option<Slice>, StoreError> {
    match guard.key().map_err(read_failed) {
        Ok(key) => Ok(Some(key)),
        Err(error) => damaged(error).map(|()| None),
    }
}

fn one(
    keyspace: &Keyspace,
    key: &Slice,
    take: &mut impl FnMut(Slice, Slice) -> Result<(), StoreError>,
    gaps: &mut Vec<Gap>,
) -> Result<(), StoreError> {
    match keyspace.get(key).map_err(read_failed) {
        Ok(Some(value)) => take(key.clone(), value),
        Ok(None) => Ok(()),
        Err(error) => {
            damaged(error)?;
            // The value alone: both ends are the key itself.
            gaps.push((Some(key.to_vec()), Some(key.to_vec())));
            Ok(())
        }
    }
}

/// Bytes after the common beginning of two keys that are looked at to find one between them.
const PLACES: usize = 15;

/// A key about half way between two; none if there is hardly any.
fn middle(low: Option<&[u8]>, high: Option<&[u8]>) -> Option<Vec<u8>> {
    let (low, high) = (low.unwrap_or(&[]), high.unwrap_or(&[u8::MAX; PLACES]));
    let common = low.iter().zip(high).take_while(|(a, b)| a == b).count();
    let number = |key: &[u8]| {
        let digits = (common..common + PLACES).map(|at| key.get(at).copied().unwrap_or(0));
        digits.fold(0_u128, |number, digit| number << 8 | u128::from(digit))
    };
    let (low_number, high_number) = (number(low), number(high));
    let half = low_number + high_number.checked_sub(low_number)? / 2;
    let digits = half.to_be_bytes();
    let mut key = low[..common.min(low.len())].to_vec();
    key.extend_from_slice(&digits[16 - PLACES..]);
    (key.as_slice() > low && key.as_slice() < high).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert, proptest};

    proptest! {
        #[test]
        fn the_middle_lies_between(a in any::<Vec<u8>>(), b in any::<Vec<u8>>()) {
            let (low, high) = (a.clone().min(b.clone()), a.max(b));
            if let Some(middle) = middle(Some(&low), Some(&high)) {
                prop_assert!(low < middle && middle < high);
            }
        }
    }

    #[test]
    fn halves_become_small() {
        let (mut low, high) = (b"partition-a".to_vec(), b"partition-b".to_vec());
        for _ in 0..DEPTH {
            low = middle(Some(&low), Some(&high)).unwrap();
        }
        assert!(middle(None, None).is_some());
        assert!(middle(Some(b"a"), Some(b"a")).is_none());
    }
}
