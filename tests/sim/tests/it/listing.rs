//! Listings of a bucket by hand: over all partitions, with owners that lack some of it.

use std::collections::BTreeSet;

use kinfold_protocol::config::BucketConfig;
use sim::stage::Stage;

fn names(from: usize, upto: usize) -> BTreeSet<String> {
    (from..upto).map(|n| format!("{}/{n}", ["a", "b"][n % 2])).collect()
}

#[test]
fn every_key_comes_once_whatever_the_pages_and_whoever_lacks_it() {
    let mut stage = Stage::new(5, BucketConfig::default(), None);
    for (number, name) in names(0, 60).into_iter().enumerate() {
        assert!(stage.put_key(number % 5, &name, "value"));
    }
    // One node misses all that is written from now on.
    stage.cut_off(&[4]);
    for (number, name) in names(60, 90).into_iter().enumerate() {
        assert!(stage.put_key(number % 4, &name, "value"));
    }
    assert!(stage.delete_key(0, "a/0"));
    stage.world.net.mend();
    let mut expected = names(0, 90);
    expected.remove("a/0");
    for (node, limit) in [(0, 7), (4, 1), (2, 1_000), (4, 33)] {
        let listed = stage.list(node, "", limit);
        assert_eq!(listed.len(), expected.len(), "each once, {node} {limit}");
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), expected, "{node} {limit}");
    }
    let a: BTreeSet<String> =
        expected.iter().filter(|key| key.starts_with("a/")).cloned().collect();
    assert_eq!(stage.list(1, "a/", 10).into_iter().collect::<BTreeSet<_>>(), a);
    assert!(stage.list(1, "c", 10).is_empty());
}
