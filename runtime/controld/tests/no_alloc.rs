//! The cycle allocates nothing, whatever happens in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod counting;
mod rig;

use controld::cycle::Events;
use layout::{ExecState, StopLevel};
use rig::Rig;

/// Runs cycles and says how often the allocator was called in them, not counting what the surroundings do.
fn calls_in(rig: &mut Rig, cycles: u64, stop_wanted: bool) -> u64 {
    let mut calls = 0;
    for _ in 0..cycles {
        rig.surroundings();
        let (before, now_ns) = (counting::calls(), rig.now_ns);
        rig.cycle.run(now_ns, Events { stop_wanted }, || now_ns);
        rig.cycle.account_untimed();
        calls += counting::calls() - before;
        rig.now_ns += rig::PERIOD_NS;
    }
    calls
}

#[test]
fn the_allocator_is_seen_by_this_test() {
    let before = counting::calls();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(counting::calls() - before, 2);
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
