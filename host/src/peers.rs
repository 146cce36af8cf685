//! The other members of the layout, and the ways to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use kinfold_protocol::id::NodeId;
use kinfold_protocol::record::Record;
use quinn::Endpoint;

use crate::config::Config;
use crate::counters::Counters;
use crate::link::{Dialler, Link};
use crate::tls::Credentials;

/// Another member.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) id: NodeId,
    /// The way to it.
    pub(crate) link: Arc<Link>,
}

/// The other members, by name.
pub(crate) type Peers = BTreeMap<String, Peer>;

/// The other members, and for each what keeps the way to it up once it is run.
pub(crate) fn of(
    config: &Config,
    credentials: &Credentials,
    record: &Record,
    endpoint: &Endpoint,
    counters: &Arc<Counters>,
) -> (Peers, Vec<Dialler>) {
    let mut peers = Peers::new();
    let mut diallers = Vec::new();
    for member in record.members().into_values().filter(|member| member.name != config.node) {
        let link = Arc::new(Link::default());
        peers.insert(member.name.clone(), Peer { id: member.id, link: Arc::clone(&link) });
        let dial = config.dial.get(&member.name).map(ToString::to_string);
        diallers.push(Dialler {
            name: member.name.clone(),
            address: dial.unwrap_or_else(|| member.address.clone()),
            cluster: config.cluster.clone(),
            endpoint: endpoint.clone(),
            config: credentials.peer_config(),
            server_name: credentials.server_name(&member.name),
            link,
            counters: Arc::clone(counters),
        });
    }
    (peers, diallers)
}
