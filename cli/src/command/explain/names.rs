//! What nodes, actors, times and digests are called before people.

use std::collections::BTreeMap;

use kinfold_client::explain::Explanation;
use kinfold_client::{Actor, Digest, Layout, NodeId, Timestamp};
use time::OffsetDateTime;

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

/// A time of a write, in UTC: RFC 3339 with microseconds.
pub(super) fn time(at: Timestamp) -> String {
    let nanos = i128::from(at.0) * 1_000;
    let Ok(at) = OffsetDateTime::from_unix_timestamp_nanos(nanos) else {
        return at.0.to_string();
    };
    let (month, day) = (u8::from(at.month()), at.day());
    let (hour, minute, second, micros) = at.to_hms_micro();
    format!("{:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z", at.year())
}

/// A whole digest in hexadecimal.
pub(super) fn hex(digest: &Digest) -> String {
    digest.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_utc() {
        assert_eq!(time(Timestamp(1_700_000_000_123_456)), "2023-11-14T22:13:20.123456Z");
        assert_eq!(time(Timestamp(0)), "1970-01-01T00:00:00.000000Z");
    }
}
