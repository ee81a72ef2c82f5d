//! The arm in motion: forward dynamics, integrated with the drives' damping implicit, so that stiff drives stay stable.

use decide::model::{Factor, J, JointMatrix, Joints, RobotModel};
use decide::params::{Control, JointLimits};

use crate::STEP_S;
use crate::drives::{self, Drives};

/// How far beyond the profile's range the mechanical stop of a joint lies.
const STOP_BEYOND_RAD: f64 = 0.05;
const FRICTION_SWEEPS: usize = 12;

/// What the drives follow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Targets {
    pub q_rad: Joints,
    pub qd_rad_s: Joints,
    pub tau_ff_nm: Joints,
}

pub struct Arm {
    model: RobotModel,
    drives: Drives,
    low_rad: Joints,
    high_rad: Joints,
    pub q_rad: Joints,
    pub qd_rad_s: Joints,
    /// What the motors gave in the last step.
    pub torque_nm: Joints,
    powered: bool,
}

impl Arm {
    /// At home, without power, brakes closed.
    ///
    /// # Errors
    /// Where the model cannot be made or the arm's drives are not known.
    pub fn new(control: &Control) -> Result<Self, String> {
        let model = RobotModel::new(&control.model).map_err(|e| format!("the control file's model: {e:?}"))?;
        let drives = drives::drives_of(&control.model.name, model.joints())?;
        let end = |of: fn(&JointLimits) -> f64, beyond: f64| {
            let mut ends = [0.0; J];
            ends.iter_mut().zip(&control.limits.joints).for_each(|(to, from)| *to = of(from) + beyond);
            ends
        };
        let mut q_rad = [0.0; J];
        q_rad.iter_mut().zip(&control.home_rad).for_each(|(to, from)| *to = *from);
        Ok(Self {
            low_rad: end(|joint| joint.position_min_rad, -STOP_BEYOND_RAD),
            high_rad: end(|joint| joint.position_max_rad, STOP_BEYOND_RAD),
            model,
            drives,
            q_rad,
            qd_rad_s: [0.0; J],
            torque_nm: [0.0; J],
            powered: false,
        })
    }

    #[must_use]
    pub fn joints(&self) -> usize {
        self.model.joints()
    }

    #[must_use]
    pub fn limits_nm(&self) -> &Joints {
        &self.drives.limit_nm
    }

    #[must_use]
    pub fn is_powered(&self) -> bool {
        self.powered
    }

    /// Without power the drives give no torque and the brakes close.
    pub fn set_power(&mut self, on: bool) {
        self.powered = on;
    }

    /// Where the cup's tip is, base frame.
    #[must_use]
    pub fn tip_m(&self) -> [f64; 3] {
        self.model.tool_position(&self.model.frames(&self.q_rad))
    }

    /// The torque that carries the arm's own weight where it is.
    #[must_use]
    pub fn held_nm(&self) -> Joints {
        self.model.inverse_dynamics(&self.q_rad, &[0.0; J], &[0.0; J])
    }

    /// One millisecond.
    pub fn step(&mut self, targets: &Targets) {
        let n = self.joints();
        let (bias, mut mass) = self.model.bias_and_mass(&self.q_rad, &self.qd_rad_s);
        let mut torque = [0.0; J];
        if self.powered {
            torque = self.drive(targets, &mut mass);
        }
        self.torque_nm = torque;
        let mut push = [0.0; J];
        for i in 0..n {
            push[i] = STEP_S * (torque[i] - bias[i]);
        }
        // A mass matrix of rigid bodies with rotors is positive definite at every pose.
        let Some(factor) = Factor::new(&mass, n) else { return };
        let change = factor.solve(&push);
        for i in 0..n {
            self.qd_rad_s[i] += change[i];
        }
        self.rub(&factor);
        for i in 0..n {
            self.q_rad[i] += STEP_S * self.qd_rad_s[i];
        }
        self.stop_at_the_ends();
    }

    /// The motors' torque within their limit; damping that is not cut off is integrated implicitly, by way of the mass.
    fn drive(&self, targets: &Targets, mass: &mut JointMatrix) -> Joints {
        let drives = &self.drives;
        let mut torque = [0.0; J];
        for i in 0..self.joints() {
            let wanted = drives.stiffness_nm_rad[i] * (targets.q_rad[i] - self.q_rad[i])
                + drives.damping_nms_rad[i] * (targets.qd_rad_s[i] - self.qd_rad_s[i])
                + targets.tau_ff_nm[i];
            torque[i] = wanted.clamp(-drives.limit_nm[i], drives.limit_nm[i]);
            if wanted.abs() < drives.limit_nm[i] {
                mass[i][i] += STEP_S * drives.damping_nms_rad[i];
            }
        }
        torque
    }

    /// Dry friction, of the gears always and of the brakes without power: whatever torque within its bound stands a joint still.
    fn rub(&mut self, factor: &Factor) {
        let n = self.joints();
        let bound = if self.powered { self.model.friction() } else { self.drives.brake_nm };
        if bound.iter().take(n).all(|nm| *nm <= 0.0) {
            return;
        }
        let mobility = factor.inverse();
        let mut impulse = [0.0; J];
        for _ in 0..FRICTION_SWEEPS {
            for i in 0..n {
                let most = bound[i] * STEP_S;
                let wanted = (impulse[i] - self.qd_rad_s[i] / mobility[i][i]).clamp(-most, most);
                let step = wanted - impulse[i];
                impulse[i] = wanted;
                for j in 0..n {
                    self.qd_rad_s[j] += mobility[j][i] * step;
                }
            }
        }
    }

    fn stop_at_the_ends(&mut self) {
        for i in 0..self.joints() {
            let inside = self.q_rad[i].clamp(self.low_rad[i], self.high_rad[i]);
            if inside.to_bits() != self.q_rad[i].to_bits() {
                self.q_rad[i] = inside;
                self.qd_rad_s[i] = 0.0;
            }
        }
    }
}
