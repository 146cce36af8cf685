//! Merges documents of [Automerge](https://automerge.org), a library for documents that many edit at once: an application edits them with
//! that library, in any of its languages, and puts what its `save` gives.
//!
//! A document is a set of changes, each named by the SHA-256 of its bytes and naming those that it builds on, so merging is the
//! union of sets (Kleppmann and Beresford 2017). But what `save` writes depends on the order in which the changes came, replicas
//! compare bytes, and to put a document together anew costs more the longer its history. So the merged value is the changes themselves, one
//! after the other, which is a form that Automerge loads too: each after those that it builds on, of several that could come next the one with
//! the least hash. Equal sets, equal bytes.
//!
//! Values can be whole documents (`save`), changes (`save_after`, `save_incremental`), or both in a row. Changes may come before those that they
//! build on: they are kept, and Automerge applies them when it has the others.

mod chance;

use std::collections::{BTreeMap, BTreeSet};

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, AutoCommit, Automerge, Change, ChangeHash, ObjType, ROOT, ReadDoc};
use kinfold_plugin_sdk::{Chance, Context, MergeError, Resolver, Samples, Sibling, export};

/// What every chunk of a file of Automerge's begins with: magic bytes, four of a checksum, its type, and its length in LEB128.
const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
const CHECKSUM: usize = 4;
/// The types of a chunk that is one change, as it is and compressed.
const CHANGE: [u8; 2] = [1, 2];

/// The plugin.
pub struct Plugin;

impl Resolver for Plugin {
    fn merge(_: Context, siblings: Vec<Sibling>) -> Result<Option<Vec<u8>>, MergeError> {
        let mut changes = BTreeMap::new();
        for (index, sibling) in (0..).zip(&siblings) {
            // A delete resets the value before it comes here; if one comes nevertheless it says nothing.
            let read = read(sibling.value.as_deref().unwrap_or_default(), &mut changes);
            read.map_err(|reason| MergeError::InvalidSibling { index, reason })?;
        }
        let mut numbers = BTreeMap::new();
        for (hash, change) in &changes {
            let number = (change.actor_id().to_bytes(), change.seq());
            if numbers.insert(number, hash).is_some() {
                return Err(MergeError::KeepSiblings(format!(
                    "two different changes are number {} of actor {}, which wrote in two places under one name",
                    change.seq(),
                    change.actor_id()
                )));
            }
        }
        let ordered = in_order(changes);
        Ok(Some(ordered.iter().flat_map(Change::raw_bytes).copied().collect()))
    }
}

/// Adds the changes of a value.
fn read(mut value: &[u8], changes: &mut BTreeMap<ChangeHash, Change>) -> Result<(), String> {
    while !value.is_empty() {
        let (chunk, rest) =
            cut(value).ok_or("not a document: it is cut off, or no file of Automerge's")?;
        let malformed = |error: &dyn std::fmt::Display| format!("not a document: {error}");
        if CHANGE.contains(&chunk[MAGIC.len() + CHECKSUM]) {
            let change = Change::try_from(chunk).map_err(|error| malformed(&error))?;
            // The checksum is the beginning of the hash.
            if change.hash().as_ref()[..CHECKSUM] != chunk[MAGIC.len()..][..CHECKSUM] {
                return Err("not a document: a checksum is wrong".into());
            }
            changes.insert(change.hash(), change);
        } else {
            let document = Automerge::load(chunk).map_err(|error| malformed(&error))?;
            changes.extend(
                document.get_changes(&[]).into_iter().map(|change| (change.hash(), change)),
            );
        }
        value = rest;
    }
    Ok(())
}

/// The first chunk, and what comes after it; `None` if there is no whole one.
fn cut(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = MAGIC.len() + CHECKSUM + 1;
    if !value.starts_with(&MAGIC) || value.len() < at {
        return None;
    }
    let mut length = 0usize;
    for shift in (0..28).step_by(7) {
        let byte = *value.get(at)?;
        at += 1;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value.split_at_checked(at.checked_add(length)?);
        }
    }
    None
}

/// Each change after those that it builds on, of which some may be missing; of several that could be next, the one with the least
/// hash (Kahn 1962).
fn in_order(mut changes: BTreeMap<ChangeHash, Change>) -> Vec<Change> {
    let mut waiting: BTreeMap<ChangeHash, usize> = BTreeMap::new();
    let mut builders: BTreeMap<ChangeHash, Vec<ChangeHash>> = BTreeMap::new();
    let mut ready = BTreeSet::new();
    for (hash, change) in &changes {
        let here = |base: &&ChangeHash| changes.contains_key(base);
        let bases: BTreeSet<_> = change.deps().iter().filter(here).copied().collect();
        if bases.is_empty() {
            ready.insert(*hash);
        }
        waiting.insert(*hash, bases.len());
        for base in bases {
            builders.entry(base).or_default().push(*hash);
        }
    }
    let mut ordered = Vec::with_capacity(changes.len());
    while let Some(hash) = ready.pop_first() {
        ordered.extend(changes.remove(&hash));
        for builder in builders.remove(&hash).unwrap_or_default() {
            let left = waiting.entry(builder).or_default();
            *left = left.saturating_sub(1);
            if *left == 0 {
                ready.insert(builder);
            }
        }
    }
    ordered
}

impl Samples for Plugin {
    /// A text that all samples have in common, edited apart: letters inserted and deleted here and there.
    fn sample(seed: u64, size: u32) -> Vec<u8> {
        let mut document = AutoCommit::new().with_actor(ActorId::from(&b"base"[..]));
        let started = document.put_object(ROOT, "text", ObjType::Text).and_then(|text| {
            document.splice_text(&text, 0, 0, "milk and bread")?;
            document.commit_with(CommitOptions::default().with_time(0));
            // Nobody else writes under this name, not even the sample of this seed and another size.
            let actor = [seed.to_be_bytes().as_slice(), &size.to_be_bytes()].concat();
            document.set_actor(ActorId::from(actor));
            let mut chance = Chance::new(seed ^ u64::from(size) << 32);
            for _ in 0..=size / 64 {
                let len = document.length(&text) as u64;
                let at = chance.below(len + 1);
                let gone = chance.below(4).min(len - at) as isize;
                let letters = ["a", "é", "xyz", ""][chance.below(4) as usize];
                document.splice_text(&text, at as usize, gone, letters)?;
                document.put(
                    ROOT,
                    ["size", "colour"][chance.below(2) as usize],
                    chance.below(9),
                )?;
                document.commit_with(CommitOptions::default().with_time(1));
            }
            Ok(())
        });
        let whole = document.save_nocompress();
        let changes = document.save_after(&[]);
        match (started, seed % 3) {
            (Err(_), _) => Vec::new(),
            (Ok(()), 0) => whole,
            (Ok(()), _) => changes,
        }
    }
}

export!(Plugin, samples);

#[cfg(test)]
mod tests;
