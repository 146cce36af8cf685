//! What a merge came to: every way in which wasmtime, a component or a limit can end one, as one of the core's failures.

use kinfold_protocol::merge::{MergeFailure, MergeResult};
use wasmtime::{PoolConcurrencyLimitError, Trap};

use crate::contract::{LogLine, MergeError};
use crate::limits::Limits;
use crate::meter::{MemoryLimit, Meter};

/// A reason of the plugin's is cut here, in bytes: it is stored, logged and sent to clients.
const REASON: usize = 1024;

/// What one merge gave and took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeOutcome {
    /// The merged value, or why there is none.
    pub result: MergeResult,
    /// The fuel used: the same for the same request, whatever the machine.
    pub fuel: u64,
    /// The linear memory that the instance had in the end, in bytes: the same for the same request too.
    pub memory: usize,
    /// What the plugin wrote to its log: at most 16 lines.
    pub log: Vec<LogLine>,
}

/// The result of a component that returned.
pub(crate) fn of_answer(
    answer: Result<Option<Vec<u8>>, MergeError>,
    limits: &Limits,
) -> MergeResult {
    match answer {
        Ok(Some(value)) if value.len() > limits.result => Err(MergeFailure::BadResult(format!(
            "{} bytes, where {} are allowed",
            value.len(),
            limits.result
        ))),
        Ok(value) => Ok(value.map(Into::into)),
        Err(MergeError::InvalidSibling((index, reason))) => {
            Err(MergeFailure::InvalidSibling { index, reason: cut(reason) })
        }
        Err(MergeError::KeepSiblings(reason)) => Err(MergeFailure::KeepSiblings(cut(reason))),
        Err(MergeError::Internal(reason)) => Err(MergeFailure::Internal(cut(reason))),
    }
}

/// The failure of a component that was stopped.
pub(crate) fn of_error(error: &wasmtime::Error, meter: &Meter) -> MergeFailure {
    if error.downcast_ref::<MemoryLimit>().is_some() {
        return MergeFailure::OutOfMemory;
    }
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        return MergeFailure::Overloaded;
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => MergeFailure::OutOfFuel,
        Some(trap) => match meter.last_error() {
            Some(said) => MergeFailure::Internal(said.to_owned()),
            None => MergeFailure::Trap(trap.to_string()),
        },
        // Not a trap of its code: what it handed over could not be taken. wasmtime keeps the types of these to itself.
        None => MergeFailure::BadResult(cut(error.root_cause().to_string())),
    }
}

/// A plugin's words, within bounds.
pub(crate) fn cut(mut reason: String) -> String {
    reason.truncate(reason.floor_char_boundary(REASON));
    reason
}
