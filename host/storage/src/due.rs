//! Keys by when they are due to expire, so that finding what is due costs what is due.
//!
//! An entry is written and removed in the batch that changes its head, so the two never differ. The time comes first in its
//! key: what is due first stands first.

use std::ops::Bound;

use kinfold_protocol::id::Key;
use kinfold_protocol::ring::Partition;
use kinfold_protocol::store::{DueChange, DueKey, StoreError};
use kinfold_protocol::time::Expiry;

use crate::fault::{corrupt, read_failed};
use crate::{Disk, keys};

/// `expiry u64 BE`, then the head's key.
pub(crate) fn entry(at: Expiry, partition: Partition, key: &Key) -> Vec<u8> {
    [&at.0.to_be_bytes()[..], &keys::head(key, partition)].concat()
}

pub(crate) fn parse(entry: &[u8]) -> Option<DueKey> {
    let (at, head) = entry.split_first_chunk()?;
    let partition = Partition(u32::from_be_bytes(*head.first_chunk()?));
    Some((Expiry(u64::from_be_bytes(*at)), partition, keys::parse_head(head)?))
}

impl Disk {
    pub(crate) fn change_due(
        &self,
        batch: &mut fjall::OwnedWriteBatch,
        partition: Partition,
        key: &Key,
        change: DueChange,
    ) {
        if change.before == change.after {
            return;
        }
        let engine = self.engine();
        if let Some(before) = change.before {
            batch.remove(&engine.due, entry(before, partition, key));
        }
        if let Some(after) = change.after {
            batch.insert(&engine.due, entry(after, partition, key), []);
        }
    }

    pub(crate) fn due_keys(
        &self,
        upto: Expiry,
        after: Option<&DueKey>,
        limit: usize,
    ) -> Result<Vec<DueKey>, StoreError> {
        self.alive()?;
        let from = match after {
            Some((at, partition, key)) => Bound::Excluded(entry(*at, *partition, key)),
            None => Bound::Unbounded,
        };
        let to = match upto.0.checked_add(1) {
            Some(next) => Bound::Excluded(next.to_be_bytes().to_vec()),
            None => Bound::Unbounded,
        };
        if after.is_some_and(|(at, ..)| *at > upto) {
            return Ok(Vec::new());
        }
        let found = self.engine().due.range((from, to)).take(limit);
        found
            .map(|entry| {
                let bytes = entry.key().map_err(read_failed)?;
                parse(&bytes).ok_or_else(|| corrupt("what is due stands under no key"))
            })
            .collect()
    }
}
