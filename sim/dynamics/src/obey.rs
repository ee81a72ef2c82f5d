//! What the motor controllers do with commands, stale and senseless ones included: as sim/plant.py's drives do.

use decide::model::{J, Joints};
use layout::Actuators;

use crate::STEP_NS;
use crate::arm::Targets;

/// Drives hold their position when nothing fresh arrives …
const HOLD_AFTER_NS: i64 = 50_000_000;
/// … and close their brakes when it lasts.
const BRAKE_AFTER_NS: i64 = 250_000_000;

/// What the drives do in one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Order {
    /// No power, brakes closed.
    Brake {
        fault: bool,
    },
    /// Stay where the arm is.
    Hold {
        power: bool,
        suction: f64,
    },
    Follow {
        power: bool,
        suction: f64,
        targets: Targets,
    },
}

#[derive(Clone, Copy, Debug)]
struct Setpoint {
    created_ns: i64,
    q_rad: Joints,
    qd_rad_s: Joints,
}

#[derive(Default)]
pub struct Obedience {
    obeyed: Option<Setpoint>,
    lag_ns: i64,
}

impl Obedience {
    pub fn order(&mut self, newest: Option<&Actuators>, joints: usize, now_ns: i64) -> Order {
        let Some(command) = newest.filter(|c| now_ns - c.created_ns <= BRAKE_AFTER_NS) else {
            return Order::Brake { fault: false };
        };
        let numbers = command.q_des.iter().chain(&command.qd_des).chain(&command.tau_ff);
        if !numbers.copied().sum::<f64>().is_finite() || !command.gripper.is_finite() {
            return Order::Brake { fault: true };
        }
        let (power, suction) = (command.power != 0, command.gripper.clamp(0.0, 1.0));
        if now_ns - command.created_ns > HOLD_AFTER_NS {
            return Order::Hold { power, suction };
        }
        let newest = Setpoint { created_ns: command.created_ns, q_rad: command.q_des, qd_rad_s: command.qd_des };
        let (q_rad, qd_rad_s) = self.setpoint_at(newest, joints, now_ns);
        Order::Follow { power, suction, targets: Targets { q_rad, qd_rad_s, tau_ff_nm: command.tau_ff } }
    }

    /// A step that is made up for lies before the newest command: then the drives were told something between that and the
    /// last one obeyed. Without this a backlog kicks the arm.
    fn setpoint_at(&mut self, newest: Setpoint, joints: usize, now_ns: i64) -> (Joints, Joints) {
        match self.obeyed {
            Some(obeyed) if now_ns < newest.created_ns => between(&obeyed, &newest, joints, now_ns - self.lag_ns),
            _ => {
                self.obeyed = Some(newest);
                self.lag_ns = (now_ns - newest.created_ns).clamp(0, STEP_NS);
                (newest.q_rad, newest.qd_rad_s)
            }
        }
    }
}

/// Position and velocity on the cubic that joins two setpoints.
fn between(first: &Setpoint, second: &Setpoint, joints: usize, now_ns: i64) -> (Joints, Joints) {
    #[allow(clippy::cast_precision_loss)] // milliseconds
    let (span_s, gone_s) = ((second.created_ns - first.created_ns) as f64 * 1e-9, (now_ns - first.created_ns) as f64 * 1e-9);
    if span_s <= 0.0 {
        return (second.q_rad, second.qd_rad_s);
    }
    let s = (gone_s / span_s).clamp(0.0, 1.0);
    let (mut q_rad, mut qd_rad_s) = ([0.0; J], [0.0; J]);
    for i in 0..joints {
        let way = second.q_rad[i] - first.q_rad[i];
        let (start, end) = (first.qd_rad_s[i] * span_s, second.qd_rad_s[i] * span_s);
        let (square, cube) = (3.0 * way - 2.0 * start - end, start + end - 2.0 * way);
        q_rad[i] = first.q_rad[i] + s * (start + s * (square + s * cube));
        qd_rad_s[i] = (start + s * (2.0 * square + s * 3.0 * cube)) / span_s;
    }
    (q_rad, qd_rad_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_000_000_000;

    fn command(q: f64) -> Actuators {
        Actuators { created_ns: T, q_des: [q; J], power: 1, gripper: 0.5, ..Actuators::default() }
    }

    #[test]
    fn silence_holds_the_arm_and_then_brakes_it() {
        let mut drives = Obedience::default();
        assert!(matches!(drives.order(None, 7, T), Order::Brake { fault: false }));
        assert!(matches!(drives.order(Some(&command(1.0)), 7, T), Order::Follow { power: true, .. }));
        assert!(matches!(drives.order(Some(&command(1.0)), 7, T + 51_000_000), Order::Hold { .. }));
        assert!(matches!(drives.order(Some(&command(1.0)), 7, T + 251_000_000), Order::Brake { fault: false }));
    }

    #[test]
    fn one_bad_number_is_a_fault_of_the_drives_and_brakes_them() {
        for spoil in [f64::NAN, f64::INFINITY] {
            let mut bad = command(0.0);
            bad.tau_ff[6] = spoil;
            assert!(matches!(Obedience::default().order(Some(&bad), 7, T), Order::Brake { fault: true }));
            let bad = Actuators { gripper: spoil, ..command(0.0) };
            assert!(matches!(Obedience::default().order(Some(&bad), 7, T), Order::Brake { fault: true }));
        }
    }

    #[test]
    fn a_step_made_up_for_lies_between_two_commands() {
        let mut drives = Obedience::default();
        drives.order(Some(&command(0.0)), 7, T);
        let later = Actuators { created_ns: T + 10_000_000, ..command(1.0) };
        let Order::Follow { targets, .. } = drives.order(Some(&later), 7, T + 5_000_000) else { panic!("follows") };
        assert!(targets.q_rad[0] > 0.4 && targets.q_rad[0] < 0.6, "{targets:?}");
    }
}
