//! Another process with this node's identity: its data directory was copied, as with a virtual machine, and started twice.
//!
//! Nothing on this machine's disk tells it. So a node that starts looks whether somebody answers at the address where the others
//! look for it, before it serves anything. Where it can't see that, its peers find out, since both greet them in turns: they close
//! the connections of the one that started later, and that one stops.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use quinn::Endpoint;

use crate::tls::{Caller, Credentials};

/// The longest wait for an answer. Where nobody is there the start is delayed by so much, if the address is not this machine's.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where another process answers as this node, if one does. To be asked while this one answers nobody yet.
pub(crate) async fn find(
    endpoint: &Endpoint,
    credentials: &Credentials,
    (cluster, node): (&str, &str),
    address: &str,
) -> Option<SocketAddr> {
    let ours = endpoint.local_addr().ok()?;
    // A name that can't be resolved is nobody's.
    let mut found = tokio::net::lookup_host(address).await.ok()?;
    let address = found.find(|address| address.is_ipv4() == ours.is_ipv4())?;
    if is_bound(ours, address) {
        return None;
    }
    let name = credentials.server_name(node);
    let connecting = endpoint.connect_with(credentials.peer_config(), address, &name).ok()?;
    let connection = tokio::time::timeout(PATIENCE, connecting).await.ok()?.ok()?;
    let is_us = Caller::of(&connection, cluster).is_ok();
    connection.close(quinn::VarInt::from_u32(0), b"looked");
    is_us.then_some(address)
}

/// Is that the address that this process has bound, so that nobody else can be there?
fn is_bound(ours: SocketAddr, address: SocketAddr) -> bool {
    let is_local = || UdpSocket::bind((address.ip(), 0)).is_ok();
    let same_host = ours.ip() == address.ip() || (ours.ip().is_unspecified() && is_local());
    ours.port() == address.port() && same_host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_ours_if_we_have_bound_it_by_name_or_with_all_others() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(is_bound(at("127.0.0.1:7"), at("127.0.0.1:7")));
        assert!(is_bound(at("0.0.0.0:7"), at("127.0.0.3:7")));
        assert!(!is_bound(at("0.0.0.0:7"), at("127.0.0.3:8")));
        assert!(!is_bound(at("127.0.0.1:7"), at("127.0.0.3:7")));
        // A machine of somebody else (RFC 5737).
        assert!(!is_bound(at("0.0.0.0:7"), at("192.0.2.1:7")));
    }
}
