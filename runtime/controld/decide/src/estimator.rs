//! The state estimator: an extended Kalman filter over position, velocity and external torque of all joints together.
//!
//! It predicts with the arm's own dynamics: acceleration is M⁻¹ (measured torque + external torque − gravity, velocity and
//! friction terms), so an acceleration that the motors explain is not taken for noise, nor for a collision. Joints are
//! coupled through M⁻¹ in the covariance too. Left out of the covariance, not of the prediction, is how the acceleration
//! itself depends on position and velocity: over one period that is far below the process noise.

// Indices run over `0..n` with `n ≤ J`, fixed at construction, and blocks of J.
#![allow(clippy::indexing_slicing, clippy::needless_range_loop)]

use crate::model::{Factor, J, JointMatrix, Joints, RobotModel};
use crate::params;

/// Position, velocity, external torque of up to J joints.
const STATES: usize = 3 * J;
const V: usize = J;
const TAU: usize = 2 * J;
/// Speed over which Coulomb friction turns round.
const FRICTION_TURN_RAD_S: f64 = 0.02;
/// How unsure the filter is of an external torque it has not seen yet.
const TORQUE_UNKNOWN_NM: f64 = 20.0;

/// How much an acceleration that nobody measured may differ from the one before it.
const UNSEEN_RAD_S2: f64 = 60.0;
/// Longer than this is not predicted over; the frame that ends it is then believed by itself.
const LAPSE_MAX: i64 = 50;

/// What lies between the state that is believed and the next one, in whole periods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lapse {
    /// To predict over.
    pub periods: u32,
    /// Of them, or before them, went by without a frame: the torques in them are not known.
    pub unseen: u32,
}

impl Lapse {
    pub const ONE: Self = Self { periods: 1, unseen: 0 };

    /// The way to a frame of `frame_ns` from a state of `believed_ns` that was last corrected by a frame of `seen_ns`.
    #[must_use]
    pub fn to_frame(frame_ns: i64, believed_ns: i64, seen_ns: i64, period_ns: i64) -> Self {
        let whole = |from_ns: i64| {
            let rounded = frame_ns.saturating_sub(from_ns).saturating_add(period_ns / 2).div_euclid(period_ns.max(1));
            u32::try_from(rounded.clamp(0, LAPSE_MAX)).unwrap_or(0)
        };
        Self { periods: whole(believed_ns), unseen: whole(seen_ns).saturating_sub(1) }
    }
}

/// What is believed about the arm.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    pub q: Joints,
    pub qd: Joints,
    pub tau_ext: Joints,
}

#[derive(Clone, Debug)]
pub struct Estimator {
    n: usize,
    period_s: f64,
    /// Variances of the measurements, and of the process each period.
    position_var: f64,
    velocity_var: f64,
    torque_var: f64,
    acceleration_var: f64,
    drift_var: f64,
    friction: Joints,
    now: Estimate,
    covariance: [[f64; STATES]; STATES],
}

impl Estimator {
    #[must_use]
    pub fn new(noise: &params::Estimator, model: &RobotModel, period_s: f64) -> Self {
        let square = |x: f64| x * x;
        let zero = Estimate { q: [0.0; J], qd: [0.0; J], tau_ext: [0.0; J] };
        let mut estimator = Self {
            n: model.joints(),
            period_s,
            position_var: square(noise.position_noise_rad),
            velocity_var: square(noise.velocity_noise_rad_s),
            torque_var: square(noise.torque_noise_nm),
            acceleration_var: square(noise.acceleration_noise_rad_s2 * period_s),
            drift_var: square(noise.torque_drift_nm_s * period_s),
            friction: model.friction(),
            now: zero,
            covariance: [[0.0; STATES]; STATES],
        };
        estimator.reset(&zero.q, &zero.qd);
        estimator
    }

    /// Starts anew from measurements, with no external torque.
    pub fn reset(&mut self, q: &Joints, qd: &Joints) {
        self.now = Estimate { q: *q, qd: *qd, tau_ext: [0.0; J] };
        self.doubt();
    }

    /// Back to the covariance of a start.
    fn doubt(&mut self) {
        self.covariance = [[0.0; STATES]; STATES];
        for i in 0..self.n {
            self.covariance[i][i] = self.position_var;
            self.covariance[V + i][V + i] = self.velocity_var;
            self.covariance[TAU + i][TAU + i] = TORQUE_UNKNOWN_NM * TORQUE_UNKNOWN_NM;
        }
    }

    #[must_use]
    pub fn estimate(&self) -> &Estimate {
        &self.now
    }

