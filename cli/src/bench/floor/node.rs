//! A node of the floor.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use kinfold_host::endpoint;
use kinfold_host::tls::{self, Credentials, Protocol};
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use tokio::sync::Notify;

use super::FloorError;
use super::file::{Appended, Entry};
use super::link::{self, Link};
use super::wire::{Frame, Frames, Header, Kind};

/// A node that relays and appends.
pub(super) struct Node {
    pub(super) name: String,
    cluster: String,
    credentials: Credentials,
    endpoint: Endpoint,
    file: Appended,
    /// The ways to the other nodes, by name.
    links: Mutex<Vec<(String, Link)>>,
    /// The same, once all are there.
    peers: OnceLock<Vec<(String, Link)>>,
    asks: AtomicU64,
    waiting: Mutex<HashMap<u64, Arc<Waiting>>>,
}

/// A request that waits for nodes.
struct Waiting {
    missing: AtomicUsize,
    enough: Notify,
}

impl Waiting {
    fn one(&self) {
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.enough.notify_one();
        }
    }
}

impl Node {
    /// Binds a socket on loopback, makes the file, and serves.
    pub(super) fn start(
        cluster: &str,
        name: &str,
        credentials: Credentials,
        file: &Path,
    ) -> Result<Arc<Self>, FloorError> {
        let (endpoint, _bound) = endpoint::bind((Ipv4Addr::LOCALHOST, 0).into(), &credentials)?;
        let node = Arc::new(Self {
            name: name.to_owned(),
            cluster: cluster.to_owned(),
            credentials,
            endpoint,
            file: Appended::create(file)?,
            links: Mutex::default(),
            peers: OnceLock::new(),
            asks: AtomicU64::new(0),
            waiting: Mutex::default(),
        });
        tokio::spawn(Arc::clone(&node).accept());
        Ok(node)
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Connects to another node.
    pub(super) async fn dial(&self, name: &str, address: SocketAddr) -> Result<(), FloorError> {
        let config = self.credentials.peer_config();
        let server_name = self.credentials.server_name(name);
        let connection = self.endpoint.connect_with(config, address, &server_name)?.await?;
        let link = link::open(connection).await?;
        self.links.lock().unwrap_or_else(PoisonError::into_inner).push((name.to_owned(), link));
        Ok(())
    }

    pub(super) async fn stop(&self) {
        self.endpoint.close(quinn::VarInt::from_u32(0), b"done");
        self.endpoint.wait_idle().await;
        self.file.close();
    }

    /// The ways to the other nodes: all of them, since nobody asks before they are there.
    fn peers(&self) -> &[(String, Link)] {
        self.peers.get_or_init(|| self.links.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn accept(self: Arc<Self>) {
        while let Some(incoming) = self.endpoint.accept().await {
            let node = Arc::clone(&self);
            tokio::spawn(async move {
                let Ok(connecting) = incoming.accept() else { return };
                let Ok(connection) = connecting.await else { return };
                let Ok(caller) = tls::Caller::of(&connection, &node.cluster) else { return };
                caller.apply_limits(&connection);
                match caller.protocol {
                    Protocol::Client => node.serve_client(&connection).await,
                    Protocol::Peer => node.serve_peer(&connection, &caller.principal.name).await,
                }
            });
        }
    }

    async fn serve_client(self: Arc<Self>, connection: &Connection) {
        while let Ok((send, receive)) = connection.accept_bi().await {
            let node = Arc::clone(&self);
            tokio::spawn(async move { node.request(send, receive).await });
        }
    }

    async fn serve_peer(self: Arc<Self>, connection: &Connection, name: &str) {
        while let Ok(receive) = connection.accept_uni().await {
            let (node, name) = (Arc::clone(&self), name.to_owned());
            tokio::spawn(async move { node.listen(receive, &name).await });
        }
    }

    async fn request(self: Arc<Self>, mut send: SendStream, receive: RecvStream) {
        let Ok(Some((header, body))) = Frames::new(receive).next().await else { return };
        let mut answer = match header.kind {
            Kind::Put => self.put(header, body).await,
            Kind::Get => self.get(header).await,
            Kind::Replicate | Kind::Read | Kind::Done | Kind::Missing => return,
        }
        .pieces()
        .collect::<Vec<_>>();
        if send.write_all_chunks(&mut answer).await.is_ok() {
            let _ = send.finish();
        }
    }

    /// Appends here and at the other nodes, at once; answers when as many as asked for are durable.
    async fn put(self: &Arc<Self>, header: Header, body: Vec<Bytes>) -> Frame {
        let (ask, waiting) = self.wait_for(usize::from(header.quorum));
        let key = header.key.clone();
        let frame = Header { kind: Kind::Replicate, ask, ..header }.frame(body);
        let here = Arc::clone(&waiting);
        for (_, link) in self.peers() {
            let _ = link.send(frame.clone());
        }
        self.file.append(Entry { key, frame, durable: Box::new(move || here.one()) });
        waiting.enough.notified().await;
        self.forget(ask);
        Header { kind: Kind::Done, quorum: 0, ask, key: Bytes::new() }.frame(Vec::new())
    }

    /// Reads here, and asks as many others as it takes whether they have the key.
    async fn get(self: &Arc<Self>, header: Header) -> Frame {
        let others = usize::from(header.quorum.saturating_sub(1));
        if others > 0 {
            let (ask, waiting) = self.wait_for(others);
            let question = Header { kind: Kind::Read, ask, ..header.clone() };
            let turn = usize::try_from(ask).unwrap_or(0);
            let peers = self.peers();
            for (_, link) in peers.iter().cycle().skip(turn % 2).take(others.min(peers.len())) {
                let _ = link.send(question.frame(Vec::new()));
            }
            waiting.enough.notified().await;
            self.forget(ask);
        }
        let found = self.file.read(&header.key).ok().flatten();
        let kind = if found.is_some() { Kind::Done } else { Kind::Missing };
        let answer = Header { kind, quorum: 0, ask: 0, key: Bytes::new() };
        answer.frame(found.into_iter().collect())
    }

    /// Takes what another node sends.
    async fn listen(self: Arc<Self>, receive: RecvStream, from: &str) {
        let Some((_, link)) = self.peers().iter().find(|(name, _)| name == from) else { return };
        let mut frames = Frames::new(receive);
        while let Ok(Some((header, body))) = frames.next().await {
            let (ask, link) = (header.ask, link.clone());
            match header.kind {
                Kind::Replicate => {
                    let done = Header { kind: Kind::Done, quorum: 0, ask, key: Bytes::new() };
                    let (key, frame) = (header.key.clone(), header.frame(body));
                    let durable = Box::new(move || drop(link.send(done.frame(Vec::new()))));
                    self.file.append(Entry { key, frame, durable });
                }
                Kind::Read => {
                    let kind = if self.file.has(&header.key) { Kind::Done } else { Kind::Missing };
                    let _ = link.send(Header { kind, ..header }.frame(Vec::new()));
                }
                Kind::Done | Kind::Missing => {
                    let waiting = self.lock().get(&ask).cloned();
                    if let Some(waiting) = waiting {
                        waiting.one();
                    }
                }
                Kind::Put | Kind::Get => return,
            }
        }
    }

    fn wait_for(&self, count: usize) -> (u64, Arc<Waiting>) {
        let ask = self.asks.fetch_add(1, Ordering::Relaxed);
        let waiting = Arc::new(Waiting { missing: AtomicUsize::new(count), enough: Notify::new() });
        self.lock().insert(ask, Arc::clone(&waiting));
        (ask, waiting)
    }

    fn forget(&self, ask: u64) {
        self.lock().remove(&ask);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
