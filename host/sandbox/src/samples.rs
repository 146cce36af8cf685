//! Values that buckets merged lately: siblings on which the laws of a new plugin can be tried.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use kinfold_protocol::merge::MergeRequest;

/// Values that are kept of a bucket.
const MOST: usize = 64;
/// Larger ones are not kept, in bytes.
const LARGEST: usize = 64 * 1024;
/// Buckets of which values are kept.
const BUCKETS: usize = 256;

/// The last values of each bucket, copied: what they were cut from is not held up.
#[derive(Default)]
pub(crate) struct Samples {
    values: Mutex<BTreeMap<String, VecDeque<Bytes>>>,
}

impl Samples {
    /// Keeps the inputs of a merge.
    pub(crate) fn keep(&self, request: &MergeRequest) {
        let mut buckets = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS && !buckets.contains_key(&request.bucket) {
            return;
        }
        let kept = buckets.entry(request.bucket.clone()).or_default();
        let values = request.inputs.iter().filter_map(|input| input.value.as_ref());
        for value in values.filter(|value| value.len() <= LARGEST) {
            if kept.len() >= MOST {
                kept.pop_front();
            }
            kept.push_back(Bytes::copy_from_slice(value));
        }
    }

    /// What is kept of a bucket.
    pub(crate) fn of(&self, bucket: &str) -> Vec<Bytes> {
        let buckets = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.get(bucket).map(|kept| kept.iter().cloned().collect()).unwrap_or_default()
    }
}
