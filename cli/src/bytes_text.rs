//! Keys and values on their way between bytes and text.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;

/// Bytes in JSON: always as base64, and as text too where they are UTF-8.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct JsonBytes {
    bytes: usize,
    base64: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    utf8: Option<String>,
}

impl JsonBytes {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let utf8 = str::from_utf8(bytes).ok().map(str::to_owned);
        Self { bytes: bytes.len(), base64: STANDARD.encode(bytes), utf8 }
    }
}

/// An argument's bytes, whatever they are.
pub(crate) fn argument(argument: OsString) -> Bytes {
    argument.into_vec().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_given_twice_and_other_bytes_once() {
        let json = |bytes: &[u8]| serde_json::to_string(&JsonBytes::new(bytes)).unwrap();
        assert_eq!(json(b"milk"), r#"{"bytes":4,"base64":"bWlsaw==","utf8":"milk"}"#);
        assert_eq!(json(b"\xff\x00"), r#"{"bytes":2,"base64":"/wA="}"#);
    }
}