    /// A lapse on, under the torques that the motors gave at its end. A host that stalls loses frames: without counting
    /// them, the way the arm went meanwhile would look like a blow.
    pub fn predict(&mut self, tau: &Joints, model: &RobotModel, lapse: Lapse) {
        if lapse.periods > 0 {
            self.predict_over(tau, model, self.period_s * f64::from(lapse.periods));
        }
        if lapse.unseen > 0 {
            let unseen_s = self.period_s * f64::from(lapse.unseen);
            let stray_rad_s = UNSEEN_RAD_S2 * unseen_s;
            for i in 0..self.n {
                self.covariance[i][i] += (0.5 * stray_rad_s * unseen_s).powi(2);
                self.covariance[V + i][V + i] += stray_rad_s.powi(2);
            }
        }
    }

    fn predict_over(&mut self, tau: &Joints, model: &RobotModel, t: f64) {
        let (bias, mass) = model.bias_and_mass(&self.now.q, &self.now.qd);
        let Some(factor) = Factor::new(&mass, self.n) else { return };
        let mut load = [0.0; J];
        for i in 0..self.n {
            let friction = self.friction[i] * (self.now.qd[i] / FRICTION_TURN_RAD_S).tanh();
            load[i] = tau[i] + self.now.tau_ext[i] - bias[i] - friction;
        }
        let inverse = factor.inverse();
        for i in 0..self.n {
            let qdd: f64 = (0..self.n).map(|k| inverse[i][k] * load[k]).sum();
            self.now.q[i] += t * (self.now.qd[i] + 0.5 * t * qdd);
            self.now.qd[i] += t * qdd;
        }
        self.predict_covariance(&inverse, t);
    }

    /// P ← F P Fᵀ + Q with F = [1, t, 0; 0, 1, t M⁻¹; 0, 0, 1] in blocks.
    fn predict_covariance(&mut self, inverse: &JointMatrix, t: f64) {
        let n = self.n;
        let p = &mut self.covariance;
        // Noise of the measured torque moves the arm where external torque does: it is added there, and taken out below.
        for i in 0..n {
            p[TAU + i][TAU + i] += self.torque_var;
        }
        // Rows: F P. The row of q takes v's of before, the row of v takes τ's.
        for i in 0..n {
            for c in 0..STATES {
                p[i][c] += t * p[V + i][c];
            }
        }
        for i in 0..n {
            let mut row = p[V + i];
            for k in 0..n {
                let g = t * inverse[i][k];
                for (value, tau) in row.iter_mut().zip(&p[TAU + k]) {
                    *value += g * tau;
                }
            }
            p[V + i] = row;
        }
        // Columns: (F P) Fᵀ.
        for r in 0..3 {
            for i in 0..n {
                let row = &mut p[r * J + i];
                for c in 0..n {
                    row[c] += t * row[V + c];
                }
                for c in 0..n {
                    let sum: f64 = (0..n).map(|k| inverse[c][k] * row[TAU + k]).sum();
                    row[V + c] += t * sum;
                }
            }
        }
        for i in 0..n {
            p[V + i][V + i] += self.acceleration_var;
            p[TAU + i][TAU + i] += self.drift_var - self.torque_var;
            for k in 0..n {
                let stray = t * inverse[i][k] * self.torque_var;
                p[V + i][TAU + k] -= stray;
                p[TAU + k][V + i] -= stray;
            }
        }
        self.mend();
    }

    /// Rounding makes the two triangles drift apart, and the corrections amplify that: each cycle makes them one again.
    fn mend(&mut self) {
        let p = &mut self.covariance;
        let mut sound = true;
        for r in 0..STATES {
            for c in 0..r {
                let mean = 0.5 * (p[r][c] + p[c][r]);
                p[r][c] = mean;
                p[c][r] = mean;
            }
            sound &= p[r][r] >= 0.0 && p[r][r].is_finite();
        }
        if !sound {
            self.doubt();
        }
    }

    /// Takes in measured positions and velocities, one number after the other.
    pub fn correct(&mut self, q: &Joints, qd: &Joints) {
        for i in 0..self.n {
            self.take(i, q[i] - self.now.q[i], self.position_var);
        }
        for i in 0..self.n {
            self.take(V + i, qd[i] - self.now.qd[i], self.velocity_var);
        }
    }

    fn take(&mut self, index: usize, innovation: f64, variance: f64) {
        let row = self.covariance[index]; // symmetric: also the column
        let total = row[index] + variance;
        if !(total > 0.0 && innovation.is_finite()) {
            return;
        }
        let weight = innovation / total;
        for i in 0..self.n {
            self.now.q[i] += row[i] * weight;
            self.now.qd[i] += row[V + i] * weight;
            self.now.tau_ext[i] += row[TAU + i] * weight;
        }
        for block in 0..3 {
            for i in 0..self.n {
                let r = block * J + i;
                let gain = row[r] / total;
                for (value, other) in self.covariance[r].iter_mut().zip(&row) {
                    *value -= gain * other;
                }
            }
        }
    }
}
