//! The global allocator that lets every thread allocate but those bound by the law.

use std::alloc::{GlobalAlloc, Layout, System};

use super::law::{self, Violation};

/// The system's allocator behind a look at who asks.
pub struct Guarded;

#[inline]
fn refuse_bound_thread(bytes: usize) {
    if law::binds_this_thread() {
        law::break_and_park(Violation::Allocation(bytes as u64));
    }
}

// SAFETY: every call is handed on to the system's allocator unchanged, or never returns.
unsafe impl GlobalAlloc for Guarded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        refuse_bound_thread(layout.size());
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        refuse_bound_thread(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        refuse_bound_thread(layout.size());
        // SAFETY: `pointer` came from `System` with this layout, as all of this allocator's do.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        refuse_bound_thread(size);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
