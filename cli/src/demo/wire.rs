//! A wire from one node to another that can be cut: a UDP relay, which the one dials instead of the other.
//!
//! It knows nothing of what it carries, and the nodes know nothing of it: while it is cut, datagrams vanish in both directions,
//! as they do behind a dead switch.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

/// No datagram is longer.
const LONGEST: usize = 65_535;

/// A wire. It is gone when dropped.
#[derive(Debug)]
pub(crate) struct Wire {
    address: SocketAddr,
    relay: AbortHandle,
}

/// Cuts wires and heals them. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shears(Arc<State>);

#[derive(Debug, Default)]
struct State {
    cut: AtomicBool,
    lost: AtomicU64,
}

impl Wire {
    /// Lays a wire to `far`, for one dialler, that `shears` can cut.
    ///
    /// # Errors
    /// The system gave no socket.
    pub(crate) async fn lay(far: SocketAddr, shears: &Shears) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = socket.local_addr()?;
        let relay = tokio::spawn(relay(socket, far, shears.clone())).abort_handle();
        Ok(Self { address, relay })
    }

    /// What the dialler has to dial.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

impl Shears {
    /// From now on nothing gets through.
    pub(crate) fn cut(&self) {
        self.0.cut.store(true, Ordering::Release);
    }

    /// From now on everything gets through.
    pub(crate) fn heal(&self) {
        self.0.cut.store(false, Ordering::Release);
    }

    /// Datagrams that vanished so far.
    pub(crate) fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }
}

async fn relay(socket: UdpSocket, far: SocketAddr, shears: Shears) {
    let mut datagram = vec![0; LONGEST];
    let mut near = None;
    loop {
        // An error is the system's word on an earlier datagram that nobody took: that one is lost, as datagrams may be.
        let Ok((length, from)) = socket.recv_from(&mut datagram).await else { continue };
        if from != far {
            near = Some(from);
        }
        let Some(to) = (if from == far { near } else { Some(far) }) else { continue };
        if shears.0.cut.load(Ordering::Acquire) {
            shears.0.lost.fetch_add(1, Ordering::Relaxed);
        } else {
            let _ = socket.send_to(&datagram[..length], to).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_sent_during_a_cut_never_arrives() {
        let bind = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
        let (near, far) = (bind().await.unwrap(), bind().await.unwrap());
        let shears = Shears::default();
        let wire = Wire::lay(far.local_addr().unwrap(), &shears).await.unwrap();
        let mut buffer = [0; 8];

        near.send_to(b"a", wire.address()).await.unwrap();
        let (length, through) = far.recv_from(&mut buffer).await.unwrap();
        assert_eq!((&buffer[..length], through), (&b"a"[..], wire.address()));
        far.send_to(b"b", through).await.unwrap();
        assert_eq!(near.recv(&mut buffer).await.unwrap(), 1);

        shears.cut();
        near.send_to(b"c", wire.address()).await.unwrap();
        far.send_to(b"d", through).await.unwrap();
        while shears.lost() < 2 {
            tokio::task::yield_now().await;
        }
        shears.heal();
        near.send_to(b"e", wire.address()).await.unwrap();
        far.send_to(b"f", through).await.unwrap();
        assert_eq!((far.recv(&mut buffer).await.unwrap(), buffer[0]), (1, b'e'));
        assert_eq!((near.recv(&mut buffer).await.unwrap(), buffer[0]), (1, b'f'));
    }
}
