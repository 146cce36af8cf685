//! The scrub: reads back what is on the disk, in small steps, and compares it with what says how it should be.
//!
//! First the engine's files, byte by byte, with the checksums that its manifest holds of them: that finds a flipped bit wherever
//! it is, also in what no read has use for today. Then the records, partition by partition: heads have to decode, bodies to
//! have their digest, and the leaves of the trees to be the sums of their heads. What is damaged is noted ([`Damage`]); a leaf
//! that is wrong is set right at once.
//!
//! The heads of a partition and its sums are read from one snapshot, so they are of one moment, whatever is written meanwhile;
//! and since sums are added to, what a leaf lacked then is what it lacks now.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use fjall::{AbstractTree, Readable, Snapshot};
use kinfold_protocol::id::{BucketName, Key};
use kinfold_protocol::ring::{Partition, Position, Ring};
use kinfold_protocol::store::{StoreError, Stored};
use kinfold_protocol::tree;
use rustix::fs::{Advice, fadvise};
use xxhash_rust::xxh3::Xxh3Default;

use crate::damage::Damage;
use crate::fault::read_failed;
use crate::port::{INLINE, decode, decode_sum};
use crate::{Disk, keys};

/// Bytes of a file that one step reads.
const PIECE: usize = 1 << 20;

/// Heads that one step reads.
const HEADS: usize = 256;

/// Bytes of heads and bodies after which a step ends.
const ENOUGH: u64 = 1 << 20;

/// Where keys lie: what a replica has to be told to check its trees.
#[derive(Clone, Debug)]
pub struct Places {
    /// The ring.
    pub ring: Ring,
    /// The copies of each bucket.
    pub copies: BTreeMap<BucketName, u8>,
}

impl Places {
    /// Where a key lies; none if its bucket is not known.
    #[must_use]
    pub fn position(&self, key: &Key) -> Option<Position> {
        Some(self.ring.position(key, *self.copies.get(&key.bucket)?))
    }
}

/// How far a pass has come: everything before is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cursor {
    /// At the beginning.
    #[default]
    Begin,
    /// After this file, by keyspace, kind and number. Files that are written later are not read in this pass.
    File(u64, u64, u64),
    /// Before this partition.
    Partition(u32),
    /// At the end.
    End,
}

impl Cursor {
    /// As numbers, to be kept.
    #[must_use]
    pub fn to_parts(self) -> (u8, u64, u64, u64) {
        match self {
            Self::Begin => (0, 0, 0, 0),
            Self::File(keyspace, kind, number) => (1, keyspace, kind, number),
            Self::Partition(number) => (2, number.into(), 0, 0),
            Self::End => (3, 0, 0, 0),
        }
    }

    /// From such numbers; at the beginning if they are none.
    #[must_use]
    pub fn from_parts(parts: (u8, u64, u64, u64)) -> Self {
        match parts {
            (1, keyspace, kind, number) => Self::File(keyspace, kind, number),
            (2, number, ..) => u32::try_from(number).map_or(Self::Begin, Self::Partition),
            (3, ..) => Self::End,
            _ => Self::Begin,
        }
    }
}

/// What one step came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Bytes that were read.
    pub bytes: u64,
    /// Records that were read.
    pub records: u64,
    /// Damage that was found.
    pub damage: u64,
    /// Leaves that were wrong, and are right now.
    pub leaves: u64,
}

/// A pass over a disk.
pub struct Scrub {
    disk: Disk,
    cursor: Cursor,
    file: Option<Reading>,
    partition: Option<Walk>,
}

/// A file that is being read.
struct Reading {
    at: Cursor,
    name: String,
    file: File,
    hasher: Xxh3Default,
    expected: u128,
}

/// A partition that is being read.
struct Walk {
    partition: Partition,
    snapshot: Snapshot,
    heads: fjall::Iter,
    sums: BTreeMap<Position, u128>,
    /// Nothing can be said of the trees: a head could not be read, or is of a bucket that is not known.
    unsure: bool,
}

impl Scrub {
    /// A pass that goes on from `cursor`.
    #[must_use]
    pub fn new(disk: Disk, cursor: Cursor) -> Self {
        Self { disk, cursor, file: None, partition: None }
    }

