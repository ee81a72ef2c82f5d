//! Signals: the two faults that are handled on the spot, and the wish to stop, which the main thread waits for.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::law::{self, Violation};

const MAPS: usize = 32;
const PAGE: usize = 4096;

static RANGES: [[AtomicUsize; 2]; MAPS] = [const { [AtomicUsize::new(0), AtomicUsize::new(0)] }; MAPS];
static RANGE_COUNT: AtomicUsize = AtomicUsize::new(0);
static PATCHED: AtomicU64 = AtomicU64::new(0);

/// Declares a mapping whose file another process could cut short: a fault there is patched with an empty page, which then
/// reads as "never written" and goes stale, instead of ending the control process.
pub fn survive_truncation_of(range: (usize, usize)) {
    let index = RANGE_COUNT.fetch_add(1, Ordering::Relaxed);
    if let Some([start, end]) = RANGES.get(index) {
        end.store(range.1, Ordering::Relaxed);
        start.store(range.0, Ordering::Release);
    }
}

/// Pages patched since start.
#[must_use]
pub fn patched_pages() -> u64 {
    PATCHED.load(Ordering::Relaxed)
}

type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);

/// Installs the handlers of SIGSYS and SIGBUS.
///
/// # Errors
/// When the kernel refuses one.
pub fn install_handlers() -> io::Result<()> {
    for (signal, handler) in [(libc::SIGSYS, on_forbidden_call as Handler), (libc::SIGBUS, on_missing_page as Handler)] {
        // SAFETY: an all-zero sigaction is a valid one.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO;
        // SAFETY: a valid struct, and a handler that keeps to calls allowed in one.
        if unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

extern "C" fn on_forbidden_call(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // The number follows the calling address, which follows the three integers and padding that every siginfo starts with.
    const CALL_NUMBER_OFFSET: usize = 24;
    // SAFETY: the kernel passes a whole siginfo of 128 bytes, for SIGSYS with this layout.
    let number = unsafe { info.cast::<u8>().add(CALL_NUMBER_OFFSET).cast::<i32>().read_unaligned() };
    law::break_and_park(Violation::Syscall(u64::from(number.unsigned_abs())));
}

extern "C" fn on_missing_page(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a whole siginfo; SIGBUS has an address.
    let address = unsafe { (*info).si_addr() } as usize;
    let ours = RANGES.iter().any(|[start, end]| {
        let from = start.load(Ordering::Acquire);
        from != 0 && (from..end.load(Ordering::Relaxed)).contains(&address)
    });
    if ours {
        let page = (address & !(PAGE - 1)) as *mut libc::c_void;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: replaces one page of a declared mapping, whose words are only reached through atomics.
        if unsafe { libc::mmap(page, PAGE, protection, flags, -1, 0) } != libc::MAP_FAILED {
            PATCHED.fetch_add(1, Ordering::Relaxed);
            return;
        }
    }
    // SAFETY: the default action; returning runs into the same fault and ends the process.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

fn stop_set() -> libc::sigset_t {
    // SAFETY: an all-zero set is valid memory for sigemptyset, which fills it; the others change it.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGTERM);
        libc::sigaddset(&raw mut set, libc::SIGINT);
        set
    }
}

/// Keeps SIGTERM and SIGINT from this thread and from those it will start.
pub fn block_stop_signals() {
    let set = stop_set();
    // SAFETY: a valid set.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
}

/// Waits for one of them, at most so long; true if it came.
#[must_use]
pub fn wait_for_stop_signal(timeout_ms: i64) -> bool {
    let set = stop_set();
    let timeout = libc::timespec { tv_sec: timeout_ms / 1000, tv_nsec: (timeout_ms % 1000) * 1_000_000 };
    // SAFETY: valid structs; no siginfo is asked for.
    unsafe { libc::sigtimedwait(&raw const set, std::ptr::null_mut(), &raw const timeout) > 0 }
}
