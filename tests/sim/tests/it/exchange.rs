//! What anti-entropy sends is in proportion to what differs, and not to what is there.

use sim::measure::{Measured, Task, run};

fn measured(differing: u64) -> Measured {
    let task = Task { keys: 5_000, differing, partitions: 64, key_bytes: 256, value_bytes: 10_000 };
    let measured = run(task);
    assert!(measured.equal, "{differing} keys: {measured:?}");
    measured
}

#[test]
fn trees_that_are_equal_cost_at_most_128_bytes_a_pair() {
    let measured = measured(0);
    assert_eq!(measured.trees, 64);
    assert!(measured.total() <= 128 * measured.trees, "{measured:?}");
}

#[test]
fn keys_that_differ_cost_at_most_half_as_much_again_as_they_are_long() {
    let clean = measured(0).total();
    for differing in [1, 100, 2_000] {
        let measured = measured(differing);
        let repair = measured.total() - clean;
        assert!(repair * 2 <= measured.objects * 3, "{differing} keys: {measured:?}");
    }
}
