//! The node's one UDP socket, which serves and dials.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use quinn::{AsyncUdpSocket, Endpoint, EndpointConfig, Runtime, TokioRuntime};
use socket2::{Domain, Protocol, Socket, Type};
use tracing::debug;

use crate::tls::{Credentials, MAX_DATAGRAM};

/// Bytes that the system may hold for the socket in either direction. A burst of a few hundred requests of 10 KB fits; the
/// usual default of 208 KiB loses packets of it. The system grants what its own bound allows.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;

/// Between two looks whether the socket is gone.
const LOOK: Duration = Duration::from_millis(5);

/// The socket of an endpoint, for whoever has to know that it is closed.
///
/// Dropping the endpoint closes it late: a closed connection stays for three of its probe timeouts, seconds where the
/// handshake hadn't ended (RFC 9000, section 10.2), and each holds the socket.
#[derive(Debug)]
pub struct Bound(Weak<dyn AsyncUdpSocket>);

impl Bound {
    /// Takes the socket away from the endpoint and its connections, and resolves once it is closed, so that its address
    /// can be bound again. They can say nothing more.
    ///
    /// # Errors
    /// No other socket could be had to put in its place.
    pub async fn release(self, endpoint: &Endpoint) -> io::Result<()> {
        // An endpoint keeps the socket that it had before the last one, for what still arrives there: so two are needed.
        for _ in 0..2 {
            endpoint.rebind(std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?)?;
        }
        while self.0.strong_count() > 0 {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

/// Binds the socket and answers on it.
///
/// # Errors
/// The address is in use, or not this machine's.
pub fn bind(listen: SocketAddr, credentials: &Credentials) -> io::Result<(Endpoint, Bound)> {
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
    let socket = TokioRuntime.wrap_udp_socket(socket.into())?;
    let bound = Bound(Arc::downgrade(&socket));
    let server = Some(credentials.server_config());
    let endpoint =
        Endpoint::new_with_abstract_socket(config, server, socket, Arc::new(TokioRuntime))?;
    Ok((endpoint, bound))
}
