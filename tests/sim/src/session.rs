//! What a client holds of a key between two operations on it.

use std::collections::BTreeSet;

use bytes::Bytes;
use kinfold_protocol::encoding;

use crate::checker::authors;
use crate::history::{Expected, OpId, Seen};

/// What a client holds of a key.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// The context of its last read or write, as bytes; empty if there was none.
    pub context: Bytes,
    /// What that context stands for.
    pub seen: Seen,
    /// The lines of the values that it read last.
    pub lines: BTreeSet<OpId>,
    /// What the context stands for in a conditional write.
    pub holds: Option<Expected>,
}

impl Session {
    /// After a read that was answered so at `now`, in microseconds.
    #[must_use]
    pub fn read(context: Bytes, values: &[Bytes], deleted: bool, now: u64) -> Self {
        let nothing = encoding::decode_context(&context).is_ok_and(|context| context.is_empty());
        let lines = authors(values);
        let mut all = lines.iter();
        let holds = match (all.next(), all.next()) {
            (None, _) if nothing => Expected::Nothing,
            (None, _) => Expected::Deleted,
            (Some(only), None) => Expected::Value(*only),
            (Some(_), Some(_)) => Expected::Other,
        };
        let deletes_before = deleted.then_some(now);
        let seen = Seen { writes: lines.clone(), deletes_before };
        Self { context, seen, lines, holds: Some(holds) }
    }

    /// After a write that was acknowledged, by one who had seen this before.
    #[must_use]
    pub fn written(context: Bytes, mut seen: Seen, id: OpId, deletes: bool) -> Self {
        seen.writes.insert(id);
        let holds = Some(if deletes { Expected::Deleted } else { Expected::Value(id) });
        Self { context, seen, lines: BTreeSet::new(), holds }
    }
}
