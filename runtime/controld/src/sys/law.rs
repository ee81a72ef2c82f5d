//! The real-time law: after start the control thread neither allocates, nor calls the kernel but to sleep and to reach its
//! bus, nor panics. A thread that breaks it is parked on the spot, and the watchdog ends the process with the reason.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use super::clock;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Bytes asked for.
    Allocation(u64),
    /// Number of the system call.
    Syscall(u64),
    /// Line of the panic.
    Panic(u64),
}

const ALLOCATION: u64 = 1 << 32;
const SYSCALL: u64 = 2 << 32;
const PANIC: u64 = 3 << 32;

/// Kind in the upper half, detail in the lower; 0 while the law holds.
static BROKEN: AtomicU64 = AtomicU64::new(0);

thread_local! {
    // No destructor and no lazy start: reading it never allocates.
    static BOUND: Cell<bool> = const { Cell::new(false) };
}

/// From here on the law binds the calling thread.
pub fn bind_this_thread() {
    BOUND.with(|bound| bound.set(true));
}

#[must_use]
#[inline]
pub fn binds_this_thread() -> bool {
    BOUND.try_with(Cell::get).unwrap_or(false)
}

/// What was broken first, if anything.
#[must_use]
pub fn broken() -> Option<Violation> {
    let word = BROKEN.load(Ordering::Acquire);
    let detail = word & 0xffff_ffff;
    match word & !0xffff_ffff {
        ALLOCATION => Some(Violation::Allocation(detail)),
        SYSCALL => Some(Violation::Syscall(detail)),
        PANIC => Some(Violation::Panic(detail)),
        _ => None,
    }
}

/// Notes the violation and never returns: what the thread would do next cannot be trusted.
pub fn break_and_park(violation: Violation) -> ! {
    let word = match violation {
        Violation::Allocation(bytes) => ALLOCATION | bytes.min(0xffff_ffff),
        Violation::Syscall(number) => SYSCALL | (number & 0xffff_ffff),
        Violation::Panic(line) => PANIC | (line & 0xffff_ffff),
    };
    let _ = BROKEN.compare_exchange(0, word, Ordering::AcqRel, Ordering::Relaxed);
    BOUND.with(|bound| bound.set(false));
    loop {
        clock::sleep_until(clock::now_ns() + 1_000_000_000);
    }
}

/// Panics of a bound thread become violations before anything is formatted; others are reported as ever.
pub fn install_panic_hook() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if binds_this_thread() {
            let line = info.location().map_or(0, |l| u64::from(l.line()));
            break_and_park(Violation::Panic(line));
        }
        usual(info);
        // A panic on any other thread is a bug as well: a robot without its watchdog is not run.
        std::process::abort();
    }));
}
