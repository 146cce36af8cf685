//! Where threads merge without waiting for one another.
//!
//! Making an instance touches what all instances of one wasmtime engine share, such as the locks of its pool and the counts of
//! references to its compiled code. On some days two threads of one engine made no more small merges than one
//! (docs/TESTING.md, "Measured"). So an [`Engine`](crate::Engine) is several wasmtime engines, its bays, each with a pool and compiled
//! code of its own, and a thread merges in a bay where no other one is, as long as there is such a bay.
//!
//! The first bay alone has room for all the instances that there may be at a time, since large components are only there. The others
//! have room for their share.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

thread_local! {
    /// The bay that this thread was in last. It stays there, where its processor has everything at hand, until it meets
    /// another thread.
    static LAST: Cell<usize> = const { Cell::new(0) };
}

/// How many threads are in each bay, and how many it has room for.
pub(crate) struct Bays {
    bays: Box<[Bay]>,
}

/// On cache lines of its own: processors fetch them in pairs of 64 bytes.
#[repr(align(128))]
struct Bay {
    threads: AtomicUsize,
    room: usize,
}

impl Bay {
    /// Enters if there are fewer than `most` threads.
    fn enter(&self, most: usize) -> bool {
        let one_more = |threads| (threads < most).then_some(threads + 1);
        self.threads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }
}

/// A thread's time in a bay, which ends when this is dropped.
pub(crate) struct Stay<'a> {
    bay: usize,
    threads: &'a AtomicUsize,
}

impl Bays {
    /// Bays with room for so many threads each.
    pub(crate) fn new(room: impl IntoIterator<Item = usize>) -> Self {
        let bays = room.into_iter().map(|room| Bay { threads: AtomicUsize::new(0), room });
        Self { bays: bays.collect() }
    }

    /// Enters one of the first `of` bays, at least 1: one that is empty, or else one that has room, or else any, and then
    /// there is no instance for this thread.
    pub(crate) fn enter(&self, of: usize) -> Stay<'_> {
        let last = LAST.get() % of;
        let mut all = (last..of).chain(0..last);
        let empty = all.clone().find(|bay| self.bays[*bay].enter(1));
        let found = empty.or_else(|| all.find(|bay| self.bays[*bay].enter(self.bays[*bay].room)));
        let bay = found.unwrap_or_else(|| {
            self.bays[last].threads.fetch_add(1, Ordering::Relaxed);
            last
        });
        LAST.set(bay);
        Stay { bay, threads: &self.bays[bay].threads }
    }
}

impl Stay<'_> {
    pub(crate) fn bay(&self) -> usize {
        self.bay
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
    fn a_thread_stays_in_its_bay_until_it_meets_another() {
        let bays = Bays::new([1; 3]);
        assert_eq!([(); 2].map(|()| bays.enter(3).bay()), [0, 0]);
        let here = bays.enter(3);
        assert_eq!(on_another_thread(|| [(); 2].map(|()| bays.enter(3).bay())), [1, 1]);
        on_another_thread(|| {
            let there = bays.enter(3);
            assert_eq!(there.bay(), 1);
            drop(here);
            // It does not go back to a bay that is empty again.
            drop(there);
            assert_eq!(bays.enter(3).bay(), 1);
        });
    }

    #[test]
    fn threads_share_bays_as_far_as_these_have_room() {
        let bays = Bays::new([3, 1, 2]);
        let stays = [(); 6].map(|()| bays.enter(3));
        let in_bays = |stays: &[Stay<'_>]| {
            [0, 1, 2].map(|bay| stays.iter().filter(|stay| stay.bay() == bay).count())
        };
        assert_eq!(in_bays(&stays[..3]), [1, 1, 1]);
        assert_eq!(in_bays(&stays), [3, 1, 2]);
        // One more goes somewhere, and is not counted there for ever.
        drop(bays.enter(3));
        drop(stays);
        let stays = [(); 3].map(|()| bays.enter(3));
        assert_eq!(in_bays(&stays), [1, 1, 1]);
    }

    #[test]
    fn what_is_in_few_bays_is_not_looked_for_in_others() {
        let bays = Bays::new([2, 2]);
        let stays = [(); 3].map(|()| bays.enter(1));
        assert!(stays.iter().all(|stay| stay.bay() == 0));
    }
}
