//! Writing and deleting a key.
//!
//! A write has one request id for all its attempts, so that a second attempt is never a second write.

use std::future::IntoFuture;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinfold_protocol::id::Key;
use kinfold_protocol::message::client::{self, Request};

use crate::answer;
use crate::client::{Call, Client};
use crate::context::CausalContext;
use crate::course::Kind;
use crate::error::Error;
use crate::get::Get;
use crate::request_id::RequestId;
use crate::route::Route;
use crate::written::Written;

/// What puts and deletes have in common.
#[derive(Clone, Debug)]
struct Write {
    client: Client,
    key: Key,
    context: Option<CausalContext>,
    w: Option<u8>,
    request: Option<RequestId>,
    deadline: Option<Duration>,
    conditional: bool,
    ttl_ms: Option<u64>,
}

/// A put to be awaited.
#[derive(Clone, Debug)]
#[must_use = "nothing is written until it is awaited"]
pub struct Put {
    write: Write,
    value: Bytes,
}

/// A delete to be awaited.
#[derive(Clone, Debug)]
#[must_use = "nothing is deleted until it is awaited"]
pub struct Delete {
    write: Write,
}

/// The settings that puts and deletes share.
macro_rules! settings {
    () => {
        /// Owners whose durable acknowledgement to wait for. Default: the bucket's `w`.
        pub fn w(mut self, w: u8) -> Self {
            self.write.w = Some(w);
            self
        }

        /// The write's name. Default: a random one. Give the one of an [`Error::Unknown`] to repeat that write, with the same
        /// key, value and context: it is then never written twice.
        pub fn request(mut self, request: RequestId) -> Self {
            self.write.request = Some(request);
            self
        }

        /// How long it may take, all attempts together. Default: the client's.
        pub fn deadline(mut self, deadline: Duration) -> Self {
            self.write.deadline = Some(deadline);
            self
        }
    };
}

impl Put {
    pub(crate) fn new(client: Client, key: Key, value: Bytes) -> Self {
        Self { write: Write::new(client, key), value }
    }

    /// What the writer has seen of the key: these versions are replaced. Without a context nothing is replaced, and in a
    /// bucket of siblings the value stands beside those that are there.
    pub fn context(mut self, context: CausalContext) -> Self {
        self.write.context = Some(context);
        self
    }

    /// Write only if the key's object still is the one that `context` has seen: if nobody has written since, as far as a majority
    /// of the owners knows. Of several who try that at once, one succeeds at most. Needs a majority of the owners, also in a
    /// sloppy bucket. In a lattice bucket the value is joined with the one there, and nothing else is.
    ///
    /// If the object is another one, the end is [`Error::Conflict`], with the object as it is.
    pub fn only_if(mut self, context: CausalContext) -> Self {
        self.write.context = Some(context);
        self.write.conditional = true;
        self
    }

    /// Write only if the key has no value: none was ever written, or it was deleted. As [`only_if`](Self::only_if) otherwise; of
    /// a deleted key the first answer says so, and the write is tried again on the condition that nobody has written since.
    pub fn only_if_absent(mut self) -> Self {
        self.write.context = None;
        self.write.conditional = true;
        self
    }

    /// How long the value is to be there, from when a node takes the put up, by that node's clock: after that it is as if it had
    /// been deleted. In whole milliseconds, at least one. Default: the bucket's, which may be for ever. Refused in lattice buckets.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.write.ttl_ms = Some(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1));
        self
    }

    /// The value stays, whatever the bucket's values do.
    pub fn without_ttl(mut self) -> Self {
        self.write.ttl_ms = Some(0);
        self
    }

    settings!();

    /// What awaiting it does.
    async fn send(self) -> Result<Written, Error> {
        let deadline = self.write.deadline();
        self.send_by(deadline).await
    }

    pub(crate) async fn send_by(mut self, deadline: Instant) -> Result<Written, Error> {
        let absent = self.write.conditional && self.write.context.is_none();
        loop {
            let sent = self.write.clone().send(Request::Put, self.value.clone(), deadline).await;
            match sent {
                Err(Error::Conflict { found }) if absent && found.values.is_empty() => {
                    self.write.context = Some(found.context);
                }
                done => return done,
            }
        }
    }
}

impl Delete {
    pub(crate) fn new(client: Client, key: Key) -> Self {
        Self { write: Write::new(client, key) }
    }

    /// What the deleter has seen of the key: just that is deleted. Without a context the key is read first, and what that
    /// read finds is deleted.
    pub fn context(mut self, context: CausalContext) -> Self {
        self.write.context = Some(context);
        self
    }

    /// Delete only if the key's object still is the one that `context` has seen; otherwise the end is [`Error::Conflict`]. See
    /// [`Put::only_if`].
    pub fn only_if(mut self, context: CausalContext) -> Self {
        self.write.context = Some(context);
        self.write.conditional = true;
        self
    }

    settings!();

    /// What awaiting it does.
    async fn send(mut self) -> Result<Written, Error> {
        let deadline = self.write.deadline();
        if self.write.context.is_none() {
            let read = Get::new(self.write.client.clone(), self.write.key.clone());
            self.write.context = Some(read.send_by(deadline).await?.context);
        }
        self.write.send(Request::Delete, Bytes::new(), deadline).await
    }
}

impl Write {
    fn new(client: Client, key: Key) -> Self {
        Self {
            client,
            key,
            context: None,
            w: None,
            request: None,
            deadline: None,
            conditional: false,
            ttl_ms: None,
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.deadline.unwrap_or_else(|| self.client.default_deadline())
    }

    async fn send(
        self,
        request: fn(client::Write) -> Request,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Written, Error> {
        let repeated = self.request.is_some() && self.conditional;
        let id = match self.request {
            Some(id) => id,
            None => RequestId::random()?,
        };
        let request = request(client::Write {
            bucket: self.key.bucket.clone(),
            key: self.key.key.clone(),
            context: self.context.map(|context| context.as_bytes().clone()),
            w: self.w,
            request: id.0,
            conditional: self.conditional,
            ttl_ms: self.ttl_ms,
        });
        let route = Route::FirstOwner(self.key);
        let call = Call { kind: Kind::Write(Some(id)), route, request, body, repeated };
        answer::written(self.client.run(call, deadline).await?)
    }
}

impl IntoFuture for Put {
    type Output = Result<Written, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl IntoFuture for Delete {
    type Output = Result<Written, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}
