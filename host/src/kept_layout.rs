//! The layout that a data directory was made under.
//!
//! While membership is fixed by configuration, nothing moves data between nodes: a node that started under other owners
//! than its data was written under would answer for keys that it does not have. So the first layout is kept, and a
//! different one stops the node.

use bytes::Bytes;
use kinfold_protocol::cbor::{self, CborError};
use kinfold_protocol::config::MAX_COPIES;
use kinfold_protocol::layout::Layout;
use kinfold_protocol::ring::Partition;

/// The name under which it is kept.
pub(crate) const LAYOUT: &str = "layout";

/// Why a data directory does not go with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutChange {
    /// Another number of partitions.
    #[error(
        "the data directory was made with {kept} partitions, and the configuration says {wanted}: set `partitions = {kept}`; it is fixed when the cluster is made"
    )]
    Partitions {
        /// As the data directory was made.
        kept: u32,
        /// As the configuration says.
        wanted: u32,
    },
    /// Other members.
    #[error(
        "the data directory was made in a cluster of {kept}, and the configuration says {wanted}: `members` is fixed when the cluster is made"
    )]
    Members {
        /// As the data directory was made.
        kept: String,
        /// As the configuration says.
        wanted: String,
    },
    /// The same members with other zones, capacities or copies, which gives partitions other owners.
    #[error(
        "the members' zones, capacities or number of copies are not those that the data directory was made with, and some partitions would get other owners: restore them"
    )]
    Owners,
    /// The kept layout can't be understood.
    #[error("the layout in the data directory can't be read: {0}")]
    Damaged(#[from] CborError),
}

/// Checks the layout that was kept against the one that the configuration gives. Addresses may change.
pub(crate) fn check(kept: &Bytes, wanted: &Layout) -> Result<(), LayoutChange> {
    let kept: Layout = cbor::decode(kept)?;
    let (kept_ring, ring) = (kept.ring(), wanted.ring());
    if kept_ring != ring {
        let (kept, wanted) = (kept_ring.partitions(), ring.partitions());
        return Err(LayoutChange::Partitions { kept, wanted });
    }
    let (kept_names, names) = (names(&kept), names(wanted));
    if kept_names != names {
        return Err(LayoutChange::Members { kept: kept_names, wanted: names });
    }
    let same = (0..ring.partitions())
        .map(Partition)
        .all(|p| kept.owners(p, MAX_COPIES).eq(wanted.owners(p, MAX_COPIES)));
    if same { Ok(()) } else { Err(LayoutChange::Owners) }
}

fn names(layout: &Layout) -> String {
    let mut names: Vec<_> = layout.members().iter().map(|m| format!("`{}`", m.name)).collect();
    names.sort();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinfold_protocol::id::NodeId;
    use kinfold_protocol::layout::Member;
    use kinfold_protocol::ring::Ring;

    fn layout(partitions: u32, members: &[(&str, u32)]) -> Layout {
        let members = members.iter().map(|(name, capacity)| Member {
            id: NodeId::from_name("c1", name),
            name: (*name).to_owned(),
            address: format!("127.0.0.1:{capacity}"),
            zone: "z".to_owned(),
            capacity: *capacity,
        });
        Layout::compute(members.collect(), Ring::new(partitions).unwrap(), 1, None).unwrap()
    }

    #[test]
    fn only_what_gives_other_owners_is_refused() {
        let kept = Bytes::from(cbor::encode(&layout(8, &[("n1", 1), ("n2", 1)])));
        let check =
            |partitions, members: &[(&str, u32)]| check(&kept, &layout(partitions, members));
        assert_eq!(check(8, &[("n2", 2), ("n1", 2)]), Ok(()));
        assert_eq!(
            check(16, &[("n1", 1), ("n2", 1)]),
            Err(LayoutChange::Partitions { kept: 8, wanted: 16 })
        );
        assert!(matches!(check(8, &[("n1", 1), ("n3", 1)]), Err(LayoutChange::Members { .. })));
        assert_eq!(check(8, &[("n1", 1), ("n2", 3)]), Err(LayoutChange::Owners));
    }
}
