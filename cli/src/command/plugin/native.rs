//! The shipped plugins as code of this program: what their merges cost without a sandbox.

use std::hint::black_box;
use std::time::{Duration, Instant};

use kinfold_plugin_sdk::{Context, MergeError, Resolver, Sibling};
use kinfold_sandbox::{MergeRequest, MergeResult};

/// A plugin's function.
pub(super) type Native = fn(Context, Vec<Sibling>) -> Result<Option<Vec<u8>>, MergeError>;

/// The function of the shipped plugin of this name.
pub(super) fn native(name: &str) -> Option<Native> {
    Some(match name {
        "cart" => cart::Plugin::merge,
        "counter" => counter::Plugin::merge,
        "json" => json::Plugin::merge,
        "last-write-wins" => last_write_wins::LastWriteWins::merge,
        "leaderboard" => leaderboard::Leaderboard::merge,
        "max" => max::Plugin::merge,
        "or-set" => or_set::Plugin::merge,
        "set-union" => set_union::SetUnion::merge,
        _ => return None,
    })
}

/// Whether the function gives what the component gave: a component can have the name of a shipped plugin and do something else.
pub(super) fn agrees(native: Native, request: &MergeRequest, result: &MergeResult) -> bool {
    let merged = once(native, request);
    matches!((&merged, result), (Ok(ours), Ok(theirs)) if ours.as_deref() == theirs.as_deref())
}

/// Merges a second, on this thread. Each merge makes its inputs anew, as the host makes them in a component's memory.
pub(super) fn rate(native: Native, request: &MergeRequest, lasting: Duration) -> f64 {
    const ROUND: u32 = 1000;
    let start = Instant::now();
    let mut merges = 0u32;
    while start.elapsed() < lasting {
        for _ in 0..ROUND {
            drop(black_box(once(native, black_box(request))));
        }
        merges = merges.saturating_add(ROUND);
    }
    f64::from(merges) / start.elapsed().as_secs_f64()
}

fn once(native: Native, request: &MergeRequest) -> Result<Option<Vec<u8>>, MergeError> {
    let context = Context {
        bucket: request.bucket.clone(),
        key: request.key.to_vec(),
        config: request.config.to_vec(),
    };
    let sibling = |input: &kinfold_sandbox::MergeInput| Sibling {
        value: input.value.as_ref().map(|value| value.to_vec()),
        time: input.time.0,
    };
    native(context, request.inputs.iter().map(sibling).collect())
}
