//! What must hold of every layout.

use super::moves::{Moves, Warning};
use super::*;
use crate::cbor;
use alloc::format;
use microlp::{ComparisonOp, OptimizationDirection, Problem};
use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

fn member(n: u64, zone: u32, capacity: u32) -> Member {
    Member {
        id: NodeId(n),
        name: format!("n{n}"),
        address: format!("127.0.0.1:{n}"),
        zone: format!("z{zone}"),
        capacity,
    }
}

fn loads(layout: &Layout) -> BTreeMap<NodeId, usize> {
    let mut loads = BTreeMap::new();
    for p in 0..layout.ring.partitions() {
        for owner in layout.owners(Partition(p), MAX_COPIES) {
            *loads.entry(owner).or_default() += 1;
        }
    }
    loads
}

fn moves(a: &Layout, b: &Layout) -> usize {
    (0..a.ring.partitions())
        .map(|p| {
            let before: BTreeSet<_> = a.owners(Partition(p), MAX_COPIES).collect();
            b.owners(Partition(p), MAX_COPIES).filter(|o| !before.contains(o)).count()
        })
        .sum()
}

#[test]
fn equal_members_differ_by_one_partition_at_most() {
    let ring = Ring::new(256).unwrap();
    for count in 3..=30 {
        let members = (1..=count).map(|n| member(n, 0, 1)).collect();
        let layout = Layout::compute(members, ring, 3, None).unwrap();
        let loads = loads(&layout);
        let (least, most) = (loads.values().min().unwrap(), loads.values().max().unwrap());
        assert!(most - least <= 1, "{count} members: {least} to {most}");
    }
}

#[test]
fn a_joining_member_moves_no_more_than_its_share() {
    let ring = Ring::new(256).unwrap();
    let three: Vec<_> = (1..=3).map(|n| member(n, 0, 1)).collect();
    let before = Layout::compute(three.clone(), ring, 3, None).unwrap();
    let four = three.into_iter().chain([member(4, 0, 1)]).collect();
    let after = Layout::compute(four, ring, 3, Some(&before)).unwrap();
    assert_eq!(after.version(), 2);
    assert_eq!(moves(&before, &after), 256 * 3 / 4);
}

#[test]
fn a_member_without_capacity_owns_nothing_and_stands_in_for_nobody() {
    let members = [(1, 1), (2, 1), (3, 0), (4, 1)].map(|(n, capacity)| member(n, 0, capacity));
    let layout = Layout::compute(members.into(), Ring::new(16).unwrap(), 3, None).unwrap();
    assert_eq!(layout.loads().iter().map(|(all, _)| *all).collect::<Vec<_>>(), [16, 16, 0, 16]);
    assert_eq!(layout.fallbacks(Partition(3), 2).count(), 1);
}

#[test]
fn a_zone_with_few_members_gets_its_copies_and_a_plan_says_so() {
    let members = [(1, 0), (2, 1), (3, 2), (4, 2), (5, 2)].map(|(n, zone)| member(n, zone, 1));
    let before = Layout::compute(
        members[..3].to_vec(),
        Ring::new(30_u32.next_power_of_two()).unwrap(),
        3,
        None,
    )
    .unwrap();
    let after = Layout::compute(members.to_vec(), before.ring(), 3, Some(&before)).unwrap();
    assert_eq!(after.loads().iter().map(|(all, _)| *all).collect::<Vec<_>>(), [32, 32, 11, 11, 10]);
    let sizes = (1..=3).map(|n| (NodeId(n), 3_200)).collect();
    let moves = Moves::between(&before, &after, 3, &sizes, Some(10));
    assert_eq!((moves.copies, moves.bytes), (21, 2_100));
    assert_eq!(moves.seconds, Some(110), "the member that gets most takes longest");
    let gains: Vec<_> =
        moves.members.iter().map(|m| (m.before, m.after, m.gains, m.loses)).collect();
    assert_eq!(gains[2..], [(32, 11, 0, 21), (0, 11, 11, 0), (0, 10, 10, 0)]);
    let off = |name: &str, owns, share| Warning::OffShare { name: name.into(), owns, share };
    assert_eq!(moves.warnings[..2], [off("n1", 32, 19), off("n2", 32, 19)]);
    let one = Layout::compute(members[..1].to_vec(), before.ring(), 3, None).unwrap();
    let moves = Moves::between(&after, &one, 3, &BTreeMap::new(), Some(10));
    assert_eq!(moves.seconds, None);
    assert!(moves.warnings.contains(&Warning::TooFewMembers { copies: 1, meant: 3 }));
}

