//! What nodes, actors, times and digests are called before people.

use std::collections::BTreeMap;

use kinfold_client::explain::Explanation;
use kinfold_client::{Actor, Digest, Layout, NodeId};

pub(super) use crate::moment::time;

/// Names of nodes, and whose the actors are.
pub(super) struct Names {
    nodes: BTreeMap<NodeId, String>,
    actors: BTreeMap<Actor, NodeId>,
}

impl Names {
    /// The members' names, and the actors that replicas told to be theirs, now or before.
    pub(super) fn new(layout: &Layout, told: &Explanation) -> Self {
        let nodes = layout.members().iter().map(|m| (m.id, m.name.clone())).collect();
        let replicas = told.replicas.iter();
        let actors = replicas.flat_map(|replica| {
            let lives = replica.former.iter().chain([&replica.actor]);
            lives.map(|actor| (*actor, replica.node))
        });
        Self { nodes, actors: actors.collect() }
    }

    /// A node's name.
    pub(super) fn node(&self, id: NodeId) -> String {
        self.nodes.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }

    /// The name of the node that an actor is a life of, where that is known.
    pub(super) fn of(&self, actor: Actor) -> Option<String> {
        self.actors.get(&actor).map(|node| self.node(*node))
    }

    /// An actor for people: its node, and enough of its own name to tell lives apart.
    pub(super) fn actor(&self, actor: Actor) -> String {
        let short = &actor.to_string()[..6];
        format!("{}:{short}", self.of(actor).as_deref().unwrap_or("?"))
    }

    /// Several nodes.
    pub(super) fn list<'n>(&self, nodes: impl IntoIterator<Item = &'n NodeId>) -> String {
        let names: Vec<_> = nodes.into_iter().map(|node| self.node(*node)).collect();
        names.join(" ")
    }
}

/// A whole digest in hexadecimal.
pub(super) fn hex(digest: &Digest) -> String {
    digest.0.iter().map(|byte| format!("{byte:02x}")).collect()
}
