//! Mends a damaged store, before a node starts on it.
//!
//! A node can't put back what its disk has lost: the other owners have it, and exchanges bring it. But until then it must not
//! pass for whole. So mending takes three steps:
//!
//! 1. Where the engine's own files are damaged, all that can be read is copied to a new store. The engine would stop for good
//!    where a compaction meets a block that it can't read, so overwriting what is lost would not do.
//! 2. In each partition that may have lost something, records that can't be read, or whose bodies are gone, are taken out, and
//!    the leaves of its trees are summed up anew: so an exchange sees what is missing.
//! 3. The marks of the partition are forgotten. They say of every key that what they cover is here or was replaced; of what
//!    was lost that is no longer true, and an exchange would have the others drop it. Fewer marks claim less.
//!
//! The node is told which partitions have lost something, reads nothing of them for others until it has compared them with
//! all their other owners, and goes on as another actor, as after every start: the mark of the one before would claim
//! what it has lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fjall::{Keyspace, PersistMode, Readable};
use kinfold_protocol::causality::Owed;
use kinfold_protocol::id::Key;
use kinfold_protocol::ring::{Partition, Position, Tree};
use kinfold_protocol::store::{StoreError, Stored};
use kinfold_protocol::tree;

use crate::damage::{self, Damage};
use crate::engine::Engine;
use crate::fault::read_failed;
use crate::port::decode;
use crate::salvage::{Gap, salvage};
use crate::scrub::{Places, Scrub, has_bodies};
use crate::{Disk, OpenError, Options, due, hints, keys};

/// Entries of one batch.
const BATCH: usize = 1_024;

/// What mending came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// Partitions that have lost something, or may have.
    pub lost: BTreeSet<Partition>,
    /// Partitions with damage that was left: of a bucket with one copy there is nothing to put in its place.
    pub left: BTreeSet<Partition>,
    /// Records that were taken out.
    pub records: u64,
    /// Leaves that were summed up anew and came out otherwise.
    pub leaves: u64,
    /// Was the store copied, since the engine's files were damaged?
    pub copied: bool,
}

/// Mends the store in the directory `path`, if damage of it was noted. `places` is told how to look up the pieces of the node's
/// own state.
///
/// A crash meanwhile leaves the damage noted, and the store as it was or partly mended.
///
/// # Errors
/// [`OpenError`]: it can't be mended. Where the node's own state is lost, only another directory will do.
pub fn mend(
    path: &Path,
    options: &Options,
    places: impl FnOnce(&dyn Fn(&str) -> Option<Bytes>) -> Option<Places>,
) -> Result<Option<Mended>, OpenError> {
    finish_swap(path)?;
    let damage = damage::noted(path)?;
    if damage.is_empty() {
        return Ok(None);
    }
    tracing::warn!("the store is damaged, and is mended before the node starts");
    let mut suspects: BTreeSet<Partition> = BTreeSet::new();
    let mut mended = Mended::default();
    let mut engines = damage.iter().any(|damage| matches!(damage, Damage::File(_)));
    suspects.extend(damage.iter().filter_map(|damage| match damage {
        Damage::Partition(partition) => Some(*partition),
        Damage::File(_) | Damage::Engine => None,
    }));
    let places = {
        let disk = Disk::open(path, options)?;
        let places = places(&|name| disk.load(name).ok().flatten());
        let places = places.ok_or_else(|| {
            OpenError::Damaged("the buckets that it holds could not be read".to_owned())
        })?;
        if !engines && damage.contains(&Damage::Engine) {
            engines = Scrub::finds_damaged_files(&disk).map_err(failed)?;
        }
        if !engines {
            engines = suspects.iter().any(|partition| !is_readable(&disk, *partition));
        }
        if engines {
            tracing::warn!(
                "files of the store are damaged: what can be read is copied to a new one"
            );
            let gaps = copy(&disk, path, options)?;
            suspects.extend(gaps.partitions(places.ring.partitions()));
            mended.lost.extend(gaps.lost(places.ring.partitions()));
        }
        places
    };
    if engines {
        swap(path)?;
        mended.copied = true;
    }
    let disk = Disk::open(path, options)?;
    for partition in &suspects {
        check(&disk, *partition, &places, &mut mended).map_err(failed)?;
    }
    for partition in &mended.lost {
        disk.forget_marks_of(*partition).map_err(failed)?;
    }
    disk.engine().database.persist(PersistMode::SyncAll).map_err(OpenError::from)?;
    tracing::warn!(
        partitions = mended.lost.len(),
        records = mended.records,
        leaves = mended.leaves,
        "the store is mended; the other owners of these partitions have what it lost"
    );
    Ok(Some(mended))
}