#[test]
fn a_thousand_members_differ_by_one_and_a_join_moves_the_least() {
    let ring = Ring::new(65_536).unwrap();
    let members: Vec<_> =
        (1..=1_001).map(|n| member(n, u32::try_from(n % 7).unwrap(), 1)).collect();
    let before = Layout::compute(members[..1_000].to_vec(), ring, 3, None).unwrap();
    let after = Layout::compute(members.clone(), ring, 3, Some(&before)).unwrap();
    let back = Layout::compute(members[1..].to_vec(), ring, 3, Some(&after)).unwrap();
    let mut last = before.clone();
    for layout in [before, after, back] {
        let loads: Vec<_> = layout.loads().iter().map(|(all, _)| *all).collect();
        assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1);
        assert_eq!(moves(&last, &layout), least(&last, &layout));
        last = layout;
    }
}

/// Partitions a unit of capacity at the fullest member, in the assignment in fractions in which that is least.
fn fullest(layout: &Layout) -> f64 {
    let copies = usize::from(layout.copies);
    let partitions = f64::from(layout.ring.partitions());
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    layout.members.iter().for_each(|m| *sizes.entry(&m.zone).or_default() += 1);
    let room = |most: usize| sizes.values().map(|n| most.min(*n)).sum::<usize>();
    let per_zone = (1..=copies).find(|most| room(*most) >= copies).unwrap();
    let mut problem = Problem::new(OptimizationDirection::Minimize);
    let most = problem.add_var(1.0, (0.0, f64::INFINITY));
    let mut zones: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for member in &layout.members {
        let share = problem.add_var(0.0, (0.0, partitions));
        zones.entry(&member.zone).or_default().push((share, 1.0));
        let bound = [(share, 1.0), (most, -f64::from(member.capacity))];
        problem.add_constraint(bound, ComparisonOp::Le, 0.0);
    }
    let all: Vec<_> = zones.values().flatten().copied().collect();
    problem.add_constraint(all.as_slice(), ComparisonOp::Eq, partitions * copies as f64);
    for zone in zones.values() {
        problem.add_constraint(zone.as_slice(), ComparisonOp::Le, partitions * per_zone as f64);
    }
    problem.solve().unwrap().into_solution().unwrap().var_value(most)
}

/// Moves that no assignment with the loads of `after` can do without: what its members have more than before.
fn least(before: &Layout, after: &Layout) -> usize {
    let (held, owned) = (loads(before), loads(after));
    owned.iter().map(|(id, now)| now.saturating_sub(held.get(id).copied().unwrap_or(0))).sum()
}

