//! Reading a key.

use std::future::IntoFuture;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinfold_protocol::config::Consistency;
use kinfold_protocol::id::Key;
use kinfold_protocol::message::client::{self, Request};

use crate::answer;
use crate::client::{Call, Client};
use crate::course::Kind;
use crate::error::Error;
use crate::found::Found;
use crate::route::Route;

/// A read to be awaited.
#[derive(Clone, Debug)]
#[must_use = "nothing is read until it is awaited"]
pub struct Get {
    client: Client,
    key: Key,
    r: Option<u8>,
    consistency: Option<Consistency>,
    deadline: Option<Duration>,
}

impl Get {
    pub(crate) fn new(client: Client, key: Key) -> Self {
        Self { client, key, r: None, consistency: None, deadline: None }
    }

    /// Owners to wait for. Default: the bucket's `r`.
    pub fn r(mut self, r: u8) -> Self {
        self.r = Some(r);
        self
    }

    /// Which answers count. Default: the bucket's consistency. With [`Consistency::Strict`] and `r + w > n`, a read sees
    /// every acknowledged write, and what a read has seen no later read misses.
    pub fn consistency(mut self, consistency: Consistency) -> Self {
        self.consistency = Some(consistency);
        self
    }

    /// How long it may take, all attempts together. Default: the client's.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// What awaiting it does.
    pub(crate) async fn send(self) -> Result<Found, Error> {
        let deadline = self.deadline.unwrap_or_else(|| self.client.default_deadline());
        self.send_by(Instant::now() + deadline).await
    }

    pub(crate) async fn send_by(self, deadline: Instant) -> Result<Found, Error> {
        let request = Request::Get(client::Get {
            bucket: self.key.bucket.clone(),
            key: self.key.key.clone(),
            r: self.r,
            consistency: self.consistency,
        });
        let route = Route::AnyOwner(self.key);
        let call = Call { kind: Kind::Read, route, request, body: Bytes::new(), repeated: false };
        answer::found(self.client.run(call, deadline).await?)
    }
}

impl IntoFuture for Get {
    type Output = Result<Found, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}