fn failed(error: StoreError) -> OpenError {
    match error {
        StoreError::Io(text) => OpenError::Io(io::Error::other(text)),
        error @ (StoreError::DiskFull { .. }
        | StoreError::Poisoned(_)
        | StoreError::Corrupt(_)
        | StoreError::Overloaded) => OpenError::Damaged(error.to_string()),
    }
}

/// Can the engine give all that it has of a partition?
fn is_readable(disk: &Disk, partition: Partition) -> bool {
    let engine = disk.engine();
    let prefix = partition.0.to_be_bytes();
    [&engine.heads, &engine.trees, &engine.marks, &engine.bodies]
        .into_iter()
        .all(|keyspace| keyspace.prefix(prefix).all(|entry| entry.into_inner().is_ok()))
        && [&engine.hints, &engine.due, &engine.tombstones]
            .into_iter()
            .all(|keyspace| keyspace.iter().all(|entry| entry.into_inner().is_ok()))
}

/// What could not be copied.
#[derive(Default)]
struct Gaps {
    heads: Vec<Gap>,
    bodies: Vec<Gap>,
    trees: Vec<Gap>,
    marks: Vec<Gap>,
}

impl Gaps {
    /// The partitions that have to be looked through.
    fn partitions(&self, all: u32) -> BTreeSet<Partition> {
        let gaps = [&self.heads, &self.bodies, &self.trees, &self.marks].into_iter().flatten();
        gaps.flat_map(|gap| spanned(gap, all)).collect()
    }

    /// Those of which heads or marks are gone: nobody can tell which.
    fn lost(&self, all: u32) -> BTreeSet<Partition> {
        self.heads.iter().chain(&self.marks).flat_map(|gap| spanned(gap, all)).collect()
    }
}

/// The partitions from one key to another.
fn spanned((after, before): &Gap, all: u32) -> impl Iterator<Item = Partition> + use<> {
    let of = |key: &Vec<u8>| key.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
    let first = after.as_ref().and_then(of).unwrap_or(0);
    let last = before.as_ref().and_then(of).unwrap_or(u32::MAX).min(all.saturating_sub(1));
    (first..=last).map(Partition)
}

/// Copies what can be read to a new store beside the old one.
fn copy(disk: &Disk, path: &Path, options: &Options) -> Result<Gaps, OpenError> {
    let new = beside(path, "new");
    remove(&new)?;
    fs::create_dir_all(&new)?;
    let target = Engine::open(&new, options)?;
    let from = disk.engine();
    let mut gaps = Gaps::default();
    for (name, keyspace) in from.keyspaces() {
        let (_, to) = target
            .keyspaces()
            .into_iter()
            .find(|(other, _)| *other == name)
            .expect("both have the same");
        let lost = copy_one(keyspace, to, &target)?;
        match name {
            "heads" => gaps.heads = lost,
            "bodies" => gaps.bodies = lost,
            "trees" => gaps.trees = lost,
            "marks" => gaps.marks = lost,
            // The heads say whom they are owed to, when they expire, and how many are tombstones.
            "hints" | "due" | "tombstones" => {}
            _ if lost.is_empty() => {}
            _ => return Err(OpenError::Damaged("the node's own state is lost".to_owned())),
        }
    }
    note_lists(&target)?;
    target.database.persist(PersistMode::SyncAll)?;
    Ok(gaps)
}

fn copy_one(from: &Keyspace, to: &Keyspace, target: &Engine) -> Result<Vec<Gap>, OpenError> {
    let mut batch = target.database.batch();
    let mut waiting = 0;
    let gaps = salvage(from, |key, value| {
        batch.insert(to, key, value);
        waiting += 1;
        if waiting == BATCH {
            waiting = 0;
            let full = std::mem::replace(&mut batch, target.database.batch());
            full.commit().map_err(read_failed)?;
        }
        Ok(())
    });
    let gaps = gaps.map_err(failed)?;
    batch.commit()?;
    Ok(gaps)
}

