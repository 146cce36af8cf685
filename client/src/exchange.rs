//! One request and its answer on one stream.
//!
//! What must hold: nothing is allocated on the word of a length alone, and whoever asks can always tell whether a part of
//! the request may have reached the node.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use kinfold_protocol::cbor;
use kinfold_protocol::message::client::ResponseHeader;
use kinfold_protocol::message::frame::{Frame, PREFIX, Prefix};
use quinn::{Connection, ConnectionError, ReadError, RecvStream, SendStream, WriteError};

use crate::error::Error;

/// More than this is not allocated before it arrives.
const FIRST_ALLOCATION: usize = 64 * 1024;

/// A node's answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its header.
    pub(crate) header: ResponseHeader,
    /// Its values, one after the other.
    pub(crate) body: Bytes,
    /// Attempts that were made until it came.
    pub(crate) attempts: u32,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The request never reached the node.
    NotSent(String),
    /// It may have reached the node.
    Lost(String),
    /// It reached the node, which answered something that can't be read.
    Broken(String),
}

impl Fault {
    /// What it means for a request that changes nothing.
    pub(crate) fn into_read_error(self, node: &str) -> Error {
        match self {
            Self::NotSent(why) | Self::Lost(why) => {
                Error::Unreachable { notes: format!("{node}: {why}") }
            }
            Self::Broken(why) => Error::Protocol { notes: format!("{node}: {why}") },
        }
    }
}

/// Sends a request and reads its answer. `sent` is set as soon as a part of the request may reach the node.
pub(crate) async fn exchange(
    connection: &Connection,
    frame: Frame,
    sent: &AtomicBool,
) -> Result<Answer, Fault> {
    let (mut send, mut recv) =
        connection.open_bi().await.map_err(|e| Fault::NotSent(e.to_string()))?;
    sent.store(true, Ordering::Relaxed);
    let answer = read(&mut recv);
    let request = write(&mut send, frame);
    tokio::pin!(answer, request);
    // A node that refuses may answer before it has read everything, and then reads no further.
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        written = &mut request => match written {
            Ok(()) | Err(WriteError::Stopped(_)) => answer.await,
            Err(WriteError::ConnectionLost(e)) => Err(lost(&e)),
            Err(e @ (WriteError::ClosedStream | WriteError::ZeroRttRejected)) => {
                Err(Fault::Lost(e.to_string()))
            }
        },
    }
}

async fn write(send: &mut SendStream, frame: Frame) -> Result<(), WriteError> {
    let mut pieces = vec![frame.head];
    pieces.extend(frame.body);
    send.write_all_chunks(&mut pieces).await?;
    // Closed already: the node has all it wants.
    let _ = send.finish();
    Ok(())
}

async fn read(recv: &mut RecvStream) -> Result<Answer, Fault> {
    let mut prefix = [0; PREFIX];
    prefix.copy_from_slice(&take(recv, PREFIX).await?);
    let prefix = Prefix::decode(prefix).map_err(|e| broken(&e))?;
    let header = take(recv, prefix.header as usize).await?;
    let header = cbor::decode(&header).map_err(|e| broken(&e))?;
    let body = take(recv, prefix.body as usize).await?;
    match recv.read_chunk(1, true).await.map_err(|e| read_fault(&e))? {
        None => Ok(Answer { header, body, attempts: 1 }),
        Some(_) => Err(Fault::Broken("bytes follow after the answer".to_owned())),
    }
}

/// The next `count` bytes of the stream.
async fn take(recv: &mut RecvStream, count: usize) -> Result<Bytes, Fault> {
    let mut taken = BytesMut::new();
    while taken.len() < count {
        let chunk = recv.read_chunk(count - taken.len(), true).await.map_err(|e| read_fault(&e))?;
        let Some(chunk) = chunk else {
            return Err(Fault::Lost("the node ended the stream without an answer".to_owned()));
        };
        if chunk.bytes.len() == count {
            return Ok(chunk.bytes);
        }
        if taken.is_empty() {
            taken.reserve(count.min(FIRST_ALLOCATION));
        }
        taken.extend_from_slice(&chunk.bytes);
    }
    Ok(taken.freeze())
}

fn broken(e: &dyn fmt::Display) -> Fault {
    Fault::Broken(e.to_string())
}

fn read_fault(e: &ReadError) -> Fault {
    match e {
        ReadError::ConnectionLost(e) => lost(e),
        ReadError::Reset(_)
        | ReadError::ClosedStream
        | ReadError::IllegalOrderedRead
        | ReadError::ZeroRttRejected => Fault::Lost(e.to_string()),
    }
}

/// A node that lets a client no further than its door says so after the client's side of the handshake is done, when
/// requests may be on their way; it has read none of them.
fn lost(e: &ConnectionError) -> Fault {
    /// TLS alerts: the node does not trust the certificate.
    const ALERTS: Range<u64> = 0x100..0x200;
    /// The codes of docs/PROTOCOL.md that come before anything is read.
    const AT_THE_DOOR: Range<u64> = 2..5;
    let refused = match e {
        ConnectionError::ConnectionClosed(close) => ALERTS.contains(&close.error_code.into()),
        ConnectionError::ApplicationClosed(close) => {
            AT_THE_DOOR.contains(&close.error_code.into_inner())
        }
        ConnectionError::VersionMismatch
        | ConnectionError::TransportError(_)
        | ConnectionError::Reset
        | ConnectionError::TimedOut
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => false,
    };
    if refused {
        return Fault::NotSent(format!("the node does not let this client in: {e}"));
    }
    Fault::Lost(e.to_string())
}
