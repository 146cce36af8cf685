//! What this replica keeps for others: one entry an owner and key, beside the object itself in the heads.
//!
//! An entry is written and removed in the batch that notes it in the head, so the two never differ. The owner comes first in
//! its key: what one owner is owed is one range.

use std::collections::BTreeMap;
use std::ops::Bound;

use kinfold_protocol::causality::{Debt, DebtChange, Owed};
use kinfold_protocol::id::{Key, NodeId};
use kinfold_protocol::ring::Partition;
use kinfold_protocol::store::StoreError;
use kinfold_protocol::time::Timestamp;

use crate::fault::{corrupt, read_failed};
use crate::{Disk, keys};

/// `owner u64 BE`, then the head's key.
pub(crate) fn entry(owner: NodeId, partition: Partition, key: &Key) -> Vec<u8> {
    [&owner.0.to_be_bytes()[..], &keys::head(key, partition)].concat()
}

/// `since u64 BE, bytes u64 BE`.
pub(crate) fn value(owed: &Owed) -> [u8; 16] {
    (u128::from(owed.since.0) << 64 | u128::from(owed.bytes)).to_be_bytes()
}

pub(crate) fn parse(entry: &[u8]) -> Option<(NodeId, Partition, Key)> {
    let (owner, head) = entry.split_first_chunk()?;
    let partition = Partition(u32::from_be_bytes(*head.first_chunk()?));
    Some((NodeId(u64::from_be_bytes(*owner)), partition, keys::parse_head(head)?))
}

impl Disk {
    /// What is owed to other nodes.
    ///
    /// # Errors
    /// As [`Disk::load`].
    pub fn debts(&self) -> Result<BTreeMap<NodeId, Debt>, StoreError> {
        self.alive()?;
        let mut debts: BTreeMap<NodeId, Debt> = BTreeMap::new();
        for found in self.engine().hints.iter() {
            let (entry, value) = found.into_inner().map_err(read_failed)?;
            let (owner, ..) = parse(&entry).ok_or_else(|| corrupt("a hint stands under no key"))?;
            let value: [u8; 16] = value
                .as_ref()
                .try_into()
                .map_err(|_| corrupt("a hint's value is not 16 bytes long"))?;
            let both = u128::from_be_bytes(value);
            let (since, bytes) = ((both >> 64) as u64, both as u64);
            let after = Some(Owed { owner, since: Timestamp(since), bytes });
            debts.entry(owner).or_default().apply(&DebtChange { owner, before: None, after });
        }
        Ok(debts)
    }

    pub(crate) fn change_hint(
        &self,
        batch: &mut fjall::OwnedWriteBatch,
        partition: Partition,
        key: &Key,
        change: &DebtChange,
    ) {
        let entry = entry(change.owner, partition, key);
        match &change.after {
            Some(owed) => batch.insert(&self.engine().hints, entry, value(owed)),
            None => batch.remove(&self.engine().hints, entry),
        }
    }

    pub(crate) fn hints_of(
        &self,
        owner: NodeId,
        after: Option<&(Partition, Key)>,
        limit: usize,
    ) -> Result<Vec<(Partition, Key)>, StoreError> {
        self.alive()?;
        let from = match after {
            Some((partition, key)) => Bound::Excluded(entry(owner, *partition, key)),
            None => Bound::Included(owner.0.to_be_bytes().to_vec()),
        };
        let to = match owner.0.checked_add(1) {
            Some(next) => Bound::Excluded(next.to_be_bytes().to_vec()),
            None => Bound::Unbounded,
        };
        let found = self.engine().hints.range((from, to)).take(limit);
        found
            .map(|entry| {
                let bytes = entry.key().map_err(read_failed)?;
                let (_, partition, key) =
                    parse(&bytes).ok_or_else(|| corrupt("a hint stands under no key"))?;
                Ok((partition, key))
            })
            .collect()
    }
}
