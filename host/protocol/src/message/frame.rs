//! The frame around every message: two lengths, a CBOR header, and the raw bytes of values.
//!
//! ```text
//! header length  u32, big endian, at most MAX_HEADER
//! body length    u32, big endian, at most MAX_BODY
//! header         CBOR in canonical form
//! body           the bytes of the values that the header names, one after the other
//! ```

use alloc::vec::Vec;

use bytes::Bytes;
use serde::Serialize;

use crate::cbor;

/// Longest header, in bytes.
pub const MAX_HEADER: u32 = 2 * 1024 * 1024;

/// Longest body, in bytes.
pub const MAX_BODY: u32 = 64 * 1024 * 1024;

/// Bytes before the header.
pub const PREFIX: usize = 8;

/// A message that was not read: its frame is too long, or is not followed by what it promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A header above [`MAX_HEADER`], or none.
    #[error("a header of {0} bytes: from 1 to {MAX_HEADER} are allowed")]
    Header(u32),
    /// A body above [`MAX_BODY`].
    #[error("a body of {0} bytes: at most {MAX_BODY} are allowed")]
    Body(u32),
}

/// The two lengths at the start of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Length of the header, in bytes.
    pub header: u32,
    /// Length of the body, in bytes.
    pub body: u32,
}

impl Prefix {
    /// Reads the prefix, within the bounds.
    ///
    /// # Errors
    /// [`FrameError`] if a length is out of bounds.
    pub fn decode(bytes: [u8; PREFIX]) -> Result<Self, FrameError> {
        let [a, b, c, d, e, f, g, h] = bytes;
        let header = u32::from_be_bytes([a, b, c, d]);
        let body = u32::from_be_bytes([e, f, g, h]);
        if header == 0 || header > MAX_HEADER {
            Err(FrameError::Header(header))
        } else if body > MAX_BODY {
            Err(FrameError::Body(body))
        } else {
            Ok(Self { header, body })
        }
    }
}

/// A message ready to be sent: prefix and header in one piece, then the pieces of the body.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Prefix and header.
    pub head: Bytes,
    /// The body's pieces, in order.
    pub body: Vec<Bytes>,
}

impl Frame {
    /// The frame of a header and the pieces of its body.
    ///
    /// # Errors
    /// [`FrameError`] if it is too long to be sent.
    pub fn new(header: &impl Serialize, body: Vec<Bytes>) -> Result<Self, FrameError> {
        let encoded = cbor::encode(header);
        let header_len = u32::try_from(encoded.len()).unwrap_or(u32::MAX);
        let body_len: usize = body.iter().map(Bytes::len).sum();
        let body_len = u32::try_from(body_len).unwrap_or(u32::MAX);
        if header_len > MAX_HEADER {
            return Err(FrameError::Header(header_len));
        }
        if body_len > MAX_BODY {
            return Err(FrameError::Body(body_len));
        }
        let mut head = Vec::with_capacity(PREFIX + encoded.len());
        head.extend_from_slice(&header_len.to_be_bytes());
        head.extend_from_slice(&body_len.to_be_bytes());
        head.extend_from_slice(&encoded);
        Ok(Self { head: head.into(), body })
    }

    /// Length of the whole frame, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() + self.body.iter().map(Bytes::len).sum::<usize>()
    }

    /// Never: every frame has a prefix.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }
}
