//! Explaining a key: asks every member what it holds of it, joins what they told, has the plugin merge what stands, and tells
//! all of it. Nothing is written or repaired.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;

use crate::causality::{Content, Context, Digest, Object, Version};
use crate::config::{Mode, Shape};
use crate::id::NodeId;
use crate::merge::{self, MergeRequest, MergeResult};
use crate::message::explain::{Account, Explanation, Input, Merge, Outcome, Replica, VersionTold};
use crate::message::peer::Refusal;
use crate::ring::Partition;
use crate::time::{Time, Timestamp};

/// The most bytes of values that an answer carries.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// What there is to be explained.
#[derive(Debug)]
pub(crate) struct ExplainPlan {
    pub(crate) partition: Partition,
    pub(crate) mode: Mode,
    /// What to ask for a merge; none in a bucket without a plugin.
    pub(crate) merge: Option<MergeRequest>,
    pub(crate) owners: Vec<NodeId>,
    /// All who are asked, this node among them.
    pub(crate) asked: BTreeSet<NodeId>,
    pub(crate) deadline: Time,
    /// What the wall clock reads: what expired by then has no part in a merge.
    pub(crate) wall: Timestamp,
}

/// What to do next.
#[derive(Debug)]
pub(crate) enum Next {
    Wait,
    /// Have the plugin merge these.
    Merge(MergeRequest),
    /// Tell the client, with these values.
    Answer(Explanation, Vec<Bytes>),
}

/// An explanation in the making.
#[derive(Debug)]
pub(crate) struct Explaining {
    plan: ExplainPlan,
    accounts: BTreeMap<NodeId, Account>,
    silent: BTreeMap<NodeId, String>,
    joined: Object,
    merging: Option<Vec<merge::MergeInput>>,
}

impl Explaining {
    pub(crate) fn new(plan: ExplainPlan) -> Self {
        Self {
            plan,
            accounts: BTreeMap::new(),
            silent: BTreeMap::new(),
            joined: Object::default(),
            merging: None,
        }
    }

    pub(crate) fn deadline(&self) -> Time {
        self.plan.deadline
    }

    /// The plugin gets so long.
    pub(crate) fn wait_until(&mut self, deadline: Time) {
        self.plan.deadline = deadline;
    }

    /// A replica told what it holds, or why it does not tell.
    pub(crate) fn told(&mut self, from: NodeId, account: Result<Account, Refusal>) -> Next {
        if self.merging.is_some() || !self.plan.asked.contains(&from) {
            return Next::Wait;
        }
        match account {
            Ok(account) => {
                if let Some(stored) = &account.stored {
                    match self.plan.mode.shape() {
                        Shape::Siblings => self.joined.join(&stored.object),
                        Shape::Lattice(tombstones) => {
                            self.joined.join_lattice(&stored.object, tombstones);
                        }
                    }
                }
                self.accounts.insert(from, account);
            }
            Err(refusal) => {
                self.silent.insert(from, refusal.describe().to_string());
            }
        }
        if self.accounts.len() + self.silent.len() == self.plan.asked.len() {
            return self.conclude();
        }
        Next::Wait
    }

    /// The deadline has come: whoever has not answered is told of.
    pub(crate) fn give_up_waiting(&mut self) -> Next {
        if self.merging.is_some() {
            let late = "the plugin took too long".to_string();
            return self.answer(Some(Outcome::Failed(late)), None);
        }
        for node in self.plan.asked.iter().filter(|node| !self.accounts.contains_key(node)) {
            self.silent.entry(*node).or_insert_with(|| "did not answer in time".to_string());
        }
        self.conclude()
    }

    /// The plugin is done.
    pub(crate) fn merged(&mut self, result: MergeResult) -> Next {
        let inputs = self.merging.clone().unwrap_or_default();
        match result {
            Ok(None) => self.answer(Some(Outcome::Delete), None),
            Ok(Some(bytes)) => {
                let (digest, len) = (Digest::of(&bytes), bytes.len() as u32);
                let equals = inputs.iter().position(|input| input.value.as_ref() == Some(&bytes));
                let equals = equals.and_then(|at| u32::try_from(at).ok());
                self.answer(Some(Outcome::Value { digest, len, equals }), Some(bytes))
            }
            Err(failure) => self.answer(Some(Outcome::Failed(failure.to_string())), None),
        }
    }

    /// Everybody has answered who will: what stands goes to the plugin, if there is one and something to merge.
    fn conclude(&mut self) -> Next {
        for account in self.accounts.values() {
            if let Some(stored) = &account.stored {
                self.joined.adopt_bytes(&stored.object);
            }
        }
        let can_merge = self.plan.merge.is_some() && !self.joined.lacks_bytes();
        let inputs = match can_merge {
            true => merge::inputs(&self.joined.as_of(self.plan.wall)),
            false => Vec::new(),
        };
        match &self.plan.merge {
            Some(merge) if inputs.len() > 1 => {
                self.merging = Some(inputs.clone());
                Next::Merge(MergeRequest { inputs, ..merge.clone() })
            }
            Some(_) | None => self.answer(None, None),
        }
    }

