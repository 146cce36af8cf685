//! The causal past of every write of a key, from what clients read before they wrote: no context of the store's is believed.
//!
//! A read names the writes whose values it returned, but not the deletes that it saw. So there are two pasts: all that a
//! write may have seen, and what it must have seen.

use std::collections::{BTreeMap, BTreeSet};

use kinfold_protocol::id::Key;

use crate::bits::Bits;
use crate::history::{History, Kind, Op, OpId, Seen};

/// The writes of one key and their pasts.
pub struct Past<'h> {
    /// The writes, in the order in which they were invoked.
    pub writes: Vec<&'h Op>,
    places: BTreeMap<OpId, usize>,
    may: Vec<Bits>,
    must: Vec<Bits>,
}

impl<'h> Past<'h> {
    /// The writes of `key`.
    #[must_use]
    pub fn new(history: &'h History, key: &Key) -> Self {
        let writes: Vec<&Op> = history.of(key).filter(|op| op.writes()).collect();
        let places = writes.iter().enumerate().map(|(at, op)| (op.id, at)).collect();
        let mut past = Self { writes: Vec::new(), places, may: Vec::new(), must: Vec::new() };
        // What a write has seen was invoked before it, so its own past is known by now.
        for op in writes {
            let may = past.may_be_behind(&op.seen);
            let must = past.union(&op.seen.writes, &past.must);
            past.may.push(may);
            past.must.push(must);
            past.writes.push(op);
        }
        past
    }

    fn union(&self, writes: &BTreeSet<OpId>, pasts: &[Bits]) -> Bits {
        let mut all = Bits::default();
        for place in writes.iter().filter_map(|id| self.place(*id)) {
            all.insert(place);
            if let Some(past) = pasts.get(place) {
                all.unite(past);
            }
        }
        all
    }

    /// The place of a write among [`Past::writes`].
    #[must_use]
    pub fn place(&self, id: OpId) -> Option<usize> {
        self.places.get(&id).copied()
    }

    /// All writes that may stand behind what was seen.
    #[must_use]
    pub fn may_be_behind(&self, seen: &Seen) -> Bits {
        let mut all = self.union(&seen.writes, &self.may);
        if let Some(before) = seen.deletes_before {
            for (at, op) in self.writes.iter().enumerate() {
                if op.kind == Kind::Delete && op.may_have_happened() && op.invoked < before {
                    all.insert(at);
                    all.unite(&self.may[at]);
                }
            }
        }
        all
    }

    /// The deletes that may have happened.
    pub fn deletes(&self) -> impl Iterator<Item = &'h Op> + '_ {
        let deletes = |op: &&Op| op.kind == Kind::Delete && op.may_have_happened();
        self.writes.iter().copied().filter(deletes)
    }

    /// Is there a write that may have happened and may have seen this one?
    #[must_use]
    pub fn may_be_replaced(&self, place: usize) -> bool {
        let pairs = self.writes.iter().zip(&self.may);
        pairs.into_iter().any(|(op, may)| op.may_have_happened() && may.contains(place))
    }

    /// The writes that a write must have seen.
    pub fn must_be_behind(&self, place: usize) -> impl Iterator<Item = &'h Op> + '_ {
        let seen = &self.must[place];
        self.writes.iter().enumerate().filter(|(at, _)| seen.contains(*at)).map(|(_, op)| *op)
    }
}
