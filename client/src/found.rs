//! What a get found.

use std::time::SystemTime;

use bytes::Bytes;

use crate::context::CausalContext;
use crate::error::Error;

/// What a get found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The values: none where there is nothing or the key is deleted, several where writers did not know of each other and
    /// nothing has merged what they wrote.
    pub values: Vec<Bytes>,
    /// When each of the values expires, by the clocks of the nodes; none for those that stay.
    pub expires: Vec<Option<SystemTime>>,
    /// What this read has seen, to be sent with the next write of the key. There is one even where there is no value.
    pub context: CausalContext,
    /// Is a delete among what was seen?
    pub deleted: bool,
    /// Did the bucket's plugin make the one value out of several?
    pub merged: bool,
    /// Why the bucket's plugin did not merge the values, if it has one and there are several.
    pub merge_failure: Option<String>,
    /// Owners that answered in time.
    pub owners: u8,
    /// Nodes that answered in place of owners: they may lack what owners hold.
    pub fallbacks: u8,
}

impl Found {
    /// The value, for callers that expect one at most.
    ///
    /// # Errors
    /// [`Error::Siblings`] if there are several; they and the context are still in [`values`](Self::values) and
    /// [`context`](Self::context).
    pub fn one(&self) -> Result<Option<&Bytes>, Error> {
        match self.values.as_slice() {
            [] => Ok(None),
            [value] => Ok(Some(value)),
            several => Err(Error::Siblings {
                count: several.len(),
                merge_failure: self.merge_failure.clone(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_at_most() {
        let mut found = Found {
            values: Vec::new(),
            expires: Vec::new(),
            context: CausalContext::from_bytes(""),
            deleted: false,
            merged: false,
            merge_failure: Some("out of fuel".to_owned()),
            owners: 2,
            fallbacks: 0,
        };
        assert_eq!(found.one(), Ok(None));
        found.values.push(Bytes::from_static(b"a"));
        assert_eq!(found.one(), Ok(Some(&Bytes::from_static(b"a"))));
        found.values.push(Bytes::from_static(b"b"));
        let said = found.one().unwrap_err().to_string();
        assert!(said.contains("2 sibling values") && said.contains("out of fuel"), "{said}");
    }
}
