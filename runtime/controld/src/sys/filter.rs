//! The system-call filter of the control thread: what it may still ask of the kernel once it runs.

use std::io;

/// What the thread needs beside its sleep.
#[derive(Clone, Debug, Default)]
pub struct Allowance {
    /// Descriptors it may read and write: the bus.
    pub bus_fds: Vec<i32>,
    /// Descriptors it may call `ioctl` on: the GPIO line.
    pub ioctl_fds: Vec<i32>,
    /// Whether reading the clock is a system call on this machine.
    pub clock_reading: bool,
}

#[derive(Clone, Copy)]
struct Rule {
    call: libc::c_long,
    /// Argument's index and the value that it must have.
    argument: Option<(u32, u32)>,
}

#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xC000_00B7;

const LOAD_WORD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;
const ALLOW: u32 = 0x7fff_0000;
/// SIGSYS instead of the call: the handler notes which call it was.
const TRAP: u32 = 0x0003_0000;
/// Numbers from here on belong to another calling convention of the same machine.
const X32_FIRST: u32 = 0x4000_0000;

const OFFSET_CALL: u32 = 0;
const OFFSET_ARCH: u32 = 4;
const OFFSET_ARGUMENTS: u32 = 16;

const SET_MODE_FILTER: libc::c_uint = 1;
/// Leaves speculation as it is: without this flag older kernels slow the thread down.
const FLAG_SPEC_ALLOW: libc::c_ulong = 4;

#[allow(clippy::cast_sign_loss)]
fn rules(allowance: &Allowance) -> Vec<Rule> {
    let any = |call| Rule { call, argument: None };
    let on = |call, fd: i32| Rule { call, argument: Some((0, fd as u32)) };
    let mut rules = vec![any(libc::SYS_clock_nanosleep), any(libc::SYS_rt_sigreturn)];
    // The handler for a file that was cut short puts an anonymous page in the hole, and nothing else.
    let patch = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    rules.push(Rule { call: libc::SYS_mmap, argument: Some((3, patch as u32)) });
    if allowance.clock_reading {
        rules.push(any(libc::SYS_clock_gettime));
    }
    for fd in &allowance.bus_fds {
        rules.extend([on(libc::SYS_read, *fd), on(libc::SYS_write, *fd)]);
    }
    rules.extend(allowance.ioctl_fds.iter().map(|fd| on(libc::SYS_ioctl, *fd)));
    rules
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn program(rules: &[Rule]) -> Vec<libc::sock_filter> {
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut steps = vec![
        step(LOAD_WORD, 0, 0, OFFSET_ARCH),
        step(JUMP_EQUAL, 1, 0, ARCH),
        step(RETURN, 0, 0, TRAP),
        step(LOAD_WORD, 0, 0, OFFSET_CALL),
        step(JUMP_AT_LEAST, 0, 1, X32_FIRST),
        step(RETURN, 0, 0, TRAP),
    ];
    for rule in rules {
        match rule.argument {
            None => steps.extend([step(JUMP_EQUAL, 0, 1, rule.call as u32), step(RETURN, 0, 0, ALLOW)]),
            Some((index, value)) => steps.extend([
                step(JUMP_EQUAL, 0, 4, rule.call as u32),
                step(LOAD_WORD, 0, 0, OFFSET_ARGUMENTS + 8 * index),
                step(JUMP_EQUAL, 0, 1, value),
                step(RETURN, 0, 0, ALLOW),
                // The same call may be allowed on another descriptor.
                step(LOAD_WORD, 0, 0, OFFSET_CALL),
            ]),
        }
    }
    steps.push(step(RETURN, 0, 0, TRAP));
    steps
}

/// Puts the filter on the calling thread, for good.
///
/// # Errors
/// When the kernel has no system-call filters.
pub fn restrict_this_thread(allowance: &Allowance) -> io::Result<()> {
    let steps = program(&rules(allowance));
    let length = u16::try_from(steps.len()).map_err(|_| io::Error::other("the filter is too long"))?;
    let program = libc::sock_fprog { len: length, filter: steps.as_ptr().cast_mut() };
    // SAFETY: constant arguments; asked for so that the filter needs no privilege.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `program` points at `steps`, which outlives the call; the kernel copies it.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, FLAG_SPEC_ALLOW, &raw const program) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
