//! The control thread: bound by the law before its first cycle, asleep between cycles, never ending by itself.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use decide::params::Control;

use crate::account::Grid;
use crate::cycle::{Cycle, Events, period_ns};
use crate::options::Planted;
use crate::sys::filter::{self, Allowance};
use crate::sys::gpio::Line;
use crate::sys::rights::Obtained;
use crate::sys::{clock, law};
use crate::watchdog::Pulse;

/// A real-time right that the profile requires is missing.
pub const EXIT_RIGHTS: i32 = 6;

pub struct Looping {
    pub cycle: Cycle,
    pub gpio: Option<Line>,
    pub planted: Option<Planted>,
}

impl Looping {
    /// Runs cycles until the process ends.
    pub fn run(mut self, control: &Control, obtained: &Obtained, pulse: &Pulse) {
        self.cycle.set_realtime(obtained.realtime());
        let allowance = Allowance {
            bus_fds: self.cycle.bus_fds(),
            ioctl_fds: self.gpio.iter().map(Line::fd).collect(),
            clock_reading: !clock::is_clock_call_free(),
        };
        if let Err(error) = filter::restrict_this_thread(&allowance) {
            eprintln!("controld: the control thread has no system-call filter: {error}");
            // Where rights are a precondition, so is the proof that the law holds.
            if control.cycle.realtime_required {
                std::process::exit(EXIT_RIGHTS);
            }
        }
        law::bind_this_thread();
        let mut grid = Grid::starting(clock::now_ns(), period_ns(control));
        loop {
            clock::sleep_until(grid.next_ns);
            if let Some(line) = &mut self.gpio {
                line.toggle();
            }
            let events = Events { stop_wanted: pulse.stop_wanted.load(Ordering::Acquire) };
            self.cycle.run(grid.next_ns, events, clock::now_ns);
            self.cycle.account(&mut grid, clock::now_ns);
            let beats = pulse.beats.load(Ordering::Relaxed).wrapping_add(1);
            pulse.beats.store(beats, Ordering::Release);
            if events.stop_wanted && self.cycle.is_stopped() {
                pulse.stopped.store(true, Ordering::Release);
            }
            #[cfg(feature = "plant-faults")]
            if let (Some(planted), 100) = (self.planted, beats) {
                break_the_law(planted);
            }
        }
    }
}

#[cfg(feature = "plant-faults")]
#[allow(clippy::panic)]
fn break_the_law(planted: Planted) {
    match planted {
        Planted::Allocation => drop(std::hint::black_box(Box::new([0u8; 123]))),
        Planted::Syscall => crate::sys::planted_syscall(),
        Planted::Panic => panic!("planted"),
        Planted::Stuck => loop {
            std::hint::spin_loop();
        },
    }
}

/// Opens the line to toggle, if the profile names one.
///
/// # Errors
/// When it cannot be had: an oscilloscope that shows nothing would be misread.
pub fn open_gpio(control: &Control) -> Result<Option<Line>, String> {
    let open = |gpio| Line::open(gpio).map_err(|e| format!("GPIO line {} of {}: {e}", gpio.line, gpio.chip));
    control.gpio.as_ref().map(open).transpose()
}

/// Writes down which rights were obtained; refuses to go on without those that the profile requires.
///
/// # Errors
/// When a required right is missing, naming each, or the file cannot be written.
pub fn report_rights(obtained: &Obtained, control: &Control, file: Option<&Path>) -> Result<(), String> {
    if let Some(path) = file {
        write_rights(obtained, path).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    if !control.cycle.realtime_required || obtained.missing.is_empty() {
        return Ok(());
    }
    let missing = obtained.missing.join("\n  missing: ");
    Err(format!(
        "this profile requires real-time rights\n  missing: {missing}\n  without them the loop would miss deadlines under load, so it does not start\n  \
         try  give the unit these rights, or use a hardware profile that does not require them"
    ))
}

fn write_rights(obtained: &Obtained, path: &Path) -> io::Result<()> {
    let report = serde_json::json!({
        "realtime": obtained.realtime().name(),
        "fifo": obtained.fifo,
        "pinned": obtained.pinned,
        "memory_locked": obtained.locked,
        "missing": obtained.missing,
    });
    let partial = path.with_extension("part");
    std::fs::write(&partial, format!("{report}\n"))?;
    std::fs::rename(partial, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control;

    #[test]
    fn a_gpio_line_that_is_not_there_is_named_and_stops_the_start() {
        let mut control = control::parse(include_bytes!("../tests/data/osaka.control")).ok().unwrap();
        for (chip, reason) in [("/dev/no-such-chip", "No such file"), ("/dev/null", "Inappropriate ioctl")] {
            control.gpio = Some(decide::params::Gpio { chip: chip.to_owned(), line: 7 });
            let problem = open_gpio(&control).err().unwrap();
            assert!(problem.starts_with(&format!("GPIO line 7 of {chip}: {reason}")), "{problem}");
        }
        control.gpio = None;
        assert!(matches!(open_gpio(&control), Ok(None)));
    }
}
