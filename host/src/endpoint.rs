//! The node's one UDP socket, which serves and dials.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use quinn::{Endpoint, EndpointConfig, TokioRuntime};
use socket2::{Domain, Protocol, Socket, Type};
use tracing::debug;

use crate::tls::{Credentials, MAX_DATAGRAM};

/// Bytes that the system may hold for the socket in either direction. A burst of a few hundred requests of 10 KB fits; the
/// usual default of 208 KiB loses packets of it. The system grants what its own bound allows.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;

/// Binds the socket and answers on it.
///
/// # Errors
/// The address is in use, or not this machine's.
pub fn bind(listen: SocketAddr, credentials: &Credentials) -> io::Result<Endpoint> {
    let socket = Socket::new(Domain::for_address(listen), Type::DGRAM, Some(Protocol::UDP))?;
    for (what, set) in [
        ("receive", socket.set_recv_buffer_size(SOCKET_BUFFER)),
        ("send", socket.set_send_buffer_size(SOCKET_BUFFER)),
    ] {
        if let Err(error) = set {
            debug!(%error, what, "the system did not enlarge a socket buffer");
        }
    }
    socket.bind(&listen.into())?;
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(MAX_DATAGRAM).expect("it is above the least size that QUIC allows");
    Endpoint::new(config, Some(credentials.server_config()), socket.into(), Arc::new(TokioRuntime))
}
