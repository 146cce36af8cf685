//! Who is on the other end, and how much of this node they may take up.
//!
//! Every connection is QUIC with TLS 1.3, both ends show a certificate of the cluster's authority, and the application
//! protocol (ALPN) says what is spoken: [`Protocol`]. After the handshake [`Caller::of`] reads from the
//! certificate who it is; nothing may be done for a connection before that.
//!
//! What must hold:
//!
//! - No early data. A put that a client sent as 0-RTT could be replayed by anyone who recorded it, and a replayed put is
//!   a second write. Servers give out no session tickets and accept no early data, clients keep no sessions; so
//!   each connection checks certificates afresh, and a renewed or expired one takes effect at once.
//! - Only a node's certificate may speak the peer protocol.
//! - Everything a remote can make this node hold is bounded: streams, windows, datagrams, handshakes, idle time.
//!
//! Certificates can be replaced while the node runs: [`Credentials::load`] once more, then
//! `Endpoint::set_server_config` with the new configuration; connections that are open stay as they are.

mod credentials;
mod identity;
mod transport;

pub use credentials::{Credentials, CredentialsError};
pub use identity::{Caller, IdentityError, Principal, Protocol};
pub use transport::{
    CLIENT_STREAMS, CLIENT_WINDOW, DATAGRAM_BUFFER, INCOMING_BUFFER, INCOMING_BUFFER_TOTAL,
    MAX_DATAGRAM, MAX_INCOMING, PEER_IDLE, PEER_KEEP_ALIVE, PEER_RTT, PEER_STREAMS, PEER_WINDOW,
    RETRY_ABOVE, SERVER_IDLE, STREAM_WINDOW,
};
