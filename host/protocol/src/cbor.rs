//! CBOR (RFC 8949) in one canonical form, read within bounds.
//!
//! Bytes from outside are walked once before anything is allocated for them: definite lengths only, shortest form of every
//! number, bounded depth, no tags, no floats, no trailing bytes. Only then are they given to serde.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// How deep arrays and maps may be nested.
pub const MAX_DEPTH: u8 = 16;

/// Why bytes are not what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// It ends too early.
    #[error("the CBOR is truncated at byte {0}")]
    Truncated(usize),
    /// Bytes follow after its end.
    #[error("bytes follow after the CBOR's end at byte {0}")]
    Trailing(usize),
    /// A feature that the canonical form does not have.
    #[error("the CBOR is not canonical at byte {0}: {1}")]
    NotCanonical(usize, &'static str),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("the CBOR is nested too deeply at byte {0}")]
    TooDeep(usize),
    /// Well-formed, but not what was expected.
    #[error("the CBOR does not fit: {0}")]
    Unexpected(String),
}

/// Encodes a value.
#[must_use]
pub fn encode(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    ciborium::into_writer(value, &mut bytes).expect("writing to memory can't fail");
    bytes
}

/// Checks `bytes` and decodes them.
///
/// # Errors
/// [`CborError`] says what is wrong and where.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CborError> {
    check(bytes)?;
    ciborium::from_reader(bytes).map_err(|e| match e {
        ciborium::de::Error::Semantic(_, text) => CborError::Unexpected(shortened(text)),
        ciborium::de::Error::Syntax(at) => CborError::NotCanonical(at, "syntax"),
        ciborium::de::Error::Io(_) => CborError::Truncated(bytes.len()),
        ciborium::de::Error::RecursionLimitExceeded => CborError::TooDeep(0),
        #[expect(unreachable_patterns, reason = "the error enum may grow")]
        other => CborError::Unexpected(other.to_string()),
    })
}

/// Most bytes of what an error repeats of the bytes that it is about.
const MAX_WORDS: usize = 512;

/// Text from outside may be as long as the header that it stands in, and an error is sent and logged.
fn shortened(mut text: String) -> String {
    if text.len() > MAX_WORDS {
        text.truncate(text.floor_char_boundary(MAX_WORDS));
        text.push_str("...");
    }
    text
}

/// Checks that `bytes` are one item in canonical form.
///
/// # Errors
/// [`CborError`] says what is wrong and where.
pub fn check(bytes: &[u8]) -> Result<(), CborError> {
    let mut walk = Walk { bytes, at: 0 };
    walk.item(0)?;
    if walk.at == bytes.len() { Ok(()) } else { Err(CborError::Trailing(walk.at)) }
}

struct Walk<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Walk<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8], CborError> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else {
            return Err(CborError::Truncated(self.bytes.len()));
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// The argument of an item's head, which must be in its shortest form.
    fn argument(&mut self, info: u8, start: usize) -> Result<u64, CborError> {
        let width = match info {
            0..=23 => return Ok(u64::from(info)),
            24..=27 => 1usize << (info - 24),
            31 => return Err(CborError::NotCanonical(start, "indefinite length")),
            _ => return Err(CborError::NotCanonical(start, "reserved additional information")),
        };
        let value = self.take(width)?.iter().fold(0u64, |n, byte| (n << 8) | u64::from(*byte));
        let least = match width {
            1 => 24,
            2 => 1 << 8,
            4 => 1 << 16,
            _ => 1 << 32,
        };
        if value < least {
            return Err(CborError::NotCanonical(
                start,
                "a number that is not in its shortest form",
            ));
        }
        Ok(value)
    }

    fn item(&mut self, depth: u8) -> Result<(), CborError> {
        if depth > MAX_DEPTH {
            return Err(CborError::TooDeep(self.at));
        }
        let start = self.at;
        let head = self.take(1)?[0];
        let (major, info) = (head >> 5, head & 31);
        if major == 7 {
            return match info {
                20..=22 => Ok(()),
                _ => Err(CborError::NotCanonical(start, "a float or an unknown simple value")),
            };
        }
        let argument = self.argument(info, start)?;
        match major {
            0 | 1 => Ok(()),
            2 | 3 => {
                let count = usize::try_from(argument).map_err(|_| CborError::Truncated(start))?;
                let text = self.take(count)?;
                if major == 3 && core::str::from_utf8(text).is_err() {
                    return Err(CborError::NotCanonical(start, "text that is not UTF-8"));
                }
                Ok(())
            }
            4 | 5 => {
                let items = argument.saturating_mul(u64::from(major) - 3);
                // Each item takes a byte at least: a count above what is left can't be true.
                if items > (self.bytes.len() - self.at) as u64 {
                    return Err(CborError::Truncated(start));
                }
                (0..items).try_for_each(|_| self.item(depth + 1))
            }
            _ => Err(CborError::NotCanonical(start, "a tag")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, prop_assert, proptest};

    #[test]
    fn canonical_bytes_pass_and_others_are_refused_with_the_reason() {
        for good in [&[0x00][..], &[0x18, 24], &[0x43, 1, 2, 3], &[0xa1, 0x61, b'a', 0x80], &[0xf6]]
        {
            assert_eq!(check(good), Ok(()), "{good:?}");
        }
        let not = |at, why| Err(CborError::NotCanonical(at, why));
        assert_eq!(check(&[]), Err(CborError::Truncated(0)));
        assert_eq!(check(&[0x43, 1]), Err(CborError::Truncated(2)));
        assert_eq!(check(&[0x00, 0x00]), Err(CborError::Trailing(1)));
        assert_eq!(check(&[0x18, 23]), not(0, "a number that is not in its shortest form"));
        assert_eq!(check(&[0x5f, 0xff]), not(0, "indefinite length"));
        assert_eq!(check(&[0xc0, 0x00]), not(0, "a tag"));
        assert_eq!(check(&[0xf9, 0, 0]), not(0, "a float or an unknown simple value"));
        assert_eq!(check(&[0x61, 0xff]), not(0, "text that is not UTF-8"));
        assert_eq!(check(&[0x81; 40]), Err(CborError::TooDeep(17)));
        // Four thousand million items, promised in five bytes.
        assert_eq!(check(&[0x9a, 0xff, 0xff, 0xff, 0xff]), Err(CborError::Truncated(0)));
    }

    #[test]
    fn an_error_does_not_repeat_all_that_it_was_sent() {
        let long = encode(&"é".repeat(100_000));
        let error = decode::<crate::id::BucketName>(&long).unwrap_err().to_string();
        assert!(error.len() < 600 && error.contains("ééé"), "{error}");
    }

    proptest! {
        #[test]
        fn whatever_we_encode_passes(numbers in prop::collection::vec(any::<u64>(), 0..20), text in ".{0,40}") {
            let bytes = encode(&(numbers.clone(), text.clone()));
            let back: (Vec<u64>, String) = decode(&bytes).unwrap();
            prop_assert!(back == (numbers, text));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _: Result<Vec<String>, _> = decode(&bytes);
        }
    }
}
