//! Bloom filters: a miss costs no block.

use crate::support::{Shop, noise, options};

const KEYS: u64 = 1_000;

#[test]
fn a_miss_is_answered_by_the_filter() {
    let directory = tempfile::tempdir().unwrap();
    let mut shop = Shop::open(directory.path(), options());
    // Even numbers, so that the odd ones lie between them and not outside of the tables' ranges.
    let name = |number: u64| format!("{number:06}");
    for number in 0..KEYS {
        shop.put(&name(2 * number), number + 1, noise(number, 100));
    }
    shop.storage.disk().flush().unwrap();

    let before = shop.storage.stats().unwrap().keyspaces["heads"].clone();
    for number in 0..KEYS {
        assert_eq!(shop.read(&name(2 * number + 1)), Ok(None));
    }
    let after = shop.storage.stats().unwrap().keyspaces["heads"].clone();
    let queries = after.filter_queries - before.filter_queries;
    let hits = after.filter_hits - before.filter_hits;
    let blocks = after.blocks_read - before.blocks_read;
    // All but the few odd ones that lie before the first key or after the last one of a table.
    assert!(queries >= 950, "{queries} of {KEYS} misses asked a filter");
    // At ten bits a key one of a hundred is a false alarm.
    assert!(hits >= queries * 95 / 100, "filters answered {hits} of {queries}");
    assert_eq!(blocks, queries - hits, "only false alarms read a block");

    // A key that is there is not hidden by it.
    assert_eq!(shop.value(&name(10)), Ok(Some(noise(5, 100))));
    let found = shop.storage.stats().unwrap().keyspaces["heads"].clone();
    assert!(found.blocks_read > after.blocks_read);
}
