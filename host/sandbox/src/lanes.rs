//! Where threads merge without waiting for one another.
//!
//! Making an instance touches what all instances of one wasmtime engine share: the locks of its pool and the counts of
//! references to its compiled code. Two processors that take turns at these spend more time on that than a small merge takes. So
//! an [`Engine`](crate::Engine) is several wasmtime engines, its lanes, each with a pool and compiled code of its own, and a thread
//! merges in a lane where no other one is, as long as there is such a lane.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

thread_local! {
    /// The lane that this thread was in last. It stays there, where its processor has everything at hand, until it meets
    /// another thread.
    static LAST: Cell<usize> = const { Cell::new(0) };
}

/// How many threads are in each lane. Only advice: nothing breaks if two are in one.
pub(crate) struct Lanes {
    threads: Box<[Threads]>,
}

/// On cache lines of its own: processors fetch them in pairs of 64 bytes.
#[derive(Default)]
#[repr(align(128))]
struct Threads(AtomicUsize);

/// A thread's time in a lane, which ends when this is dropped.
pub(crate) struct Stay<'a> {
    lane: usize,
    threads: &'a AtomicUsize,
}

impl Lanes {
    pub(crate) fn new(lanes: usize) -> Self {
        Self { threads: (0..lanes).map(|_| Threads::default()).collect() }
    }

    /// Enters one of the first `of` lanes, at least 1: one that is empty, if there is one.
    pub(crate) fn enter(&self, of: usize) -> Stay<'_> {
        let last = LAST.get() % of;
        let is_empty = |lane: &usize| {
            let threads = &self.threads[*lane].0;
            threads.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        let lane = (last..of).chain(0..last).find(is_empty).unwrap_or_else(|| {
            self.threads[last].0.fetch_add(1, Ordering::Relaxed);
            last
        });
        LAST.set(lane);
        Stay { lane, threads: &self.threads[lane].0 }
    }
}

impl Stay<'_> {
    pub(crate) fn lane(&self) -> usize {
        self.lane
    }
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        self.threads.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn on_another_thread<T: Send>(run: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| scope.spawn(run).join().unwrap())
    }

    #[test]
    fn a_thread_stays_in_its_lane_until_it_meets_another() {
        let lanes = Lanes::new(3);
        assert_eq!([(); 2].map(|()| lanes.enter(3).lane()), [0, 0]);
        let here = lanes.enter(3);
        assert_eq!(on_another_thread(|| [(); 2].map(|()| lanes.enter(3).lane())), [1, 1]);
        on_another_thread(|| {
            let there = lanes.enter(3);
            assert_eq!(there.lane(), 1);
            drop(here);
            // It does not go back to a lane that is empty again.
            drop(there);
            assert_eq!(lanes.enter(3).lane(), 1);
        });
    }

    #[test]
    fn threads_share_where_there_are_too_few_lanes_and_leave_them_empty() {
        let lanes = Lanes::new(2);
        let stays = [(); 5].map(|()| lanes.enter(2));
        let mut threads = [0; 2];
        stays.iter().for_each(|stay| threads[stay.lane()] += 1);
        assert_eq!(threads.iter().sum::<i32>(), 5);
        assert!(threads.iter().all(|&threads| threads > 0), "{threads:?}");
        drop(stays);
        assert_eq!(
            [lanes.enter(2), lanes.enter(2)].map(|stay| stay.lane()).iter().sum::<usize>(),
            1
        );
    }

    #[test]
    fn what_is_in_few_lanes_is_not_looked_for_in_others() {
        let lanes = Lanes::new(2);
        let stays = [(); 3].map(|()| lanes.enter(1));
        assert!(stays.iter().all(|stay| stay.lane() == 0));
    }
}
