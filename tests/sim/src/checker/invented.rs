//! Nothing appears that was never written: every value that is read was put to that key before, by an operation that was not
//! refused.

use bytes::Bytes;

use crate::ending::Ending;
use crate::history::{self, Kind, OpId, Outcome};
use crate::keyspace::{Semantics, Spot};

/// What does not hold.
#[must_use]
pub fn check(ending: &Ending<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for spot in &ending.keys.spots {
        for read in ending.history.of(&spot.key) {
            let (Outcome::Found { values, .. } | Outcome::Conflict { values, .. }, Some(returned)) =
                (&read.outcome, read.returned)
            else {
                continue;
            };
            for value in values {
                if let Some(why) = is_invented(ending, spot, value, returned) {
                    found.push(format!(
                        "{:?}: {:?} read what was never written: {why}",
                        spot.key, read.id
                    ));
                }
            }
        }
    }
    found
}

fn is_invented(ending: &Ending<'_>, spot: &Spot, value: &Bytes, returned: u64) -> Option<String> {
    let Some(authors) = history::authors(value) else {
        return Some("nobody writes such a value".into());
    };
    let whole = match spot.semantics {
        Semantics::Causal | Semantics::Register | Semantics::Latest => Some(value),
        Semantics::CausalSets | Semantics::Union => None,
    };
    authors.into_iter().find_map(|id| is_no_author(ending, spot, id, whole, returned))
}

/// Why the operation can't have written this.
fn is_no_author(
    ending: &Ending<'_>,
    spot: &Spot,
    id: OpId,
    whole: Option<&Bytes>,
    returned: u64,
) -> Option<String> {
    let Some(op) = ending.history.op(id).filter(|op| op.key == spot.key) else {
        return Some(format!("{id:?} is no write of this key"));
    };
    let Kind::Put(value) = &op.kind else {
        return Some(format!("{id:?} is no put"));
    };
    if whole.is_some_and(|whole| whole != value) {
        Some(format!("{id:?} wrote something else"))
    } else if op.invoked >= returned {
        Some(format!("{id:?} was not invoked yet"))
    } else if let Outcome::Refused(code) = op.outcome {
        Some(format!("{id:?} was refused as {code:?}, which means that nothing was changed"))
    } else if matches!(op.outcome, Outcome::Conflict { .. }) {
        Some(format!("{id:?} met another object, which means that nothing was changed"))
    } else {
        None
    }
}
