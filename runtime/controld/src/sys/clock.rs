//! The monotonic clock, read without a system call, and the one sleep of the control thread.

/// CLOCK_MONOTONIC in ns.
#[must_use]
#[inline]
pub fn now_ns() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel (its vDSO, see `is_clock_call_free`) fills a valid struct.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Sleeps until an absolute time; a signal does not shorten it.
#[inline]
pub fn sleep_until(wake_ns: i64) {
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
