//! Plugins: changes of what is installed and of what buckets merge with, which components are ready here, and values that a plugin
//! looks at before they are written.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;

use super::requests::Role;
use super::{Node, overloaded};
use crate::admission;
use crate::catalogue::{BucketEntry, Catalogue, Component, PluginEntry, PluginPlan, Release};
use crate::causality::{Digest, Dot};
use crate::config::BucketConfig;
use crate::coordinator::change::Change;
use crate::coordinator::readiness::Readiness;
use crate::coordinator::validate::Validate;
use crate::coordinator::{Fact, ReplyTo};
use crate::id::{BucketName, Key, NodeId};
use crate::io::Output;
use crate::merge::{ValidateRequest, Validity};
use crate::message::client::{BucketChange, Code, Failure, RequestHeader, Response};
use crate::message::peer::Message;
use crate::message::plugin::{
    ComponentState, Listed, Logs, NodePlugins, PluginRequest, PluginResponse,
};
use crate::replica::Ticket;
use crate::time::{Now, Time};

/// What the node knows of the plugins on its machine.
#[derive(Debug, Default)]
pub(super) struct Plugins {
    /// How it is with each component; missing, if nothing is said here.
    components: BTreeMap<Digest, ComponentState>,
    /// Those that look at values before they are written.
    validators: BTreeSet<String>,
    /// What the shell was told last.
    plan: PluginPlan,
    /// Operations that wait for a value to be looked at.
    validations: BTreeMap<Ticket, u64>,
    /// Did the releases change since they were last saved?
    pub(super) unsaved: bool,
}

/// What a change of the catalogue answers, given the members that do not have it yet.
type Answer = fn(Vec<NodeId>) -> Response;

fn bucket_saved(missing: Vec<NodeId>) -> Response {
    Response::BucketSaved { missing }
}

fn plugin_changed(missing: Vec<NodeId>) -> Response {
    Response::Plugin(PluginResponse::Changed { missing })
}

impl Node {
    // What clients ask

    pub(super) fn on_plugin_request(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        admin: bool,
        request: &PluginRequest,
        deadline: Time,
    ) -> Result<(), Failure> {
        if request.needs_admin() && !admin {
            let text = "changing plugins, and seeing what they failed on, needs a certificate of the admin role; nothing was changed";
            return Err(Failure::new(Code::Forbidden, text));
        }
        let response = match request {
            PluginRequest::Install(_) => {
                let text = "this node can't try components; nothing was installed";
                return Err(Failure::new(Code::BadRequest, text));
            }
            PluginRequest::List => {
                let installed = self.boot.catalogue.installed();
                let installed = installed.map(|(r, component)| (r.clone(), component.clone()));
                PluginResponse::Listed(Listed {
                    installed: installed.collect(),
                    local: BTreeMap::new(),
                })
            }
            PluginRequest::Stats => {
                let state = |(r, c): (&Release, &Component)| (r.clone(), self.component(c.hash));
                let components = self.boot.catalogue.installed().map(state).collect();
                PluginResponse::Stats(NodePlugins { components, ..NodePlugins::default() })
            }
            PluginRequest::Logs { .. } => PluginResponse::Logs(Logs::default()),
            PluginRequest::Failures { .. } => PluginResponse::Failures(Vec::new()),
            PluginRequest::Remove(release) => {
                return self.remove_plugin(now, reply_to, release, deadline);
            }
            PluginRequest::Shadow { bucket, plugin } => {
                return self.set_shadow(now, reply_to, bucket, plugin.clone(), deadline);
            }
            PluginRequest::Rollback { bucket } => {
                return self.roll_back(now, reply_to, bucket, deadline);
            }
        };
        self.reply(reply_to, now, Response::Plugin(response), Vec::new());
        Ok(())
    }

