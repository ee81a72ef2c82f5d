//! One control cycle, from top to bottom. The same code runs on the robot's clock and, in lock-step, on a virtual one.

use std::path::Path;

use decide::params::Control;
use layout::{Actuators, Realtime, Sensors, Stage, StateFrame};

use crate::account::{Grid, Laps, MissWindow, miss_of};
use crate::authority::{Authority, Orders, Readings};
use crate::hal::Hal;
use crate::inputs::Inputs;
use crate::shm::{ShmError, StateWriter};

/// What happened outside the cycle that it must answer to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Events {
    /// Somebody wants the process to end.
    pub stop_wanted: bool,
}

pub struct Cycle {
    hal: Hal,
    inputs: Inputs,
    authority: Authority,
    state: StateWriter,
    frame: StateFrame,
    actuators: Actuators,
    misses: MissWindow,
    too_many_misses: bool,
    laps: Laps,
    woke_ns: i64,
    realtime: Realtime,
}

impl Cycle {
    /// # Errors
    /// When a shared file cannot be made or mapped.
    pub fn open(control: &Control, dir: &Path, hal: Hal, state: StateWriter) -> Result<Self, ShmError> {
        let inherited = state.inherited().copied();
        let authority =
            Authority::new(control, inherited.as_ref(), state.epoch()).map_err(|problem| ShmError::new(dir, problem))?;
        let period_ns = period_ns(control);
        Ok(Self {
            hal,
            inputs: Inputs::open(dir)?,
            frame: authority.first_frame(inherited.as_ref(), state.epoch()),
            authority,
            state,
            actuators: Actuators::default(),
            misses: MissWindow::new(control.cycle.miss_limit, control.cycle.miss_window_cycles, period_ns),
            too_many_misses: false,
            laps: Laps::default(),
            woke_ns: 0,
            realtime: Realtime::Unknown,
        })
    }

    /// What every record says of the scheduling that was obtained.
    pub fn set_realtime(&mut self, realtime: Realtime) {
        self.realtime = realtime;
    }

    /// Runs one cycle; `clock` is read between the stages.
    #[inline]
    pub fn run(&mut self, scheduled_ns: i64, events: Events, mut clock: impl FnMut() -> i64) {
        self.woke_ns = clock();
        self.laps = Laps::start(scheduled_ns, self.woke_ns);
        let sensors = self.read_sensors();
        self.laps.end(Stage::Sensors, clock());
        self.authority.estimate(sensors.as_ref(), self.woke_ns);
        self.laps.end(Stage::Estimate, clock());
        let readings = Readings {
            now_ns: self.woke_ns,
            people: self.inputs.people.latest(),
            verdict: self.inputs.verdict.latest(),
            directive: self.inputs.directive.latest(),
            policy: self.inputs.policy.latest(),
            fallback: self.inputs.fallback.latest(),
            stop_wanted: events.stop_wanted,
            too_many_misses: self.too_many_misses,
        };
        self.authority.shield(&readings);
        self.laps.end(Stage::Shield, clock());
        let orders = self.authority.choose(&readings);
        self.laps.end(Stage::Choose, clock());
        self.command(&orders);
        self.laps.end(Stage::Command, clock());
        self.publish();
        self.laps.end(Stage::Publish, clock());
    }

    fn read_sensors(&mut self) -> Option<Sensors> {
        self.hal.read(self.woke_ns)
    }

    fn command(&mut self, orders: &Orders) {
        let a = &mut self.actuators;
        a.seq = a.seq.wrapping_add(1);
        a.epoch = self.state.epoch();
        a.created_ns = self.woke_ns;
        a.tick = a.tick.wrapping_add(1);
        a.q_des = orders.q;
        a.qd_des = orders.qd;
        a.tau_ff = orders.tau;
        a.gripper = orders.gripper;
        a.power = u8::from(orders.power);
        self.hal.write(a);
    }

    fn publish(&mut self) {
        self.frame.seq = self.frame.seq.wrapping_add(1);
        self.frame.cycle = self.frame.cycle.wrapping_add(1);
        self.frame.created_ns = self.woke_ns;
        self.frame.wake_ns = self.laps.get(Stage::Wake);
        self.frame.realtime = self.realtime.raw();
        self.authority.report(&mut self.frame);
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
        self.authority.is_stopped()
    }

    /// Descriptors that the cycle reads and writes.
    #[must_use]
    pub fn bus_fds(&self) -> Vec<i32> {
        self.hal.bus_fds()
    }

    /// The mappings of files that other processes may write.
    #[must_use]
    pub fn foreign_ranges(&self) -> Vec<(usize, usize)> {
        let mut ranges = self.inputs.ranges().to_vec();
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

/// The control file's period in ns.
#[must_use]
pub fn period_ns(control: &Control) -> i64 {
    i64::try_from(control.cycle.period_us).unwrap_or(1000).saturating_mul(1000)
}
