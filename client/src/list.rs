//! Listing the keys of a bucket.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinfold_protocol::id::BucketName;
use kinfold_protocol::message::client::{self, Request};

use crate::answer;
use crate::client::{Call, Client};
use crate::course::Kind;
use crate::error::Error;
use crate::route::Route;

/// Keys of a bucket, asked for page by page as they are taken.
///
/// They come in the order of the partitions, which is none that means anything, and sorted within each. A key that was written
/// before the listing came to it, and is not deleted meanwhile, comes once (with `r + w > n`); what is written meanwhile may
/// come or not. Deleted keys don't.
///
/// ```no_run
/// # async fn run(client: kinfold_client::Client) -> Result<(), kinfold_client::Error> {
/// let mut keys = client.bucket("carts")?.list().prefix("2026/");
/// while let Some(key) = keys.next().await? {
///     println!("{}", key.escape_ascii());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is listed until a key or a page is asked for"]
pub struct List {
    client: Client,
    bucket: BucketName,
    prefix: Bytes,
    page_size: u32,
    r: Option<u8>,
    deadline: Option<Duration>,
    cursor: Option<Bytes>,
    ended: bool,
    ready: VecDeque<Bytes>,
}

/// Some keys, and where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPage {
    /// The keys: fewer than were asked for, or even none, does not mean that this is the end.
    pub keys: Vec<Bytes>,
    /// Where to go on, at this or at another time and by any client; none at the end.
    pub cursor: Option<Bytes>,
}

impl List {
    pub(crate) fn new(client: Client, bucket: BucketName) -> Self {
        Self {
            client,
            bucket,
            prefix: Bytes::new(),
            page_size: 0,
            r: None,
            deadline: None,
            cursor: None,
            ended: false,
            ready: VecDeque::new(),
        }
    }

    /// Only keys that begin so.
    pub fn prefix(mut self, prefix: impl AsRef<[u8]>) -> Self {
        self.prefix = Bytes::copy_from_slice(prefix.as_ref());
        self
    }

    /// Most keys that one request asks for, up to 10 000. Default: 1 000.
    pub fn page_size(mut self, keys: u32) -> Self {
        self.page_size = keys;
        self
    }

    /// Owners of each partition to ask. Default: the bucket's `r`.
    pub fn r(mut self, r: u8) -> Self {
        self.r = Some(r);
        self
    }

    /// How long one page may take. Default: the client's deadline.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Goes on where an earlier page ended. Bucket and prefix have to be the same.
    pub fn cursor(mut self, cursor: impl Into<Bytes>) -> Self {
        self.cursor = Some(cursor.into());
        self
    }

    /// The next page; none after the end.
    ///
    /// # Errors
    /// Those of a get. The listing can be gone on with: it asks for the same page again.
    pub async fn next_page(&mut self) -> Result<Option<KeyPage>, Error> {
        if self.ended {
            return Ok(None);
        }
        let request = Request::List(client::List {
            bucket: self.bucket.clone(),
            prefix: self.prefix.clone(),
            limit: self.page_size,
            cursor: self.cursor.clone(),
            r: self.r,
        });
        let deadline = self.deadline.unwrap_or_else(|| self.client.default_deadline());
        let (kind, route, body) = (Kind::Read, Route::Anyone, Bytes::new());
        let call = Call { kind, route, request, body, repeated: false };
        let listed = answer::listed(self.client.run(call, Instant::now() + deadline).await?)?;
        self.ended = listed.cursor.is_none();
        self.cursor.clone_from(&listed.cursor);
        Ok(Some(KeyPage { keys: listed.keys, cursor: listed.cursor }))
    }

    /// The next key; none after the last one.
    ///
    /// # Errors
    /// As of [`next_page`](Self::next_page).
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(key) = self.ready.pop_front() {
                return Ok(Some(key));
            }
            match self.next_page().await? {
                Some(page) => self.ready.extend(page.keys),
                None => return Ok(None),
            }
        }
    }
}
