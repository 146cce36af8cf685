//! Components from node to node: one bidirectional stream each, a frame with the hash one way, a frame with the bytes the other.
//!
//! They go past the core: it would have to hold 32 MiB among its messages, and has nothing to decide about them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kinfold_protocol::causality::Digest;
use kinfold_protocol::cbor;
use kinfold_protocol::message::frame::Frame;
use kinfold_protocol::message::plugin::{Fetch, Fetched, MAX_COMPONENT};
use quinn::{Connection, RecvStream, SendStream};
use tracing::debug;

use super::Components;
use crate::frame_reader::{FrameReadError, FrameReader};

/// A component that is not here after so long is asked of another peer: 32 MiB at 5 Mbit/s.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest header of either frame, in bytes.
const HEADER: u32 = 1_024;

/// Why a peer did not give a component.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fetching {
    /// There is no connection to it, or it broke.
    #[error("it can't be reached: {0}")]
    Away(String),
    /// It does not have it.
    #[error("it does not have it")]
    None,
    /// It sent something else.
    #[error("it sent something else: {0}")]
    Wrong(String),
    /// It took too long.
    #[error("it took more than {} s", PATIENCE.as_secs())]
    Slow,
}

impl From<FrameReadError> for Fetching {
    fn from(error: FrameReadError) -> Self {
        match error {
            FrameReadError::Gone(error) => Self::Away(error.to_string()),
            FrameReadError::Bounds(_) | FrameReadError::Truncated { .. } => {
                Self::Wrong(error.to_string())
            }
        }
    }
}

/// Asks a peer for a component.
///
/// # Errors
/// [`Fetching`]: another peer may have it.
pub(super) async fn fetch(connection: &Connection, hash: Digest) -> Result<Bytes, Fetching> {
    tokio::time::timeout(PATIENCE, ask(connection, hash)).await.unwrap_or(Err(Fetching::Slow))
}

async fn ask(connection: &Connection, component: Digest) -> Result<Bytes, Fetching> {
    let away = |error: &dyn ToString| Fetching::Away(error.to_string());
    let (mut send, receive) = connection.open_bi().await.map_err(|error| away(&error))?;
    let frame = Frame::new(&Fetch { component }, Vec::new())
        .map_err(|error| Fetching::Wrong(error.to_string()))?;
    send.write_all(&frame.head).await.map_err(|error| away(&error))?;
    // Fails only if it was finished before.
    let _ = send.finish();
    let mut reader = FrameReader::new(receive);
    let prefix = reader.prefix().await?.ok_or(Fetching::None)?;
    if prefix.header > HEADER || prefix.body > MAX_COMPONENT {
        return Err(Fetching::Wrong(format!("a frame of {} bytes", prefix.body)));
    }
    let header = reader.take("its header", prefix.header as usize).await?;
    let header: Fetched =
        cbor::decode(&header).map_err(|error| Fetching::Wrong(error.to_string()))?;
    if !header.found {
        return Err(Fetching::None);
    }
    let bytes = reader.take("the component", prefix.body as usize).await?;
    if Digest::of(&bytes) == component {
        Ok(bytes)
    } else {
        Err(Fetching::Wrong("bytes of another hash".to_owned()))
    }
}

/// Gives a peer the components that it asks for, until the connection ends.
pub(crate) async fn serve(connection: &Connection, components: &Arc<Components>) {
    while let Ok((send, receive)) = connection.accept_bi().await {
        let components = Arc::clone(components);
        tokio::spawn(async move {
            let given = tokio::time::timeout(PATIENCE, give(&components, send, receive)).await;
            if !matches!(given, Ok(Ok(()))) {
                debug!("a peer did not take the component that it asked for");
            }
        });
    }
}

async fn give(
    components: &Components,
    mut send: SendStream,
    receive: RecvStream,
) -> Result<(), Fetching> {
    let mut reader = FrameReader::new(receive);
    let prefix = reader.prefix().await?.ok_or(Fetching::None)?;
    if prefix.header > HEADER || prefix.body > 0 {
        return Err(Fetching::Wrong("no question for a component".to_owned()));
    }
    let header = reader.take("its header", prefix.header as usize).await?;
    let Fetch { component } =
        cbor::decode(&header).map_err(|error| Fetching::Wrong(error.to_string()))?;
    // Each holds a component in memory. Who has to wait too long asks another peer.
    let _place = components.serving.acquire().await.map_err(|e| Fetching::Away(e.to_string()))?;
    let bytes = components.read(component).await.unwrap_or_default();
    let body = bytes.map(Bytes::from);
    let header = Fetched { found: body.is_some() };
    let frame = Frame::new(&header, body.into_iter().collect())
        .map_err(|error| Fetching::Wrong(error.to_string()))?;
    let mut chunks = vec![frame.head];
    chunks.extend(frame.body);
    send.write_all_chunks(&mut chunks).await.map_err(|error| Fetching::Away(error.to_string()))?;
    let _ = send.finish();
    // Held until the peer has all of it, or gives up.
    let _ = send.stopped().await;
    Ok(())
}
