//! A name for one write, so that sending it twice is not writing it twice.

use std::fmt;
use std::str::FromStr;

use kinfold_protocol::id;

use crate::error::Error;

/// What the client calls one write, however often it has to send it. As text: 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub(crate) id::RequestId);

impl RequestId {
    /// A new one, from the system's random source.
    ///
    /// # Errors
    /// [`Error::Config`] if the system has no randomness to give.
    pub fn random() -> Result<Self, Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|e| Error::Config(format!("the system gives no random numbers: {e}")))?;
        Ok(Self(id::RequestId(bytes)))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0.0))
    }
}

impl FromStr for RequestId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        match u128::from_str_radix(text, 16) {
            Ok(number) if digits => Ok(Self(id::RequestId(number.to_be_bytes()))),
            Ok(_) | Err(_) => Err(Error::Config(format!(
                "`{text}` is no request id: use the 32 hexadecimal digits that were printed"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let id = RequestId::random().unwrap();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_ne!(RequestId::random().unwrap(), id);
        for bad in ["", "12", "+0000000000000000000000000000001", &"g".repeat(32)] {
            assert!(bad.parse::<RequestId>().is_err(), "{bad}");
        }
    }
}
