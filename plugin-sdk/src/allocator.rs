//! A global allocator for an instance that lives for one merge.
//!
//! Memory is handed out upwards from the end of the static data and never reused, except for the newest block, which
//! can shrink, grow and be given back in place: that covers a `Vec` that is being filled. There are no free lists to
//! walk, so it is small, fast, and uses the same fuel for the same input.
//!
//! It grows the memory only after the pages that the linker laid out are used up, because every growth costs the host
//! a system call under a lock that all threads share. Build with `--initial-memory` large enough for ordinary merges.
#![allow(
    unsafe_code,
    reason = "an allocator has to hand out raw memory; WebAssembly without threads has no races"
)]

use std::alloc::{GlobalAlloc, Layout};
use std::arch::wasm32::{memory_grow, memory_size};
use std::cell::Cell;
use std::ptr;

const PAGE: usize = 64 * 1024;
/// Growing asks for at least this many pages: a MiB.
const GROWTH: usize = 16;

unsafe extern "C" {
    /// Where the linker's static data and stack end.
    static __heap_base: u8;
}

#[global_allocator]
static ALLOCATOR: Bump = Bump { next: Cell::new(0), end: Cell::new(0) };

/// The first free address and the end of the memory; both 0 before the first call.
struct Bump {
    next: Cell<usize>,
    end: Cell<usize>,
}

// SAFETY: the target has no threads.
unsafe impl Sync for Bump {}

impl Bump {
    /// Makes `[start, start + size)` the newest block. `false` if there is no such memory.
    fn claim(&self, start: usize, size: usize) -> bool {
        let Some(next) = start.checked_add(size) else {
            return false;
        };
        if next > self.end.get() {
            let pages = (next - self.end.get()).div_ceil(PAGE).max(GROWTH);
            if memory_grow::<0>(pages) == usize::MAX {
                return false;
            }
            self.end.set(memory_size::<0>() * PAGE);
        }
        self.next.set(next);
        true
    }

    fn is_newest(&self, block: *mut u8, size: usize) -> bool {
        block.addr() + size == self.next.get()
    }
}

// SAFETY: blocks don't overlap: each starts at or after `next` and moves `next` to its end; `next` only moves back over
// the newest block, when that block is given back or shrunk.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.end.get() == 0 {
            self.next.set((&raw const __heap_base).addr());
            self.end.set(memory_size::<0>() * PAGE);
        }
        let Some(start) = self.next.get().checked_next_multiple_of(layout.align()) else {
            return ptr::null_mut();
        };
        if self.claim(start, layout.size()) {
            ptr::with_exposed_provenance_mut(start)
        } else {
            ptr::null_mut()
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`. Memory is not fresh where a block was given back, so it has to be cleared.
        let block = unsafe { self.alloc(layout) };
        if !block.is_null() {
            // SAFETY: the block was just made, with this size.
            unsafe { ptr::write_bytes(block, 0, layout.size()) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if self.is_newest(block, layout.size()) {
            self.next.set(block.addr());
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if self.is_newest(block, layout.size()) {
            return if self.claim(block.addr(), size) { block } else { ptr::null_mut() };
        }
        if size <= layout.size() {
            return block;
        }
        // SAFETY: the alignment is that of a valid layout, and the caller promises that `size` doesn't overflow with it.
        let moved = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !moved.is_null() {
            // SAFETY: the old block is valid for its size, and the new one, which is larger, doesn't overlap it.
            unsafe { ptr::copy_nonoverlapping(block, moved, layout.size()) };
        }
        moved
    }
}
