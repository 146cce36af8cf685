//! The layout beside Dynamo's other strategies, by the paper's measure, and beside the fewest moves.

use sim::balance::{
    Evenness, layout, loads, members, random_tokens, random_tokens_on_equal_parts, step,
};
use sim::rng::Rng;

#[test]
fn the_layout_is_in_balance_where_random_tokens_are_not() {
    let ours = Evenness::of(&loads(&layout(members(0..30, 3), 1_024, None)));
    assert_eq!(ours.out_of_balance, 0.0);
    assert!(ours.efficiency > 0.99, "{ours:?}");
    let mut rng = Rng::new(7);
    for (one, two) in (0..20).map(|_| {
        (random_tokens(&mut rng, 30, 64), random_tokens_on_equal_parts(&mut rng, 30, 64, 4_096))
    }) {
        for loads in [one, two] {
            assert!((loads.iter().sum::<f64>() - 3.0).abs() < 1e-6, "three copies of everything");
            assert!(Evenness::of(&loads).efficiency < ours.efficiency);
        }
    }
}

#[test]
fn a_cluster_that_grows_and_shrinks_stays_even_and_moves_the_least() {
    let mut now = layout(members(0..3, 3), 1_024, None);
    for numbers in (4..=40).map(|n| 0..n).chain((1..=36).map(|n| n..40)) {
        let (step, after) = step(&now, members(numbers.clone(), 3));
        assert!(step.loads.1 - step.loads.0 <= 1 || after.members().len() % 3 != 0, "{step:?}");
        // Three zones with three copies: each zone holds everything, so members of a smaller zone hold more, and what a zone
        // gains it can only get from itself.
        assert!(
            u64::from(step.moved) * 100 <= u64::from(step.least) * 101,
            "{numbers:?}: {step:?}"
        );
        now = after;
    }
}
