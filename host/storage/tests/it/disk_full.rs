//! A disk that is nearly full: writes are refused, reads go on, and it passes.

use kinfold_protocol::store::StoreError;
use kinfold_storage::Options;
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::support::{Shop, key, noise, options, put};

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// The reserve is set 1 GiB below what is free, and a file of 2 GiB takes it away and gives it back: so whatever else
/// happens on this disk meanwhile makes no difference, up to 1 GiB.
#[test]
fn writes_are_refused_while_the_disk_is_nearly_full_and_go_on_after() {
    let directory = tempfile::tempdir().unwrap();
    let found = statvfs(directory.path()).unwrap();
    let free = found.f_bavail * found.f_frsize;
    assert!(free > 3 * GIB, "this test needs 3 GiB of free space");
    let reserve_mib = (free - GIB) / MIB;
    let mut shop =
        Shop::open(&directory.path().join("store"), Options { reserve_mib, ..options() });
    shop.put("a", 1, noise(1, 2_000));

    let ballast = directory.path().join("ballast");
    let file = std::fs::File::create(&ballast).unwrap();
    fallocate(&file, FallocateFlags::empty(), 0, 2 * GIB).unwrap();
    // The last look at the disk may be some milliseconds old.
    let mut time = 1;
    let error = loop {
        time += 1;
        if let Err(error) = shop.run(put(key("a"), time, noise(time, 2_000))) {
            break error;
        }
        assert!(time < 100_000, "the full disk goes unnoticed");
    };
    let StoreError::DiskFull { free_mib, reserve_mib: kept } = error else {
        panic!("{error}");
    };
    assert!(free_mib < kept && kept == reserve_mib);
    assert_eq!(
        shop.value("a"),
        Ok(Some(noise(time - 1, 2_000))),
        "nothing was written, reads go on"
    );

    drop(file);
    std::fs::remove_file(&ballast).unwrap();
    let mut tries = 0;
    while let Err(error) = shop.run(put(key("a"), time, noise(time, 2_000))) {
        assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
        tries += 1;
        assert!(tries < 10_000_000, "there is room again, and writes are refused");
    }
    assert_eq!(shop.value("a"), Ok(Some(noise(time, 2_000))));
}