    fn answer(&self, outcome: Option<Outcome>, result: Option<Bytes>) -> Next {
        let versions = self.versions();
        let at = |version: &Version| {
            let found = versions.iter().position(|told| is(told, version));
            found.and_then(|at| u32::try_from(at).ok())
        };
        let replica = |node: &NodeId, account: &Account| Replica {
            node: *node,
            actor: account.actor,
            former: account.former.clone(),
            context: account.stored.as_ref().map(|stored| stored.object.context.clone()),
            holds: account.objects().flat_map(|o| o.versions.iter().filter_map(at)).collect(),
            owed: account.stored.as_ref().map(|s| s.owed.clone()).unwrap_or_default(),
            discarded: account.discarded.clone(),
        };
        let owns = |node: &NodeId| self.plan.owners.contains(node);
        let owners = self.plan.owners.iter();
        let owners = owners.filter_map(|node| Some((node, self.accounts.get(node)?)));
        let others = self.accounts.iter().filter(|(node, _)| !owns(node));
        let holding = others.clone().filter(|(_, account)| account.holds_something());
        let replicas = owners.chain(holding).map(|(node, account)| replica(node, account));
        let empty_handed = others.filter(|(_, account)| !account.holds_something()).count();
        let merge = self.merging.as_ref().zip(self.plan.merge.as_ref()).zip(outcome);
        let merge = merge.map(|((inputs, request), outcome)| Merge {
            plugin: request.plugin.clone(),
            inputs: inputs.iter().map(|input| self.input(input, &versions)).collect(),
            outcome,
        });
        let (values, body) = self.values(&versions, result);
        let explanation = Explanation {
            partition: self.plan.partition.0,
            mode: self.plan.mode.clone(),
            owners: self.plan.owners.clone(),
            replicas: replicas.collect(),
            empty_handed: u32::try_from(empty_handed).unwrap_or(u32::MAX),
            silent: self.silent.clone(),
            versions,
            merge,
            values,
        };
        Next::Answer(explanation, body)
    }

    fn objects(&self) -> impl Iterator<Item = (NodeId, &Object)> {
        let objects = self.accounts.iter();
        objects.flat_map(|(node, account)| account.objects().map(|object| (*node, object)))
    }

    /// Every version that a replica holds, once.
    fn versions(&self) -> Vec<VersionTold> {
        let mut versions: Vec<VersionTold> = Vec::new();
        let held = self.objects().flat_map(|(_, object)| &object.versions);
        for version in held.chain(&self.joined.versions) {
            if versions.iter().any(|told| is(told, version)) {
                continue;
            }
            versions.push(VersionTold {
                dot: version.dot,
                digest: version.content.digest(),
                len: version.content.len(),
                covers: version.covers.clone(),
                generation: version.generation,
                expires: version.expires,
                stands: self.joined.versions.iter().any(|v| same(v, version)),
                gone_at: self
                    .objects()
                    .filter(|(_, object)| has_let_go(object, version))
                    .map(|(node, _)| node)
                    .collect(),
            });
        }
        versions.sort_by_key(|told| (told.dot, told.digest));
        versions
    }

    fn input(&self, input: &merge::MergeInput, versions: &[VersionTold]) -> Input {
        let digest = input.value.as_ref().map(|bytes| Digest::of(bytes));
        let with = versions.iter().enumerate();
        let with = with.filter(|(_, told)| told.stands && told.digest == digest);
        let versions = with.filter_map(|(at, _)| u32::try_from(at).ok()).collect();
        Input { digest, versions }
    }

    /// The bytes of the versions and of the result, each once, as far as there is room.
    fn values(
        &self,
        versions: &[VersionTold],
        result: Option<Bytes>,
    ) -> (Vec<(Digest, u32)>, Vec<Bytes>) {
        let contents = self.objects().flat_map(|(_, object)| &object.versions);
        let mut bytes: BTreeMap<Digest, Bytes> = contents
            .filter_map(|version| match &version.content {
                Content::Value { digest, bytes, .. } => Some((*digest, bytes.clone()?)),
                Content::Tombstone => None,
            })
            .collect();
        let result = result.map(|bytes| (Digest::of(&bytes), bytes));
        bytes.extend(result.clone());
        let wanted = result.map(|(digest, _)| digest).into_iter();
        let wanted = wanted.chain(versions.iter().filter_map(|told| told.digest));
        let (mut values, mut body, mut sum) = (Vec::new(), Vec::new(), 0);
        for digest in wanted {
            let Some(found) = bytes.remove(&digest) else { continue };
            if sum + found.len() as u64 <= MOST_BYTES {
                sum += found.len() as u64;
                values.push((digest, found.len() as u32));
                body.push(found);
            }
        }
        (values, body)
    }
}

impl Account {
    /// Not even a replica without the key is silent: what it tells then are its marks.
    fn holds_something(&self) -> bool {
        self.stored.as_ref().is_some_and(|stored| {
            let object = &stored.object;
            !object.versions.is_empty() || !object.context.is_empty() || !stored.owed.is_empty()
        })
    }

    fn objects(&self) -> impl Iterator<Item = &Object> {
        self.stored.iter().map(|stored| &stored.object)
    }
}

fn is(told: &VersionTold, version: &Version) -> bool {
    told.dot == version.dot
        && told.digest == version.content.digest()
        && told.covers == version.covers
}

fn same(a: &Version, b: &Version) -> bool {
    a.dot == b.dot && a.content == b.content && a.covers == b.covers
}

/// Has this object seen a version, or all of its writes, and does it no longer hold it?
fn has_let_go(object: &Object, version: &Version) -> bool {
    let seen = match version.covers == Context::new() {
        true => object.context.covers_dot(version.dot),
        false => object.context.covers(&version.covers),
    };
    seen && !object.versions.iter().any(|v| same(v, version))
}
