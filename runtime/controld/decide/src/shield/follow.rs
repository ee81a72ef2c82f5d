//! How a commanded trajectory follows its target: a critically damped law with saturations. It decides how good the motion is;
//! that it is safe does not depend on it.

use super::stop::JointState;
use super::track::Bounds;

/// What a command asks of one joint at this instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    pub q: f64,
    pub qd: f64,
}

/// Fastest pole of the law; above it the 100 Hz steps of a policy's commands would come through.
const MOST_POLE_HZ: f64 = 8.0;
/// Share of the acceleration limit that the approach plans with, so that limited jerk can follow.
const BRAKING_SHARE: f64 = 0.7;

/// Per-joint constants of the law.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gains {
    /// 1/s, from position error to velocity, from velocity error to acceleration, from acceleration error to jerk.
    position: f64,
    velocity: f64,
    acceleration: f64,
}

impl Gains {
    /// A triple pole, no faster than the ramp of acceleration that the jerk limit allows.
    #[must_use]
    pub fn new(bounds: &Bounds) -> Self {
        let ramp = bounds.jerk / bounds.acceleration;
        let sampling = 0.1 / bounds.period_s;
        let pole = (core::f64::consts::TAU * MOST_POLE_HZ).min(ramp).min(sampling);
        Self { position: pole / 3.0, velocity: pole, acceleration: 3.0 * pole }
    }

    /// The velocity that leads to the target, before any limit.
    #[must_use]
    pub fn wanted_velocity(&self, state: &JointState, target: &Target, bounds: &Bounds) -> f64 {
        let error = target.q - state.p;
        let braking = BRAKING_SHARE * bounds.acceleration;
        let linear = braking / (self.position * self.position);
        let approach = if error.abs() <= linear {
            self.position * error
        } else {
            // The speed from which `braking` still stops at the target, joined smoothly to the linear part.
            (2.0 * braking * error.abs() - linear * braking).max(0.0).sqrt().copysign(error)
        };
        let wanted = target.qd + approach;
        if wanted.is_finite() { wanted } else { 0.0 }
    }

    /// The acceleration that leads to `velocity`, before any limit.
    #[must_use]
    pub fn wanted_acceleration(&self, state: &JointState, velocity: f64) -> f64 {
        self.velocity * (velocity - state.v)
    }

    /// The jerk that leads to `acceleration`, before any limit.
    #[must_use]
    pub fn wanted_jerk(&self, state: &JointState, acceleration: f64) -> f64 {
        self.acceleration * (acceleration - state.a)
    }
}
