//! The way to one peer: a connection that this node keeps up, and what is written to it.
//!
//! Small messages share one stream that lives as long as the connection, and all that wait share one write: under load a
//! packet carries many. A large one has a stream of its own, so that an acknowledgement doesn't wait behind 16 MiB. Gossip
//! goes in datagrams, past all that waits.
//!
//! What must hold: nothing here is waited for by the core, and a peer that is away or slow costs a bounded queue.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use kinfold_protocol::id::Actor;
use kinfold_protocol::message::peer::Envelope;
use quinn::{ClientConfig, Connection, ConnectionStats, Endpoint, SendStream};
use tokio::sync::{Notify, watch};
use tracing::{debug, info, warn};

use crate::close_code::CloseCode;
use crate::counters::Counters;
use crate::link_queue::LinkQueue;
use crate::tls::Caller;

/// A frame above so many bytes has a stream of its own.
const LARGE: usize = 64 * 1024;

/// Bytes that one write of small messages gathers at most.
const GATHER: usize = 1024 * 1024;

/// The first wait before another attempt to connect; each next one is twice as long.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);

/// The longest wait before another attempt. Short, since a peer that dials us cuts it short anyway.
const LAST_BACKOFF: Duration = Duration::from_secs(2);

/// The wait after a peer has said that this node is no member: as soon as it becomes one, the peers dial it.
const STRANGER: Duration = Duration::from_secs(30);

/// An attempt that takes longer has failed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An attempt that takes longer was not heard by the peer, or the peer is far away.
const STALE: Duration = Duration::from_millis(250);

/// The sending end of the way to one peer: what the core's loop holds.
#[derive(Debug, Default)]
pub(crate) struct Link {
    /// What waits.
    pub(crate) queue: LinkQueue,
    /// Notified when the peer was heard of.
    pub(crate) heard: Notify,
    /// The connection, while there is one.
    connection: Mutex<Option<Connection>>,
    /// Is the peer no member any more?
    ended: watch::Sender<bool>,
    /// The actor of a process that is not to pass for the peer.
    refused: Mutex<Option<Actor>>,
}

impl Link {
    /// Sends a datagram at once, or not at all. Says whether it was sent; it may be lost on its way.
    pub(crate) fn send_datagram(&self, bytes: Bytes) -> bool {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        // Where too many wait, the oldest goes.
        connection.as_ref().is_some_and(|connection| connection.send_datagram(bytes).is_ok())
    }

    /// What QUIC counts on the connection, while there is one.
    pub(crate) fn stats(&self) -> Option<ConnectionStats> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection.as_ref().map(Connection::stats)
    }

    /// The connection, while there is one.
    pub(crate) fn connection(&self) -> Option<Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A process that greets as this actor is not to pass for the peer: another one is that node.
    pub(crate) fn refuse(&self, actor: Actor) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(actor);
    }

    /// Is a process that greets as this actor to be refused?
    pub(crate) fn is_refused(&self, actor: Actor) -> bool {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) == Some(actor)
    }

    /// Ends it: the peer is no member any more.
    pub(crate) fn end(&self) {
        self.ended.send_replace(true);
        self.queue.close();
        if let Some(connection) = self.connection() {
            CloseCode::NotAMember.close(&connection, "this node is no member any more");
        }
    }

    /// Resolves once it has ended.
    pub(crate) async fn ended(&self) {
        // The sender is part of what is borrowed here, so it is there.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    fn set_connection(&self, connection: Option<Connection>) {
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = connection;
    }
}

/// What keeps the way to one peer up.
pub(crate) struct Dialler {
    pub(crate) name: String,
    /// `HOST:PORT`, resolved at each attempt.
    pub(crate) address: String,
    pub(crate) cluster: String,
    pub(crate) endpoint: Endpoint,
    pub(crate) config: ClientConfig,
    pub(crate) server_name: String,
    pub(crate) link: Arc<Link>,
    pub(crate) counters: Arc<Counters>,
    /// Told the name of a peer that says that another process is this node.
    pub(crate) twin: watch::Sender<Option<String>>,
}

