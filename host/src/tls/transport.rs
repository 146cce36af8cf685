//! How much of this node a connection may take up.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{MtuDiscoveryConfig, TransportConfig, VarInt};

const MIB: u32 = 1024 * 1024;

/// Bytes of one stream that a remote may have under way, unread. A 16 MiB value goes through in windows of this size; at a
/// round trip of 1 ms it allows 4 GB/s, at 50 ms 80 MB/s, and an idle reader costs no more than this.
pub const STREAM_WINDOW: u32 = 4 * MIB;

/// Requests that one client connection may have open: a client that wants more waits, or opens another connection.
pub const CLIENT_STREAMS: u32 = 256;

/// Bytes of all streams of a client connection that may be under way, unread, in either direction.
pub const CLIENT_WINDOW: u32 = 8 * MIB;

/// Streams of each kind that another node may have open on one connection.
pub const PEER_STREAMS: u32 = 1024;

/// Bytes of all streams of a peer connection that may be under way, unread, in either direction: four values of 16 MiB.
pub const PEER_WINDOW: u32 = 64 * MIB;

/// Bytes of datagrams (gossip) that wait on one connection in each direction; older ones are dropped beyond it.
pub const DATAGRAM_BUFFER: usize = 256 * 1024;

/// A connection on which nothing arrives for so long is closed; clients that want to stay send keep-alives.
pub const SERVER_IDLE: Duration = Duration::from_secs(30);

/// As [`SERVER_IDLE`], on connections that a node opened to another: three keep-alives lost in a row.
pub const PEER_IDLE: Duration = Duration::from_secs(15);

/// How often a node that opened a connection to another keeps it alive.
pub const PEER_KEEP_ALIVE: Duration = Duration::from_secs(5);

/// How far away another node is taken to be until that is measured. The first packet of a handshake is often lost, where a
/// peer is still starting, and is sent again after three times this; the usual 333 ms would make it a second.
pub const PEER_RTT: Duration = Duration::from_millis(50);

/// Connection attempts that wait to be accepted; more are refused at once, at the cost of one packet.
pub const MAX_INCOMING: usize = 1024;

/// Bytes that one attempt may send before it is accepted: a first flight is a few packets.
pub const INCOMING_BUFFER: u64 = 32 * 1024;

/// Bytes that all attempts together may send before they are accepted.
pub const INCOMING_BUFFER_TOTAL: u64 = 8 * 1024 * 1024;

/// Handshakes under way above which an attempt from an address that has not shown it can receive is answered with
/// `Incoming::retry` instead of accepted: the retry token costs no state here, and an attacker with forged addresses
/// never gets as far as a signature. Below it the round trip is saved. The accept loop counts and asks; quinn
/// checks the tokens, which live 15 seconds.
pub const RETRY_ABOVE: usize = 128;

/// The largest UDP payload that is taken, and looked for on the way to the other end. Every connection begins with 1200
/// bytes and probes for more, so this costs some lost probes where the network carries less. A datagram costs one pass
/// through encryption, loss detection and the system: on loopback, and where Ethernet has jumbo frames, a value of 10 KB
/// needs two instead of nine.
pub const MAX_DATAGRAM: u16 = 8_952;

pub(super) fn server(tls: rustls::ServerConfig) -> quinn::ServerConfig {
    let crypto =
        QuicServerConfig::try_from(tls).expect("ring has AES-128-GCM, which Initial packets need");
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(server_transport()))
        // A migrating connection could move its traffic to an address that never shook hands; nodes don't roam.
        .migration(false)
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BUFFER)
        .incoming_buffer_size_total(INCOMING_BUFFER_TOTAL);
    config
}

pub(super) fn client(tls: rustls::ClientConfig) -> quinn::ClientConfig {
    let crypto =
        QuicClientConfig::try_from(tls).expect("ring has AES-128-GCM, which Initial packets need");
    quinn::ClientConfig::new(Arc::new(crypto))
}

fn server_transport() -> TransportConfig {
    let mut transport = bounded(SERVER_IDLE);
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(CLIENT_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .receive_window(VarInt::from_u32(CLIENT_WINDOW))
        .send_window(u64::from(CLIENT_WINDOW));
    transport
}

pub(super) fn peer_transport() -> TransportConfig {
    let mut transport = bounded(PEER_IDLE);
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(PEER_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(PEER_STREAMS))
        .receive_window(VarInt::from_u32(PEER_WINDOW))
        .send_window(u64::from(PEER_WINDOW))
        .initial_rtt(PEER_RTT)
        .keep_alive_interval(Some(PEER_KEEP_ALIVE));
    transport
}

fn bounded(idle: Duration) -> TransportConfig {
    let idle = idle.try_into().expect("idle times are seconds, far below 2^62 milliseconds");
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(MAX_DATAGRAM);
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(idle))
        .mtu_discovery_config(Some(mtu))
        // One answer after the other is whole earlier, on average, than all of them a little at a time.
        .send_fairness(false)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_BUFFER);
    transport
}
