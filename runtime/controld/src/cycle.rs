//! One control cycle, from top to bottom. The same code runs on the robot's clock and, in lock-step, on a virtual one.

use std::path::Path;

use decide::params::Control;
use decide::{Controller, Inputs};
use layout::{Directive, Realtime, Stage, StateFrame, StopLevel};

use crate::account::{Grid, Laps, MissWindow, miss_of};
use crate::hal::Hal;
use crate::shm::{ShmError, StateWriter};
use crate::slots::Slots;

/// What happened outside the cycle that it must answer to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Events {
    /// Somebody wants the process to end.
    pub stop_wanted: bool,
}

pub struct Cycle {
    hal: Hal,
    slots: Slots,
    controller: Controller,
    state: StateWriter,
    frame: StateFrame,
    inherited: Inherited,
    misses: MissWindow,
    too_many_misses: bool,
    laps: Laps,
    woke_ns: i64,
}

/// What a restarted process keeps of the one before it, from the frame that one left.
#[derive(Clone, Copy, Debug, Default)]
struct Inherited {
    interventions: [u64; layout::CHECKS],
    rejected: [u64; layout::REJECTS],
    /// A re-arm that was used up before the restart must not arm again after it.
    rearm_count: u64,
}

impl Cycle {
    /// # Errors
    /// When a shared file cannot be made or mapped.
    pub fn open(control: &Control, dir: &Path, hal: Hal, state: StateWriter) -> Result<Self, ShmError> {
        let controller = Controller::new(control, state.epoch())
            .map_err(|e| ShmError::new(dir, format!("the robot's model cannot be: {e:?}")))?;
        let before = state.inherited().copied().unwrap_or_default();
        Ok(Self {
            hal,
            slots: Slots::open(dir)?,
            controller,
            frame: StateFrame { seq: before.seq, cycle: before.cycle, misses: before.misses, ..StateFrame::default() },
            state,
            inherited: Inherited {
                interventions: before.interventions,
                rejected: before.rejected,
                rearm_count: before.rearm_count,
            },
            misses: MissWindow::new(control.cycle.miss_limit, control.cycle.miss_window_cycles, period_ns(control)),
            too_many_misses: false,
            laps: Laps::default(),
            woke_ns: 0,
        })
    }

    /// What every record says of the scheduling that was obtained.
    pub fn set_realtime(&mut self, realtime: Realtime) {
        self.frame.realtime = realtime.raw();
    }

    /// Runs one cycle; `clock` is read between the stages.
    #[inline]
    pub fn run(&mut self, scheduled_ns: i64, events: Events, mut clock: impl FnMut() -> i64) {
        self.woke_ns = clock();
        self.laps = Laps::start(scheduled_ns, self.woke_ns);
        let sensors = self.hal.read(self.woke_ns);
        let directive = self.slots.directive.latest().map(|d| self.inherited.without_used_rearm(d));
        let inputs = Inputs {
            now_ns: self.woke_ns,
            sensors: sensors.as_ref(),
            policy: self.slots.policy.latest(),
            fallback: self.slots.fallback.latest(),
            people: self.slots.people.latest(),
            verdict: self.slots.verdict.latest(),
            directive: directive.as_ref(),
            deadlines_missed: self.too_many_misses,
            shutdown: events.stop_wanted,
        };
        self.laps.end(Stage::Sensors, clock());
        self.controller.estimate(&inputs);
        self.laps.end(Stage::Estimate, clock());
        self.controller.shield(&inputs);
        self.laps.end(Stage::Shield, clock());
        self.controller.choose(&inputs);
        self.laps.end(Stage::Choose, clock());
        let actuators = self.controller.command(&inputs);
        self.hal.write(&actuators);
        self.laps.end(Stage::Command, clock());
        self.controller.report(&inputs, &mut self.frame);
        self.publish();
        self.laps.end(Stage::Publish, clock());
    }

    fn publish(&mut self) {
        self.frame.seq = self.frame.seq.wrapping_add(1);
        self.frame.cycle = self.frame.cycle.wrapping_add(1);
        self.frame.wake_ns = self.laps.get(Stage::Wake);
        self.inherited.add_to(&mut self.frame);
        self.state.publish(&self.frame);
    }

    /// Ends the cycle's accounts: histograms, ledger, and the grid's next point.
    #[inline]
    pub fn account(&mut self, grid: &mut Grid, mut clock: impl FnMut() -> i64) {
        let end_ns = clock();
        self.laps.end(Stage::Account, end_ns);
        self.laps.count_into(&self.state, self.woke_ns, end_ns);
        self.frame.cycle_ns = end_ns - self.woke_ns;
        let deadline_ns = grid.next_ns + grid.period_ns;
        let lost = grid.advance(end_ns);
        if lost > 0 {
            self.frame.misses = self.frame.misses.wrapping_add(1);
            let late_ns = end_ns - deadline_ns;
            let (cycle, epoch) = (self.frame.cycle, self.state.epoch());
            self.state.record_miss(&miss_of(&self.laps, cycle, epoch, self.frame.misses, end_ns, late_ns, lost));
            self.too_many_misses |= self.misses.note(end_ns);
        } else {
            self.too_many_misses = false;
        }
    }

    /// The accounts of a cycle in lock-step: it is counted, and took no time.
    pub fn account_untimed(&mut self) {
        self.laps.count_into(&self.state, self.woke_ns, self.woke_ns);
    }

    /// The arm stands and the drives are off: the process may end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.controller.level() == StopLevel::PowerOff
    }

    /// Descriptors that the cycle reads and writes.
    #[must_use]
    pub fn bus_fds(&self) -> Vec<i32> {
        self.hal.bus_fds()
    }

    /// The mappings of files that other processes may write.
    #[must_use]
    pub fn foreign_ranges(&self) -> Vec<(usize, usize)> {
        let mut ranges = self.slots.ranges().to_vec();
        ranges.push(self.state.map().range());
        if let Hal::Sim(sim) = &self.hal {
            ranges.extend(sim.ranges());
        }
        ranges
    }

    #[must_use]
    pub fn frame(&self) -> &StateFrame {
        &self.frame
    }
}

impl Inherited {
    fn without_used_rearm(&self, directive: &Directive) -> Directive {
        let used = directive.rearm_count <= self.rearm_count;
        Directive { rearm_count: if used { 0 } else { directive.rearm_count }, ..*directive }
    }

    /// Counts go on over a restart.
    fn add_to(&self, frame: &mut StateFrame) {
        for (count, before) in frame.interventions.iter_mut().zip(self.interventions) {
            *count = count.wrapping_add(before);
        }
        for (count, before) in frame.rejected.iter_mut().zip(self.rejected) {
            *count = count.wrapping_add(before);
        }
        frame.rearm_count = frame.rearm_count.max(self.rearm_count);
    }
}

/// The control file's period in ns.
#[must_use]
pub fn period_ns(control: &Control) -> i64 {
    i64::try_from(control.cycle.period_us).unwrap_or(1000).saturating_mul(1000)
}