    /// Makes or changes a bucket: at once, or once all members are ready for its plugin.
    pub(super) fn change_bucket(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        change: BucketChange,
        deadline: Time,
    ) -> Result<(), Failure> {
        let plugin = change.config.mode.plugin();
        let present = self.boot.catalogue.bucket(&change.bucket);
        let same_plugin = present.is_some_and(|config| config.mode.plugin() == plugin);
        let component = plugin.and_then(|plugin| self.boot.catalogue.component(plugin));
        match component.map(|component| component.hash) {
            Some(component) if !change.force && !same_plugin => {
                let id = self.new_id();
                let members = self.ring.acting.members().into_iter();
                let members = members.map(|(id, m)| (id, m.name.clone())).collect();
                let (machine, orders) =
                    Readiness::start(id, component, change, members, now.time, deadline);
                self.start(now, id, Box::new(machine), reply_to, None, orders);
                Ok(())
            }
            Some(_) | None => self.make_change(now, reply_to, change, deadline),
        }
    }

    /// The members are ready for a bucket's plugin. The catalogue may be another one since the bucket was asked for.
    pub(super) fn on_ready(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        change: BucketChange,
        deadline: Time,
    ) {
        let create = self.boot.catalogue.bucket(&change.bucket).is_none();
        let made =
            admission::change(&self.boot.catalogue, self.ring.acting.copies(), &change, create)
                .and_then(|()| self.make_change(now, reply_to, change, deadline));
        if let Err(failure) = made {
            self.reply(reply_to, now, Response::Failed(failure), Vec::new());
        }
    }

    fn make_change(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        change: BucketChange,
        deadline: Time,
    ) -> Result<(), Failure> {
        let BucketChange { bucket, config, .. } = change;
        self.save_bucket(now, reply_to, bucket, bucket_saved, deadline, |present, version| {
            match present {
                Some(present) => present.changed(version, config),
                None => BucketEntry::new(version, config),
            }
        })
    }

    fn roll_back(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        bucket: &BucketName,
        deadline: Time,
    ) -> Result<(), Failure> {
        admission::bucket(&self.boot.catalogue, bucket)?;
        let entry = self.boot.catalogue.buckets().get(bucket);
        let Some(config) = entry.and_then(BucketEntry::rolled_back) else {
            let text = format!(
                "bucket `{bucket}` has merged in one way all its life; nothing was changed: there is nothing to go back to"
            );
            return Err(Failure::new(Code::BadRequest, text));
        };
        admission::merging(&self.boot.catalogue, &config.mode)?;
        self.save_bucket(now, reply_to, bucket.clone(), plugin_changed, deadline, {
            |present, version| match present {
                Some(present) => present.changed(version, config),
                None => BucketEntry::new(version, config),
            }
        })
    }

    fn set_shadow(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        bucket: &BucketName,
        shadow: Option<String>,
        deadline: Time,
    ) -> Result<(), Failure> {
        let config: &BucketConfig = admission::bucket(&self.boot.catalogue, bucket)?;
        if let Some(candidate) = &shadow {
            let own = config.mode.plugin();
            if own.is_none() {
                let text = format!(
                    "bucket `{bucket}` has no plugin beside which `{candidate}` could run; nothing was changed"
                );
                return Err(Failure::new(Code::BadRequest, text));
            }
            if own == Some(candidate) {
                let text = format!(
                    "bucket `{bucket}` merges with `{candidate}` already; nothing was changed"
                );
                return Err(Failure::new(Code::BadRequest, text));
            }
            admission::plugin(&self.boot.catalogue, candidate)?;
        }
        let config = config.clone();
        self.save_bucket(now, reply_to, bucket.clone(), plugin_changed, deadline, {
            |present, version| match present {
                Some(present) => BucketEntry { version, shadow, ..present.clone() },
                None => BucketEntry { shadow, ..BucketEntry::new(version, config) },
            }
        })
    }

    /// Installs what the shell has tried and keeps.
    pub(super) fn on_install(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        release: Release,
        component: Component,
    ) {
        let deadline = now.time.after(self.boot.limits.default_deadline);
        let installed = admission::install(&self.boot.catalogue, &release, component.hash)
            .and_then(|is_new| {
                let entry = |version| PluginEntry { version, component: Some(component) };
                if is_new {
                    self.save_plugin(now, reply_to, release, deadline, entry)
                } else {
                    self.reply(reply_to, now, plugin_changed(Vec::new()), Vec::new());
                    Ok(())
                }
            });
        if let Err(failure) = installed {
            self.count("requests_refused");
            self.reply(reply_to, now, Response::Failed(failure), Vec::new());
        }
    }

