//! What an exchange reads of a replica's disk: roots, sums, and heads in bounded pages.
//!
//! Plain synchronous code over the [`Store`] port, as `replica` is. Heads lie by bucket and key, not by leaf: a page looks at
//! so many of a partition and keeps those of the leaves asked for. That costs disk reads where trees differ, and saves an
//! index that every write would have to keep.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::causality::{Dot, Marks, Object};
use crate::id::{BucketName, Key};
use crate::message::exchange::Span;
use crate::message::listing::{KeyPage, ListQuestion};
use crate::planted::{self, Bug};
use crate::ring::{Ring, Tree};
use crate::store::{DueKey, Store, StoreError};
use crate::time::Expiry;
use crate::tree::Sums;

/// The most heads that one page keeps.
const MOST_KEPT: usize = 256;

/// The most heads that one page looks at.
const MOST_SEEN: usize = 4_096;

/// The most that the heads of a page weigh, in bytes, but for the last one: far less than a message's header may have.
const MOST_BYTES: usize = 256 * 1024;

/// A context of more intervals is cut to what the marks do not say, also if nobody writes the key.
const LONG: usize = 4;

/// Heads read at one time.
const CHUNK: usize = 256;

/// A read of trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Survey {
    /// The roots of some trees, with which their marks are mixed.
    Roots(Vec<Tree>),
    /// The sums and marks of a tree.
    Sums(Tree),
    /// A page of heads.
    Heads {
        /// Of which keys.
        span: Span,
        /// The buckets of the tree, by name: a replica does not know how many copies a bucket has.
        buckets: Vec<BucketName>,
        /// The ring.
        ring: Ring,
    },
    /// A page of what deletes have left in a tree.
    Left {
        /// The tree.
        tree: Tree,
        /// The buckets of the tree, by name.
        buckets: Vec<BucketName>,
        /// The last key before the page; none to begin.
        after: Option<Key>,
    },
    /// Keys of a bucket, for a listing.
    Keys(ListQuestion),
    /// Keys that are due to expire.
    Due {
        /// Up to when.
        upto: Expiry,
        /// The last one before; none to begin.
        after: Option<DueKey>,
        /// Most keys.
        limit: usize,
    },
    /// A page of the keys of a tree that this replica does not own any more, but for those that it keeps for an owner.
    Leftover {
        /// The tree.
        tree: Tree,
        /// The buckets of the tree, by name.
        buckets: Vec<BucketName>,
        /// The last key before the page; none to begin.
        after: Option<Key>,
    },
}

/// What a survey found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Surveyed {
    /// The roots, in order.
    Roots(Vec<u64>),
    /// The sums, and the marks as they were before the sums were read.
    Sums(Sums, Marks),
    /// A page.
    Heads(Page),
    /// A page of what deletes have left.
    Left(Left),
    /// Keys for a listing.
    Keys(KeyPage),
    /// Keys that are due to expire, the first ones first.
    Due(Vec<DueKey>),
    /// Keys that are left over.
    Leftover {
        /// The keys.
        keys: Vec<Key>,
        /// The last key that was looked at; none if that was all of the tree.
        upto: Option<Key>,
    },
}

/// What deletes have left among some keys, and the marks of their tree as they were before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Objects of tombstones alone.
    pub tombstones: Vec<(Key, Object)>,
    /// Keys with long contexts of which the marks say something.
    pub long: Vec<Key>,
    /// Long contexts, too, can have writes that no mark covers yet.
    pub open: Vec<Dot>,
    /// The marks.
    pub marks: Marks,
    /// The last key that was looked at; none if that was all of the tree.
    pub upto: Option<Key>,
    /// How many keys were looked at.
    pub seen: u64,
}

/// Some heads of a span, in order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The objects that contribute to the tree.
    pub heads: Vec<(Key, Object)>,
    /// The last key that was looked at; none if the span was looked at to its end.
    pub upto: Option<Key>,
}

