//! The cycle allocates nothing, whatever happens in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod rig;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use controld::cycle::Events;
use layout::{ExecState, StopLevel};
use rig::Rig;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: `pointer` came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs cycles and says how often the allocator was called in them, not counting what the surroundings do.
fn calls_in(rig: &mut Rig, cycles: u64, stop_wanted: bool) -> u64 {
    let mut calls = 0;
    for _ in 0..cycles {
        rig.surroundings();
        let (before, now_ns) = (COUNT.with(Cell::get), rig.now_ns);
        rig.cycle.run(now_ns, Events { stop_wanted }, || now_ns);
        rig.cycle.account_untimed();
        calls += COUNT.with(Cell::get) - before;
        rig.now_ns += rig::PERIOD_NS;
    }
    calls
}

#[test]
fn the_allocator_is_seen_by_this_test() {
    let before = COUNT.with(Cell::get);
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(COUNT.with(Cell::get) - before, 2);
}

#[test]
fn boot_arming_motion_loss_of_commands_stop_and_shutdown_allocate_nothing() {
    let mut rig = Rig::new("no-alloc");
    assert_eq!(calls_in(&mut rig, 200, false), 0, "boot");
    assert_eq!(rig.frame().stop_level(), Some(StopLevel::Hold));
    rig.rearm();
    assert_eq!(calls_in(&mut rig, 3000, false), 0, "motion");
    assert_eq!(rig.frame().exec_state(), Some(ExecState::Executing), "{:?}", rig.frame());
    rig.send_commands = false;
    assert_eq!(calls_in(&mut rig, 2000, false), 0, "commands lost");
    assert_eq!(rig.frame().stop_level(), Some(StopLevel::Hold));
    rig.send_commands = true;
    rig.rearm();
    assert_eq!(calls_in(&mut rig, 1000, false), 0, "armed again");
    rig.answer = false;
    assert_eq!(calls_in(&mut rig, 2000, false), 0, "nobody answers");
    assert_ne!(rig.frame().stop_level(), Some(StopLevel::None));
    assert_eq!(calls_in(&mut rig, 3000, true), 0, "shutdown");
    assert!(rig.cycle.is_stopped());
}
