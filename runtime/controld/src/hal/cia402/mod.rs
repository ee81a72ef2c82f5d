//! Drives of the CiA 402 profile over CAN, in cyclic synchronous position mode.
//!
//! Each cycle sends every axis its control word, target position and torque offset, then SYNC: the drives take the targets
//! over together and answer with their status, which the next cycle reads. `drive` is one drive's state machine, `pdo` the
//! packing, `schedule` the wire time, `setup` the start; none of them knows a socket.

mod drive;
#[cfg(test)]
mod fake;
mod frame;
mod pdo;
pub mod schedule;
mod setup;

use decide::params::Control;
use layout::{Actuators, J, Sensors};

pub use drive::{DriveState, Want};
pub use frame::{Bus, Frame};
pub use schedule::{Load, Schedule};
pub use setup::{SetupError, Waiter};

use drive::Drive;
use pdo::{Command, Status};

/// Without a status for this many cycles a drive counts as gone: its silence makes the sensors old.
const SILENT_CYCLES: u32 = 3;
/// A bound on one cycle's reading: two full answers of every axis.
const RECEIVE_MOST: usize = 4 * J;

#[derive(Clone, Debug)]
pub struct Axis {
    pub node: u8,
    pub counts_per_rad: f64,
    /// The drive's torque is in thousandths of this.
    pub rated_torque_nm: f64,
}

/// All drives of the arm.
pub struct Cia402<B: Bus> {
    bus: B,
    fd: bool,
    axes: Vec<Axis>,
    drives: [Drive; J],
    period_s: f64,
    tick: u64,
    sensors: Sensors,
    last_counts: [i32; J],
    was_powered: bool,
    /// Frames that the socket did not take.
    pub send_failures: u64,
}

/// What the profile says of the drives; none for a robot without.
#[must_use]
pub fn axes_of(control: &Control) -> Vec<Axis> {
    let decide::params::Hal::Cia402 { nodes, counts_per_rad, .. } = &control.hal else {
        return Vec::new();
    };
    let joints = nodes.iter().zip(counts_per_rad).zip(&control.limits.joints);
    joints
        .map(|((node, counts), joint)| Axis { node: *node, counts_per_rad: *counts, rated_torque_nm: joint.effort_nm })
        .collect()
}

impl<B: Bus> Cia402<B> {
    /// Configures the drives over the bus and puts them into operation, still without power.
    ///
    /// # Errors
    /// When a drive does not answer or refuses a setting.
    pub fn start(mut bus: B, axes: Vec<Axis>, fd: bool, period_us: u64, waiter: &mut dyn Waiter) -> Result<Self, SetupError> {
        setup::configure(&mut bus, &axes, fd, period_us, waiter)?;
        let drives = std::array::from_fn(|_| Drive::default());
        #[allow(clippy::cast_precision_loss)]
        let period_s = period_us as f64 * 1e-6;
        Ok(Self {
            bus,
            fd,
            axes,
            drives,
            period_s,
            tick: 0,
            sensors: Sensors::default(),
            last_counts: [0; J],
            was_powered: false,
            send_failures: 0,
        })
    }

    pub fn bus(&self) -> &B {
        &self.bus
    }

    /// What the drives reported since the last cycle; none until each has reported once.
    #[inline]
    pub fn read(&mut self, now_ns: i64) -> Option<Sensors> {
        for _ in 0..RECEIVE_MOST {
            let Some(frame) = self.bus.receive() else { break };
            self.take(&frame, now_ns);
        }
        self.assemble(now_ns)
    }

    fn take(&mut self, frame: &Frame, now_ns: i64) {
        let found = self.axes.iter().zip(&mut self.drives).find(|(axis, _)| frame.id == pdo::status_id(axis.node));
        if let (Some((_, drive)), Some(status)) = (found, Status::unpack(frame, self.fd)) {
            drive.report(status, now_ns);
        }
    }

    #[inline]
    fn assemble(&mut self, now_ns: i64) -> Option<Sensors> {
        let drives = self.drives.get(..self.axes.len()).unwrap_or_default();
        if !drives.iter().all(Drive::has_reported) {
            return None;
        }
        let s = &mut self.sensors;
        s.tick = self.tick;
        s.created_ns = drives.iter().map(|d| d.reported_ns).min().unwrap_or(now_ns);
        s.seq = s.seq.wrapping_add(u64::from(drives.iter().all(|d| d.silent_cycles <= SILENT_CYCLES)));
        for (i, (axis, drive)) in self.axes.iter().zip(drives).enumerate() {
            let status = drive.status;
            let moved = self.last_counts.get(i).map_or(0, |last| status.position.wrapping_sub(*last));
            let velocity = match status.velocity {
                Some(counts_s) => f64::from(counts_s) / axis.counts_per_rad,
                None if self.tick > 1 => f64::from(moved) / (axis.counts_per_rad * self.period_s),
                None => 0.0,
            };
            set(&mut s.q, i, f64::from(status.position) / axis.counts_per_rad);
            set(&mut s.qd, i, velocity);
            set(&mut s.tau, i, f64::from(status.torque_permille) * 1e-3 * axis.rated_torque_nm);
            set(&mut self.last_counts, i, status.position);
        }
        s.drive_fault = u8::from(drives.iter().any(Drive::is_faulty));
        s.powered = u8::from(drives.iter().all(|d| d.state() == DriveState::Enabled));
        // The drives report none of these; unknown is not good, and not bad either.
        s.motor_temp_c = [f64::NAN; J];
        s.gripper_pressure_kpa = f64::NAN;
        s.battery_ratio = f64::NAN;
        Some(*s)
    }

    /// Sends every axis its command and then SYNC. Power that comes back after having been off resets faults.
    #[inline]
    pub fn write(&mut self, actuators: &Actuators) {
        let power = actuators.power != 0;
        let want = match (power, power && !self.was_powered) {
            (true, true) => Want::PowerAfterReset,
            (true, false) => Want::Power,
            (false, _) => Want::NoPower,
        };
        self.was_powered = power;
        self.tick = self.tick.wrapping_add(1);
        let mut together = Frame::new_fd(pdo::COMMAND_ALL_ID, &[]);
        let targets = actuators.q_des.iter().zip(&actuators.tau_ff);
        for (slot, ((axis, drive), (q, tau))) in self.axes.iter().zip(&mut self.drives).zip(targets).enumerate() {
            drive.silent_cycles = drive.silent_cycles.saturating_add(1);
            let command = Command {
                control_word: drive.control_word(want),
                target: drive.target(*q * axis.counts_per_rad),
                torque_permille: drive.torque(*tau * 1e3 / axis.rated_torque_nm),
            };
            if self.fd {
                command.pack_into(&mut together, slot);
            } else if !self.bus.send(&command.frame(axis.node)) {
                self.send_failures = self.send_failures.wrapping_add(1);
            }
        }
        if self.fd && !self.bus.send(&together) {
            self.send_failures = self.send_failures.wrapping_add(1);
        }
        if !self.bus.send(&Frame::new(pdo::SYNC_ID, &[])) {
            self.send_failures = self.send_failures.wrapping_add(1);
        }
    }
}

#[inline]
fn set<T>(row: &mut [T; J], joint: usize, value: T) {
    if let Some(place) = row.get_mut(joint) {
        *place = value;
    }
}

#[cfg(test)]
mod tests;
