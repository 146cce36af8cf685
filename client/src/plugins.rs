//! Installing plugins, having buckets use them, and asking how they are doing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinfold_protocol::catalogue::Release;
use kinfold_protocol::id::{BucketName, NodeId};
use kinfold_protocol::layout::Member;
use kinfold_protocol::message::client::{BucketChange, Request};
use kinfold_protocol::message::plugin::{
    Install, Installed, Listed, Logs, NodePlugins, PluginRequest, PluginResponse,
};
use tokio::task::JoinSet;

use crate::answer;
use crate::client::{Call, Client};
use crate::course::Kind;
use crate::error::Error;
use crate::exchange::Answer;
use crate::route::{self, Route};

/// A node that does not answer about its plugins within this is reported so.
const PATIENCE: Duration = Duration::from_secs(2);

impl Client {
    /// Has a node try the laws on a component, and install it if it may be: [`Installed::refused`] says so. Needs an admin's
    /// certificate. `limit` is how long to wait; a trial takes a minute at most, and then a moment.
    ///
    /// # Errors
    /// [`Error::Refused`] with `BadRequest` if the component can't be loaded or its version is taken, `Forbidden` without the
    /// role, `Overloaded` while another component is tried.
    pub async fn plugin_install(
        &self,
        component: Bytes,
        install: Install,
        limit: Duration,
    ) -> Result<Installed, Error> {
        let request = Request::Plugin(PluginRequest::Install(install));
        let route = self.someone().await;
        let answer = self.ask_with(Kind::Write(None), route, request, component, limit).await?;
        let PluginResponse::Installed(installed) = answer::plugin(answer)? else {
            return Err(answer::other());
        };
        Ok(installed)
    }

