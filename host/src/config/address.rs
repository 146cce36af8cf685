//! Where a node can be dialled.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `HOST:PORT` to dial: an IPv4 address, an IPv6 address in brackets, or a DNS name, which is resolved at each dial.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

impl Address {
    /// The text, as `tokio::net::lookup_host` takes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        let dialable = match text.parse::<SocketAddr>() {
            Ok(socket) => !socket.ip().is_unspecified() && socket.port() != 0,
            Err(_) => is_dns_and_port(&text),
        };
        if dialable {
            return Ok(Self(text));
        }
        Err(AddressError(text))
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        text.to_owned().try_into()
    }
}

fn is_dns_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    // Digits and dots only is a misspelt IPv4 address, not a name.
    let name = host.bytes().any(|b| b.is_ascii_alphabetic());
    name && host.len() <= 253
        && host.split('.').all(label)
        && port.bytes().all(|b| b.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| port != 0)
}

/// A text that nobody could dial.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` can't be dialled: use HOST:PORT, where HOST is an IP address (not a wildcard) or a DNS name, and PORT is not 0"
)]
pub struct AddressError(pub String);
