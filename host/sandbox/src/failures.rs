//! Merges that plugins failed on by a fault of their own, with all that it takes to run them again.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use kinfold_protocol::causality::Digest;
use kinfold_protocol::merge::{MergeFailure, MergeInput, MergeRequest};
use kinfold_protocol::message::plugin::{FailedMerge, FailedSibling};

/// Merges that are kept of a plugin.
const MOST: usize = 8;
/// Larger ones are not kept: bytes of key, config and values.
const LARGEST: usize = 1024 * 1024;
/// All that are kept have no more, in bytes.
const ROOM: usize = 16 * 1024 * 1024;

/// The last merges that plugins failed on. The bytes are copies: what they were cut from is not held up.
#[derive(Default)]
pub(crate) struct Failures {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The one that failed longest ago first.
    merges: VecDeque<Failed>,
    bytes: usize,
}

struct Failed {
    plugin: String,
    bytes: usize,
    about: FailedMerge,
    inputs: Vec<MergeInput>,
}

impl Failures {
    /// Keeps a merge on which the component with this hash failed. One that failed before is counted, not kept twice.
    pub(crate) fn keep(&self, component: Digest, request: &MergeRequest, failure: &MergeFailure) {
        let values = request.inputs.iter().filter_map(|input| input.value.as_ref());
        let bytes =
            values.map(Bytes::len).sum::<usize>() + request.key.len() + request.config.len();
        if bytes > LARGEST {
            return;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        let mut kept = self.lock();
        if let Some(mut again) = kept.take(|failed| failed.is(component, request)) {
            again.about.at_ms = now;
            again.about.times += 1;
            kept.push(again);
            return;
        }
        let copy = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
        let sibling = |input: &MergeInput| FailedSibling {
            time: input.time.0,
            size: input.value.as_ref().map(|value| value.len() as u64),
        };
        let about = FailedMerge {
            at_ms: now,
            times: 1,
            component,
            bucket: request.bucket.clone(),
            key: copy(&request.key),
            config: copy(&request.config),
            failure: failure.to_string(),
            siblings: request.inputs.iter().map(sibling).collect(),
        };
        let input = |input: &MergeInput| MergeInput {
            value: input.value.as_ref().map(copy),
            time: input.time,
        };
        let inputs = request.inputs.iter().map(input).collect();
        let of_plugin = |failed: &&Failed| failed.plugin == request.plugin;
        if kept.merges.iter().filter(of_plugin).count() >= MOST {
            kept.take(|failed| failed.plugin == request.plugin);
        }
        while kept.bytes + bytes > ROOM && kept.take(|_| true).is_some() {}
        kept.push(Failed { plugin: request.plugin.clone(), bytes, about, inputs });
    }

    /// What is kept of a plugin, oldest first, and the values one after the other.
    pub(crate) fn of(&self, plugin: &str) -> (Vec<FailedMerge>, Vec<Bytes>) {
        let kept = self.lock();
        let of_plugin = || kept.merges.iter().filter(|failed| failed.plugin == plugin);
        let inputs = of_plugin().flat_map(|failed| &failed.inputs);
        let values = inputs.filter_map(|input| input.value.clone());
        (of_plugin().map(|failed| failed.about.clone()).collect(), values.collect())
    }

    // No code that could panic runs under this lock.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn push(&mut self, failed: Failed) {
        self.bytes += failed.bytes;
        self.merges.push_back(failed);
    }

    /// Takes out the oldest that is wanted.
    fn take(&mut self, wanted: impl Fn(&Failed) -> bool) -> Option<Failed> {
        let at = self.merges.iter().position(wanted)?;
        let taken = self.merges.remove(at)?;
        self.bytes -= taken.bytes;
        Some(taken)
    }
}

impl Failed {
    fn is(&self, component: Digest, request: &MergeRequest) -> bool {
        self.about.component == component
            && self.plugin == request.plugin
            && self.about.bucket == request.bucket
            && self.about.key == request.key
            && self.about.config == request.config
            && self.inputs == request.inputs
    }
}

#[cfg(test)]
mod tests {
    use kinfold_protocol::time::Timestamp;

    use super::*;

    fn request(plugin: &str, key: u64, size: usize) -> MergeRequest {
        let value = Some(Bytes::from(vec![b'v'; size]));
        MergeRequest {
            plugin: plugin.into(),
            bucket: "b".into(),
            key: key.to_be_bytes().to_vec().into(),
            config: Bytes::new(),
            inputs: vec![
                MergeInput { value: None, time: Timestamp(3) },
                MergeInput { value, time: Timestamp(2) },
            ],
        }
    }

    fn keep(failures: &Failures, request: &MergeRequest) {
        failures.keep(Digest::of(b"component"), request, &MergeFailure::OutOfFuel);
    }

    fn keys(failures: &Failures, plugin: &str) -> Vec<u64> {
        let key = |merge: &FailedMerge| u64::from_be_bytes(merge.key[..].try_into().unwrap());
        failures.of(plugin).0.iter().map(key).collect()
    }

    #[test]
    fn the_last_of_each_plugin_are_kept_whole() {
        let failures = Failures::default();
        keep(&failures, &request("rare", 0, 3));
        (0..10).for_each(|key| keep(&failures, &request("p", key, 1)));
        assert_eq!(keys(&failures, "p"), [2, 3, 4, 5, 6, 7, 8, 9]);
        let (merges, values) = failures.of("rare");
        assert_eq!(values, [&b"vvv"[..]]);
        assert_eq!((merges.len(), merges[0].times), (1, 1));
        let sibling = |time, size| FailedSibling { time, size };
        assert_eq!(merges[0].siblings, [sibling(3, None), sibling(2, Some(3))]);
        assert_eq!(merges[0].failure, MergeFailure::OutOfFuel.to_string());
        assert!(failures.of("other").0.is_empty());
    }

    #[test]
    fn what_fails_again_is_counted_and_is_the_newest() {
        let failures = Failures::default();
        for key in [1, 2, 1, 1] {
            keep(&failures, &request("p", key, 1));
        }
        assert_eq!(keys(&failures, "p"), [2, 1]);
        let times: Vec<u64> = failures.of("p").0.iter().map(|merge| merge.times).collect();
        assert_eq!(times, [1, 3]);
    }

    #[test]
    fn there_is_room_for_so_many_bytes() {
        let failures = Failures::default();
        keep(&failures, &request("p", 0, LARGEST));
        assert!(keys(&failures, "p").is_empty());
        let size = LARGEST - 8;
        for key in 0..20 {
            keep(&failures, &request(&format!("p{key}"), key, size));
        }
        let kept = (0..20).filter(|key| !keys(&failures, &format!("p{key}")).is_empty());
        assert!(kept.eq(4..20));
        assert_eq!(failures.lock().bytes, ROOM);
    }
}
