//! The monotonic clock, read without a system call, and the one sleep of the control thread.
//!
//! In a guest that is too slow for a robot, the robot lives in slow motion: its clock is the machine's divided by a whole
//! number, so that every rate, life and time-out stretches alike. Only the profile of a simulated arm can say so.

use std::sync::atomic::{AtomicI64, Ordering};

static SLOW_MOTION: AtomicI64 = AtomicI64::new(1);

/// Makes one second of the robot's clock last so many of the machine's. Once, before any time is read.
pub fn slow_down(times: u32) {
    SLOW_MOTION.store(i64::from(times.max(1)), Ordering::Relaxed);
}

/// The robot's clock in ns: CLOCK_MONOTONIC, but in slow motion.
#[must_use]
#[inline]
pub fn now_ns() -> i64 {
    match SLOW_MOTION.load(Ordering::Relaxed) {
        1 => machine_ns(),
        times => machine_ns() / times,
    }
}

#[inline]
fn machine_ns() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel (its vDSO, see `is_clock_call_free`) fills a valid struct.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Sleeps until an absolute time of the robot's clock; a signal does not shorten it.
#[inline]
pub fn sleep_until(wake_ns: i64) {
    let wake_ns = wake_ns.saturating_mul(SLOW_MOTION.load(Ordering::Relaxed));
    let wake = libc::timespec { tv_sec: wake_ns.div_euclid(1_000_000_000), tv_nsec: wake_ns.rem_euclid(1_000_000_000) };
    loop {
        // SAFETY: a valid struct to read; no remaining time is asked for, as the time is absolute.
        let result =
            unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &raw const wake, std::ptr::null_mut()) };
        if result != libc::EINTR {
            return;
        }
    }
}

/// Whether this machine's clock is read in user space; on others every reading is a system call.
#[must_use]
pub fn is_clock_call_free() -> bool {
    const PATH: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    const MAPPED: [&str; 4] = ["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page"];
    std::fs::read_to_string(PATH).is_ok_and(|name| MAPPED.contains(&name.trim()))
}