/// Makes the lists of hints and of what is due anew, by what the heads say.
fn note_lists(target: &Engine) -> Result<(), OpenError> {
    let (mut owed, mut dues) = (BTreeMap::new(), BTreeMap::new());
    for entry in target.heads.iter() {
        let (head, record) = entry.into_inner()?;
        let partition = head.first_chunk().map(|bytes| Partition(u32::from_be_bytes(*bytes)));
        if let (Some(partition), Some(key), Ok(stored)) =
            (partition, keys::parse_head(&head), decode(record))
        {
            owed.extend(stored.owed.iter().map(|owed: &Owed| {
                (hints::entry(owed.owner, partition, &key), hints::value(owed).to_vec())
            }));
            dues.extend(
                stored.object.due().map(|at| (due::entry(at, partition, &key), Vec::new())),
            );
        }
    }
    let mut batch = target.database.batch();
    for (list, is) in [(&target.hints, owed), (&target.due, dues)] {
        for entry in list.iter() {
            let key = entry.key()?;
            if !is.contains_key(&key[..]) {
                batch.remove(list, key);
            }
        }
        for (entry, value) in is {
            batch.insert(list, entry, value);
        }
    }
    Ok(batch.commit()?)
}

/// Takes out of a partition what can't be read, and sums up its leaves.
fn check(
    disk: &Disk,
    partition: Partition,
    places: &Places,
    mended: &mut Mended,
) -> Result<(), StoreError> {
    let engine = disk.engine();
    let prefix = partition.0.to_be_bytes();
    let snapshot = engine.database.snapshot();
    let mut sums: BTreeMap<Position, u128> = BTreeMap::new();
    let mut tombstones: BTreeMap<Tree, u64> = BTreeMap::new();
    let mut batch = engine.database.batch();
    for entry in snapshot.prefix(&engine.heads, prefix) {
        let (head, record) = entry.into_inner().map_err(read_failed)?;
        let key = keys::parse_head(&head);
        let stored = decode(record).ok();
        let at = key.as_ref().and_then(|key| places.position(key));
        let sound = match &stored {
            Some(stored) => has_bodies(disk, &snapshot, &head, stored)?,
            None => false,
        };
        if sound {
            if let (Some(at), Some(key), Some(stored)) = (at, &key, &stored) {
                let sum = sums.entry(at).or_default();
                *sum = sum.wrapping_add(tree::contribution(key, Some(&stored.object)));
                *tombstones.entry(at.tree).or_default() += u64::from(stored.object.is_tombstone());
            }
            continue;
        }
        if at.is_some_and(|at| at.tree.copies == 1) {
            mended.left.insert(partition);
            if let (Some(at), Some(key), Some(stored)) = (at, &key, &stored) {
                let sum = sums.entry(at).or_default();
                *sum = sum.wrapping_add(tree::contribution(key, Some(&stored.object)));
                *tombstones.entry(at.tree).or_default() += u64::from(stored.object.is_tombstone());
            }
            continue;
        }
        mended.records += 1;
        mended.lost.insert(partition);
        take_out(disk, &mut batch, partition, &head, key, stored)?;
    }
    let mut stale: BTreeSet<Vec<u8>> = BTreeSet::new();
    for entry in snapshot.prefix(&engine.trees, prefix) {
        let (leaf, sum) = entry.into_inner().map_err(read_failed)?;
        let at = keys::parse_position(&leaf);
        let is = at.and_then(|at| sums.get(&at).copied()).unwrap_or_default();
        if sum.as_ref() == is.to_be_bytes() {
            at.map(|at| sums.remove(&at));
        } else {
            stale.insert(leaf.to_vec());
        }
    }
    sums.retain(|_, sum| *sum != 0);
    mended.leaves += stale.len() as u64;
    stale.into_iter().for_each(|leaf| batch.remove(&engine.trees, leaf));
    for (at, sum) in sums {
        batch.insert(&engine.trees, keys::leaf(at), sum.to_be_bytes());
    }
    for entry in snapshot.prefix(&engine.tombstones, prefix) {
        batch.remove(&engine.tombstones, entry.key().map_err(read_failed)?);
    }
    for (tree, count) in tombstones {
        batch.insert(&engine.tombstones, keys::tree(tree), count.to_be_bytes());
    }
    drop(snapshot);
    disk.commit(batch)
}

/// Takes out a record, the bodies that may be there, and its place in the lists of hints and of what is due.
fn take_out(
    disk: &Disk,
    batch: &mut fjall::OwnedWriteBatch,
    partition: Partition,
    head: &[u8],
    key: Option<Key>,
    stored: Option<Stored>,
) -> Result<(), StoreError> {
    let engine = disk.engine();
    batch.remove(&engine.heads, head);
    for version in stored.iter().flat_map(Stored::versions) {
        if let Some(digest) = version.content.digest() {
            batch.remove(&engine.bodies, keys::body(head, &digest));
        }
    }
    let Some(key) = key else {
        return Ok(());
    };
    // What the record can't say any more, the lists do.
    for entry in engine.due.iter() {
        let entry = entry.key().map_err(read_failed)?;
        if due::parse(&entry).is_some_and(|(_, at, of)| at == partition && of == key) {
            batch.remove(&engine.due, entry);
        }
    }
    for entry in engine.hints.iter() {
        let entry = entry.key().map_err(read_failed)?;
        if hints::parse(&entry).is_some_and(|(_, at, of)| at == partition && of == key) {
            batch.remove(&engine.hints, entry);
        }
    }
    Ok(())
}

