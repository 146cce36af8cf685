//! The floor: what moving the same bytes costs when nothing is done with them.
//!
//! Three nodes of bare quinn, with the product's sockets, TLS and transport settings, in the same process and runtime. A request
//! takes the same ways as in the product: a stream of its own to the node that coordinates it, a header of like size and
//! the bytes, shared long-lived streams on to the other two. A put is appended to a plain file on each node, and answered
//! when as many as asked for have it behind an fdatasync, which all that wait share. A get reads the bytes back from that
//! file.
//!
//! What it leaves out is what a store is for: no ring, no versions or merges, no digests, no LSM, no retries, no limits.
//! So nothing that keeps the product's promises on these transports can be faster, and the ratio between the two says what
//! the promises cost.

mod caller;
mod file;
mod link;
mod node;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use kinfold_client::Options;
use kinfold_host::tls::Credentials;

pub(crate) use caller::{Caller, Shape};
use node::Node;

/// Why there is no floor.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FloorError {
    /// A file or a socket.
    #[error("the floor's files or sockets: {0}")]
    Io(#[from] io::Error),
    /// The certificates.
    #[error("the floor's certificates: {0}")]
    Credentials(#[from] kinfold_host::tls::CredentialsError),
    /// The client's certificates.
    #[error("the floor's client: {0}")]
    Client(#[from] kinfold_client::Error),
    /// A node can't be dialled.
    #[error("a node of the floor can't be dialled: {0}")]
    Dial(#[from] quinn::ConnectError),
    /// A connection failed.
    #[error("a connection of the floor failed: {0}")]
    Connection(#[from] quinn::ConnectionError),
}

/// A node's name and where its certificates are.
pub(crate) struct Member {
    /// Its name.
    pub(crate) name: String,
    /// Its certificates.
    pub(crate) certificates: kinfold_host::config::Certificates,
}

/// Three nodes of the floor.
pub(crate) struct Floor {
    nodes: Vec<Arc<Node>>,
}

impl Floor {
    /// Starts the nodes, which keep their files in `folder`, and connects them.
    ///
    /// # Errors
    /// [`FloorError`]: nothing runs.
    pub(crate) async fn start(
        cluster: &str,
        members: &[Member],
        folder: &Path,
    ) -> Result<Self, FloorError> {
        let mut nodes = Vec::new();
        for member in members {
            let credentials = Credentials::load(cluster, &member.name, &member.certificates)?;
            let file = folder.join(format!("{}.floor", member.name));
            nodes.push(Node::start(cluster, &member.name, credentials, &file)?);
        }
        for node in &nodes {
            for peer in nodes.iter().filter(|peer| !Arc::ptr_eq(peer, node)) {
                node.dial(&peer.name, peer.address()?).await?;
            }
        }
        Ok(Self { nodes })
    }

    /// A client of these nodes, with so many connections to each.
    ///
    /// # Errors
    /// [`FloorError`]: it can't connect.
    pub(crate) async fn caller(
        &self,
        options: &Options,
        shape: Shape,
    ) -> Result<Caller, FloorError> {
        let addresses: Vec<SocketAddr> =
            self.nodes.iter().map(|node| node.address()).collect::<Result<_, _>>()?;
        Caller::connect(options, &addresses, shape).await
    }

    /// Stops the nodes.
    pub(crate) async fn stop(self) {
        for node in &self.nodes {
            node.stop().await;
        }
    }
}