/// Runs a survey.
///
/// # Errors
/// [`StoreError`] as of a read.
pub fn execute(survey: &Survey, store: &impl Store) -> Result<Surveyed, StoreError> {
    match survey {
        Survey::Roots(trees) => {
            let root = |tree| Ok(store.marks(tree)?.digest() ^ store.sums(tree)?.root());
            let roots = trees.iter().map(|tree| root(*tree));
            Ok(Surveyed::Roots(roots.collect::<Result<_, StoreError>>()?))
        }
        Survey::Sums(tree) => {
            // The marks first: what they say must be true of the sums.
            let marks = store.marks(*tree)?;
            Ok(Surveyed::Sums(store.sums(*tree)?, marks))
        }
        Survey::Heads { span, buckets, ring } => {
            page(span, buckets, *ring, store).map(Surveyed::Heads)
        }
        Survey::Left { tree, buckets, after } => {
            left(*tree, buckets, after.as_ref(), store).map(Surveyed::Left)
        }
        Survey::Keys(question) => keys(question, store).map(Surveyed::Keys),
        Survey::Due { upto, after, limit } => {
            store.due(*upto, after.as_ref(), *limit).map(Surveyed::Due)
        }
        Survey::Leftover { tree, buckets, after } => {
            leftover(*tree, buckets, after.as_ref(), store)
        }
    }
}

/// A page of keys that are kept for nobody.
fn leftover(
    tree: Tree,
    buckets: &[BucketName],
    after: Option<&Key>,
    store: &impl Store,
) -> Result<Surveyed, StoreError> {
    let (mut keys, mut seen) = (Vec::new(), 0);
    for bucket in buckets.iter().filter(|bucket| after.is_none_or(|a| a.bucket <= **bucket)) {
        let mut last = after.filter(|a| a.bucket == *bucket).map(|a| a.key.clone());
        loop {
            let chunk = store.heads(tree.partition, bucket, last.as_ref(), CHUNK)?;
            let ended = chunk.len() < CHUNK;
            for (key, stored) in chunk {
                seen += 1;
                last = Some(key.clone());
                if stored.owed.is_empty() {
                    keys.push(Key { bucket: bucket.clone(), key });
                }
            }
            if !ended && (seen >= MOST_SEEN || keys.len() >= MOST_KEPT) {
                let upto = last.map(|key| Key { bucket: bucket.clone(), key });
                return Ok(Surveyed::Leftover { keys, upto });
            }
            if ended {
                break;
            }
        }
    }
    Ok(Surveyed::Leftover { keys, upto: None })
}

fn page(
    span: &Span,
    buckets: &[BucketName],
    ring: Ring,
    store: &impl Store,
) -> Result<Page, StoreError> {
    let mut page = Page::default();
    let (mut seen, mut bytes) = (0, 0);
    let before = |bucket: &BucketName| span.after.as_ref().is_some_and(|a| a.bucket > *bucket);
    for bucket in buckets.iter().filter(|bucket| !before(bucket)) {
        let mut after = span.after.as_ref().filter(|a| a.bucket == *bucket).map(|a| a.key.clone());
        loop {
            let chunk = store.heads(span.tree.partition, bucket, after.as_ref(), CHUNK)?;
            let last = chunk.len() < CHUNK;
            for (key, stored) in chunk {
                let key = Key { bucket: bucket.clone(), key };
                if span.upto.as_ref().is_some_and(|upto| key > *upto) {
                    return Ok(page);
                }
                seen += 1;
                after = Some(key.key.clone());
                let leaf = ring.position(&key, span.tree.copies).leaf;
                let counts = span.whole || !stored.object.is_deleted();
                if span.leaves.contains(leaf) && counts {
                    bytes += weight(&key, &stored.object);
                    page.heads.push((key.clone(), stored.object));
                }
                if page.heads.len() >= MOST_KEPT || seen >= MOST_SEEN || bytes >= MOST_BYTES {
                    page.upto = Some(key);
                    return Ok(page);
                }
            }
            if last {
                break;
            }
        }
    }
    if planted::has(Bug::ShortPage) {
        page.heads.pop();
    }
    Ok(page)
}

