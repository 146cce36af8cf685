//! What an object adds to its leaf of the partition's tree.
//!
//! A leaf is the sum, modulo 2^128, of the contributions of its keys: so a write changes it in constant time, in the same
//! batch as the data, and nothing is ever rebuilt. Contexts do not go in, since replicas may strip them differently; digests
//! of values do, so that equal dots with unequal bytes are seen.

use crate::causality::Object;
use crate::id::Key;

/// The contribution of `object` under `key`; zero where nothing but tombstones is left, as if it were gone.
#[must_use]
pub fn contribution(key: &Key, object: Option<&Object>) -> u128 {
    let Some(object) = object.filter(|o| !o.is_deleted()) else {
        return 0;
    };
    let mut hasher = blake3::Hasher::new();
    hasher.update(key.bucket.as_str().as_bytes());
    hasher.update(&[0]);
    hasher.update(&(key.key.len() as u64).to_be_bytes());
    hasher.update(&key.key);
    for version in &object.versions {
        hasher.update(&version.dot.time.0.to_be_bytes());
        hasher.update(&version.dot.actor.0.to_be_bytes());
        match version.content.digest() {
            Some(digest) => hasher.update(&[1]).update(&digest.0),
            None => hasher.update(&[0]),
        };
    }
    let mut first = [0; 16];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    u128::from_be_bytes(first)
}
