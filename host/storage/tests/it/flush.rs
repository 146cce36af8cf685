//! Memtables: a full one is written out as a sorted table, with its values in a file beside it.

use kinfold_storage::Options;

use crate::support::{Shop, bytes_of, files_in, noise, options};

#[test]
fn a_full_memtable_becomes_tables() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { memtable_mib: 1, ..options() };
    let mut shop = Shop::open(directory.path(), options.clone());
    assert!(files_in(directory.path(), "blobs").is_empty());

    // Nobody asks for it: writing is enough.
    let mut written = 0;
    while shop.storage.stats().unwrap().keyspaces["bodies"].tables == 0 {
        written += 1;
        assert!(written < 5_000, "50 MB went into a memtable of 1 MiB");
        shop.put(&written.to_string(), written, noise(written, 10_000));
    }
    let blobs = files_in(directory.path(), "blobs");
    assert!(bytes_of(&blobs) > 900_000, "the values of a memtable stand in {blobs:?}");
    for number in 1..=written {
        assert_eq!(shop.value(&number.to_string()), Ok(Some(noise(number, 10_000))));
    }

    // And the rest, heads and sums too, when asked for.
    shop.storage.disk().flush().unwrap();
    let stats = shop.storage.stats().unwrap();
    for name in ["bodies", "heads", "trees"] {
        assert!(stats.keyspaces[name].tables > 0, "{name} has no table");
    }
    assert!(files_in(directory.path(), "tables").len() >= 3);
    let mut shop = shop.reopen(options);
    for number in 1..=written {
        assert_eq!(shop.value(&number.to_string()), Ok(Some(noise(number, 10_000))));
    }
}
