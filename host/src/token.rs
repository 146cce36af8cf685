//! What lets a new machine join: all that the authority gives a node, in one line of text.
//!
//! The certificate in it is what counts: it was issued for one name, so whoever has it may stage that a node of this name
//! joins, and no more. Nothing has to be registered with the cluster, and a name that is taken can't be taken again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kinfold_protocol::cbor;
use serde::{Deserialize, Serialize};

/// A token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The cluster's name.
    pub cluster: String,
    /// The new node's name.
    pub node: String,
    /// The authority's certificate, PEM.
    pub ca: String,
    /// The node's certificate, PEM.
    pub cert: String,
    /// The node's private key, PEM.
    pub key: String,
}

/// A text that is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a whole token: copy all of the line that `kinfold cluster token` printed")]
pub struct TokenError;

impl Token {
    /// As a line of text.
    #[must_use]
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(cbor::encode(self))
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`TokenError`]: part of it is missing, or it is something else.
    pub fn from_text(text: &str) -> Result<Self, TokenError> {
        let bytes = URL_SAFE_NO_PAD.decode(text.trim()).map_err(|_| TokenError)?;
        cbor::decode(&bytes).map_err(|_| TokenError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_whole_or_not_at_all() {
        let part = |text: &str| text.to_owned();
        let token = Token {
            cluster: part("shop"),
            node: part("n4"),
            ca: part("A"),
            cert: part("B"),
            key: part("C"),
        };
        let text = token.to_text();
        assert!(Token::from_text(&format!(" {text}\n")).is_ok_and(|read| read == token));
        assert!(Token::from_text(&text[..text.len() - 4]).is_err());
        assert!(Token::from_text("").is_err());
    }
}
