//! Connections: one a node, made when needed, made anew when lost.
//!
//! What must hold: many requests at once make one connection, not many; and a node that is away costs the requests that follow next
//! to nothing, because it is tried last until it could be reached again, which is found out now and then beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kinfold_protocol::latency::Latency;
use kinfold_protocol::time;
use quinn::{ClientConfig, Connection, Endpoint, VarInt};

use crate::error::Error;
use crate::quic;

/// A handshake that takes longer is given up: on the longest paths on Earth it takes half of this.
const DIAL: Duration = Duration::from_secs(1);

/// How long a node that could not be reached is left alone, before it is looked whether it is back.
const SUSPICION: Duration = Duration::from_secs(5);

/// The code that a connection is closed with when the client has no more need for it.
const CLOSE_DONE: VarInt = VarInt::from_u32(0);

/// Connections to nodes, by address.
pub(crate) struct Nodes {
    endpoint: Endpoint,
    config: ClientConfig,
    server_name: String,
    slots: Mutex<BTreeMap<String, Arc<Slot>>>,
}

#[derive(Default)]
struct Slot {
    /// Held while dialling, so that whoever comes meanwhile waits for that connection.
    connection: tokio::sync::Mutex<Option<Connection>>,
    /// When it was last found that it could not be reached, until it could.
    failed: Mutex<Option<Instant>>,
    /// How long its answers to reads took.
    latency: Mutex<Latency>,
}

impl Nodes {
    /// No connections yet.
    pub(crate) fn new(config: ClientConfig, server_name: String) -> Result<Self, Error> {
        let endpoint = quic::endpoint()
            .map_err(|e| Error::Config(format!("no UDP socket can be opened: {e}")))?;
        Ok(Self { endpoint, config, server_name, slots: Mutex::default() })
    }

    /// The connection to `address`, dialled if there is none.
    pub(crate) async fn connection(&self, address: &str) -> Result<Connection, String> {
        let slot = self.slot(address);
        let mut held = slot.connection.lock().await;
        if let Some(open) = held.as_ref().filter(|c| c.close_reason().is_none()) {
            return Ok(open.clone());
        }
        *held = None;
        let dialled = match tokio::time::timeout(DIAL, self.dial(address)).await {
            Ok(dialled) => dialled,
            Err(_) => Err(format!("no handshake within {DIAL:?}")),
        };
        match dialled {
            Ok(connection) => {
                *lock(&slot.failed) = None;
                *held = Some(connection.clone());
                Ok(connection)
            }
            Err(why) => {
                *lock(&slot.failed) = Some(Instant::now());
                Err(why)
            }
        }
    }

    async fn dial(&self, address: &str) -> Result<Connection, String> {
        let found = tokio::net::lookup_host(address)
            .await
            .map_err(|e| format!("{address} can't be resolved: {e}"))?;
        let mut last = format!("{address} has no addresses");
        for socket in found {
            let connecting =
                self.endpoint.connect_with(self.config.clone(), socket, &self.server_name);
            match connecting {
                Ok(connecting) => match connecting.await {
                    Ok(connection) => return Ok(connection),
                    Err(e) => last = e.to_string(),
                },
                Err(e) => last = e.to_string(),
            }
        }
        Err(last)
    }

    /// Nothing at all was heard on this connection for a whole attempt: the next request dials anew, and this node is
    /// tried last for a while. Requests that wait on the connection keep it.
    pub(crate) async fn silent(&self, address: &str, connection: &Connection) {
        let slot = self.slot(address);
        let mut held = slot.connection.lock().await;
        if held.as_ref().is_some_and(|c| c.stable_id() == connection.stable_id()) {
            *held = None;
            *lock(&slot.failed) = Some(Instant::now());
        }
    }

    /// Could this node not be reached, and has not been since?
    pub(crate) fn is_suspect(&self, address: &str) -> bool {
        let slots = lock(&self.slots);
        slots.get(address).is_some_and(|slot| lock(&slot.failed).is_some())
    }

    /// Is it time to look whether a node is back that could not be reached? It is for one caller, who is to [`look`](Self::look): a
    /// request would wait for a handshake that may never come, and so would all that come with it.
    pub(crate) fn is_look_due(&self, address: &str) -> bool {
        let slots = lock(&self.slots);
        let Some(slot) = slots.get(address) else { return false };
        let mut failed = lock(&slot.failed);
        let due = failed.is_some_and(|since| since.elapsed() >= SUSPICION);
        if due {
            *failed = Some(Instant::now());
        }
        due
    }

    /// Looks whether a node is back.
    pub(crate) async fn look(&self, address: &str) {
        if self.connection(address).await.is_ok() {
            *lock(&self.slot(address).failed) = None;
        }
    }

    /// A node answered a read after so long, or had not when another one was faster.
    pub(crate) fn took(&self, address: &str, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        lock(&self.slot(address).latency).add(time::Duration(micros));
    }

    /// The time within which a node answers 95 of 100 reads, where it is known.
    pub(crate) fn pace(&self, address: &str) -> Option<Duration> {
        let slots = lock(&self.slots);
        let pace = slots.get(address).and_then(|slot| lock(&slot.latency).p95());
        pace.map(|time::Duration(micros)| Duration::from_micros(micros))
    }

    /// Closes the connections to all other addresses.
    pub(crate) fn retain(&self, addresses: &BTreeSet<String>) {
        lock(&self.slots).retain(|address, _| addresses.contains(address));
    }

    /// Closes all connections; what waits on them is answered that they are lost.
    pub(crate) fn close(&self) {
        self.endpoint.close(CLOSE_DONE, b"done");
    }

    /// Waits until the nodes have been told of closed connections.
    pub(crate) async fn closed(&self) {
        self.endpoint.wait_idle().await;
    }

    fn slot(&self, address: &str) -> Arc<Slot> {
        lock(&self.slots).entry(address.to_owned()).or_default().clone()
    }
}

/// Nothing panics while it holds these locks, and what they guard would be sound even so.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    /// A node that never answers: its suspicion is older than the time after which it is looked at again.
    #[tokio::test]
    async fn a_node_that_is_away_stays_last_and_one_caller_looks_whether_it_is_back() {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
        let nodes =
            Nodes::new(ClientConfig::new(Arc::new(crypto)), "node.c.kinfold".into()).unwrap();
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap().to_string();
        assert!(!nodes.is_suspect(&address) && !nodes.is_look_due(&address));
        let long_ago = Instant::now().checked_sub(2 * SUSPICION).unwrap();
        *lock(&nodes.slot(&address).failed) = Some(long_ago);
        assert!(nodes.is_suspect(&address), "no request finds out for itself");
        assert!(nodes.is_look_due(&address) && !nodes.is_look_due(&address), "one looks");
        nodes.look(&address).await;
        assert!(nodes.is_suspect(&address), "it did not answer");
    }
}