fn left(
    tree: Tree,
    buckets: &[BucketName],
    after: Option<&Key>,
    store: &impl Store,
) -> Result<Left, StoreError> {
    let mut left = Left { marks: store.marks(tree)?, ..Left::default() };
    for bucket in buckets.iter().filter(|bucket| after.is_none_or(|a| a.bucket <= **bucket)) {
        let mut last = after.filter(|a| a.bucket == *bucket).map(|a| a.key.clone());
        loop {
            let chunk = store.heads(tree.partition, bucket, last.as_ref(), CHUNK)?;
            let ended = chunk.len() < CHUNK;
            for (key, stored) in chunk {
                last = Some(key.clone());
                left.look(Key { bucket: bucket.clone(), key }, stored.object);
            }
            let enough = left.tombstones.len() + left.long.len() >= MOST_KEPT;
            if !ended && (left.seen >= MOST_SEEN as u64 || enough) {
                left.upto = last.map(|key| Key { bucket: bucket.clone(), key });
                return Ok(left);
            }
            if ended {
                break;
            }
        }
    }
    Ok(left)
}

impl Left {
    fn look(&mut self, key: Key, object: Object) {
        self.seen += 1;
        if object.is_deleted() {
            self.tombstones.push((key, object));
        } else if object.context.intervals().len() > LONG {
            let beyond =
                object.context.intervals().iter().filter(|i| i.to > self.marks.of(i.actor));
            self.open.extend(beyond.map(|i| Dot { actor: i.actor, time: i.to }));
            if self.marks.strip(&object.context).is_some() {
                self.long.push(key);
            }
        }
    }
}

/// A page of keys. Keys without an object, and the bytes of values, are left out.
fn keys(question: &ListQuestion, store: &impl Store) -> Result<KeyPage, StoreError> {
    let ListQuestion { partition, copies, bucket, prefix, after, limit } = question;
    let limit = (*limit as usize).clamp(1, MOST_KEPT);
    // Before the keys: what the marks say must be true of them.
    let marks = store.marks(Tree { partition: *partition, copies: *copies })?;
    let mut page = KeyPage { marks, ..KeyPage::default() };
    let mut after = after.clone().max(before(prefix));
    let (mut seen, mut bytes) = (0, 0);
    loop {
        let chunk = store.heads(*partition, bucket, after.as_ref(), CHUNK)?;
        let last = chunk.len() < CHUNK;
        for (key, stored) in chunk {
            let begins = key.starts_with(prefix);
            if !begins && key > *prefix {
                return Ok(page);
            }
            after = Some(key.clone());
            seen += 1;
            if begins && !stored.object.versions.is_empty() {
                let object = stored.object.head(0);
                let name = Key { bucket: bucket.clone(), key: key.clone() };
                bytes += key.len() + weight(&name, &object);
                page.keys.push((key, object));
            }
            if page.keys.len() >= limit || seen >= MOST_SEEN || bytes >= MOST_BYTES {
                page.upto = after;
                return Ok(page);
            }
        }
        if last {
            return Ok(page);
        }
    }
}

/// A key before all that begin with `prefix`, with little between them and it.
fn before(prefix: &Bytes) -> Option<Bytes> {
    let (last, rest) = prefix.split_last()?;
    let mut key = rest.to_vec();
    if let Some(less) = last.checked_sub(1) {
        key.push(less);
        key.extend_from_slice(&[u8::MAX; 8]);
    }
    Some(key.into())
}

/// About as many bytes as a head has in a message.
fn weight(key: &Key, object: &Object) -> usize {
    let covers: usize = object.versions.iter().map(|v| v.covers.intervals().len()).sum();
    let inline: usize =
        object.versions.iter().filter_map(|v| v.content.bytes()).map(|b| b.len()).sum();
    let intervals = object.context.intervals().len() + covers;
    key.key.len()
        + inline
        + 30 * intervals
        + 90 * object.versions.len()
        + 60 * object.requests.len()
}
