//! Values of the shipped plugins, for applications that don't want to see bytes.
//!
//! A [`Shared`] is a handle on a key of a bucket with one of these plugins in lattice mode. Its changes are written as deltas,
//! without reading first: the bucket's plugin joins them with what is there, wherever they meet, so two applications that change the
//! same key at once both succeed and nothing of either is lost.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use kinfold_values::{Cart, Counter, Document, Json, Max, OrSet, Set, Value};

use crate::bucket::Bucket;
use crate::error::Error;
use crate::request_id::RequestId;
use crate::written::Written;

/// A handle on a key that holds a value of a shipped plugin.
///
/// ```no_run
/// use kinfold_client::{Bucket, Shared, values::Counter};
///
/// # async fn run(bucket: Bucket) -> Result<(), kinfold_client::Error> {
/// let mut visits = Shared::<Counter>::new(&bucket, "front page")?;
/// visits.add(1).await?;
/// println!("{} visits", visits.read().await?.number());
/// # Ok(())
/// # }
/// ```
///
/// Each handle writes under a random name of its own, which counters and sets need: make one and keep it, rather than one for each
/// change.
#[derive(Clone, Debug)]
pub struct Shared<V> {
    bucket: Bucket,
    key: Bytes,
    /// What this handle writes under.
    writer: String,
    /// Additions to a set that were made under that name.
    additions: u64,
    /// All that this handle has read and written.
    known: V,
    /// Changes that are not known to be written: they go with the next one.
    unwritten: V,
}

impl<V: Value + Clone> Shared<V> {
    /// A handle on a key. Nothing is read or written yet.
    ///
    /// # Errors
    /// [`Error::Config`] if the system has no randomness to give.
    pub fn new(bucket: &Bucket, key: impl AsRef<[u8]>) -> Result<Self, Error> {
        Ok(Self {
            bucket: bucket.clone(),
            key: Bytes::copy_from_slice(key.as_ref()),
            writer: RequestId::random()?.to_string(),
            additions: 0,
            known: V::default(),
            unwritten: V::default(),
        })
    }

    /// Reads the key. What this handle wrote before is in the value, even if its write is not known to have happened.
    ///
    /// # Errors
    /// Those of a get, and [`Error::Malformed`] if the key holds something else.
    pub async fn read(&mut self) -> Result<&V, Error> {
        let found = self.bucket.get(&self.key).await?;
        // Where the bucket's plugin did not merge them, for whatever reason, the siblings are joined here.
        let mut value = self.unwritten.clone();
        for sibling in &found.values {
            let sibling = V::parse(sibling);
            value.join(sibling.map_err(|malformed| Error::Malformed(malformed.to_string()))?);
        }
        self.known = value;
        Ok(&self.known)
    }

    /// What was read and written by this handle so far.
    #[must_use]
    pub fn known(&self) -> &V {
        &self.known
    }

    /// Writes what is not known to be written, if there is anything: after an error of a change, to make it again. Joining a change
    /// twice is joining it once, so this is right also after [`Error::Unknown`].
    ///
    /// # Errors
    /// Those of a put. The changes are kept for the next one.
    pub async fn write(&mut self) -> Result<Written, Error> {
        let written = self.bucket.put(&self.key, self.unwritten.to_bytes()).await?;
        self.unwritten = V::default();
        Ok(written)
    }

    async fn change(&mut self, delta: V) -> Result<Written, Error> {
        self.unwritten.join(delta);
        self.write().await
    }
}

impl Shared<Set> {
    /// Adds an item: any bytes but a newline, which ends it.
    ///
    /// # Errors
    /// Those of a put.
    pub async fn add(&mut self, item: impl AsRef<[u8]>) -> Result<Written, Error> {
        let mut delta = Set::default();
        delta.add(item);
        self.known.join(delta.clone());
        self.change(delta).await
    }
}

impl Shared<OrSet> {
    /// Adds an item: any bytes but a newline.
    ///
    /// # Errors
    /// Those of a put.
    pub async fn add(&mut self, item: impl AsRef<[u8]>) -> Result<Written, Error> {
        self.additions += 1;
        let delta = self.known.add(&self.writer, self.additions, item);
        self.change(delta).await
    }

    /// Takes an item out, as far as this handle has seen it: [`read`](Self::read) first. Who adds it at the same time keeps it in.
    ///
    /// # Errors
    /// Those of a put.
    pub async fn remove(&mut self, item: impl AsRef<[u8]>) -> Result<Written, Error> {
        let delta = self.known.remove(item);
        self.change(delta).await
    }
}

impl Shared<Counter> {
    /// Adds a number, which may be negative.
    ///
    /// # Errors
    /// Those of a put. The number is counted then with the next change, or with [`write`](Self::write): don't add it again.
    pub async fn add(&mut self, number: i64) -> Result<Written, Error> {
        let delta = self.known.add(&self.writer, number);
        self.change(delta).await
    }
}

impl Shared<Max> {
    /// Raises the number to this one, if it is less.
    ///
    /// # Errors
    /// Those of a put.
    pub async fn raise(&mut self, number: i128) -> Result<Written, Error> {
        self.known.join(number.into());
        self.change(number.into()).await
    }
}

impl Shared<Cart> {
    /// Puts so many of an item into the cart, if there are less.
    ///
    /// # Errors
    /// Those of a put.
    pub async fn add(&mut self, item: impl AsRef<[u8]>, quantity: u64) -> Result<Written, Error> {
        let mut delta = Cart::default();
        delta.set(item, quantity);
        self.known.join(delta.clone());
        self.change(delta).await
    }
}

impl Shared<Document> {
    /// Writes a field; the path is empty for the document as a whole.
    ///
    /// # Errors
    /// Those of a put.
    pub async fn set(&mut self, path: &[&str], value: impl Into<Json>) -> Result<Written, Error> {
        let delta = self.known.set(path, value.into(), self.now());
        self.change(delta).await
    }

    /// Takes a field out.
    ///
    /// # Errors
    /// Those of a put.
    pub async fn remove(&mut self, path: &[&str]) -> Result<Written, Error> {
        let delta = self.known.remove(path, self.now());
        self.change(delta).await
    }

    /// This machine's time in microseconds, but later than all that this handle has seen.
    fn now(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        u64::try_from(now).unwrap_or(u64::MAX).max(self.known.last().saturating_add(1))
    }
}
