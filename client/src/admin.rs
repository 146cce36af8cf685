//! Asking about the cluster, and changing its buckets.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinfold_protocol::catalogue::BucketEntry;
use kinfold_protocol::config::BucketConfig;
use kinfold_protocol::id::BucketName;
use kinfold_protocol::layout::{Layout, Member};
use kinfold_protocol::message::client::{BucketChange, Request, Status};
use tokio::task::JoinSet;

use crate::answer;
use crate::client::{Call, Client};
use crate::course::Kind;
use crate::error::Error;
use crate::exchange::Answer;
use crate::route::{self, Route};

/// Nodes that are asked for their status at one time.
const AT_ONCE: usize = 32;

/// A node that does not tell its status within this is reported so: whoever asks wants to see the others.
const STATUS_DEADLINE: Duration = Duration::from_secs(2);

/// How a node is, as far as it told.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// Which node.
    pub member: Member,
    /// What it told, or why it told nothing.
    pub status: Result<Status, Error>,
}

impl Client {
    /// Makes a bucket. Needs an admin's certificate. Gives the names of members that don't know it yet: they learn of
    /// it as soon as the others hear of them.
    ///
    /// ```no_run
    /// use kinfold_client::{BucketConfig, Mode};
    ///
    /// # async fn run(client: kinfold_client::Client) -> Result<(), kinfold_client::Error> {
    /// let mode = Mode::Resolver { plugin: "set-union".to_owned() };
    /// client.bucket_create("carts", BucketConfig { mode, ..BucketConfig::default() }).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Refused`] with `BucketExists` if there is one with other properties, `BadRequest` if the numbers can't be,
    /// `Forbidden` without the role.
    pub async fn bucket_create(
        &self,
        name: impl Into<String>,
        config: BucketConfig,
    ) -> Result<Vec<String>, Error> {
        self.change(Request::BucketCreate, name, config).await
    }

    /// Changes a bucket's properties, all of them. Needs an admin's certificate. Gives the names of members that don't know
    /// of the change yet.
    ///
    /// # Errors
    /// [`Error::Refused`] with `UnknownBucket`, or `BadRequest` for a change that can't be, such as between siblings and
    /// lattice; `Forbidden` without the role.
    pub async fn bucket_set(
        &self,
        name: impl Into<String>,
        config: BucketConfig,
    ) -> Result<Vec<String>, Error> {
        self.change(Request::BucketSet, name, config).await
    }

    /// All buckets, with their properties.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn buckets(&self) -> Result<BTreeMap<BucketName, BucketEntry>, Error> {
        answer::buckets(self.ask(Kind::Read, Route::Anyone, Request::BucketList, None).await?)
    }

    /// Asks the cluster who owns what, now.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn fetch_layout(&self) -> Result<Layout, Error> {
        let layout =
            answer::layout(self.ask(Kind::Read, Route::Anyone, Request::Layout, None).await?)?;
        self.install(layout.clone());
        Ok(layout)
    }

    /// Asks every node how it is, by name. Nodes that can't be reached are among them, with the reason.
    pub async fn status(&self) -> Vec<NodeStatus> {
        let layout = self.layout();
        let mut all = Vec::with_capacity(layout.members().len());
        for members in layout.members().chunks(AT_ONCE) {
            let mut asked = JoinSet::new();
            for member in members.iter().cloned() {
                let client = self.clone();
                asked.spawn(async move {
                    let status = client.status_of(&member).await;
                    NodeStatus { member, status }
                });
            }
            all.extend(asked.join_all().await);
        }
        all.sort_by(|a, b| a.member.name.cmp(&b.member.name));
        all
    }

    /// Has a node read its whole disk back, now, and begins anew where it was doing so. Needs an admin's certificate. Gives its
    /// status, which tells from then on how far it is.
    ///
    /// # Errors
    /// [`Error::Config`] if no member has this name, [`Error::Refused`] with `Forbidden` without the role, or those of every
    /// read.
    pub async fn scrub(&self, node: &str) -> Result<Status, Error> {
        let layout = self.layout();
        let member = layout.members().iter().find(|member| member.name == node);
        let member =
            member.ok_or_else(|| Error::Config(format!("no member is called `{node}`")))?;
        let route = Route::Just(route::target(member, self.addresses()));
        answer::status(self.ask(Kind::Read, route, Request::Scrub, None).await?)
    }

    async fn status_of(&self, member: &Member) -> Result<Status, Error> {
        let route = Route::Just(route::target(member, self.addresses()));
        let limit = Some(STATUS_DEADLINE.min(self.default_deadline()));
        answer::status(self.ask(Kind::Read, route, Request::Status, limit).await?)
    }

    async fn change(
        &self,
        request: fn(BucketChange) -> Request,
        name: impl Into<String>,
        config: BucketConfig,
    ) -> Result<Vec<String>, Error> {
        let bucket = BucketName::new(name).map_err(|e| Error::Config(e.to_string()))?;
        let request = request(BucketChange { bucket, config, force: false });
        let answer = self.ask(Kind::Write(None), Route::Anyone, request, None).await?;
        Ok(self.names(answer::missing(answer)?))
    }

    async fn ask(
        &self,
        kind: Kind,
        route: Route,
        request: Request,
        limit: Option<Duration>,
    ) -> Result<Answer, Error> {
        let deadline = Instant::now() + limit.unwrap_or_else(|| self.default_deadline());
        self.run(Call { kind, route, request, body: Bytes::new(), repeated: false }, deadline).await
    }
}