impl Disk {
    /// All damage that was noted before this start is mended, and what the node must know of it is durable.
    ///
    /// # Errors
    /// The operating system refused; the store is mended once more at the next start.
    pub fn mended(&self) -> io::Result<()> {
        self.known_damage().forget()
    }

    /// Forgets the marks of a partition's trees: only before a node starts on the disk, since what it knows of them it keeps.
    ///
    /// # Errors
    /// [`StoreError`]: nothing was forgotten.
    pub fn forget_marks_of(&self, partition: Partition) -> Result<(), StoreError> {
        let engine = self.engine();
        let mut batch = engine.database.batch();
        for entry in engine.marks.prefix(partition.0.to_be_bytes()) {
            batch.remove(&engine.marks, entry.key().map_err(read_failed)?);
        }
        self.commit(batch)
    }
}

// The new store takes the old one's place in three renames, each of which a crash may come before or after.

fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{what}"));
    path.with_file_name(name)
}

fn swap(path: &Path) -> io::Result<()> {
    let (new, ready) = (beside(path, "new"), beside(path, "ready"));
    // What was noted stays noted until all is done.
    for damage in damage::noted(path)? {
        damage::note(&new, &damage)?;
    }
    fs::rename(&new, &ready)?;
    sync_parent(path)?;
    finish_swap(path)
}

