//! Probabilistically bounded staleness: the model against what its paper published, the real core against the model.

use sim::rng::Rng;
use sim::staleness::{Published, Shape, TABLE, model, quantile, simulate};

/// Milliseconds after which 99.9 of 100 reads see a write.
fn visible(row: Published, shape: Shape) -> f64 {
    quantile(&model(row, shape, 400_000, &mut Rng::new(1)), 0.999) / 1_000.0
}

/// The paper's figures come from such a simulation of its own. At 99.9 % it is always a little below this one, by 15 % at
/// most; right after the acknowledgement the two agree.
#[test]
fn the_model_gives_what_the_paper_published() {
    for row in TABLE {
        let modelled = visible(row, Shape::Paper);
        let off = (modelled - row.visible).abs();
        assert!(off <= row.visible * 0.2 + 0.01, "{row:?}: the model says {modelled}");
    }
    for (row, at_once) in [(TABLE[0], 0.974), (TABLE[3], 0.439), (TABLE[6], 0.893)] {
        let times = model(row, Shape::Paper, 400_000, &mut Rng::new(1));
        let modelled = times.partition_point(|time| *time <= 0.0) as f64 / times.len() as f64;
        assert!((modelled - at_once).abs() < 0.01, "{row:?}: the model says {modelled}");
    }
}

/// How many standard deviations a share of so many trials is off, with a trial's worth of slack for shares near one.
fn deviations(seen: f64, expected: f64, trials: u32) -> f64 {
    let trials = f64::from(trials);
    let deviation = (expected * (1.0 - expected) / trials).sqrt();
    ((seen - expected).abs() - 1.0 / trials).max(0.0) / (deviation + 0.5 / trials)
}

#[test]
fn reads_of_the_core_see_writes_as_soon_as_the_model_expects() {
    const TRIALS: u32 = 250;
    for row in TABLE {
        for point in simulate(row, &[0.0, 0.9, 0.99], TRIALS, 7) {
            let off = deviations(point.seen, point.expected, TRIALS);
            assert!(off < 4.0, "{row:?}: {point:?}");
        }
    }
}

/// The comparison is sharp enough to tell one quorum from another.
#[test]
fn another_quorum_would_be_told_apart() {
    let [one, two] = [TABLE[3], TABLE[4]];
    let curve = simulate(two, &[0.0], 250, 7);
    let wrong = model(one, Shape::Owner, 100_000, &mut Rng::new(1));
    let below = wrong.partition_point(|time| *time <= curve[0].after as f64);
    let expected = below as f64 / wrong.len() as f64;
    assert!(deviations(curve[0].seen, expected, 250) > 6.0, "{curve:?} for {expected}");
}
