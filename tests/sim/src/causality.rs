//! Replays traces of the reference implementation of dotted version vector sets against the core's objects.
//!
//! One JSON object a line: so many replicas, so many clients, and operations with the values that a replica holds
//! afterwards. A get gives its client the replica's context; a put uses it where the trace says so, and leaves it as it
//! was; a sync joins one replica into another.

use bytes::Bytes;
use kinfold_protocol::causality::{Content, Context, Dot, Object, Opened};
use kinfold_protocol::id::{Actor, RequestId};
use kinfold_protocol::time::Timestamp;
use serde::Deserialize;

/// One line of a file of traces.
#[derive(Clone, Debug, Deserialize)]
pub struct Line {
    /// What the trace was made from: its name.
    pub seed: u64,
    replicas: usize,
    clients: usize,
    ops: Vec<Op>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Op {
    Put { client: usize, replica: usize, value: u64, with_context: bool, expect: Vec<u64> },
    Get { client: usize, replica: usize, expect: Vec<u64> },
    Sync { from: usize, to: usize, expect: Vec<u64> },
}

/// A line that can't be replayed.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// It is no trace.
    #[error("line {line} is no trace: {error}")]
    Malformed {
        /// Counted from one.
        line: usize,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// It names a replica or a client that it does not have.
    #[error("trace {seed} names replica or client {index}, which it does not have")]
    OutOfRange {
        /// The trace.
        seed: u64,
        /// The name.
        index: usize,
    },
}

/// How many operations agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// Traces replayed.
    pub traces: usize,
    /// Operations replayed.
    pub operations: usize,
    /// Operations after which the replica held what the trace expects.
    pub agreed: usize,
    /// The first operation that did not agree: its trace, and its place there.
    pub first_difference: Option<(u64, usize)>,
}

/// Replays every line of `text`.
///
/// # Errors
/// [`TraceError`] for the first line that is no trace.
pub fn replay(text: &str) -> Result<Agreement, TraceError> {
    let mut agreement = Agreement::default();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let line: Line = serde_json::from_str(line)
            .map_err(|error| TraceError::Malformed { line: at + 1, error })?;
        replay_line(&line, &mut agreement)?;
    }
    Ok(agreement)
}

fn replay_line(line: &Line, agreement: &mut Agreement) -> Result<(), TraceError> {
    let mut world = World {
        replicas: vec![Replica::default(); line.replicas],
        clients: vec![Context::new(); line.clients],
        time: 0,
    };
    agreement.traces += 1;
    for (at, op) in line.ops.iter().enumerate() {
        agreement.operations += 1;
        let agrees =
            world.apply(op).map_err(|index| TraceError::OutOfRange { seed: line.seed, index })?;
        if agrees {
            agreement.agreed += 1;
        } else {
            agreement.first_difference.get_or_insert((line.seed, at));
        }
    }
    Ok(())
}

#[derive(Clone, Default)]
struct Replica {
    object: Object,
    opened: Option<Opened>,
}

struct World {
    replicas: Vec<Replica>,
    clients: Vec<Context>,
    time: u64,
}

impl World {
    /// Applies one operation. Does the replica then hold what is expected?
    fn apply(&mut self, op: &Op) -> Result<bool, usize> {
        let (touched, expect) = match op {
            Op::Put { client, replica, value, with_context, expect } => {
                let seen = match with_context {
                    true => self.clients.get(*client).ok_or(*client)?.clone(),
                    false => Context::new(),
                };
                self.put(*replica, &seen, *value)?;
                (*replica, expect)
            }
            Op::Get { client, replica, expect } => {
                let context = self.replicas.get(*replica).ok_or(*replica)?.object.context.clone();
                *self.clients.get_mut(*client).ok_or(*client)? = context;
                (*replica, expect)
            }
            Op::Sync { from, to, expect } => {
                let theirs = self.replicas.get(*from).ok_or(*from)?.object.clone();
                self.replicas.get_mut(*to).ok_or(*to)?.object.join(&theirs);
                (*to, expect)
            }
        };
        Ok(values(&self.replicas[touched].object) == *expect)
    }

    fn put(&mut self, at: usize, seen: &Context, value: u64) -> Result<(), usize> {
        self.time += 1;
        let replica = self.replicas.get_mut(at).ok_or(at)?;
        let dot = Dot { actor: Actor(at as u64), time: Timestamp(self.time) };
        let content = Content::value(Bytes::copy_from_slice(&value.to_be_bytes()));
        let request = RequestId(u128::from(self.time).to_be_bytes());
        replica.object.put(seen, dot, content, request, &mut replica.opened);
        Ok(())
    }
}

/// The values that an object holds, sorted.
fn values(object: &Object) -> Vec<u64> {
    let mut values: Vec<u64> = object
        .versions
        .iter()
        .filter_map(|v| <[u8; 8]>::try_from(v.content.bytes()?.as_ref()).ok())
        .map(u64::from_be_bytes)
        .collect();
    values.sort_unstable();
    values
}