    fn remove_plugin(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        release: &Release,
        deadline: Time,
    ) -> Result<(), Failure> {
        admission::plugin(&self.boot.catalogue, release.as_str())?;
        let users = self.boot.catalogue.users(release.as_str());
        if !users.is_empty() {
            let users: Vec<&str> = users.into_iter().map(BucketName::as_str).collect();
            let text = format!(
                "plugin `{release}` is in use; nothing was removed: give another plugin to {}",
                users.join(", ")
            );
            return Err(Failure::new(Code::BadRequest, text));
        }
        let entry = |version| PluginEntry { version, component: None };
        self.save_plugin(now, reply_to, release.clone(), deadline, entry)
    }

    // Changes of the catalogue

    fn save_bucket(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        bucket: BucketName,
        answer: Answer,
        deadline: Time,
        entry: impl FnOnce(Option<&BucketEntry>, Dot) -> BucketEntry,
    ) -> Result<(), Failure> {
        let version = self.next_version(now)?;
        let entry = entry(self.boot.catalogue.buckets().get(&bucket), version);
        self.suspended.remove(&bucket);
        self.boot.catalogue.set(bucket, entry);
        self.spread_catalogue(now, reply_to, answer, deadline);
        Ok(())
    }

    fn save_plugin(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        release: Release,
        deadline: Time,
        entry: impl FnOnce(Dot) -> PluginEntry,
    ) -> Result<(), Failure> {
        let version = self.next_version(now)?;
        self.plugins.unsaved |= self.boot.catalogue.set_plugin(release, entry(version));
        self.spread_catalogue(now, reply_to, plugin_changed, deadline);
        Ok(())
    }

    /// A version later than every change that is known here.
    fn next_version(&mut self, now: Now) -> Result<Dot, Failure> {
        if let Some(latest) = self.boot.catalogue.latest() {
            self.observe(now, self.boot.id, latest.time);
        }
        let time = self.boot.clock.tick(now.wall).ok_or_else(overloaded)?;
        Ok(Dot { time, actor: self.boot.life.actor })
    }

    /// Saves the changed catalogue and sends it to all peers.
    fn spread_catalogue(&mut self, now: Now, reply_to: ReplyTo, answer: Answer, deadline: Time) {
        let id = self.new_id();
        let peers: Vec<NodeId> = self.peers.keys().copied().collect();
        let catalogue = self.boot.catalogue.clone();
        let (machine, orders) = Change::start(id, catalogue, peers, answer, now.time, deadline);
        self.start(now, id, Box::new(machine), reply_to, None, orders);
        self.save_catalogue(super::Saving::Change(id));
        self.plan_plugins();
    }

    /// Takes in a peer's catalogue. Says whether it changed this node's.
    pub(super) fn join_catalogue(&mut self, catalogue: Catalogue) -> bool {
        fn version(catalogue: &Catalogue, bucket: &BucketName) -> Option<Dot> {
            catalogue.buckets().get(bucket).map(|entry| entry.version)
        }
        let suspended: Vec<(BucketName, Option<Dot>)> = self
            .suspended
            .iter()
            .map(|bucket| (bucket.clone(), version(&self.boot.catalogue, bucket)))
            .collect();
        let plugins = self.boot.catalogue.plugins().clone();
        let epochs = |catalogue: &Catalogue| -> Vec<Dot> {
            catalogue.buckets().values().filter_map(|entry| entry.epoch).collect()
        };
        let before = epochs(&self.boot.catalogue);
        let changed = self.boot.catalogue.join(catalogue);
        if changed {
            self.review_lost_trees();
        }
        // From a node that does not know yet that what was staged is made.
        self.boot.catalogue.void_staged(self.ring.acting.change);
        self.plugins.unsaved |= plugins != *self.boot.catalogue.plugins();
        for (bucket, before) in suspended {
            // It was set anew, at another node.
            if version(&self.boot.catalogue, &bucket) != before {
                self.suspended.remove(&bucket);
            }
        }
        if before != epochs(&self.boot.catalogue) {
            self.count("epochs_learned");
        }
        self.plan_plugins();
        changed
    }

