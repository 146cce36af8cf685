//! Reads frames off a stream, within bounds.
//!
//! QUIC hands over what it received in chunks that are slices of its packets. A piece that lies in one large chunk is a slice of
//! it; a piece that spans several is put together. Small chunks are copied as they come: a slice keeps its packets, and
//! who sends a byte a packet would have the node keep them all.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use kinfold_protocol::message::frame::{FrameError, PREFIX, Prefix};
use quinn::{ReadError, RecvStream};

/// Chunks taken from the connection under one lock.
const CHUNKS: usize = 16;

/// Chunks below this are copied.
const SMALL: usize = 4 * 1024;

/// Frames on one stream.
pub(crate) struct FrameReader {
    stream: RecvStream,
    chunks: VecDeque<Chunk>,
    have: usize,
}

/// Bytes that were received.
enum Chunk {
    /// A slice of packets.
    Slice(Bytes),
    /// Small ones, one after the other.
    Copied(BytesMut),
}

impl Chunk {
    fn len(&self) -> usize {
        match self {
            Self::Slice(bytes) => bytes.len(),
            Self::Copied(bytes) => bytes.len(),
        }
    }

    fn split_to(&mut self, count: usize) -> Bytes {
        match self {
            Self::Slice(bytes) => bytes.split_to(count),
            Self::Copied(bytes) => bytes.split_to(count).freeze(),
        }
    }
}

/// Why no frame was read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameReadError {
    /// The lengths at its start are out of bounds.
    #[error(transparent)]
    Bounds(#[from] FrameError),
    /// The stream ended in the middle.
    #[error("the stream ended in the middle of a frame: {what} has {have} of {want} bytes")]
    Truncated {
        /// Which part of the frame.
        what: &'static str,
        /// Bytes that came.
        have: usize,
        /// Bytes that it should have.
        want: usize,
    },
    /// The sender gave the stream up, or the connection is gone: there is nobody to tell.
    #[error("the stream is gone: {0}")]
    Gone(#[from] ReadError),
}

impl FrameReader {
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self { stream, chunks: VecDeque::new(), have: 0 }
    }

    /// Reads the prefix of the next frame; `None` if the stream ends before it.
    pub(crate) async fn prefix(&mut self) -> Result<Option<Prefix>, FrameReadError> {
        self.gather(PREFIX).await?;
        if self.have == 0 {
            return Ok(None);
        }
        let bytes = self.take("its prefix", PREFIX).await?;
        let mut prefix = [0; PREFIX];
        prefix.copy_from_slice(&bytes);
        Ok(Some(Prefix::decode(prefix)?))
    }

    /// Reads `count` bytes, called `what` in errors.
    pub(crate) async fn take(
        &mut self,
        what: &'static str,
        count: usize,
    ) -> Result<Bytes, FrameReadError> {
        self.gather(count).await?;
        if self.have < count {
            return Err(FrameReadError::Truncated { what, have: self.have, want: count });
        }
        self.have -= count;
        if count == 0 {
            return Ok(Bytes::new());
        }
        if let Some(first) = self.chunks.front_mut()
            && first.len() >= count
        {
            let piece = first.split_to(count);
            if first.len() == 0 {
                self.chunks.pop_front();
            }
            return Ok(piece);
        }
        let mut piece = BytesMut::with_capacity(count);
        while piece.len() < count {
            let Some(mut chunk) = self.chunks.pop_front() else { break };
            let part = chunk.split_to(chunk.len().min(count - piece.len()));
            piece.extend_from_slice(&part);
            if chunk.len() > 0 {
                self.chunks.push_front(chunk);
            }
        }
        Ok(piece.freeze())
    }

    /// Passes over `count` bytes without holding them.
    pub(crate) async fn skip(
        &mut self,
        what: &'static str,
        mut count: usize,
    ) -> Result<(), FrameReadError> {
        while count > 0 {
            let step = count.min(64 * 1024);
            self.take(what, step).await?;
            count -= step;
        }
        Ok(())
    }

    /// Bytes that came after what was read.
    pub(crate) fn surplus(&self) -> usize {
        self.have
    }

    /// Reads on until `count` bytes are here, or the stream ends.
    async fn gather(&mut self, count: usize) -> Result<(), FrameReadError> {
        while self.have < count {
            let mut chunks = [const { Bytes::new() }; CHUNKS];
            let Some(read) = self.stream.read_chunks(&mut chunks).await? else { break };
            for chunk in chunks.into_iter().take(read) {
                self.have += chunk.len();
                self.hold(chunk);
            }
        }
        Ok(())
    }

    fn hold(&mut self, chunk: Bytes) {
        if chunk.len() >= SMALL {
            self.chunks.push_back(Chunk::Slice(chunk));
        } else if let Some(Chunk::Copied(last)) = self.chunks.back_mut() {
            last.extend_from_slice(&chunk);
        } else {
            self.chunks.push_back(Chunk::Copied(BytesMut::from(&chunk[..])));
        }
    }
}
