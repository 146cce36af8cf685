//! What an exchange reads of a replica's disk: roots, sums, and heads in bounded pages.
//!
//! Plain synchronous code over the [`Store`] port, as `replica` is. Heads lie by bucket and key, not by leaf: a page looks at
//! so many of a partition and keeps those of the leaves asked for. That costs disk reads where trees differ, and saves an
//! index that every write would have to keep.

use alloc::vec::Vec;

use crate::causality::Object;
use crate::id::{BucketName, Key};
use crate::message::exchange::Span;
use crate::ring::{Ring, Tree};
use crate::store::{Store, StoreError};
use crate::tree::Sums;

/// The most heads that one page keeps.
const MOST_KEPT: usize = 256;

/// The most heads that one page looks at.
const MOST_SEEN: usize = 4_096;

/// The most that the heads of a page weigh, in bytes, but for the last one: far less than a message's header may have.
const MOST_BYTES: usize = 256 * 1024;

/// Heads read at one time.
const CHUNK: usize = 256;

/// A read of trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Survey {
    /// The roots of some trees.
    Roots(Vec<Tree>),
    /// The sums of a tree.
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
}

/// What a survey found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Surveyed {
    /// The roots, in order.
    Roots(Vec<u64>),
    /// The sums.
    Sums(Sums),
    /// A page.
    Heads(Page),
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
            let roots = trees.iter().map(|tree| Ok(store.sums(*tree)?.root()));
            Ok(Surveyed::Roots(roots.collect::<Result<_, StoreError>>()?))
        }
        Survey::Sums(tree) => Ok(Surveyed::Sums(store.sums(*tree)?)),
        Survey::Heads { span, buckets, ring } => {
            page(span, buckets, *ring, store).map(Surveyed::Heads)
        }
    }
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
                if span.leaves.contains(leaf) && !stored.object.is_deleted() {
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
    Ok(page)
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
