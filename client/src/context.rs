//! The causal context: which writes a reader has seen.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;

use crate::error::Error;

/// Which writes of a key its reader has seen. Sent with the next write of that key, it says which versions that write
/// replaces; versions it has not seen stay beside the new one.
///
/// The bytes mean nothing to a client. As text they are base64url without padding, fit for headers, URLs and shells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CausalContext(Bytes);

impl CausalContext {
    /// Takes up a context that was kept as [`as_bytes`](Self::as_bytes). A node refuses bytes that no node made.
    #[must_use]
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The bytes, to be kept anywhere.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Display for CausalContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl FromStr for CausalContext {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match URL_SAFE_NO_PAD.decode(text.trim()) {
            Ok(bytes) => Ok(Self(bytes.into())),
            Err(e) => Err(Error::Config(format!(
                "`{text}` is no context ({e}): pass it just as a read or a write printed it"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for bytes in [&b""[..], b"\x80", b"\xfb\xff\xfe", &[0; 100]] {
            let context = CausalContext::from_bytes(bytes);
            let text = context.to_string();
            assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            assert_eq!(text.parse(), Ok(context));
        }
        assert!("a+b/".parse::<CausalContext>().is_err());
    }
}
