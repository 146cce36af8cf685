//! Counts what is allocated: the most that a thread holds at one time.

#![expect(
    unsafe_code,
    reason = "an allocator can't be written without; it only counts, and hands on"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct Meter;

#[global_allocator]
static METER: Meter = Meter;

/// Notes a change. A thread that ends has nothing left to note it in.
fn note(change: isize) {
    let _ = HELD.try_with(|held| {
        held.set(held.get().saturating_add(change));
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

fn size(bytes: usize) -> isize {
    isize::try_from(bytes).unwrap_or(isize::MAX)
}

// SAFETY: every call goes to the system's allocator with the arguments that came, and its answer comes back unchanged.
unsafe impl GlobalAlloc for Meter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(size(layout.size()));
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(size(layout.size()));
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        note(-size(layout.size()));
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new: usize) -> *mut u8 {
        // Both are there while the bytes are copied.
        note(size(new));
        note(-size(layout.size()));
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, new) }
    }
}

/// What `run` gives, and the most bytes that this thread held meanwhile beyond what it held before.
pub fn peak_of<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let given = run();
    (given, usize::try_from(PEAK.get() - before).unwrap_or(0))
}
