//! A handle on a bucket.

use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::time::Instant;

use bytes::Bytes;
use kinfold_protocol::causality::Digest;
use kinfold_protocol::config::Consistency;
use kinfold_protocol::id::{BucketName, Key};
use kinfold_protocol::message::client::{Code, Request};
use kinfold_protocol::message::explain::{Explain, Explanation};

use crate::answer;
use crate::batch;
use crate::client::{Call, Client};
use crate::course::Kind;
use crate::error::Error;
use crate::found::Found;
use crate::get::Get;
use crate::list::List;
use crate::route::Route;
use crate::write::{Delete, Put};
use crate::written::Written;

/// Rounds of [`Bucket::update`] before it gives up on a key that others keep filling with siblings.
const UPDATE_ROUNDS: u32 = 5;

/// A handle on a bucket; clones are cheap.
#[derive(Clone, Debug)]
pub struct Bucket {
    client: Client,
    name: BucketName,
}

impl Bucket {
    pub(crate) fn new(client: Client, name: BucketName) -> Self {
        Self { client, name }
    }

    /// The bucket's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Reads a key.
    ///
    /// ```no_run
    /// # async fn run(client: kinfold_client::Client) -> Result<(), kinfold_client::Error> {
    /// let carts = client.bucket("carts")?;
    /// let found = carts.get("alice").r(1).await?;
    /// for value in &found.values {
    ///     println!("{}", value.escape_ascii());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn get(&self, key: impl AsRef<[u8]>) -> Get {
        Get::new(self.client.clone(), self.key(key))
    }

    /// Writes a key. Pass the context of the read that the value is based on: what that read has seen is replaced, and what
    /// others wrote meanwhile is kept beside it.
    ///
    /// ```no_run
    /// # async fn run(client: kinfold_client::Client) -> Result<(), kinfold_client::Error> {
    /// let carts = client.bucket("carts")?;
    /// let found = carts.get("alice").await?;
    /// let written = carts.put("alice", "milk\n").context(found.context).w(3).await?;
    /// println!("durable on {} owners", written.owners);
    /// # Ok(())
    /// # }
    /// ```
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl Into<Bytes>) -> Put {
        Put::new(self.client.clone(), self.key(key), value.into())
    }

    /// Deletes what is there, or what the context has seen: a write at the same time survives it.
    ///
    /// ```no_run
    /// # async fn run(client: kinfold_client::Client) -> Result<(), kinfold_client::Error> {
    /// client.bucket("carts")?.delete("alice").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Delete {
        Delete::new(self.client.clone(), self.key(key))
    }

    /// Asks what every replica holds of a key, what the plugin makes of it, and what was discarded: for people who wonder how a
    /// value came about. Gives the values too, by their digests, as far as there is room for them in one answer.
    ///
    /// # Errors
    /// Those of a read.
    pub async fn explain(
        &self,
        key: impl AsRef<[u8]>,
    ) -> Result<(Explanation, BTreeMap<Digest, Bytes>), Error> {
        let key = self.key(key);
        let explain = Explain { bucket: key.bucket.clone(), key: key.key.clone() };
        let call = Call {
            kind: Kind::Read,
            route: Route::FirstOwner(key),
            request: Request::Explain(explain),
            body: Bytes::new(),
            repeated: false,
        };
        let deadline = Instant::now() + self.client.default_deadline();
        answer::explained(self.client.run(call, deadline).await?)
    }

    /// Lists the bucket's keys.
    pub fn list(&self) -> List {
        List::new(self.client.clone(), self.name.clone())
    }

    /// Reads many keys, some dozens at one time. Each has a result of its own, in the order of the keys.
    ///
    /// ```no_run
    /// # async fn run(client: kinfold_client::Client) -> Result<(), kinfold_client::Error> {
    /// for found in client.bucket("carts")?.get_many(["alice", "bob"]).await {
    ///     println!("{} values", found?.values.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get_many<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Vec<Result<Found, Error>> {
        batch::all(keys.into_iter().map(|key| self.get(key).into_future())).await
    }

    /// Writes many keys, some dozens at one time. Each has a result of its own, in the order of the puts, which may be of several
    /// buckets, with contexts and conditions as they like.
    ///
    /// ```no_run
    /// # async fn run(client: kinfold_client::Client) -> Result<(), kinfold_client::Error> {
    /// let carts = client.bucket("carts")?;
    /// let puts = ["alice", "bob"].map(|name| carts.put(name, "milk\n"));
    /// for written in carts.put_many(puts).await {
    ///     written?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn put_many(
        &self,
        puts: impl IntoIterator<Item = Put>,
    ) -> Vec<Result<Written, Error>> {
        batch::all(puts.into_iter().map(IntoFuture::into_future)).await
    }

    /// Reads a key, makes a new value of its values, and writes that with the read's context. `change` gets no value, one, or
    /// siblings, and may be called more than once: when others fill the key with siblings meanwhile, it starts over.
    ///
    /// This is no lock: two updates at once leave two siblings, which the next update gets both.
    ///
    /// ```no_run
    /// # async fn run(client: kinfold_client::Client) -> Result<(), kinfold_client::Error> {
    /// let sets = client.bucket("sets")?;
    /// sets.update("colours", |values| {
    ///     let mut all = values.concat();
    ///     all.extend_from_slice(b"green\n");
    ///     all
    /// })
    /// .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of a get and of a put. After [`Error::Unknown`] the change may be there: call it again only if making the
    /// same change twice does no harm.
    pub async fn update<V: Into<Bytes>>(
        &self,
        key: impl AsRef<[u8]>,
        mut change: impl FnMut(&[Bytes]) -> V,
    ) -> Result<Written, Error> {
        let key = self.key(key);
        let deadline = Instant::now() + self.client.default_deadline();
        let mut round = 1;
        loop {
            let found = Get::new(self.client.clone(), key.clone()).send_by(deadline).await?;
            let value = change(&found.values).into();
            let put = Put::new(self.client.clone(), key.clone(), value).context(found.context);
            match put.send_by(deadline).await {
                Err(Error::Refused { code: Code::TooManySiblings, .. })
                    if round < UPDATE_ROUNDS =>
                {
                    round += 1;
                }
                done => return done,
            }
        }
    }

    /// Reads a key, makes a new value of its values, and writes that if nobody has written meanwhile; if somebody has, starts over
    /// with what is there. So of all who do that, each makes its change once, one after the other. Needs a majority of the key's
    /// owners.
    ///
    /// ```no_run
    /// # async fn run(client: kinfold_client::Client) -> Result<(), kinfold_client::Error> {
    /// let tickets = client.bucket("tickets")?;
    /// tickets.modify("left", |values| {
    ///     let left: u64 = values.first().map_or(100, |v| String::from_utf8_lossy(v).parse().unwrap_or(0));
    ///     left.saturating_sub(1).to_string()
    /// })
    /// .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of a get and of a put; [`Error::Conflict`] if others were always faster until the deadline. After
    /// [`Error::Unknown`] the change may be there.
    pub async fn modify<V: Into<Bytes>>(
        &self,
        key: impl AsRef<[u8]>,
        mut change: impl FnMut(&[Bytes]) -> V,
    ) -> Result<Written, Error> {
        let key = self.key(key);
        let deadline = Instant::now() + self.client.default_deadline();
        let get = Get::new(self.client.clone(), key.clone()).consistency(Consistency::Strict);
        let mut found = get.send_by(deadline).await?;
        loop {
            let value = change(&found.values).into();
            let put = Put::new(self.client.clone(), key.clone(), value).only_if(found.context);
            match put.send_by(deadline).await {
                Err(Error::Conflict { found: now }) if Instant::now() < deadline => found = *now,
                done => return done,
            }
        }
    }

    fn key(&self, key: impl AsRef<[u8]>) -> Key {
        Key { bucket: self.name.clone(), key: Bytes::copy_from_slice(key.as_ref()) }
    }
}