    /// Tells the shell which components should be ready, if that is news.
    pub(super) fn plan_plugins(&mut self) {
        let plan = self.boot.catalogue.plan();
        if plan != self.plugins.plan {
            let wanted = |hash: &Digest| plan.components.values().any(|other| other == hash);
            self.plugins.components.retain(|hash, _| wanted(hash));
            self.plugins.plan = plan.clone();
            self.outputs.push_back(Output::Plugins(plan));
        }
    }

    // What is ready

    /// How this node is with a component.
    fn component(&self, hash: Digest) -> ComponentState {
        self.plugins.components.get(&hash).cloned().unwrap_or(ComponentState::Missing)
    }

    pub(super) fn on_component(&mut self, hash: Digest, state: ComponentState) {
        self.plugins.components.insert(hash, state);
    }

    /// A member wants to know whether a component is ready here.
    pub(super) fn on_component_ask(&mut self, now: Now, from: NodeId, ask: u64, hash: Digest) {
        let state = self.component(hash);
        self.send(now, from, Message::ComponentState { ask, state });
    }

    /// An operation wants to know whether a component is ready at a member, which may be this node.
    pub(super) fn ask_component(&mut self, now: Now, id: u64, member: NodeId, hash: Digest) {
        if member == self.boot.id {
            let state = self.component(hash);
            self.tell(now, id, Fact::Component { from: member, state });
        } else {
            self.send(now, member, Message::ComponentAsk { ask: id, component: hash });
        }
    }

    // Values that a plugin looks at

    pub(super) fn on_validators(&mut self, validators: BTreeSet<String>) {
        self.plugins.validators = validators;
    }

    /// What to ask a bucket's plugin about a value, if the plugin looks at values.
    pub(super) fn validation(
        &self,
        key: &Key,
        config: &BucketConfig,
        value: &Bytes,
    ) -> Option<ValidateRequest> {
        let plugin = config.mode.plugin().filter(|p| self.plugins.validators.contains(*p))?;
        Some(ValidateRequest {
            plugin: plugin.to_string(),
            bucket: key.bucket.as_str().to_string(),
            key: key.key.clone(),
            config: config.plugin_config.clone(),
            value: value.clone(),
        })
    }

    pub(super) fn begin_validation(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        request: ValidateRequest,
        header: RequestHeader,
        role: Role,
        deadline: Time,
    ) {
        let id = self.new_id();
        let (machine, orders) = Validate::start(request, header, role.stands_in(), deadline);
        self.start(now, id, Box::new(machine), reply_to, None, orders);
    }

    pub(super) fn ask_plugin(&mut self, id: u64, request: ValidateRequest) {
        let ticket = self.tickets.next();
        self.plugins.validations.insert(ticket, id);
        self.outputs.push_back(Output::Validate { ticket, request });
    }

    pub(super) fn on_validated(&mut self, now: Now, ticket: Ticket, validity: Validity) {
        if let Some(id) = self.plugins.validations.remove(&ticket) {
            self.tell(now, id, Fact::Validated(validity));
        }
    }

    /// The plugin let a value pass: begins its put.
    pub(super) fn put_validated(
        &mut self,
        now: Now,
        reply_to: ReplyTo,
        header: RequestHeader,
        body: Bytes,
        role: Role,
        deadline: Time,
    ) {
        if let Err(failure) = self.begin_put(now, reply_to, header, body, deadline, role) {
            let response = if role.stands_in() {
                let text =
                    format!("{}; an owner was asked before and did not answer", failure.message);
                Response::Failed(Failure { code: Code::Unknown, message: text, ..failure })
            } else {
                Response::Failed(failure)
            };
            self.reply(reply_to, now, response, Vec::new());
        }
    }
}
