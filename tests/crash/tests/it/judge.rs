//! The judge, judged: stores that no crash may leave.

use bytes::Bytes;
use crash::judge::judge;
use crash::load::{Counts, LEASE, Load, Op, options};
use kinfold_protocol::causality::Marks;
use kinfold_protocol::id::{BucketName, Key, NodeId};
use kinfold_protocol::replica::{StoreJob, execute};
use kinfold_protocol::ring::{Partition, Position, Tree};
use kinfold_protocol::store::{Bodies, DueKey, Store, StoreError, Stored, Write};
use kinfold_protocol::time::Expiry;
use kinfold_protocol::tree::Sums;
use kinfold_storage::Disk;

const SEED: u64 = 5;

/// A disk whose trees may stand still.
struct Numb {
    disk: Disk,
    numb: bool,
}

impl Store for Numb {
    fn read(&self, k: &Key, p: Position, bodies: Bodies) -> Result<Option<Stored>, StoreError> {
        self.disk.read(k, p, bodies)
    }

    fn hints(
        &self,
        owner: NodeId,
        after: Option<&(Partition, Key)>,
        limit: usize,
    ) -> Result<Vec<(Partition, Key)>, StoreError> {
        self.disk.hints(owner, after, limit)
    }

    fn due(
        &self,
        upto: Expiry,
        after: Option<&DueKey>,
        limit: usize,
    ) -> Result<Vec<DueKey>, StoreError> {
        self.disk.due(upto, after, limit)
    }

    fn write(&mut self, mut write: Write) -> Result<(), StoreError> {
        if self.numb {
            write.leaf_change = 0;
        }
        self.disk.write(write)
    }

    fn sums(&self, tree: Tree) -> Result<Sums, StoreError> {
        self.disk.sums(tree)
    }

    fn heads(
        &self,
        partition: Partition,
        bucket: &BucketName,
        after: Option<&Bytes>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Stored)>, StoreError> {
        self.disk.heads(partition, bucket, after, limit)
    }

    fn marks(&self, tree: Tree) -> Result<Marks, StoreError> {
        self.disk.marks(tree)
    }

    fn raise_marks(&mut self, marks: &[(Tree, Marks)]) -> Result<(), StoreError> {
        self.disk.raise_marks(marks)
    }

    fn forget_marks(&mut self, tree: Tree) -> Result<(), StoreError> {
        self.disk.forget_marks(tree)
    }

    fn save(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.disk.save(name, bytes)
    }
}

/// Carries out the operations of both lanes in turn, those that `leaves_out` names excepted.
fn filled(disk: &mut Numb, load: &Load, up_to: u64, leaves_out: impl Fn(usize, u64) -> bool) {
    let mut done: Counts = [0; 2];
    for number in 0..up_to {
        for lane in 0..2 {
            if !leaves_out(lane, number) {
                match load.job(lane, number, done) {
                    StoreJob::Key(job) => drop(execute(job, disk).unwrap()),
                    StoreJob::Save { name, bytes } => disk.save(&name, &bytes).unwrap(),
                    StoreJob::Raise(marks) => disk.raise_marks(&marks).unwrap(),
                    StoreJob::Hints { .. } | StoreJob::Survey(_) | StoreJob::Forget(_) => {
                        unreachable!()
                    }
                }
            }
            done[lane] += 1;
        }
    }
}

/// What the judge says of a store with 100 operations of each lane, once `twist` was at it.
fn judged(
    durable: Counts,
    leaves_out: impl Fn(usize, u64) -> bool,
    twist: impl FnOnce(&mut Numb, &Load),
) -> Result<Counts, String> {
    let directory = tempfile::tempdir().unwrap();
    let load = Load::new(SEED);
    let disk = Disk::open(directory.path(), &options()).unwrap();
    let mut disk = Numb { disk, numb: false };
    filled(&mut disk, &load, 100, leaves_out);
    twist(&mut disk, &load);
    disk.disk.sync().unwrap();
    drop(disk);
    judge(directory.path(), &load, durable).map(|found| found.there)
}

/// The last operation of this lane before `before` that is a put.
fn last_put(lane: usize, before: u64) -> u64 {
    let load = Load::new(SEED);
    let is_put = |number: &u64| matches!(load.op(lane, *number), Op::Put { .. });
    (0..before).rev().find(is_put).unwrap()
}

#[test]
fn a_whole_store_passes() {
    assert_eq!(judged([100, 100], |_, _| false, |_, _| {}), Ok([100, 100]));
}

#[test]
fn a_lost_end_is_seen() {
    let error = judged([100, 101], |_, _| false, |_, _| {}).unwrap_err();
    assert!(error.contains("lane 1: the last 1 acknowledged writes are gone"), "{error}");
    let error = judged([100, 100], |lane, number| lane == 0 && number > 90, |_, _| {}).unwrap_err();
    assert!(error.contains("lane 0: the last"), "{error}");
}

#[test]
fn a_hole_in_a_lane_is_seen() {
    let hole = last_put(1, 99);
    let error = judged([0, 0], |lane, number| lane == 1 && number == hole, |_, _| {}).unwrap_err();
    assert!(error.contains("a hole"), "{error}");
}

/// Each lane by itself is without holes, but one has what was written after the other's lost end.
#[test]
fn a_hole_between_lanes_is_seen() {
    let error = judged([0, 0], |lane, number| lane == 0 && number >= 50, |_, _| {}).unwrap_err();
    assert!(error.contains("was there before it"), "{error}");
}

#[test]
fn a_tree_that_stands_still_is_seen() {
    let error = judged(
        [0, 0],
        |_, _| false,
        |disk, load| {
            disk.numb = true;
            let number = (100..).find(|n| matches!(load.op(1, *n), Op::Put { .. })).unwrap();
            let StoreJob::Key(job) = load.job(1, number, [100, 100]) else { unreachable!() };
            execute(job, disk).unwrap();
        },
    )
    .unwrap_err();
    assert!(error.contains("the trees don't agree with the data"), "{error}");
}

#[test]
fn a_lease_that_goes_back_is_seen() {
    let back = |disk: &mut Numb, _: &Load| disk.save(LEASE, &0_u64.to_be_bytes()).unwrap();
    let error = judged([0, 0], |_, _| false, back).unwrap_err();
    assert!(error.contains("the lease or the mark went back"), "{error}");
}

#[test]
fn values_of_another_load_are_seen() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::open(directory.path(), &options()).unwrap();
    let mut disk = Numb { disk, numb: false };
    filled(&mut disk, &Load::new(SEED), 20, |_, _| false);
    drop(disk);
    assert!(judge(directory.path(), &Load::new(SEED + 1), [0, 0]).is_err());
}