    /// Where another pass would have to go on if this one ended now.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Is the pass over?
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.cursor == Cursor::End
    }

    /// Bytes that a whole pass reads, about.
    #[must_use]
    pub fn whole(disk: &Disk) -> u64 {
        let bytes = disk.engine().keyspaces().map(|(_, keyspace)| keyspace.disk_space());
        // Once as files, and once as records.
        2 * bytes.iter().sum::<u64>()
    }

    /// Reads all files: is one of them damaged?
    pub(crate) fn finds_damaged_files(disk: &Disk) -> Result<bool, StoreError> {
        let mut pass = Self::new(disk.clone(), Cursor::Begin);
        let mut found = 0;
        while matches!(pass.cursor, Cursor::Begin | Cursor::File(..)) {
            found += pass.read_files()?.damage;
        }
        Ok(found > 0)
    }

    /// Reads some more. `places` is asked once a partition, after its snapshot was taken.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`] or [`StoreError::Io`]: nothing was learnt, and the same step may be tried again.
    pub fn step(&mut self, places: impl FnOnce() -> Places) -> Result<Step, StoreError> {
        self.disk.alive()?;
        match self.cursor {
            Cursor::Begin | Cursor::File(..) => self.read_files(),
            Cursor::Partition(number) => self.walk(Partition(number), &places()),
            Cursor::End => Ok(Step::default()),
        }
    }

    fn read_files(&mut self) -> Result<Step, StoreError> {
        if self.file.is_none() {
            self.file = self.next_file();
        }
        let Some(reading) = &mut self.file else {
            self.cursor = Cursor::Partition(0);
            return Ok(Step::default());
        };
        let mut step = Step::default();
        let over = match reading.read() {
            Ok(0) => reading.hasher.digest128() == reading.expected,
            Ok(bytes) => {
                step.bytes = bytes as u64;
                return Ok(step);
            }
            // The device can't give back what it was given.
            Err(error) => {
                tracing::error!(file = reading.name, %error, "a file of the store can't be read");
                false
            }
        };
        step.damage = u64::from(!over && self.disk.note(Damage::File(reading.name.clone())));
        self.cursor = reading.at;
        self.file = None;
        Ok(step)
    }

    /// The first file after the cursor that is still there.
    fn next_file(&self) -> Option<Reading> {
        let root = self.disk.path();
        let mut files: Vec<(Cursor, PathBuf, u128)> = Vec::new();
        for (number, (_, keyspace)) in self.disk.engine().keyspaces().into_iter().enumerate() {
            let version = keyspace.tree.current_version();
            files.extend(version.iter_tables().map(|table| {
                let at = Cursor::File(number as u64, 0, table.id());
                (at, table.path.to_path_buf(), table.checksum().into_u128())
            }));
            files.extend(version.blob_files.iter().map(|values| {
                let at = Cursor::File(number as u64, 1, values.id());
                (at, values.path().to_path_buf(), values.checksum().into_u128())
            }));
        }
        files.sort();
        let left = files.into_iter().filter(|(at, ..)| *at > self.cursor);
        // One that is gone was replaced by a compaction since.
        left.filter_map(|(at, path, expected)| Reading::open(at, root, &path, expected).ok()).next()
    }

    fn walk(&mut self, partition: Partition, places: &Places) -> Result<Step, StoreError> {
        if partition.0 >= places.ring.partitions() {
            self.cursor = Cursor::End;
            return Ok(Step::default());
        }
        let disk = &self.disk;
        let walk = self.partition.get_or_insert_with(|| Walk::begin(disk, partition));
        let mut step = Step::default();
        for _ in 0..HEADS {
            if step.bytes >= ENOUGH {
                return Ok(step);
            }
            match walk.heads.next().map(fjall::Guard::into_inner) {
                Some(Ok((head, record))) => {
                    step.records += 1;
                    step.bytes += (head.len() + record.len()) as u64;
                    if !walk.look(disk, &head, record, places, &mut step.bytes)? {
                        walk.unsure = true;
                        step.damage += u64::from(disk.note(Damage::Partition(partition)));
                    }
                }
                Some(Err(error)) => {
                    damaged(read_failed(error))?;
                    walk.unsure = true;
                    step.damage += u64::from(disk.note(Damage::Partition(partition)));
                    break;
                }
                None => {
                    if !walk.unsure {
                        step.leaves = walk.compare(disk, &mut step.damage)?;
                    }
                    break;
                }
            }
            if step.records == HEADS as u64 {
                return Ok(step);
            }
        }
        self.partition = None;
        self.cursor = Cursor::Partition(partition.0 + 1);
        Ok(step)
    }
}

impl Reading {
    fn open(at: Cursor, root: &Path, path: &Path, expected: u128) -> io::Result<Self> {
        let file = File::open(path)?;
        // From the device, not from memory: what is read back is what the disk holds.
        let _ = fadvise(&file, 0, None, Advice::DontNeed);
        let name = path.strip_prefix(root).unwrap_or(path).display().to_string();
        Ok(Self { at, name, file, hasher: Xxh3Default::new(), expected })
    }

