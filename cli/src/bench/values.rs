//! Keys and values, as functions of their numbers: nobody has to remember what was written to tell whether it came back.

use bytes::Bytes;

use super::chance::{Chance, scramble};

/// Bytes that values are cut from. Two values that a compressor could see together have next to nothing in common.
const POOL: usize = 32 * 1024 * 1024;

/// Makes keys and values of one size each.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    pool: Bytes,
    value_bytes: usize,
    key_bytes: usize,
    seed: u64,
}

impl Values {
    /// Keys and values of a seed.
    pub(crate) fn new(seed: u64, key_bytes: usize, value_bytes: usize) -> Self {
        let pool = Chance::new(seed).bytes(POOL + value_bytes).into();
        Self { pool, value_bytes, key_bytes, seed }
    }

    /// The key of a number: hexadecimal digits, of which the first 16 tell it from every other.
    pub(crate) fn key(&self, number: u64) -> Bytes {
        let unique = scramble(self.seed.wrapping_add(number));
        let mut key = format!("{unique:016x}").into_bytes();
        let mut filling = Chance::new(unique);
        while key.len() < self.key_bytes {
            key.extend_from_slice(format!("{:016x}", filling.next()).as_bytes());
        }
        key.truncate(self.key_bytes);
        key.into()
    }

    /// The value of a key's number at its `turn`-th write: a slice of the pool, which nothing can compress.
    pub(crate) fn value(&self, number: u64, turn: u64) -> Bytes {
        let place = scramble(self.seed ^ scramble(number).wrapping_add(turn));
        let at = usize::try_from(place % POOL as u64).unwrap_or(0);
        self.pool.slice(at..at + self.value_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn keys_differ_and_have_their_length() {
        let values = Values::new(3, 256, 10);
        let keys: BTreeSet<_> = (0..10_000).map(|number| values.key(number)).collect();
        assert_eq!(keys.len(), 10_000);
        assert!(keys.iter().all(|key| key.len() == 256));
        assert_eq!(values.key(5), Values::new(3, 256, 10).key(5));
    }

    #[test]
    fn values_are_functions_of_seed_key_and_turn() {
        let values = Values::new(3, 16, 10_000);
        assert_eq!(values.value(5, 0), Values::new(3, 16, 10_000).value(5, 0));
        assert_ne!(values.value(5, 0), values.value(5, 1));
        assert_ne!(values.value(5, 0), values.value(6, 0));
        assert_eq!(values.value(5, 0).len(), 10_000);
    }
}
