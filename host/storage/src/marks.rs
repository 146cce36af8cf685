//! The marks of the trees, in memory once they were used.
//!
//! Every read of a key comes with the marks of its tree, so they are kept at hand: some 50 bytes for each actor that ever wrote
//! in a tree. They are written behind what they rest on, and what survives of the journal is a prefix: so wherever a mark
//! survives, its data does.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kinfold_protocol::causality::Marks;
use kinfold_protocol::id::Actor;
use kinfold_protocol::ring::Tree;
use kinfold_protocol::store::StoreError;
use kinfold_protocol::time::Timestamp;

use crate::fault::{corrupt, read_failed};
use crate::{Disk, keys};

/// The marks that were used.
#[derive(Default)]
pub(crate) struct Known {
    trees: Mutex<BTreeMap<Tree, Marks>>,
}

impl Known {
    // They are only put here once their batch is committed, so what a panicking thread left is right.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Tree, Marks>> {
        self.trees.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    pub(crate) fn marks_of(&self, tree: Tree) -> Result<Marks, StoreError> {
        self.alive()?;
        let mut known = self.known_marks().lock();
        if let Some(marks) = known.get(&tree) {
            return Ok(marks.clone());
        }
        let marks = self.read_marks(tree)?;
        known.insert(tree, marks.clone());
        Ok(marks)
    }

    fn read_marks(&self, tree: Tree) -> Result<Marks, StoreError> {
        let all = keys::mark(tree, Actor(0))..=keys::mark(tree, Actor(u64::MAX));
        let mark = |entry: fjall::Guard| {
            let (key, time) = entry.into_inner().map_err(read_failed)?;
            let actor = keys::parse_mark(&key).ok_or_else(|| corrupt("a mark is of no actor"))?;
            let time: [u8; 8] =
                time.as_ref().try_into().map_err(|_| corrupt("a mark is not 8 bytes long"))?;
            Ok((actor, Timestamp(u64::from_be_bytes(time))))
        };
        self.engine().marks.range(all).map(mark).collect::<Result<Marks, StoreError>>()
    }

    pub(crate) fn forget(&self, tree: Tree) -> Result<(), StoreError> {
        self.alive()?;
        let mut known = self.known_marks().lock();
        let mut batch = self.engine().database.batch();
        for (actor, _) in self.read_marks(tree)?.iter() {
            batch.remove(&self.engine().marks, keys::mark(tree, actor));
        }
        self.commit(batch)?;
        known.insert(tree, Marks::default());
        Ok(())
    }

    pub(crate) fn raise(&self, raised: &[(Tree, Marks)]) -> Result<(), StoreError> {
        self.alive()?;
        let mut known = self.known_marks().lock();
        let mut batch = self.engine().database.batch();
        let mut after: BTreeMap<Tree, Marks> = BTreeMap::new();
        for (tree, marks) in raised {
            let before = match after.get(tree).or_else(|| known.get(tree)) {
                Some(marks) => marks.clone(),
                None => self.read_marks(*tree)?,
            };
            for (actor, time) in marks.beyond(&before).iter() {
                batch.insert(&self.engine().marks, keys::mark(*tree, actor), time.0.to_be_bytes());
            }
            let mut united = before;
            united.unite(marks);
            after.insert(*tree, united);
        }
        self.commit(batch)?;
        known.extend(after);
        Ok(())
    }
}
