//! Takes in connections: who is on the other end, what it speaks, and whether there is room.
//!
//! A connection is nobody's until its handshake is done. Handshakes under way are bounded; above
//! [`RETRY_ABOVE`] an address first has to show, by a retry token, that it receives what is sent to it.

use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, Endpoint, Incoming};
use tracing::{Instrument, debug, debug_span, warn};

use crate::client_connection::Who;
use crate::close_code::CloseCode;
use crate::gauge::Permit;
use crate::peers::Peer;
use crate::rim::Rim;
use crate::tls::{Caller, Protocol, RETRY_ABOVE};
use crate::{client_connection, peer_connection};

/// A handshake that takes longer has failed: ten round trips around the world, with losses.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Takes in connections until the endpoint is closed.
pub(crate) async fn accept(endpoint: Endpoint, rim: Arc<Rim>) {
    while let Some(incoming) = endpoint.accept().await {
        if rim.is_stopping() {
            rim.counters.handshakes_refused.one();
            incoming.refuse();
        } else if rim.handshakes.items() >= RETRY_ABOVE && incoming.may_retry() {
            rim.counters.handshakes_retried.one();
            let _ = incoming.retry();
        } else if let Some(handshake) = rim.handshakes.enter(0) {
            let span = debug_span!("connection", from = %incoming.remote_address());
            tokio::spawn(connection(incoming, handshake, Arc::clone(&rim)).instrument(span));
        } else {
            rim.counters.handshakes_refused.one();
            incoming.refuse();
        }
    }
}

async fn connection(incoming: Incoming, handshake: Permit, rim: Arc<Rim>) {
    let Some(connection) = shake_hands(incoming, &rim).await else { return };
    drop(handshake);
    let caller = match Caller::of(&connection, &rim.cluster) {
        Ok(caller) => caller,
        Err(error) => {
            rim.counters.handshakes_failed.one();
            debug!(%error, "a connection of nobody");
            CloseCode::Identity.close(&connection, &error.to_string());
            return;
        }
    };
    debug!(caller = %caller.principal, "connected");
    caller.apply_limits(&connection);
    match caller.protocol {
        Protocol::Client => {
            let share = rim.shares.of(&caller.principal.to_string());
            let own = share.connections.enter(0);
            let (Some(_own), Some(_place)) = (own, rim.clients.enter(0)) else {
                rim.counters.handshakes_refused.one();
                CloseCode::TooManyConnections.close(
                    &connection,
                    "the node has as many clients, or as many of this name, as it may have: try another node, or later",
                );
                return;
            };
            rim.counters.client_connections.one();
            // A node's certificate may ask as any client may, for diagnosis, and stage that it joins; else changing things is for
            // operators.
            let who = Who {
                role: caller.principal.role,
                name: caller.principal.name.clone().into(),
                share,
            };
            client_connection::serve(&connection, &rim, who).await;
        }
        Protocol::Peer => match member(&caller, &rim) {
            Ok(peer) => {
                rim.counters.peer_connections.one();
                tokio::select! {
                    () = peer_connection::serve(&connection, &rim, &peer) => {}
                    () = peer.link.ended() => CloseCode::NotAMember.close(&connection, "this node is no member any more"),
                }
            }
            Err(why) => {
                rim.counters.handshakes_failed.one();
                if rim.peers.is_me(&caller.principal.name) {
                    warn!(from = %connection.remote_address(), "another process has this node's own certificate: is a copy of it running?");
                } else {
                    debug!(why, "a node that is no peer");
                }
                CloseCode::NotAMember.close(&connection, &why);
            }
        },
    }
    debug!(reason = ?connection.close_reason(), "disconnected");
}

async fn shake_hands(incoming: Incoming, rim: &Rim) -> Option<Connection> {
    let connecting = incoming.accept().inspect_err(|error| debug!(%error, "not accepted")).ok()?;
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, connecting).await {
        Ok(Ok(connection)) => Some(connection),
        Ok(Err(error)) => {
            rim.counters.handshakes_failed.one();
            debug!(%error, "a handshake failed");
            None
        }
        Err(_elapsed) => {
            rim.counters.handshakes_failed.one();
            debug!("a handshake took too long");
            None
        }
    }
}

/// Which peer a node is, or why it is none. Its having come is a sign that it can be dialled again.
fn member(caller: &Caller, rim: &Rim) -> Result<Peer, String> {
    match rim.peers.named(&caller.principal.name) {
        Some(peer) => {
            peer.link.heard.notify_one();
            Ok(peer)
        }
        None if rim.peers.is_me(&caller.principal.name) => {
            Err("this is the node itself, and serves: another process with its identity is not to run beside it".into())
        }
        None => Err(format!(
            "{} is not another member of this cluster: have it join with `kinfold cluster token`, and commit that",
            caller.principal
        )),
    }
}
