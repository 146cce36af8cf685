//! Whom to ask, in which order.

use std::collections::BTreeMap;

use kinfold_protocol::config::MAX_COPIES;
use kinfold_protocol::id::Key;
use kinfold_protocol::layout::{Layout, Member};

/// Members that own nothing of a key and are asked when no owner can be reached; they pass the request on.
const STAND_INS: usize = 2;

/// A node to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Its name; a seed's address, before its name is known.
    pub(crate) name: String,
    /// Where to dial it.
    pub(crate) address: String,
}

/// Who can answer a request.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    /// The key's owners, from the first on: so that the writes of a key meet at one node while that one is there.
    FirstOwner(Key),
    /// The key's owners, each as often first as the others: reads spread.
    AnyOwner(Key),
    /// Any member.
    Anyone,
    /// The nodes that the options name.
    Seeds,
    /// This one.
    Just(Target),
}

/// The members to ask along `route`. `turn` counts requests, and `suspect` tells of nodes that could not be reached a moment
/// ago: they come last.
pub(crate) fn targets(
    layout: &Layout,
    route: &Route,
    turn: usize,
    addresses: &BTreeMap<String, String>,
    suspect: impl Fn(&str) -> bool,
) -> Vec<Target> {
    let gone = |member: &Member| suspect(&target(member, addresses).address);
    let mut targets = match route {
        Route::FirstOwner(key) => owners_then_others(layout, key, 0, turn, gone),
        Route::AnyOwner(key) => owners_then_others(layout, key, turn, turn, gone),
        Route::Anyone | Route::Seeds => {
            let mut all: Vec<_> = layout.members().iter().collect();
            rotate(&mut all, turn);
            all
        }
        Route::Just(target) => return vec![target.clone()],
    }
    .into_iter()
    .map(|member| target(member, addresses))
    .collect::<Vec<_>>();
    targets.sort_by_cached_key(|target| suspect(&target.address));
    targets
}

/// Where to dial a member.
pub(crate) fn target(member: &Member, addresses: &BTreeMap<String, String>) -> Target {
    let address = addresses.get(&member.name).unwrap_or(&member.address);
    Target { name: member.name.clone(), address: address.clone() }
}

fn owners_then_others<'l>(
    layout: &'l Layout,
    key: &Key,
    first: usize,
    turn: usize,
    gone: impl Fn(&Member) -> bool,
) -> Vec<&'l Member> {
    let partition = layout.ring().partition(key);
    let mut list: Vec<_> =
        layout.owners(partition, MAX_COPIES).filter_map(|id| layout.member(id)).collect();
    rotate(&mut list, first);
    let owners: Vec<_> = list.iter().map(|member| member.id).collect();
    let mut others: Vec<_> = layout.members().iter().filter(|m| !owners.contains(&m.id)).collect();
    rotate(&mut others, turn);
    // Whoever is on the smaller side of a cut may reach one of them only.
    others.sort_by_cached_key(|member| gone(member));
    list.extend(others.into_iter().take(STAND_INS));
    list
}

fn rotate<T>(list: &mut [T], by: usize) {
    if !list.is_empty() {
        list.rotate_left(by % list.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use kinfold_protocol::id::{BucketName, NodeId};
    use kinfold_protocol::ring::Ring;

    fn layout(members: u64) -> Layout {
        let member = |n: u64| Member {
            id: NodeId(n),
            name: format!("n{n}"),
            address: format!("10.0.0.{n}:7401"),
            zone: "z".to_owned(),
            capacity: 1,
        };
        Layout::compute((1..=members).map(member).collect(), Ring::new(16).unwrap(), 3, None)
            .unwrap()
    }

    fn key() -> Key {
        Key { bucket: BucketName::new("b").unwrap(), key: Bytes::from_static(b"k") }
    }

    fn names(route: &Route, turn: usize, suspect: &str) -> Vec<String> {
        let targets = targets(&layout(6), route, turn, &BTreeMap::new(), |a| a == suspect);
        targets.into_iter().map(|t| t.name).collect()
    }

    fn owners() -> Vec<String> {
        let layout = layout(6);
        let partition = layout.ring().partition(&key());
        layout.owners(partition, 3).map(|id| layout.member(id).unwrap().name.clone()).collect()
    }

    #[test]
    fn writes_begin_with_the_first_owner_and_end_with_stand_ins() {
        for turn in 0..4 {
            let names = names(&Route::FirstOwner(key()), turn, "");
            assert_eq!(names.len(), 3 + STAND_INS);
            assert_eq!(names[..3], owners()[..]);
        }
    }

    #[test]
    fn reads_take_turns_among_the_owners() {
        for turn in 0..6 {
            let names = names(&Route::AnyOwner(key()), turn, "");
            assert_eq!(names[0], owners()[turn % 3]);
            assert!(owners().iter().all(|owner| names[..3].contains(owner)));
        }
    }

    #[test]
    fn who_could_not_be_reached_comes_last() {
        let first = owners()[0].clone();
        let address = format!("10.0.0.{}:7401", &first[1..]);
        let names = names(&Route::FirstOwner(key()), 0, &address);
        assert_eq!(names.last(), Some(&first));
        assert_eq!(names[..2], owners()[1..]);
    }

    /// With all others on the far side of a cut, the one that is left is asked, owner or not.
    #[test]
    fn the_only_one_that_can_be_reached_is_always_asked() {
        let layout = layout(6);
        for turn in 0..6 {
            for only in layout.members() {
                let suspect = |address: &str| address != only.address;
                let route = Route::FirstOwner(key());
                let targets = targets(&layout, &route, turn, &BTreeMap::new(), suspect);
                assert_eq!(targets[0].name, only.name);
            }
        }
    }

    #[test]
    fn addresses_from_the_options_go_over_the_layout() {
        let addresses = BTreeMap::from([("n2".to_owned(), "localhost:1".to_owned())]);
        let targets = targets(&layout(3), &Route::Anyone, 0, &addresses, |_| false);
        let addresses: Vec<_> = targets.iter().map(|t| t.address.as_str()).collect();
        assert_eq!(addresses, ["10.0.0.1:7401", "localhost:1", "10.0.0.3:7401"]);
    }
}