/// The fewest moves from `before` to any assignment over these members in which each owns as many partitions as `range` says,
/// and zones have no more of one than they must: a flow of least cost, found by linear programming, whose corners are whole
/// numbers here.
fn optimum(before: &Layout, after: &Layout, range: impl Fn(NodeId) -> (usize, usize)) -> usize {
    let copies = usize::from(after.copies);
    let able: Vec<&Member> = after.members.iter().filter(|m| m.capacity > 0).collect();
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    able.iter().for_each(|m| *sizes.entry(&m.zone).or_default() += 1);
    let room = |most: usize| sizes.values().map(|n| most.min(*n)).sum::<usize>();
    let per_zone = (1..=copies).find(|most| room(*most) >= copies).unwrap();
    let mut problem = Problem::new(OptimizationDirection::Minimize);
    let partitions = after.ring.partitions();
    let mut owned = vec![Vec::new(); able.len()];
    for p in (0..partitions).map(Partition) {
        let held: BTreeSet<_> = before.owners(p, MAX_COPIES).collect();
        let mut zones: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for (index, member) in able.iter().enumerate() {
            let cost = if held.contains(&member.id) { 0.0 } else { 1.0 };
            let owns = problem.add_var(cost, (0.0, 1.0));
            owned[index].push((owns, 1.0));
            zones.entry(&member.zone).or_default().push((owns, 1.0));
        }
        let all: Vec<_> = zones.values().flatten().copied().collect();
        problem.add_constraint(all.as_slice(), ComparisonOp::Eq, copies as f64);
        for zone in zones.values() {
            problem.add_constraint(zone.as_slice(), ComparisonOp::Le, per_zone as f64);
        }
    }
    for (member, owned) in able.iter().zip(&owned) {
        let (from, to) = range(member.id);
        problem.add_constraint(owned.as_slice(), ComparisonOp::Ge, from as f64);
        problem.add_constraint(owned.as_slice(), ComparisonOp::Le, to as f64);
    }
    let solution = problem.solve().unwrap().into_solution().unwrap();
    solution.objective().round() as usize
}

#[test]
fn impossible_members_are_refused() {
    let ring = Ring::new(8).unwrap();
    let compute = |members| Layout::compute(members, ring, 3, None);
    assert_eq!(compute(vec![]), Err(LayoutError::NoMembers));
    assert_eq!(compute(vec![member(1, 0, 0)]), Err(LayoutError::NoMembers));
    assert_eq!(
        compute(vec![member(1, 0, 1), member(1, 1, 1)]),
        Err(LayoutError::Duplicate("n1".into()))
    );
}

#[test]
fn fallbacks_are_all_others_once_clockwise() {
    let members = (1..=5).map(|n| member(n, 0, 1)).collect();
    let layout = Layout::compute(members, Ring::new(8).unwrap(), 3, None).unwrap();
    for p in (0..8).map(Partition) {
        let fallbacks: Vec<_> = layout.fallbacks(p, 2).collect();
        let all: BTreeSet<_> = layout.owners(p, 2).chain(fallbacks.iter().copied()).collect();
        assert_eq!((fallbacks.len(), all.len()), (3, 5));
        assert_eq!(layout.owners(p, 3).nth(2), Some(fallbacks[0]), "a further owner comes first");
    }
    let alone = Layout::compute(vec![member(1, 0, 1)], Ring::new(8).unwrap(), 3, None).unwrap();
    assert_eq!(alone.fallbacks(Partition(0), 3).count(), 0);
}

#[test]
fn a_layout_from_outside_is_checked() {
    let ring = Ring::new(4).unwrap();
    let mut layout = Layout::compute(vec![member(1, 0, 1)], ring, 1, None).unwrap();
    let back: Layout = cbor::decode(&cbor::encode(&layout)).unwrap();
    assert_eq!(back, layout);
    layout.owners[2] = 7;
    assert!(cbor::decode::<Layout>(&cbor::encode(&layout)).is_err());
}

