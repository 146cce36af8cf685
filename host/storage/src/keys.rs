//! How keys are laid out in the keyspaces.
//!
//! Everything starts with the partition, so that a partition can be listed, moved or dropped as one range.

use bytes::Bytes;
use kinfold_protocol::causality::Digest;
use kinfold_protocol::id::{Actor, BucketName, Key};
use kinfold_protocol::ring::{Partition, Position, Tree};

use crate::{due, hints};

/// Bytes of a value's digest in the key of its body.
const DIGEST_PREFIX: usize = 16;

/// `partition u32 BE, length of the bucket u8, bucket, key`.
pub(crate) fn head(key: &Key, partition: Partition) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(5 + key.bucket.as_str().len() + key.key.len() + 16);
    bytes.extend_from_slice(&partition.0.to_be_bytes());
    let bucket = key.bucket.as_str().as_bytes();
    bytes.push(u8::try_from(bucket.len()).expect("a bucket's name has at most 64 bytes"));
    bytes.extend_from_slice(bucket);
    bytes.extend_from_slice(&key.key);
    bytes
}

/// The head's key, then the first bytes of the value's digest.
///
/// Not the dot: a folded version keeps the dot of its latest write while its bytes change, and equal siblings share a body.
pub(crate) fn body(head: &[u8], digest: &Digest) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(head.len() + DIGEST_PREFIX);
    bytes.extend_from_slice(head);
    bytes.extend_from_slice(&digest.0[..DIGEST_PREFIX]);
    bytes
}

/// Bytes of a leaf's key.
pub(crate) const LEAF: usize = 7;

/// `partition u32 BE, copies u8, leaf u16 BE`.
pub(crate) fn leaf(position: Position) -> [u8; LEAF] {
    let mut bytes = [0; LEAF];
    bytes[..4].copy_from_slice(&position.tree.partition.0.to_be_bytes());
    bytes[4] = position.tree.copies;
    bytes[5..].copy_from_slice(&position.leaf.to_be_bytes());
    bytes
}

/// The leaf that a leaf's key names; `None` if it is none.
pub(crate) fn parse_leaf(bytes: &[u8]) -> Option<u16> {
    parse_position(bytes).map(|at| at.leaf)
}

/// The leaf with its tree.
pub(crate) fn parse_position(bytes: &[u8]) -> Option<Position> {
    let bytes: &[u8; LEAF] = bytes.try_into().ok()?;
    let partition = Partition(u32::from_be_bytes(*bytes.first_chunk()?));
    let tree = Tree { partition, copies: bytes[4] };
    Some(Position { tree, leaf: u16::from_be_bytes([bytes[5], bytes[6]]) })
}

/// `partition u32 BE, copies u8`.
pub(crate) fn tree(tree: Tree) -> [u8; 5] {
    let mut bytes = [0; 5];
    bytes[..4].copy_from_slice(&tree.partition.0.to_be_bytes());
    bytes[4] = tree.copies;
    bytes
}

/// `partition u32 BE, copies u8, actor u64 BE`: the tree's own part comes first.
pub(crate) fn mark(tree: Tree, actor: Actor) -> [u8; 13] {
    let mut bytes = [0; 13];
    bytes[..4].copy_from_slice(&tree.partition.0.to_be_bytes());
    bytes[4] = tree.copies;
    bytes[5..].copy_from_slice(&actor.0.to_be_bytes());
    bytes
}

/// The actor that a mark's key names; `None` if it is none.
pub(crate) fn parse_mark(bytes: &[u8]) -> Option<Actor> {
    Some(Actor(u64::from_be_bytes(*bytes.get(5..)?.first_chunk()?)))
}

/// The key that a head's key stands for; `None` if it is none.
pub(crate) fn parse_head(bytes: &[u8]) -> Option<Key> {
    let (len, rest) = bytes.get(4..)?.split_first()?;
    let (bucket, key) = rest.split_at_checked(usize::from(*len))?;
    let bucket = BucketName::new(core::str::from_utf8(bucket).ok()?).ok()?;
    Some(Key { bucket, key: Bytes::copy_from_slice(key) })
}

/// These bytes, read as a key of each keyspace and written again; those that are none of a kind are left out. It is there for tests:
/// whatever is understood comes out as it went in.
#[must_use]
pub fn read_and_written(bytes: &[u8]) -> Vec<Vec<u8>> {
    let partition = bytes.first_chunk().map(|number| Partition(u32::from_be_bytes(*number)));
    let written = [
        parse_head(bytes).zip(partition).map(|(key, partition)| head(&key, partition)),
        parse_position(bytes).map(|position| leaf(position).to_vec()),
        hints::parse(bytes).map(|(owner, partition, key)| hints::entry(owner, partition, &key)),
        due::parse(bytes).map(|(at, partition, key)| due::entry(at, partition, &key)),
    ];
    let _ = parse_mark(bytes);
    written.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn a_heads_key_leads_back_to_its_key(
            bucket in "[a-z0-9][a-z0-9._-]{0,63}", key: Vec<u8>, partition: u32,
        ) {
            let key = Key { bucket: BucketName::new(bucket).unwrap(), key: key.into() };
            let bytes = head(&key, Partition(partition));
            prop_assert!(bytes.starts_with(&partition.to_be_bytes()));
            prop_assert_eq!(parse_head(&bytes), Some(key));
        }

        #[test]
        fn other_bytes_do_not_panic(bytes in any::<Vec<u8>>()) {
            let _ = parse_head(&bytes);
        }
    }
}
