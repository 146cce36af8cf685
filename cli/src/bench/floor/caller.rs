//! The client of the floor: as many sockets and connections as the product's, and a stream a request.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use kinfold_client::{Options, quic};
use quinn::{Connection, Endpoint};

use super::FloorError;
use super::wire::{Frame, Frames, Header, Kind};
use crate::bench::run::{Failed, Target};

/// How the client asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Connections to each node, each with a socket of its own; clients take turns.
    pub(crate) connections: u64,
    /// Nodes that a get waits for.
    pub(crate) r: u8,
    /// Nodes that a put waits for.
    pub(crate) w: u8,
}

/// Asks the nodes of the floor.
#[derive(Clone)]
pub(crate) struct Caller {
    shape: Shape,
    /// By connection, then by node.
    connections: Arc<Vec<(Endpoint, Vec<Connection>)>>,
    turns: Arc<AtomicUsize>,
}

impl Caller {
    pub(super) async fn connect(
        options: &Options,
        addresses: &[SocketAddr],
        shape: Shape,
    ) -> Result<Self, FloorError> {
        let config = quic::config(options)?;
        let name = quic::server_name(&options.cluster);
        let mut connections = Vec::new();
        for _ in 0..shape.connections.max(1) {
            let endpoint = quic::endpoint()?;
            let mut nodes = Vec::new();
            for address in addresses {
                nodes.push(endpoint.connect_with(config.clone(), *address, &name)?.await?);
            }
            connections.push((endpoint, nodes));
        }
        Ok(Self { shape, connections: Arc::new(connections), turns: Arc::default() })
    }

    /// Closes the connections.
    pub(crate) async fn close(&self) {
        for (endpoint, _) in self.connections.iter() {
            endpoint.close(quinn::VarInt::from_u32(0), b"done");
            endpoint.wait_idle().await;
        }
    }

    async fn ask(&self, client: u64, node: usize, frame: Frame) -> Result<Bytes, Failed> {
        let which = usize::try_from(client).unwrap_or(0) % self.connections.len();
        let (_, nodes) = &self.connections[which];
        let lost = |error: &dyn std::fmt::Display| Failed(format!("lost: {error}"));
        let connection = &nodes[node % nodes.len()];
        let (mut send, receive) = connection.open_bi().await.map_err(|e| lost(&e))?;
        let mut pieces: Vec<_> = frame.pieces().collect();
        send.write_all_chunks(&mut pieces).await.map_err(|e| lost(&e))?;
        send.finish().map_err(|e| lost(&e))?;
        let answer = Frames::new(receive).next().await.map_err(|e| lost(&e))?;
        match answer {
            Some((Header { kind: Kind::Done, .. }, body)) => Ok(match body.as_slice() {
                [only] => only.clone(),
                several => several.concat().into(),
            }),
            Some(_) => Err(Failed("missing".to_owned())),
            None => Err(Failed("lost: the stream ended".to_owned())),
        }
    }
}

impl Target for Caller {
    type Seen = ();

    /// A key's puts go to one node, and keys are spread over the nodes, as in the product.
    async fn put(
        &self,
        client: u64,
        key: Bytes,
        value: Bytes,
        _seen: Option<()>,
    ) -> Result<(), Failed> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let node = usize::try_from(hasher.finish() % 1024).unwrap_or(0);
        let header = Header { kind: Kind::Put, quorum: self.shape.w, ask: 0, key };
        self.ask(client, node, header.frame(vec![value])).await.map(drop)
    }

    /// Gets take turns among the nodes, as in the product.
    async fn get(&self, client: u64, key: Bytes) -> Result<Bytes, Failed> {
        let node = self.turns.fetch_add(1, Ordering::Relaxed);
        let header = Header { kind: Kind::Get, quorum: self.shape.r, ask: 0, key };
        self.ask(client, node, header.frame(Vec::new())).await
    }
}
