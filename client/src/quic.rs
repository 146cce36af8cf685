//! The socket and the settings beneath a client, for tools that measure the wire itself.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use quinn::Endpoint;

pub use crate::tls::{config, server_name};

/// A socket for both families, where the machine has both.
///
/// # Errors
/// No socket can be opened.
pub fn endpoint() -> io::Result<Endpoint> {
    Endpoint::client(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)))
        .or_else(|_| Endpoint::client(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))))
}