    fn read(&mut self) -> io::Result<usize> {
        let mut piece = vec![0; PIECE];
        let read = self.file.read(&mut piece)?;
        self.hasher.update(&piece[..read]);
        if read == 0 {
            // It is not wanted in memory any more than before.
            let _ = fadvise(&self.file, 0, None, Advice::DontNeed);
        }
        Ok(read)
    }
}

impl Walk {
    fn begin(disk: &Disk, partition: Partition) -> Self {
        let snapshot = disk.engine().database.snapshot();
        let heads = snapshot.prefix(&disk.engine().heads, partition.0.to_be_bytes());
        Self { partition, snapshot, heads, sums: BTreeMap::new(), unsure: false }
    }

    /// Looks at a record and its bodies. Says whether it is sound.
    fn look(
        &mut self,
        disk: &Disk,
        head: &[u8],
        record: fjall::Slice,
        places: &Places,
        bytes: &mut u64,
    ) -> Result<bool, StoreError> {
        let (Some(key), Ok(stored)) = (keys::parse_head(head), decode(record)) else {
            return Ok(false);
        };
        match places.position(&key) {
            Some(at) => {
                let sum = self.sums.entry(at).or_default();
                *sum = sum.wrapping_add(tree::contribution(&key, Some(&stored.object)));
            }
            None => self.unsure = true,
        }
        *bytes += weight(&stored);
        has_bodies(disk, &self.snapshot, head, &stored)
    }

    /// Compares the sums with those of the trees. How many were wrong.
    fn compare(&mut self, disk: &Disk, damage: &mut u64) -> Result<u64, StoreError> {
        let stored = self.snapshot.prefix(&disk.engine().trees, self.partition.0.to_be_bytes());
        let mut lacks: BTreeMap<Position, u128> = std::mem::take(&mut self.sums);
        for entry in stored {
            let found = entry.into_inner().map_err(read_failed).and_then(|(leaf, sum)| {
                let at = keys::parse_position(&leaf);
                let at = at.ok_or_else(|| StoreError::Corrupt("a sum of no leaf".into()))?;
                Ok((at, decode_sum(&sum)?))
            });
            match found {
                Ok((at, sum)) => {
                    let lack = lacks.entry(at).or_default();
                    *lack = lack.wrapping_sub(sum);
                }
                Err(error) => {
                    damaged(error)?;
                    *damage += u64::from(disk.note(Damage::Partition(self.partition)));
                    return Ok(0);
                }
            }
        }
        lacks.retain(|_, lack| *lack != 0);
        for (at, lack) in &lacks {
            tracing::error!(
                partition = at.tree.partition.0,
                leaf = at.leaf,
                "the sum of a leaf was not that of its keys, and is set right: an update was missed"
            );
            disk.add_to_leaf(*at, *lack)?;
        }
        Ok(lacks.len() as u64)
    }
}

/// Are all bodies there that a record names, as they were written?
pub(crate) fn has_bodies(
    disk: &Disk,
    snapshot: &Snapshot,
    head: &[u8],
    stored: &Stored,
) -> Result<bool, StoreError> {
    for version in stored.versions().filter(|version| version.content.lacks_bytes()) {
        let (Some(digest), len) = (version.content.digest(), version.content.len()) else {
            continue;
        };
        match disk.body(snapshot, head, &digest, len) {
            Ok(_) => {}
            Err(error) => {
                damaged(error)?;
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Passes on what is no damage.
pub(crate) fn damaged(error: StoreError) -> Result<(), StoreError> {
    match error {
        StoreError::Corrupt(_) => Ok(()),
        StoreError::DiskFull { .. }
        | StoreError::Poisoned(_)
        | StoreError::Overloaded
        | StoreError::Io(_) => Err(error),
    }
}

/// Bytes of bodies that a record names.
fn weight(stored: &Stored) -> u64 {
    let large = stored.versions().map(|version| version.content.len()).filter(|len| *len > INLINE);
    large.map(u64::from).sum()
}

impl Disk {
    /// Notes damage, to be mended at the next start. Says whether it was not known yet.
    pub fn note(&self, damage: Damage) -> bool {
        self.known_damage().note(damage)
    }

    /// Has damage been met that is not mended yet?
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        !self.known_damage().all().is_empty()
    }

    /// Adds to the sum of a leaf.
    fn add_to_leaf(&self, position: Position, change: u128) -> Result<(), StoreError> {
        let mut sums = self.leaves().lock(position);
        let before = match sums.leaves.get(&position) {
            Some(sum) => *sum,
            None => self.leaf(position)?,
        };
        let after = before.wrapping_add(change);
        let mut batch = self.engine().database.batch();
        batch.insert(&self.engine().trees, keys::leaf(position), after.to_be_bytes());
        self.commit(batch)?;
        sums.leaves.insert(position, after);
        Ok(())
    }
}
