//! The thread that watches the control thread: from another CPU, at lower priority, and the only one that tells systemd that
//! the loop is alive. A loop that is stuck is never vouched for.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use decide::params::Watchdog as Limits;

use crate::notify::Notifier;
use crate::sys::law::{self, Violation};
use crate::sys::{clock, signals};

/// What the threads of this process tell each other, without waiting.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Cycles run since start.
    pub beats: AtomicU64,
    /// Somebody wants the process to end.
    pub stop_wanted: AtomicBool,
    /// The arm stands, the drives are off, nothing more will be commanded.
    pub stopped: AtomicBool,
}

/// With nobody above who would restart it, a loop stuck for this many of the watchdog's own checks ends the process. Its own
/// checks, not time: a process that was frozen as a whole is not stuck.
const STUCK_CHECKS_MOST: u64 = 200;
/// systemd is told at most this often.
const FEED_NS: i64 = 100_000_000;

pub const EXIT_LAW_BROKEN: u8 = 70;
pub const EXIT_STUCK: u8 = 71;

/// What one check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    Alive,
    /// No beat since the last check, but not for long enough to say more.
    Waiting,
    /// No beat for the timeout: since this many checks.
    Stuck(u64),
}

/// The decision, apart from thread and clock.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    timeout_ns: i64,
    beats: u64,
    beat_ns: i64,
    stuck_checks: u64,
}

impl Judge {
    #[must_use]
    pub fn new(limits: &Limits, now_ns: i64) -> Self {
        let timeout_ms = i64::try_from(limits.timeout_ms).unwrap_or(i64::MAX / 1_000_000);
        Self { timeout_ns: timeout_ms.saturating_mul(1_000_000), beats: 0, beat_ns: now_ns, stuck_checks: 0 }
    }

    pub fn check(&mut self, beats: u64, now_ns: i64) -> Finding {
        if beats != self.beats {
            *self = Self { beats, beat_ns: now_ns, stuck_checks: 0, ..*self };
            return Finding::Alive;
        }
        if now_ns - self.beat_ns < self.timeout_ns {
            return Finding::Waiting;
        }
        self.stuck_checks += 1;
        Finding::Stuck(self.stuck_checks)
    }
}

/// Runs until the process ends; only returns with the reason to end it.
pub fn watch(pulse: &Pulse, limits: &Limits, notifier: &Notifier, mut say: impl FnMut(&str)) -> ExitCode {
    let check_ns = i64::try_from(limits.check_ms).unwrap_or(5) * 1_000_000;
    let mut next_ns = clock::now_ns() + check_ns;
    let mut judge = Judge::new(limits, next_ns);
    let (mut fed_ns, mut was_stuck, mut patched) = (0, false, 0);
    loop {
        clock::sleep_until(next_ns);
        let now_ns = clock::now_ns();
        next_ns = (next_ns + check_ns).max(now_ns);
        if let Some(violation) = law::broken() {
            say(&sentence(violation));
            return ExitCode::from(EXIT_LAW_BROKEN);
        }
        if signals::patched_pages() != patched {
            patched = signals::patched_pages();
            say("a shared file was cut short under this process; its topic counts as silent until the next start");
        }
        match judge.check(pulse.beats.load(Ordering::Acquire), now_ns) {
            Finding::Alive => {
                if std::mem::take(&mut was_stuck) {
                    say("the control loop runs again");
                }
                if now_ns - fed_ns >= FEED_NS {
                    notifier.send("WATCHDOG=1");
                    fed_ns = now_ns;
                }
            }
            Finding::Waiting => {}
            Finding::Stuck(checks) => {
                if !std::mem::replace(&mut was_stuck, true) {
                    say(&format!(
                        "the control loop has not run for {} ms; systemd is told nothing while that lasts",
                        limits.timeout_ms
                    ));
                }
                if checks > STUCK_CHECKS_MOST && !notifier.is_supervised() {
                    say("the control loop is stuck; the process ends so that whoever started it can start it again");
                    return ExitCode::from(EXIT_STUCK);
                }
            }
        }
    }
}

fn sentence(violation: Violation) -> String {
    let what = match violation {
        Violation::Allocation(bytes) => format!("asked the allocator for {bytes} bytes"),
        Violation::Syscall(number) => format!("made system call {number}"),
        Violation::Panic(line) => format!("panicked at line {line}"),
    };
    format!("the control thread {what} after start, which it never may; the process ends, the drives stop by their own timeout")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { check_ms: 5, timeout_ms: 5 };

    #[test]
    fn a_loop_that_beats_is_alive_and_one_that_does_not_is_stuck_after_the_timeout() {
        let mut judge = Judge::new(&LIMITS, 0);
        assert_eq!(judge.check(3, 5_000_000), Finding::Alive);
        assert_eq!(judge.check(3, 9_999_999), Finding::Waiting);
        assert_eq!(judge.check(3, 10_000_000), Finding::Stuck(1));
        assert_eq!(judge.check(3, 15_000_000), Finding::Stuck(2));
        assert_eq!(judge.check(4, 20_000_000), Finding::Alive);
        assert_eq!(judge.check(4, 25_000_000), Finding::Stuck(1), "counted anew");
    }

    #[test]
    fn a_process_frozen_as_a_whole_is_not_taken_for_stuck_for_long() {
        let mut judge = Judge::new(&LIMITS, 0);
        judge.check(1, 5_000_000);
        assert_eq!(judge.check(1, 3_600_000_000_000), Finding::Stuck(1), "one check, not an hour");
    }

    #[test]
    fn before_its_first_beat_the_loop_is_not_alive() {
        let mut judge = Judge::new(&LIMITS, 0);
        assert_eq!(judge.check(0, 1_000_000), Finding::Waiting);
        assert_eq!(judge.check(0, 6_000_000), Finding::Stuck(1));
    }
}
