//! A disk that is full: writes are refused, reads go on, nothing is lost, and with more room all is well again.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::program::skip;
use crate::site::{Site, eventually};

/// A file system of its own, in memory. It is gone when dropped.
struct Tmpfs(PathBuf);

impl Tmpfs {
    /// Mounts one on a new folder; `None` where the system does not let us.
    fn mount(folder: PathBuf, mib: u32) -> Option<Self> {
        fs::create_dir(&folder).unwrap();
        let options = format!("size={mib}m,mode=0700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "kinfold-e2e"]).arg(&folder);
        mount.output().is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_refuses_writes_keeps_what_it_has_and_recovers() {
    let settings = "storage = { cache_mib = 8, memtable_mib = 4, reserve_mib = 24 }";
    let site = Site::new(1, settings);
    let Some(_disk) = Tmpfs::mount(site.path("n1"), 96) else {
        return skip("a full disk: this machine does not let the test mount a small file system");
    };
    let nodes = site.start_all();
    site.boss(["bucket", "create", "things"]).ends(0);
    let ballast = site.path("n1").join("ballast");
    fs::write(&ballast, vec![1; 32 * 1024 * 1024]).unwrap();
    // Nothing that an engine could make smaller.
    let value = |n: u32| -> Vec<u8> {
        let mut x = n | 1;
        let step = || {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            x.to_be_bytes()
        };
        std::iter::repeat_with(step).flatten().take(2 * 1024 * 1024).collect()
    };
    let mut acknowledged = 0;
    let refused = loop {
        let key = format!("k{acknowledged}");
        let put = site.run("app", ["put", "things", &key, "-"], &value(acknowledged));
        if put.code != Some(0) {
            break put;
        }
        acknowledged += 1;
        assert!(acknowledged < 50, "a disk with 64 MiB of room took 100");
    };
    refused.says(1, "disk");
    assert!(acknowledged > 3, "only {acknowledged} values of 2 MiB fit on a disk with 64 of room");
    let all_there = || {
        for n in 0..acknowledged {
            let found = site.app(["get", "--quiet", "things", &format!("k{n}")]).ends(0);
            assert!(found.out == value(n), "k{n} has {} other bytes", found.out.len());
        }
    };
    all_there();
    // It stops and starts on the full disk.
    for node in nodes {
        assert!(node.terminate().success());
    }
    let _nodes = site.start_all();
    all_there();
    let one_more = || site.run("app", ["put", "things", "one-more", "-"], &value(1_000));
    one_more().says(1, "disk");

    fs::remove_file(&ballast).unwrap();
    eventually("writes go on", || one_more().code == Some(0));
    all_there();
    assert!(site.app(["get", "--quiet", "things", "one-more"]).ends(0).out == value(1_000));
}
