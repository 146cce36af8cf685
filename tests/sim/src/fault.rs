//! What goes wrong in a run, and how it does.

use bytes::Bytes;
use kinfold_protocol::catalogue::{Component, Contract, Evidence, MemberChange, Release};
use kinfold_protocol::causality::Digest;
use kinfold_protocol::config::{BucketConfig, Tombstones};
use kinfold_protocol::id::{BucketName, NodeId};
use kinfold_protocol::io::Input;
use kinfold_protocol::message::client::{BucketChange, Request, RequestHeader};
use kinfold_protocol::message::cluster::ClusterRequest;
use kinfold_protocol::message::plugin::PluginRequest;
use kinfold_protocol::plan::Plan;

use crate::client::Call;
use crate::disk::Loss;
use crate::event::Event;
use crate::history::OpId;
use crate::net::Weather;
use crate::plugins::Health;
use crate::world::World;

/// Something that goes wrong, or right again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A node ends without notice and starts again after a while.
    Crash {
        /// Which.
        node: usize,
        /// What it loses.
        loss: Loss,
        /// Microseconds until it starts again.
        down: u64,
    },
    /// A node loses power as soon as it has told others of a write that is not durable.
    Ambush {
        /// Which.
        node: usize,
        /// Microseconds until it starts again.
        down: u64,
    },
    /// A node is stopped in good order and starts again after a while.
    Stop {
        /// Which.
        node: usize,
        /// Microseconds until it starts again.
        down: u64,
    },
    /// Nothing gets from the one to the other any more, for each of these pairs.
    Cut(Vec<(usize, usize)>),
    /// All cuts are mended.
    Mend,
    /// A node does nothing for a while; what happens meanwhile reaches it afterwards.
    Freeze {
        /// Which.
        node: usize,
        /// For so many microseconds.
        lasts: u64,
    },
    /// A node's wall clock steps.
    StepClock {
        /// Whose.
        node: usize,
        /// By so many microseconds.
        by: i64,
    },
    /// A disk takes this long for a sync from now on, in microseconds.
    DiskDelay {
        /// Whose.
        node: usize,
        /// How long.
        delay: u64,
    },
    /// A disk has no room for more, or has again.
    DiskFull {
        /// Whose.
        node: usize,
        /// Is it full?
        full: bool,
    },
    /// A disk fails to sync, takes nothing more, and the node is started anew after a while.
    DiskFails {
        /// Whose.
        node: usize,
        /// Microseconds until it starts again.
        down: u64,
    },
    /// A node's plugins change.
    Plugins {
        /// Whose.
        node: usize,
        /// How they are from now on.
        health: Health,
    },
    /// A plugin is installed.
    Install {
        /// At which node.
        node: usize,
        /// Its name and version.
        plugin: &'static str,
    },
    /// An operator has a bucket merge with another plugin, whoever is ready for it.
    Switch {
        /// At which node.
        node: usize,
        /// The bucket.
        bucket: BucketName,
        /// Its properties from now on.
        config: BucketConfig,
    },
    /// An operator has a bucket merge as it did before.
    RollBack {
        /// At which node.
        node: usize,
        /// The bucket.
        bucket: BucketName,
    },
    /// A node's disk is copied.
    BackUp {
        /// Whose.
        node: usize,
    },
    /// A node's disk is lost, and the node starts again with an old copy of it, or with an empty one.
    LoseDisk {
        /// Whose.
        node: usize,
        /// Does it come back from its copy?
        restored: bool,
        /// Microseconds until it starts again.
        down: u64,
    },
    /// A record of a node's disk can't be read any more.
    Damage {
        /// Whose.
        node: usize,
    },
    /// A shell that has met damage stops its node in good order, and starts it again.
    Heal {
        /// Which.
        node: usize,
    },
    /// The network changes.
    Weather(Weather),
    /// An operator stages a change of the ring at a node.
    Stage {
        /// The node.
        node: usize,
        /// The member that it concerns.
        id: NodeId,
        /// What is to become of it.
        what: MemberChange,
    },
    /// An operator commits what is staged, at a node.
    Commit {
        /// The node.
        node: usize,
    },
    /// An operator takes a change of the ring back, at a node.
    Abort {
        /// The node.
        node: usize,
    },
}