proptest! {
    #[test]
    fn moves_are_the_least_that_any_assignment_of_these_loads_has(
        then in prop::collection::vec((0..4u32, 0..4u32), 1..8),
        now in prop::collection::vec((0..4u32, 0..4u32), 1..8),
        copies in (1..=4u8, 1..=4u8),
        first in 1..4u64,
    ) {
        let ring = Ring::new(16).unwrap();
        let members = |shape: &[(u32, u32)], first: u64| {
            let some = shape.iter().enumerate();
            some.map(|(at, (zone, capacity))| {
                member(at as u64 + first, *zone, capacity + u32::from(at == 0))
            }).collect::<Vec<_>>()
        };
        let before = Layout::compute(members(&then, 1), ring, copies.0, None).unwrap();
        let after = Layout::compute(members(&now, first), ring, copies.1, Some(&before)).unwrap();
        let owned = loads(&after);
        let exactly = |id| {
            let owned = owned.get(&id).copied().unwrap_or(0);
            (owned, owned)
        };
        prop_assert_eq!(moves(&before, &after), optimum(&before, &after, exactly));
        for p in (0..16).map(Partition) {
            let kept: Vec<_> = before.owners(p, MAX_COPIES).collect();
            for (place, owner) in after.owners(p, MAX_COPIES).enumerate() {
                let was = kept.iter().position(|old| *old == owner);
                prop_assert!(was.is_none_or(|was| was == place || was >= usize::from(after.copies)
                    || before.copies > after.copies));
            }
        }
    }

    #[test]
    fn no_other_rounding_of_equal_shares_has_fewer_moves(
        then in 1..9u64, now in 1..9u64, first in 1..5u64, copies in 1..=3u8,
    ) {
        let ring = Ring::new(16).unwrap();
        let members = |count: u64, first: u64| (first..first + count).map(|n| member(n, 0, 1)).collect();
        let before = Layout::compute(members(then, 1), ring, copies, None).unwrap();
        let after = Layout::compute(members(now, first), ring, copies, Some(&before)).unwrap();
        let slots = 16 * usize::from(after.copies());
        let share = slots / after.members.len();
        let most = slots.div_ceil(after.members.len());
        prop_assert_eq!(moves(&before, &after), optimum(&before, &after, |_| (share, most)));
    }

    #[test]
    fn no_member_is_further_over_its_share_than_zones_make_it(
        shape in prop::collection::vec((0..4u32, 1..5u32), 1..9),
        copies in 1..=4u8,
    ) {
        let members: Vec<_> =
            (1u64..).zip(shape).map(|(n, (zone, capacity))| member(n, zone, capacity)).collect();
        let layout = Layout::compute(members, Ring::new(64).unwrap(), copies, None).unwrap();
        let most = fullest(&layout);
        for (member, (owned, _)) in layout.members.iter().zip(layout.loads()) {
            prop_assert!(f64::from(owned) <= (most * f64::from(member.capacity)).ceil() + 1e-6);
        }
    }

    #[test]
    fn owners_are_distinct_and_in_distinct_zones_where_there_are_enough(
        shape in prop::collection::vec((0..5u32, 1..5u32), 1..12),
        copies in 1..=5u8,
    ) {
        let members: Vec<_> =
            (1u64..).zip(shape).map(|(n, (zone, capacity))| member(n, zone, capacity)).collect();
        let count = members.len();
        let layout = Layout::compute(members, Ring::new(64).unwrap(), copies, None).unwrap();
        prop_assert_eq!(usize::from(layout.copies()), usize::from(copies).min(count));
        for p in 0..64 {
            let owners: BTreeSet<_> = layout.owners(Partition(p), MAX_COPIES).collect();
            prop_assert_eq!(owners.len(), usize::from(layout.copies()));
        }
    }

    #[test]
    fn equal_zones_are_kept_apart(per_zone in 1..4u64, zones in 3..6u32) {
        let members: Vec<_> = (0..u64::from(zones) * per_zone)
            .map(|n| member(n + 1, u32::try_from(n % u64::from(zones)).unwrap(), 1))
            .collect();
        let layout = Layout::compute(members, Ring::new(128).unwrap(), 3, None).unwrap();
        for p in 0..128 {
            let zones: BTreeSet<_> = layout
                .owners(Partition(p), 3)
                .map(|o| layout.member(o).unwrap().zone.clone())
                .collect();
            prop_assert_eq!(zones.len(), 3);
        }
        let loads = loads(&layout);
        prop_assert!(loads.values().max().unwrap() - loads.values().min().unwrap() <= 1);
    }

    #[test]
    fn the_same_members_give_the_same_layout_in_any_order(seed in prop::collection::vec(0..100u64, 1..8)) {
        let ids: BTreeSet<_> = seed.into_iter().collect();
        let members: Vec<_> = ids.iter().map(|n| member(*n, 0, 1)).collect();
        let backwards: Vec<_> = members.iter().rev().cloned().collect();
        let ring = Ring::new(32).unwrap();
        prop_assert_eq!(
            Layout::compute(members, ring, 3, None),
            Layout::compute(backwards, ring, 3, None)
        );
    }
}
