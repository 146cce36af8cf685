//! Where a collector of traces is.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;
use serde::{Deserialize, Serialize};

/// The address of a collector: `http://HOST:PORT/PATH`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint(pub(crate) Uri);

/// Text that is no such address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no address of a collector: use one such as http://127.0.0.1:4318/v1/traces, without TLS"
)]
pub struct EndpointError(String);

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let refused = || EndpointError(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| refused())?;
        let is_http = uri.scheme_str() == Some("http") && uri.host().is_some();
        is_http.then_some(Self(uri)).ok_or_else(refused)
    }
}

impl TryFrom<String> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: String) -> Result<Self, EndpointError> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.to_string()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_is_an_endpoint() {
        for good in ["http://127.0.0.1:4318/v1/traces", "http://collector/v1/traces"] {
            assert_eq!(good.parse::<Endpoint>().unwrap().to_string(), good);
        }
        for bad in ["", "collector:4318", "https://c:4318/v1/traces", "/v1/traces"] {
            assert!(bad.parse::<Endpoint>().unwrap_err().to_string().contains("4318"), "{bad}");
        }
    }
}