impl Fault {
    /// Makes it happen.
    pub fn strike(self, world: &mut World) {
        let now = world.now;
        match self {
            Self::Crash { node, loss, down } => {
                world.machines[node].crash(loss);
                world.enter(now + down, Event::Start { node });
            }
            Self::Ambush { node, down } => world.machines[node].ambush = Some(down),
            Self::Stop { node, down } => {
                world.machines[node].stop();
                world.enter(now + down, Event::Start { node });
            }
            Self::Cut(pairs) => pairs.into_iter().for_each(|(from, to)| world.net.cut(from, to)),
            Self::Mend => world.net.mend(),
            Self::Freeze { node, lasts } => world.machines[node].frozen_until = now + lasts,
            Self::StepClock { node, by } => world.machines[node].clock.step(now, by),
            Self::DiskDelay { node, delay } => world.machines[node].disk_delay = delay,
            Self::DiskFull { node, full } => world.machines[node].disk.set_full(full),
            Self::DiskFails { node, down } => {
                world.machines[node].disk.doom();
                let crash = Self::Crash { node, loss: Loss::Some, down };
                world.enter(now + down, Event::Fault(crash));
            }
            Self::Plugins { node, health } => world.machines[node].plugins = health,
            Self::Install { node, plugin } => install(world, node, plugin),
            Self::Switch { node, bucket, config } => {
                let change = BucketChange { bucket, config, force: true };
                ask(world, node, Request::BucketSet(change));
            }
            Self::RollBack { node, bucket } => {
                ask(world, node, Request::Plugin(PluginRequest::Rollback { bucket }));
            }
            Self::BackUp { node } => world.machines[node].back_up(),
            Self::LoseDisk { node, restored, down } => {
                world.machines[node].lose_disk(restored);
                world.enter(now + down, Event::Start { node });
            }
            Self::Damage { node } => world.machines[node].damage(),
            Self::Heal { node } => {
                if world.machines[node].disk.is_damaged() {
                    world.machines[node].stop();
                    world.enter(now + 20_000, Event::Start { node });
                }
            }
            Self::Weather(weather) => world.net.turn(weather),
            Self::Stage { node, id, what } => {
                ask(world, node, Request::Cluster(ClusterRequest::Stage(vec![(id, Some(what))])));
            }
            Self::Commit { node } => commit(world, node),
            Self::Abort { node } => ask(world, node, Request::Cluster(ClusterRequest::Abort)),
        }
    }
}

/// Asks a node as an operator who does not wait for the answer.
fn ask(world: &mut World, node: usize, request: Request) {
    let call = Call { client: Call::AUDITOR, op: OpId(u32::MAX), attempt: u32::MAX };
    let header = Box::new(RequestHeader { layout: 0, deadline_ms: 0, trace: None, request });
    world.enter(world.now, Event::Ask { node, call, header, body: Bytes::new() });
}

/// Commits what a node has staged, as its operator was just shown it.
fn commit(world: &mut World, node: usize) {
    let Some(of) = world.machines[node].node() else {
        return;
    };
    if let Ok(plan) = Plan::of(of.record(), of.catalogue()) {
        let plan = plan.digest();
        ask(world, node, Request::Cluster(ClusterRequest::Commit { plan }));
    }
}

/// Has a node install a plugin that its shell has tried.
fn install(world: &mut World, node: usize, plugin: &'static str) {
    let machine = &mut world.machines[node];
    if !machine.is_up() || machine.stopping {
        return;
    }
    let call = Call { client: Call::AUDITOR, op: OpId(u32::MAX), attempt: u32::MAX };
    let origin = machine.ask(call);
    let release = Release::parse(plugin).expect("a name and a version");
    let component = Component {
        hash: Digest::of(plugin.as_bytes()),
        size: plugin.len() as u64,
        contract: Contract::Lattice,
        tombstones: Tombstones::Reset,
        description: String::new(),
        installed_by: "operator".into(),
        evidence: Evidence::default(),
    };
    world.feed(node, Input::Install { origin, release, component });
}
