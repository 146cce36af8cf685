//! Installing plugins, having buckets use them, and asking how they are doing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinfold_protocol::catalogue::Release;
use kinfold_protocol::causality::Digest;
use kinfold_protocol::id::{BucketName, NodeId};
use kinfold_protocol::layout::Member;
use kinfold_protocol::message::client::{BucketChange, Request};
use kinfold_protocol::message::plugin::{
    FailedMerge, FailedSibling, Install, Installed, Listed, Logs, NodePlugins, PluginRequest,
    PluginResponse,
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

/// A merge that a plugin failed on by a fault of its own: a trap, a limit, a result that was refused, or `internal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedInput {
    /// When it failed last, in milliseconds since 1970 by the node's clock.
    pub at_ms: u64,
    /// How often it failed.
    pub times: u64,
    /// The hash of the component.
    pub component: Digest,
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: Bytes,
    /// The plugin config of the bucket.
    pub config: Bytes,
    /// Why it failed.
    pub failure: String,
    /// The times and values of the siblings; one without a value is a delete.
    pub siblings: Vec<(u64, Option<Bytes>)>,
}

impl FailedInput {
    /// Cuts the values out of the body of an answer.
    fn all(failures: Vec<FailedMerge>, mut body: Bytes) -> Result<Vec<Self>, Error> {
        let too_short =
            || Error::Protocol { notes: "the body is shorter than its values".to_owned() };
        let mut all = Vec::with_capacity(failures.len());
        for failed in failures {
            let mut siblings = Vec::with_capacity(failed.siblings.len());
            for FailedSibling { time, size } in failed.siblings {
                let cut = |size| {
                    let size = usize::try_from(size).ok().filter(|size| *size <= body.len());
                    size.map(|size| body.split_to(size)).ok_or_else(too_short)
                };
                siblings.push((time, size.map(cut).transpose()?));
            }
            let FailedMerge { at_ms, times, component, bucket, key, config, failure, .. } = failed;
            all.push(Self { at_ms, times, component, bucket, key, config, failure, siblings });
        }
        if body.is_empty() {
            Ok(all)
        } else {
            Err(Error::Protocol { notes: "the body is longer than its values".to_owned() })
        }
    }
}

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

    /// Asks every node for the merges that the plugin of this name failed on, oldest first. Needs an admin's certificate.
    pub async fn plugin_failures(
        &self,
        plugin: &str,
    ) -> Vec<(Member, Result<Vec<FailedInput>, Error>)> {
        let asked = self.ask_each(|_| PluginRequest::Failures { plugin: plugin.to_owned() }).await;
        let failures = |told: Answer| {
            let body = told.body.clone();
            let PluginResponse::Failures(failures) = answer::plugin(told)? else {
                return Err(answer::other());
            };
            FailedInput::all(failures, body)
        };
        asked.into_iter().map(|(member, told)| (member, told.and_then(failures))).collect()
    }

    async fn each(
        &self,
        request: impl Fn(NodeId) -> PluginRequest,
    ) -> Vec<(Member, Result<PluginResponse, Error>)> {
        let asked = self.ask_each(request).await;
        asked.into_iter().map(|(member, told)| (member, told.and_then(answer::plugin))).collect()
    }

    async fn ask_each(
        &self,
        request: impl Fn(NodeId) -> PluginRequest,
    ) -> Vec<(Member, Result<Answer, Error>)> {
        let layout = self.layout();
        let mut asked = JoinSet::new();
        for member in layout.members().iter().cloned() {
            let (client, request) = (self.clone(), Request::Plugin(request(member.id)));
            asked.spawn(async move {
                let route = Route::Just(route::target(&member, client.addresses()));
                let limit = PATIENCE.min(client.default_deadline());
                let told = client.ask_with(Kind::Read, route, request, Bytes::new(), limit).await;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_cut_out_of_the_body_and_nothing_may_be_left() {
        let sibling = |time, size| FailedSibling { time, size };
        let failed = FailedMerge {
            at_ms: 1,
            times: 2,
            component: Digest::of(b"component"),
            bucket: "b".to_owned(),
            key: Bytes::from_static(b"k"),
            config: Bytes::new(),
            failure: "why".to_owned(),
            siblings: vec![sibling(7, Some(2)), sibling(8, None), sibling(9, Some(1))],
        };
        let of = |body: &'static [u8]| {
            FailedInput::all(vec![failed.clone(), failed.clone()], Bytes::from_static(body))
        };
        let all = of(b"abcdef").unwrap();
        let value = |value: &'static [u8]| Some(Bytes::from_static(value));
        assert_eq!(all[1].siblings, [(7, value(b"de")), (8, None), (9, value(b"f"))]);
        for body in [&b"abcde"[..], b"abcdefg"] {
            assert!(matches!(of(body), Err(Error::Protocol { .. })));
        }
    }
}