/// Why there is no connection to a peer.
#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("its address {address} was not found: {source}")]
    Lookup { address: String, source: std::io::Error },
    #[error("its address {0} has no IP address of this node's kind")]
    NoAddress(String),
    #[error("it can't be dialled: {0}")]
    Connect(#[from] quinn::ConnectError),
    #[error("the connection failed: {0}")]
    Connection(#[from] quinn::ConnectionError),
    #[error("it did not answer within {} s", CONNECT_TIMEOUT.as_secs())]
    Timeout,
    #[error(transparent)]
    Identity(#[from] crate::tls::IdentityError),
}

impl Dialler {
    /// Keeps the way up until the endpoint is closed or the task is aborted.
    pub(crate) async fn run(self) {
        let mut backoff = FIRST_BACKOFF;
        let (mut said, mut heard) = (false, true);
        loop {
            if heard {
                // It is likely to be there: what is to be said meanwhile can wait.
                self.link.queue.open();
            }
            match self.attempt().await {
                Ok(connection) => {
                    info!(peer = %self.name, address = %connection.remote_address(), "peer up");
                    self.counters.peer_links.one();
                    (backoff, said) = (FIRST_BACKOFF, false);
                    self.link.queue.open();
                    self.link.set_connection(Some(connection.clone()));
                    let ended = self.send_all(&connection).await;
                    self.link.set_connection(None);
                    info!(peer = %self.name, reason = %ended, "peer down");
                    if CloseCode::NotAMember.ended(&ended) {
                        backoff = STRANGER;
                    }
                    if CloseCode::Twin.ended(&ended) {
                        self.twin.send_replace(Some(self.name.clone()));
                    }
                }
                Err(error) => self.say(&mut said, &error),
            }
            self.counters.link_messages_dropped.add(self.link.queue.close());
            heard = tokio::time::timeout(backoff, self.link.heard.notified()).await.is_ok();
            backoff = if heard { FIRST_BACKOFF } else { (backoff * 2).min(LAST_BACKOFF) };
        }
    }

    /// Warns once of a peer that is away, not at every attempt.
    fn say(&self, said: &mut bool, error: &DialError) {
        if *said {
            debug!(peer = %self.name, %error, "peer still can't be reached");
        } else {
            warn!(peer = %self.name, %error, "peer can't be reached; trying again until it can");
        }
        *said = true;
    }

    /// Tries to connect, for so long. An attempt whose first packets fell on deaf ears sends them again only after ever longer
    /// waits: where the peer is heard of meanwhile, a new one is faster.
    async fn attempt(&self) -> Result<Connection, DialError> {
        let heard = async {
            tokio::time::sleep(STALE).await;
            self.link.heard.notified().await;
        };
        let connecting = async {
            tokio::select! {
                first = self.connect() => first,
                () = heard => self.connect().await,
            }
        };
        tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.unwrap_or(Err(DialError::Timeout))
    }

    async fn connect(&self) -> Result<Connection, DialError> {
        let address = self.resolve().await?;
        let config = self.config.clone();
        let connection = self.endpoint.connect_with(config, address, &self.server_name)?.await?;
        // TLS has checked the name; this checks the cluster and the protocol too.
        Caller::of(&connection, &self.cluster)?;
        Ok(connection)
    }

    async fn resolve(&self) -> Result<SocketAddr, DialError> {
        let ours = self.endpoint.local_addr().map(|ours| ours.is_ipv4());
        let mut found = tokio::net::lookup_host(self.address.as_str())
            .await
            .map_err(|source| DialError::Lookup { address: self.address.clone(), source })?;
        found
            .find(|address| ours.as_ref().is_ok_and(|v4| *v4 == address.is_ipv4()))
            .ok_or_else(|| DialError::NoAddress(self.address.clone()))
    }

    /// Sends what comes, until the connection ends; says why it did.
    async fn send_all(&self, connection: &Connection) -> quinn::ConnectionError {
        tokio::select! {
            ended = connection.closed() => ended,
            failed = self.send_until_failure(connection) => {
                debug!(peer = %self.name, error = %failed, "a write to the peer failed");
                // Only a stream that the peer stopped fails without the connection; begin anew with it too.
                connection.close(quinn::VarInt::from_u32(0), b"a stream was stopped");
                connection.closed().await
            }
        }
    }

    async fn send_until_failure(&self, connection: &Connection) -> quinn::WriteError {
        let mut stream = match connection.open_uni().await {
            Ok(stream) => stream,
            Err(error) => return error.into(),
        };
        let mut chunks = Vec::new();
        loop {
            let (mut gathered, mut held) = (0, 0);
            for (envelope, bytes) in self.link.queue.take_all().await {
                let Some(frame) = self.encode(envelope) else {
                    self.link.queue.sent(bytes);
                    continue;
                };
                if frame.len() > LARGE {
                    self.send_large(connection, frame.head, frame.body, bytes);
                    continue;
                }
                gathered += frame.len();
                held += bytes;
                chunks.push(frame.head);
                chunks.extend(frame.body);
                if gathered >= GATHER {
                    if let Err(error) = self.write(&mut stream, &mut chunks, held).await {
                        return error;
                    }
                    (gathered, held) = (0, 0);
                }
            }
            if let Err(error) = self.write(&mut stream, &mut chunks, held).await {
                return error;
            }
        }
    }

    fn encode(&self, envelope: Envelope) -> Option<kinfold_protocol::message::frame::Frame> {
        let kind = envelope.message.kind();
        match envelope.encode() {
            Ok(frame) => {
                self.counters.meters.sent(kind, frame.len());
                self.counters.link_messages.one();
                Some(frame)
            }
            Err(error) => {
                warn!(peer = %self.name, %error, "a message is too large to be sent");
                self.counters.link_messages_dropped.one();
                None
            }
        }
    }

    async fn write(
        &self,
        stream: &mut SendStream,
        chunks: &mut Vec<Bytes>,
        held: usize,
    ) -> Result<(), quinn::WriteError> {
        if !chunks.is_empty() {
            self.counters.link_writes.one();
            stream.write_all_chunks(chunks).await?;
            chunks.clear();
        }
        self.link.queue.sent(held);
        Ok(())
    }

    /// Sends one message on a stream of its own. Their number is bounded by the queue's bytes, which count until it is sent.
    fn send_large(&self, connection: &Connection, head: Bytes, body: Vec<Bytes>, held: usize) {
        let (connection, link) = (connection.clone(), Arc::clone(&self.link));
        self.counters.link_writes.one();
        tokio::spawn(async move {
            if let Ok(mut stream) = connection.open_uni().await {
                let mut chunks = Vec::with_capacity(1 + body.len());
                chunks.push(head);
                chunks.extend(body);
                // If it fails, the message is lost, as messages may be.
                let _ = stream.write_all_chunks(&mut chunks).await;
            }
            link.queue.sent(held);
        });
    }
}
