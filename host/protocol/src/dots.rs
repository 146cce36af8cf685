//! The dots that this node gave out: up to which of them all its own writes are applied on its own disk.
//!
//! A mark of the present actor rests on that. So a dot has to be noted before anybody is told of it, and stays noted until
//! this node's own copy has the write, or never will.

use alloc::collections::BTreeMap;

use crate::ring::Tree;
use crate::time::Timestamp;

/// Dots given out, by the operations that they were given to.
#[derive(Debug, Default)]
pub(crate) struct Dots {
    open: BTreeMap<u64, (Timestamp, Tree)>,
    /// Trees written to since their own mark last rose, and the latest write of each.
    fresh: BTreeMap<Tree, Timestamp>,
}

impl Dots {
    /// An operation was given the dot of this time, for a key of this tree.
    pub(crate) fn give(&mut self, operation: u64, time: Timestamp, tree: Tree) {
        self.open.insert(operation, (time, tree));
    }

    /// The write of an operation is applied here, or was refused for good.
    pub(crate) fn settle(&mut self, operation: u64) {
        if let Some((time, tree)) = self.open.remove(&operation) {
            let latest = self.fresh.entry(tree).or_default();
            *latest = time.max(*latest);
        }
    }

    /// Every own write up to this time is applied here. `last` is the last time that was given out.
    pub(crate) fn upto(&self, last: Timestamp) -> Timestamp {
        let open = self.open.values().map(|(time, _)| *time).min();
        open.map_or(last, |open| last.min(Timestamp(open.0.saturating_sub(1))))
    }

    /// The trees whose own mark has to rise to `upto`.
    pub(crate) fn take_fresh(&mut self, upto: Timestamp) -> impl Iterator<Item = Tree> + use<> {
        let (done, rest) = core::mem::take(&mut self.fresh)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(_, latest)| *latest <= upto);
        self.fresh = rest;
        done.into_keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Partition;
    use alloc::vec::Vec;

    #[test]
    fn an_open_dot_holds_the_mark_back() {
        let tree = Tree { partition: Partition(1), copies: 3 };
        let mut dots = Dots::default();
        dots.give(1, Timestamp(10), tree);
        dots.give(2, Timestamp(12), tree);
        assert_eq!(dots.upto(Timestamp(12)), Timestamp(9));
        dots.settle(2);
        assert_eq!(dots.upto(Timestamp(12)), Timestamp(9));
        assert_eq!(dots.take_fresh(Timestamp(9)).count(), 0);
        dots.settle(1);
        assert_eq!(dots.upto(Timestamp(15)), Timestamp(15));
        assert_eq!(dots.take_fresh(Timestamp(15)).collect::<Vec<_>>(), [tree]);
        assert_eq!(dots.take_fresh(Timestamp(15)).count(), 0);
    }
}
