//! Frames of the floor: two lengths, a header, and the bytes, as in the product. The header holds the little that the floor
//! needs to know, filled up to about the length of the product's.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quinn::{ReadError, RecvStream};

/// Bytes before the header.
const PREFIX: usize = 8;

/// Chunks taken from the connection at once, as in the product.
const CHUNKS: usize = 16;

/// What a header says before the key.
const FIXED: usize = 1 + 1 + 8 + 2;

/// Bytes of a header besides the key: about what the product's put has.
pub(super) const FILLING: usize = 100;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A client writes.
    Put,
    /// A client reads.
    Get,
    /// A node passes a write on.
    Replicate,
    /// A node asks whether another one has a key.
    Read,
    /// An answer.
    Done,
    /// The answer that there is no such key.
    Missing,
}

/// A header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// What the frame is.
    pub(super) kind: Kind,
    /// Nodes to wait for.
    pub(super) quorum: u8,
    /// The number of a question between nodes.
    pub(super) ask: u64,
    /// The key.
    pub(super) key: Bytes,
}

/// A frame in the pieces that it came in, or is to be sent in.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Prefix and header.
    pub(super) head: Bytes,
    /// The bytes.
    pub(super) body: Vec<Bytes>,
}

impl Header {
    /// The frame of this header and a body.
    pub(super) fn frame(&self, body: Vec<Bytes>) -> Frame {
        let header = FIXED + self.key.len() + FILLING;
        let mut head = BytesMut::with_capacity(PREFIX + header);
        let length = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        head.put_u32(length(header));
        head.put_u32(length(body.iter().map(Bytes::len).sum()));
        head.put_u8(match self.kind {
            Kind::Put => 0,
            Kind::Get => 1,
            Kind::Replicate => 2,
            Kind::Read => 3,
            Kind::Done => 4,
            Kind::Missing => 5,
        });
        head.put_u8(self.quorum);
        head.put_u64(self.ask);
        head.put_u16(u16::try_from(self.key.len()).unwrap_or(u16::MAX));
        head.put_slice(&self.key);
        head.put_bytes(0, FILLING);
        Frame { head: head.freeze(), body }
    }

    fn parse(mut header: Bytes) -> Option<Self> {
        if header.len() < FIXED {
            return None;
        }
        let kind = match header.get_u8() {
            0 => Kind::Put,
            1 => Kind::Get,
            2 => Kind::Replicate,
            3 => Kind::Read,
            4 => Kind::Done,
            5 => Kind::Missing,
            _ => return None,
        };
        let (quorum, ask) = (header.get_u8(), header.get_u64());
        let key = usize::from(header.get_u16());
        (key <= header.len()).then(|| Self { kind, quorum, ask, key: header.split_to(key) })
    }
}

impl Frame {
    /// All pieces, in order.
    pub(super) fn pieces(self) -> impl Iterator<Item = Bytes> {
        std::iter::once(self.head).chain(self.body)
    }
}

/// Reads frames off a stream.
pub(super) struct Frames {
    stream: RecvStream,
    chunks: VecDeque<Bytes>,
    have: usize,
}

impl Frames {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self { stream, chunks: VecDeque::new(), have: 0 }
    }

    /// The next frame, with its body in the pieces that it came in; `None` at the end, or if what comes is none.
    pub(super) async fn next(&mut self) -> Result<Option<(Header, Vec<Bytes>)>, ReadError> {
        let Some(mut prefix) = self.joined(PREFIX).await? else { return Ok(None) };
        let (header, body) = (prefix.get_u32() as usize, prefix.get_u32() as usize);
        let Some(header) = self.joined(header).await?.and_then(Header::parse) else {
            return Ok(None);
        };
        Ok(self.pieces(body).await?.map(|body| (header, body)))
    }

    async fn joined(&mut self, count: usize) -> Result<Option<Bytes>, ReadError> {
        Ok(self.pieces(count).await?.map(|pieces| match pieces.as_slice() {
            [only] => only.clone(),
            several => several.concat().into(),
        }))
    }

    /// So many bytes, uncopied.
    async fn pieces(&mut self, count: usize) -> Result<Option<Vec<Bytes>>, ReadError> {
        while self.have < count {
            let mut chunks = [const { Bytes::new() }; CHUNKS];
            let Some(read) = self.stream.read_chunks(&mut chunks).await? else { return Ok(None) };
            for chunk in chunks.into_iter().take(read) {
                self.have += chunk.len();
                self.chunks.push_back(chunk);
            }
        }
        self.have -= count;
        let (mut pieces, mut missing) = (Vec::new(), count);
        while missing > 0 {
            let Some(mut chunk) = self.chunks.pop_front() else { break };
            let piece = chunk.split_to(chunk.len().min(missing));
            missing -= piece.len();
            pieces.push(piece);
            if !chunk.is_empty() {
                self.chunks.push_front(chunk);
            }
        }
        Ok(Some(pieces))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_as_it_was() {
        let header =
            Header { kind: Kind::Replicate, quorum: 2, ask: 7, key: Bytes::from_static(b"key") };
        let frame = header.frame(vec![Bytes::from_static(b"body")]);
        assert_eq!(frame.head[..8], [0, 0, 0, 115, 0, 0, 0, 4]);
        assert_eq!(Header::parse(frame.head.slice(8..)), Some(header));
        assert_eq!(Header::parse(Bytes::from_static(&[9; 20])), None);
        assert_eq!(Header::parse(Bytes::from_static(&[0; 3])), None);
    }
}