/// A store that is ready takes the place of the one that it was copied from.
fn finish_swap(path: &Path) -> io::Result<()> {
    let (ready, old) = (beside(path, "ready"), beside(path, "old"));
    if ready.exists() {
        if path.exists() {
            remove(&old)?;
            fs::rename(path, &old)?;
        }
        fs::rename(&ready, path)?;
        sync_parent(path)?;
    }
    remove(&beside(path, "new"))?;
    remove(&old)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if parent.exists() => File::open(parent)?.sync_all(),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scrub::{Cursor, Scrub};
    use kinfold_protocol::causality::{Content, Dot, Marks, Version};
    use kinfold_protocol::id::{Actor, BucketName};
    use kinfold_protocol::ring::{Ring, Tree};
    use kinfold_protocol::store::{Bodies, DueChange, Store, Write};
    use kinfold_protocol::time::Timestamp;

    fn places() -> Places {
        let copies = [("b", 3), ("single", 1)].map(|(name, n)| (BucketName::new(name).unwrap(), n));
        Places { ring: Ring::new(8).unwrap(), copies: copies.into() }
    }

    fn options() -> Options {
        Options { reserve_mib: 0, ..Options::default() }
    }

    fn key(bucket: &str, number: u64) -> Key {
        let key = Bytes::copy_from_slice(&number.to_be_bytes());
        Key { bucket: BucketName::new(bucket).unwrap(), key }
    }

    /// Writes a value, with the change of its leaf or without.
    fn put(disk: &mut Disk, key: Key, len: usize, in_tree: bool) -> Position {
        let dot = Dot { time: Timestamp(1), actor: Actor(1) };
        let mut stored = Stored::default();
        let value = [&key.key[..], &vec![7; len]].concat();
        stored.object.versions.push(Version::new(dot, Content::value(value.into())));
        let position = places().position(&key).unwrap();
        let leaf_change = if in_tree { tree::contribution(&key, Some(&stored.object)) } else { 0 };
        disk.write(Write {
            key,
            position,
            stored,
            dropped: vec![],
            leaf_change,
            debts: vec![],
            due: DueChange::default(),
            tombstones: 0,
        })
        .unwrap();
        position
    }

    /// A whole pass: damage found, leaves set right.
    fn scrub(disk: &Disk) -> (u64, u64) {
        let mut found = (0, 0);
        let mut scrub = Scrub::new(disk.clone(), Cursor::Begin);
        while !scrub.is_over() {
            let step = scrub.step(places).unwrap();
            found = (found.0 + step.damage, found.1 + step.leaves);
        }
        found
    }

    fn mended(path: &Path) -> Mended {
        mend(path, &options(), |_| Some(places())).unwrap().expect("damage was noted")
    }

    #[test]
    fn a_missed_update_of_a_tree_is_found_and_set_right() {
        let directory = tempfile::tempdir().unwrap();
        let mut disk = Disk::open(directory.path(), &options()).unwrap();
        for number in 0..50 {
            put(&mut disk, key("b", number), 20, true);
        }
        assert_eq!(scrub(&disk), (0, 0));
        let at = put(&mut disk, key("b", 99), 20, false);
        let (wrong, all) = (disk.leaf(at).unwrap(), disk.sums(at.tree).unwrap());
        assert_eq!(scrub(&disk), (0, 1));
        assert_ne!(disk.leaf(at).unwrap(), wrong);
        assert_ne!(disk.sums(at.tree).unwrap(), all);
        assert_eq!(scrub(&disk), (0, 0));
        assert!(!disk.is_damaged(), "that is no damage");
    }

    #[test]
    fn what_is_lost_is_taken_out_with_all_that_claims_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let mut disk = Disk::open(path, &options()).unwrap();
        for number in 0..64 {
            put(&mut disk, key("b", number), 2_000, true);
        }
        let marks: Marks = [(Actor(1), Timestamp(5))].into_iter().collect();
        let trees = |copies| (0..8).map(move |n| Tree { partition: Partition(n), copies });
        disk.raise_marks(&trees(3).map(|tree| (tree, marks.clone())).collect::<Vec<_>>()).unwrap();
        let positions = [1, 2].map(|number| places().position(&key("b", number)).unwrap());
        let heads = [1, 2].map(|number| {
            keys::head(&key("b", number), positions[number as usize - 1].tree.partition)
        });
        // One record is garbage, another one has lost its body.
        disk.engine().heads.insert(&heads[0], b"\x01garbage").unwrap();
        let body = disk.engine().bodies.prefix(&heads[1]).next().unwrap().key().unwrap();
        disk.engine().bodies.remove(body).unwrap();
        let (found, leaves) = scrub(&disk);
        let lost: BTreeSet<Partition> = positions.map(|at| at.tree.partition).into();
        assert_eq!((found, leaves), (lost.len() as u64, 0));
        assert!(matches!(
            disk.read(&key("b", 1), positions[0], Bodies::Heads),
            Err(StoreError::Corrupt(_))
        ));
        drop(disk);

        let done = mended(path);
        assert_eq!((&done.lost, done.records, done.copied), (&lost, 2, false));
        Disk::open(path, &options()).unwrap().mended().unwrap();
        assert_eq!(mend(path, &options(), |_| None).unwrap(), None, "once");
        let disk = Disk::open(path, &options()).unwrap();
        assert_eq!(scrub(&disk), (0, 0), "the trees are those of what is left");
        for number in [1, 2] {
            let at = positions[number as usize - 1];
            assert_eq!(disk.read(&key("b", number), at, Bodies::All).unwrap(), None);
        }
        for tree in trees(3) {
            assert_eq!(disk.marks(tree).unwrap().is_empty(), lost.contains(&tree.partition));
        }
    }

    #[test]
    fn the_only_copy_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let mut disk = Disk::open(path, &options()).unwrap();
        let at = put(&mut disk, key("single", 1), 2_000, true);
        let body = disk.engine().bodies.iter().next().unwrap().key().unwrap();
        disk.engine().bodies.remove(body).unwrap();
        assert_eq!(scrub(&disk).0, 1);
        drop(disk);
        let done = mended(path);
        assert_eq!((done.left, done.lost.len()), ([at.tree.partition].into(), 0));
        let disk = Disk::open(path, &options()).unwrap();
        assert!(disk.read(&key("single", 1), at, Bodies::All).is_err(), "unknown, never not found");
    }

    #[test]
    fn a_swap_that_a_crash_cut_short_is_finished() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let file = |path: &Path| fs::read_to_string(path.join("file")).unwrap();
        for done in 0..3 {
            for (name, what) in [("store", "old"), ("store.new", "new")] {
                fs::create_dir_all(directory.path().join(name)).unwrap();
                fs::write(directory.path().join(name).join("file"), what).unwrap();
            }
            if done > 0 {
                fs::rename(beside(&path, "new"), beside(&path, "ready")).unwrap();
            }
            if done > 1 {
                fs::rename(&path, beside(&path, "old")).unwrap();
            }
            finish_swap(&path).unwrap();
            assert_eq!(file(&path), if done == 0 { "old" } else { "new" });
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        }
    }
}
