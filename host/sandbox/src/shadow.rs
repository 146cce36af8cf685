//! Candidates that run beside buckets' own plugins, after the answer is out: what they give is compared, and never used.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kinfold_protocol::merge::{MergeFailure, MergeRequest, MergeResult};
use kinfold_protocol::message::plugin::ShadowCounts;

/// A value in [`ShadowCounts::last`] is cut here, in bytes.
const SHOWN: usize = 200;

/// The candidates by bucket, and what came of them.
#[derive(Default)]
pub(crate) struct Shadows {
    buckets: Mutex<BTreeMap<String, ShadowCounts>>,
}

impl Shadows {
    /// Has these candidates run, and no others. Counts go on where the candidate stays.
    pub(crate) fn set(&self, candidates: BTreeMap<String, String>) {
        let mut buckets = self.lock();
        buckets.retain(|bucket, counts| candidates.get(bucket) == Some(&counts.plugin));
        for (bucket, plugin) in candidates {
            let new = || ShadowCounts { plugin, ..ShadowCounts::default() };
            buckets.entry(bucket).or_insert_with(new);
        }
    }

    /// The candidate of a bucket.
    pub(crate) fn candidate(&self, bucket: &str) -> Option<String> {
        self.lock().get(bucket).map(|counts| counts.plugin.clone())
    }

    /// A merge that the candidate did not run.
    pub(crate) fn skipped(&self, bucket: &str) {
        if let Some(counts) = self.lock().get_mut(bucket) {
            counts.skipped += 1;
        }
    }

    /// Compares what both made of the same inputs.
    pub(crate) fn compare(
        &self,
        candidate: &str,
        request: &MergeRequest,
        own: &MergeResult,
        other: &MergeResult,
    ) {
        let mut buckets = self.lock();
        let counts = buckets.get_mut(&request.bucket);
        // It may be another one by now.
        let Some(counts) = counts.filter(|counts| counts.plugin == candidate) else { return };
        if let Err(
            MergeFailure::NoPlugin(_) | MergeFailure::BreakerOpen | MergeFailure::Overloaded,
        ) = other
        {
            counts.skipped += 1;
            return;
        }
        counts.compared += 1;
        let place = match (own, other) {
            (Ok(own), Ok(other)) if own == other => &mut counts.same,
            (Ok(_), Ok(_)) => &mut counts.different,
            (Ok(_), Err(_)) => &mut counts.failed,
            (Err(_), Ok(_)) => &mut counts.better,
            (Err(_), Err(_)) => &mut counts.same,
        };
        *place += 1;
        let differs = match (own, other) {
            (Ok(own), Ok(other)) => own != other,
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => true,
            (Err(_), Err(_)) => false,
        };
        if differs {
            let key = request.key.escape_ascii();
            counts.last = Some(format!("{key}: {} became {}", shown(own), shown(other)));
        }
    }

    /// All counts.
    pub(crate) fn counts(&self) -> BTreeMap<String, ShadowCounts> {
        self.lock().clone()
    }

    // No code that could panic runs under this lock.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, ShadowCounts>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shown(result: &MergeResult) -> String {
    match result {
        Ok(Some(value)) if value.len() > SHOWN => {
            format!("\"{}\" and {} bytes", value[..SHOWN].escape_ascii(), value.len() - SHOWN)
        }
        Ok(Some(value)) => format!("\"{}\"", value.escape_ascii()),
        Ok(None) => "a delete".into(),
        Err(failure) => failure.to_string(),
    }
}
