//! What a reader is answered of an object.

use alloc::string::ToString;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::causality::{Content, Context, Object};
use crate::encoding;
use crate::merge::{self, MergeFailure, MergeInput};
use crate::message::client::Found;
use crate::time::Expiry;

/// The header and the values of `object`, all of whose bytes are at hand; `view` is what the plugin made of several siblings, or
/// why it did not.
pub(crate) fn found(
    object: &Object,
    view: Option<&Result<Content, MergeFailure>>,
    owners: usize,
    fallbacks: usize,
) -> (Found, Vec<Bytes>) {
    let mut values = Vec::new();
    let mut merged = false;
    let mut merge_failure = None;
    match view {
        Some(Ok(content)) => {
            merged = true;
            values.extend(content.bytes().cloned());
        }
        Some(Err(failure)) => merge_failure = Some(failure.to_string()),
        None => {}
    }
    if !merged {
        let inputs: Vec<MergeInput> = merge::inputs(object);
        values.extend(inputs.into_iter().filter_map(|input| input.value));
    }
    let found = Found {
        expires: expiries(object, merged, &values),
        context: encoding::encode_context(&seen(object)),
        values: values
            .iter()
            .map(|v| u32::try_from(v.len()).expect("values have a bound below u32::MAX"))
            .collect(),
        deleted: object.versions.iter().any(|v| v.content.is_tombstone()),
        merged,
        merge_failure,
        owners: u8::try_from(owners).unwrap_or(u8::MAX),
        fallbacks: u8::try_from(fallbacks).unwrap_or(u8::MAX),
    };
    (found, values)
}

/// When each of the values expires, zero for never; nothing at all where none does.
fn expiries(object: &Object, merged: bool, values: &[Bytes]) -> Vec<u64> {
    if object.due().is_none() {
        return Vec::new();
    }
    let expiry = |value: &Bytes| {
        let standing = object.versions.iter().filter(|v| !v.content.is_tombstone());
        let made_of = standing.filter(|v| merged || v.content.bytes() == Some(value));
        Expiry::of_all(made_of.map(|v| v.expires)).map_or(0, |expiry| expiry.0)
    };
    values.iter().map(expiry).collect()
}

/// What who reads the object has seen: at least what it reads, however much of the context needs not be stored.
pub(crate) fn seen(object: &Object) -> Context {
    let mut seen = object.context.clone();
    for version in &object.versions {
        if !seen.covers_dot(version.dot) {
            seen.unite(&Context::of(version.dot));
        }
        if !seen.covers(&version.covers) {
            seen.unite(&version.covers);
        }
    }
    seen
}
