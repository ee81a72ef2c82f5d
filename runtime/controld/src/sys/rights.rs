//! Real-time rights: what the control thread asks for, what it got, and how to get what is missing.

use std::io;

use decide::params::{Cycle, Policy};
use layout::Realtime;

/// What the kernel granted, read back rather than assumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obtained {
    pub fifo: bool,
    pub pinned: bool,
    pub locked: bool,
    /// Each right that was asked for and not granted, with the reason.
    pub missing: Vec<String>,
}

impl Obtained {
    #[must_use]
    pub fn realtime(&self) -> Realtime {
        match (self.fifo, self.pinned, self.locked) {
            (true, true, true) => Realtime::Full,
            (true, _, _) => Realtime::FifoOnly,
            (false, _, _) => Realtime::BestEffort,
        }
    }
}

/// Asks for the rights that the profile declares, for the calling thread (memory: for the process).
#[must_use]
pub fn obtain(cycle: &Cycle) -> Obtained {
    let mut missing = Vec::new();
    let mut note = |right: String, result: io::Result<()>, hint: &str| {
        if let Err(e) = result {
            missing.push(format!("{right}: {e} ({hint})"));
        }
    };
    if cycle.lock_memory {
        note("locked memory".to_owned(), lock_memory(), "LimitMEMLOCK=infinity, or ulimit -l unlimited");
    }
    if let Some(cpu) = cycle.cpu {
        note(format!("affinity to CPU {cpu}"), pin_to(&[cpu as usize]), "a CPU of that number, online and in the cpuset");
    }
    if cycle.policy == Policy::Fifo {
        let result = set_fifo(cycle.priority);
        note(format!("SCHED_FIFO {}", cycle.priority), result, "LimitRTPRIO=99, or CAP_SYS_NICE");
    }
    prefault_stack();
    Obtained { fifo: has_fifo(), pinned: cycle.cpu.is_some_and(is_pinned_to), locked: is_memory_locked(), missing }
}

/// SCHED_FIFO for the calling thread.
///
/// # Errors
/// When the kernel refuses.
pub fn set_fifo(priority: u32) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: i32::try_from(priority).unwrap_or(i32::MAX) };
    // SAFETY: a valid struct; 0 is the calling thread.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) })
}

/// Ties the calling thread to these CPUs.
///
/// # Errors
/// When none of them can be used.
pub fn pin_to(cpus: &[usize]) -> io::Result<()> {
    // SAFETY: an all-zero set is a valid, empty one.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for cpu in cpus.iter().filter(|cpu| **cpu < libc::CPU_SETSIZE as usize) {
        // SAFETY: the number is within the set.
        unsafe { libc::CPU_SET(*cpu, &mut set) };
    }
    // SAFETY: a valid set of the given size; 0 is the calling thread.
    check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) })
}

/// The CPUs that the calling thread may run on.
#[must_use]
pub fn usable_cpus() -> Vec<usize> {
    // SAFETY: an all-zero set is a valid, empty one, which the kernel fills.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) } != 0 {
        return Vec::new();
    }
    // SAFETY: the numbers are within the set.
    (0..libc::CPU_SETSIZE as usize).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).collect()
}

fn is_pinned_to(cpu: u32) -> bool {
    usable_cpus() == [cpu as usize]
}

fn has_fifo() -> bool {
    // SAFETY: no pointers; 0 is the calling thread.
    (unsafe { libc::sched_getscheduler(0) }) & !libc::SCHED_RESET_ON_FORK == libc::SCHED_FIFO
}

fn lock_memory() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) })
}

/// The kernel's own count of what is locked.
fn is_memory_locked() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
    field.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).is_some_and(|kib| kib > 0)
}

/// Touches the stack that the cycle will use, so that it faults in now.
#[inline(never)]
fn prefault_stack() {
    let mut pages = [0u8; 256 << 10];
    for page in pages.chunks_mut(4096) {
        if let Some(byte) = page.first_mut() {
            *byte = std::hint::black_box(1);
        }
    }
    std::hint::black_box(&pages);
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
