//! The other members, and the ways to them: they follow the ring's record.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use kinfold_protocol::id::NodeId;
use kinfold_protocol::layout::Member;
use quinn::Endpoint;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::info;

use crate::config::{Address, Config};
use crate::counters::Counters;
use crate::link::{Dialler, Link};
use crate::tls::Credentials;

/// Another member.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) id: NodeId,
    /// Where it is dialled.
    address: String,
    /// The way to it.
    pub(crate) link: Arc<Link>,
}

/// The other members. Clones are the same.
#[derive(Clone)]
pub(crate) struct Peers {
    dialling: Arc<Dialling>,
    known: Arc<RwLock<Known>>,
}

/// What it takes to dial a member.
struct Dialling {
    node: String,
    cluster: String,
    dial: BTreeMap<String, Address>,
    credentials: Credentials,
    endpoint: Endpoint,
    counters: Arc<Counters>,
    twin: watch::Sender<Option<String>>,
}

#[derive(Default)]
struct Known {
    peers: BTreeMap<String, Peer>,
    diallers: BTreeMap<String, AbortHandle>,
}

impl Peers {
    /// Nobody yet.
    pub(crate) fn new(
        config: &Config,
        credentials: Credentials,
        endpoint: &Endpoint,
        counters: &Arc<Counters>,
    ) -> Self {
        let dialling = Dialling {
            node: config.node.clone(),
            cluster: config.cluster.clone(),
            dial: config.dial.clone(),
            credentials,
            endpoint: endpoint.clone(),
            counters: Arc::clone(counters),
            twin: watch::Sender::new(None),
        };
        Self { dialling: Arc::new(dialling), known: Arc::default() }
    }

    /// The name of a peer that says that another process is this node, once one does.
    pub(crate) fn twin(&self) -> watch::Receiver<Option<String>> {
        self.dialling.twin.subscribe()
    }

    /// Is that this node's own name?
    pub(crate) fn is_me(&self, name: &str) -> bool {
        self.dialling.node == name
    }

    /// These are the members from now on: the way to each of them is kept up, and those to others end.
    pub(crate) fn follow<'m>(&self, members: impl IntoIterator<Item = &'m Member>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let others = members.into_iter().filter(|member| member.name != self.dialling.node);
        let others: BTreeMap<&str, &Member> = others.map(|m| (m.name.as_str(), m)).collect();
        let Known { peers, diallers } = &mut *known;
        peers.retain(|name, peer| {
            let address = |member: &Member| self.dialling.address(member);
            let stays = others.get(name.as_str());
            let stays = stays.is_some_and(|m| m.id == peer.id && address(m) == peer.address);
            if !stays {
                info!(peer = %name, "no member any more at this address");
                if let Some(dialler) = diallers.remove(name) {
                    dialler.abort();
                }
                peer.link.end();
            }
            stays
        });
        for (name, member) in others {
            if !peers.contains_key(name) {
                let (peer, dialler) = self.dialling.start(member);
                peers.insert(name.to_owned(), peer);
                diallers.insert(name.to_owned(), dialler);
            }
        }
    }

    /// The member of that name.
    pub(crate) fn named(&self, name: &str) -> Option<Peer> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).peers.get(name).cloned()
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> BTreeMap<String, Peer> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).peers.clone()
    }

    /// Dials nobody any more.
    pub(crate) fn stop(&self) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.diallers.values().for_each(AbortHandle::abort);
    }
}

impl Dialling {
    fn address(&self, member: &Member) -> String {
        let dial = self.dial.get(&member.name).map(ToString::to_string);
        dial.unwrap_or_else(|| member.address.clone())
    }

    fn start(&self, member: &Member) -> (Peer, AbortHandle) {
        let link = Arc::new(Link::default());
        let address = self.address(member);
        let dialler = Dialler {
            name: member.name.clone(),
            address: address.clone(),
            cluster: self.cluster.clone(),
            endpoint: self.endpoint.clone(),
            config: self.credentials.peer_config(),
            server_name: self.credentials.server_name(&member.name),
            link: Arc::clone(&link),
            counters: Arc::clone(&self.counters),
            twin: self.twin.clone(),
        };
        let dialler = tokio::spawn(dialler.run()).abort_handle();
        (Peer { id: member.id, address, link }, dialler)
    }
}
