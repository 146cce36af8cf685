//! Where a listing goes on: what a client sends back to get the next page.
//!
//! A cursor says all by itself, so it survives every node: it holds no state of theirs. It is checked when it comes back, since
//! it went through hands that may have cut it.

use bytes::Bytes;

use crate::causality::Digest;
use crate::cbor;
use crate::id::BucketName;
use crate::ring::{Partition, Ring};

/// The layout of the bytes.
const FORMAT: u8 = 1;

/// Bytes of the check at the end.
const CHECK: usize = 4;

/// Where a listing goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The partition.
    pub partition: Partition,
    /// The last key of it that was listed or passed; none to begin with its first one.
    pub after: Option<Bytes>,
}

/// Bytes that are no cursor of this listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// No cursor at all, or a damaged one.
    #[error(
        "the cursor is damaged: send it back just as it was received, or list from the beginning"
    )]
    Damaged,
    /// A cursor of another listing.
    #[error("the cursor is of a listing of another bucket or prefix: list from the beginning")]
    OtherListing,
    /// A cursor of another ring.
    #[error("the cursor is of a ring with another number of partitions: list from the beginning")]
    OtherRing,
}

type Record = (u8, u32, Bytes, u32, Option<Bytes>);

fn listing(bucket: &BucketName, prefix: &[u8]) -> Bytes {
    let named = [bucket.as_str().as_bytes(), &[0], prefix].concat();
    Bytes::copy_from_slice(&Digest::of(&named).0[..8])
}

impl Cursor {
    /// The cursor as bytes, for a listing of `bucket` by `prefix`.
    #[must_use]
    pub fn encode(&self, ring: Ring, bucket: &BucketName, prefix: &[u8]) -> Bytes {
        let listing = listing(bucket, prefix);
        let record: Record =
            (FORMAT, ring.partitions(), listing, self.partition.0, self.after.clone());
        let mut bytes = cbor::encode(&record);
        let check = Digest::of(&bytes);
        bytes.extend_from_slice(&check.0[..CHECK]);
        bytes.into()
    }

    /// The cursor of these bytes.
    ///
    /// # Errors
    /// [`CursorError`] if a listing of `bucket` by `prefix` did not make them.
    pub fn decode(
        bytes: &[u8],
        ring: Ring,
        bucket: &BucketName,
        prefix: &[u8],
    ) -> Result<Self, CursorError> {
        let at = bytes.len().checked_sub(CHECK).ok_or(CursorError::Damaged)?;
        let (record, check) = bytes.split_at(at);
        if Digest::of(record).0[..CHECK] != *check {
            return Err(CursorError::Damaged);
        }
        let record: Record = cbor::decode(record).map_err(|_| CursorError::Damaged)?;
        let (format, partitions, of, partition, after) = record;
        if format != FORMAT || partition >= partitions {
            return Err(CursorError::Damaged);
        }
        if of != listing(bucket, prefix) {
            return Err(CursorError::OtherListing);
        }
        if partitions != ring.partitions() {
            return Err(CursorError::OtherRing);
        }
        Ok(Self { partition: Partition(partition), after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    fn bucket(name: &str) -> BucketName {
        BucketName::new(name).unwrap()
    }

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_was_and_a_changed_one_does_not(
            partition in 0..16u32,
            after in prop::option::of(any::<Vec<u8>>()),
            flip in any::<prop::sample::Index>(),
        ) {
            let ring = Ring::new(16).unwrap();
            let cursor = Cursor { partition: Partition(partition), after: after.map(Bytes::from) };
            let bytes = cursor.encode(ring, &bucket("b"), b"p");
            let decode = |bytes: &[u8], ring, name, prefix| {
                Cursor::decode(bytes, ring, &bucket(name), prefix)
            };
            prop_assert_eq!(decode(&bytes, ring, "b", b"p"), Ok(cursor));
            prop_assert_eq!(decode(&bytes, ring, "c", b"p"), Err(CursorError::OtherListing));
            prop_assert_eq!(decode(&bytes, ring, "b", b"q"), Err(CursorError::OtherListing));
            let other = Ring::new(32).unwrap();
            prop_assert_eq!(decode(&bytes, other, "b", b"p"), Err(CursorError::OtherRing));
            let mut damaged = bytes.to_vec();
            *flip.get_mut(&mut damaged) ^= 1;
            prop_assert!(decode(&damaged, ring, "b", b"p").is_err());
        }

        #[test]
        fn other_bytes_are_refused(bytes in any::<Vec<u8>>()) {
            let ring = Ring::new(16).unwrap();
            prop_assert!(Cursor::decode(&bytes, ring, &bucket("b"), b"").is_err());
        }
    }
}