    /// All plugins: those that are installed, and those of one node.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn plugins(&self) -> Result<Listed, Error> {
        let limit = self.default_deadline();
        let told = self.plugin(Kind::Read, Route::Anyone, PluginRequest::List, limit).await?;
        let PluginResponse::Listed(listed) = told else { return Err(answer::other()) };
        Ok(listed)
    }

    /// Removes an installed plugin. Needs an admin's certificate. Gives the names of members that don't know of it yet.
    ///
    /// # Errors
    /// [`Error::Refused`] with `BadRequest` if there is none, or a bucket uses it; `Forbidden` without the role.
    pub async fn plugin_remove(&self, release: Release) -> Result<Vec<String>, Error> {
        self.change_plugins(PluginRequest::Remove(release)).await
    }

    /// Has a candidate run beside a bucket's plugin, or none. Needs an admin's certificate. Gives the names of members that
    /// don't know of it yet.
    ///
    /// # Errors
    /// [`Error::Refused`] with `BadRequest` if there is no such plugin, or the bucket has none; `Forbidden` without the role.
    pub async fn bucket_shadow(
        &self,
        bucket: impl Into<String>,
        plugin: Option<String>,
    ) -> Result<Vec<String>, Error> {
        let bucket = BucketName::new(bucket).map_err(|e| Error::Config(e.to_string()))?;
        self.change_plugins(PluginRequest::Shadow { bucket, plugin }).await
    }

    /// Has a bucket merge as it did before its plugin or its plugin config last changed. Needs an admin's certificate. Gives
    /// the names of members that don't know of it yet.
    ///
    /// # Errors
    /// [`Error::Refused`] with `BadRequest` if it never changed, or the plugin from before was removed; `Forbidden` without the
    /// role.
    pub async fn bucket_rollback(&self, bucket: impl Into<String>) -> Result<Vec<String>, Error> {
        let bucket = BucketName::new(bucket).map_err(|e| Error::Config(e.to_string()))?;
        self.change_plugins(PluginRequest::Rollback { bucket }).await
    }

    /// Makes or changes a bucket whose plugin may be an installed one: once all members are ready for it, for which it waits so
    /// long. With `force` it does not wait.
    ///
    /// # Errors
    /// As [`Client::bucket_set`]; [`Error::Refused`] with `BadRequest` names the members that are not ready.
    pub async fn bucket_change(
        &self,
        create: bool,
        change: BucketChange,
        wait: Duration,
    ) -> Result<Vec<String>, Error> {
        let request =
            if create { Request::BucketCreate(change) } else { Request::BucketSet(change) };
        let route = self.someone().await;
        let answer = self.ask_with(Kind::Write(None), route, request, Bytes::new(), wait).await?;
        Ok(self.names(answer::missing(answer)?))
    }

    /// Asks every node how its plugins are doing, by name.
    pub async fn plugin_stats(&self) -> Vec<(Member, Result<NodePlugins, Error>)> {
        let asked = self.each(|_| PluginRequest::Stats).await;
        let stats = |response| {
            if let PluginResponse::Stats(stats) = response {
                Ok(stats)
            } else {
                Err(answer::other())
            }
        };
        asked.into_iter().map(|(member, told)| (member, told.and_then(stats))).collect()
    }

    /// Asks every node what its plugins said, each after the line of this number.
    pub async fn plugin_logs(
        &self,
        after: &BTreeMap<NodeId, u64>,
    ) -> Vec<(Member, Result<Logs, Error>)> {
        let after = |node: NodeId| after.get(&node).copied().unwrap_or(0);
        let asked = self.each(|node| PluginRequest::Logs { after: after(node) }).await;
        let logs = |response| {
            if let PluginResponse::Logs(logs) = response { Ok(logs) } else { Err(answer::other()) }
        };
        asked.into_iter().map(|(member, told)| (member, told.and_then(logs))).collect()
    }

    async fn each(
        &self,
        request: impl Fn(NodeId) -> PluginRequest,
    ) -> Vec<(Member, Result<PluginResponse, Error>)> {
        let layout = self.layout();
        let mut asked = JoinSet::new();
        for member in layout.members().iter().cloned() {
            let (client, request) = (self.clone(), request(member.id));
            asked.spawn(async move {
                let route = Route::Just(route::target(&member, client.addresses()));
                let limit = PATIENCE.min(client.default_deadline());
                let told = client.plugin(Kind::Read, route, request, limit).await;
                (member, told)
            });
        }
        let mut all = asked.join_all().await;
        all.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        all
    }

    async fn change_plugins(&self, request: PluginRequest) -> Result<Vec<String>, Error> {
        let limit = self.default_deadline();
        let told = self.plugin(Kind::Write(None), Route::Anyone, request, limit).await?;
        let PluginResponse::Changed { missing } = told else { return Err(answer::other()) };
        Ok(self.names(missing))
    }

    async fn plugin(
        &self,
        kind: Kind,
        route: Route,
        request: PluginRequest,
        limit: Duration,
    ) -> Result<PluginResponse, Error> {
        let request = Request::Plugin(request);
        answer::plugin(self.ask_with(kind, route, request, Bytes::new(), limit).await?)
    }

    async fn ask_with(
        &self,
        kind: Kind,
        route: Route,
        request: Request,
        body: Bytes,
        limit: Duration,
    ) -> Result<Answer, Error> {
        self.run(Call { kind, route, request, body, repeated: false }, Instant::now() + limit).await
    }

    /// A node that answers: for what one node alone is to do, and takes longer than its share of the time would be.
    async fn someone(&self) -> Route {
        let nodes = self.status().await;
        let found = nodes.into_iter().find(|node| node.status.is_ok());
        found.map_or(Route::Anyone, |node| {
            Route::Just(route::target(&node.member, self.addresses()))
        })
    }

    /// The names of these members; of others, their ids.
    #[must_use]
    pub fn names_of(&self, nodes: &[NodeId]) -> Vec<String> {
        self.names(nodes.to_vec())
    }

    pub(crate) fn names(&self, nodes: Vec<NodeId>) -> Vec<String> {
        let layout = self.layout();
        let name =
            |id: NodeId| layout.member(id).map_or_else(|| id.to_string(), |m| m.name.clone());
        nodes.into_iter().map(name).collect()
    }
}
