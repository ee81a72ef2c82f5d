//! One joint's commanded trajectory: where it is, and the verified stop that it can always fall back to.
//!
//! Safe set of a joint: the states (p, v, a) from which a stop of [`super::stop`] keeps p inside the position limits, |v| and |a|
//! inside theirs, with |jerk| ≤ J. The trajectory carries such a stop as a witness. Each cycle it either moves on to a state
//! with a verified stop of its own or follows the stop it has, whose rest is verified already: so it never leaves the set.
//!
//! A state outside the set (limits that shrank, a robot switched on beyond a limit) has a stop too, which breaks a limit by
//! some amount. No state is accepted whose stop breaks any limit by more than the rest of the present stop does: what is
//! violated shrinks or stays, and grows only by what is already committed, which no jerk within its limit could avoid sooner.

use super::stop::{Extremes, JointState, Stop, StopLimits};
use crate::params::JointLimits;

/// Which limit refused a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Position,
    Velocity,
    Acceleration,
}

/// A joint's limits as the shield uses them.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub p_min: f64,
    pub p_max: f64,
    pub velocity: f64,
    pub acceleration: f64,
    pub jerk: f64,
    pub effort: f64,
    pub period_s: f64,
}

/// Position and plan of one joint.
#[derive(Clone, Copy, Debug)]
pub struct Track {
    stop: Stop,
    cycle: u32,
}

/// Rounding that does not count as going further out.
const GRAIN: f64 = 1e-10;

impl Bounds {
    #[must_use]
    pub fn new(limits: &JointLimits, period_s: f64) -> Self {
        Self {
            p_min: limits.position_min_rad,
            p_max: limits.position_max_rad,
            velocity: limits.velocity_rad_s,
            acceleration: limits.acceleration_rad_s2,
            jerk: limits.jerk_rad_s3,
            effort: limits.effort_nm,
            period_s,
        }
    }

    #[must_use]
    pub fn stop_limits(&self) -> StopLimits {
        StopLimits { acceleration: self.acceleration, jerk: self.jerk, period_s: self.period_s }
    }

    /// The safe set: whether a stop from `state` keeps every limit. Sufficient, as the planner knows one stop a state.
    #[must_use]
    pub fn is_safe(&self, state: JointState) -> bool {
        let inside = |e: Extremes| {
            e.p_min >= self.p_min
                && e.p_max <= self.p_max
                && e.speed <= self.velocity
                && e.acceleration <= self.acceleration * (1.0 + GRAIN)
        };
        Stop::plan(state, &self.stop_limits()).is_some_and(|stop| inside(stop.extremes_from(0)))
    }

    /// The first limit that `wanted` breaks by more than `committed` does, with velocity limited to `speed`.
    fn refusal(&self, wanted: &Extremes, committed: &Extremes, speed: f64) -> Option<Limit> {
        // Each comparison is written so that NaN refuses.
        let low = self.p_min.min(committed.p_min);
        let high = self.p_max.max(committed.p_max);
        if !(wanted.p_min >= low && wanted.p_max <= high) {
            return Some(Limit::Position);
        }
        if !(wanted.speed <= speed.max(committed.speed)) {
            return Some(Limit::Velocity);
        }
        let acceleration = self.acceleration.max(committed.acceleration);
        if !(wanted.acceleration <= acceleration * (1.0 + GRAIN)) {
            return Some(Limit::Acceleration);
        }
        None
    }
}

impl Track {
    #[must_use]
    pub fn at_rest(p: f64, period_s: f64) -> Self {
        Self { stop: Stop::standing(p, period_s), cycle: 0 }
    }

    /// A trajectory that starts in `state`, safe or not; `None` where no stop can be planned from it.
    #[must_use]
    pub fn from_state(state: JointState, bounds: &Bounds) -> Option<Self> {
        Some(Self { stop: Stop::plan(state, &bounds.stop_limits())?, cycle: 0 })
    }

    #[must_use]
    pub fn state(&self) -> JointState {
        self.stop.at(self.cycle)
    }

    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.cycle >= self.stop.cycles()
    }

    /// The state `ahead` cycles on along the stop.
    #[must_use]
    pub fn stopping(&self, ahead: u32) -> JointState {
        self.stop.at(self.cycle.saturating_add(ahead))
    }

    /// Cycles until the stop stands.
    #[must_use]
    pub fn cycles_to_rest(&self) -> u32 {
        self.stop.cycles().saturating_sub(self.cycle)
    }

    /// Bounds of the rest of the stop.
    #[must_use]
    pub fn extremes(&self) -> Extremes {
        self.stop.extremes_from(self.cycle)
    }

    /// How far the stop still moves the joint, from `ahead` cycles on.
    #[must_use]
    pub fn travel_from(&self, ahead: u32) -> f64 {
        self.stop.travel_from(self.cycle.saturating_add(ahead))
    }

    /// The most that the joint moves in one cycle from `ahead` cycles on.
    #[must_use]
    pub fn pace_from(&self, ahead: u32) -> f64 {
        self.stop.pace_from(self.cycle.saturating_add(ahead))
    }

    /// One cycle on along the verified stop.
    #[must_use]
    pub fn follow_stop(&self) -> Self {
        Self { stop: self.stop, cycle: self.cycle.saturating_add(1).min(self.stop.cycles()) }
    }

    /// One cycle on with `jerk`, if a stop from there is as good as the present one or inside the limits.
    ///
    /// # Errors
    /// The limit that stands against it.
    pub fn advance(&self, jerk: f64, bounds: &Bounds, speed: f64) -> Result<Self, Limit> {
        let next = self.state().after(jerk, bounds.period_s);
        let stop = Stop::plan(next, &bounds.stop_limits()).ok_or(Limit::Acceleration)?;
        let committed = self.follow_stop().extremes();
        match bounds.refusal(&stop.extremes_from(0), &committed, speed) {
            None => Ok(Self { stop, cycle: 0 }),
            Some(limit) => Err(limit),
        }
    }

    /// As near to `jerk` as the limits allow, else the stop; and the limit that stood against it.
    #[must_use]
    pub fn advance_towards(&self, jerk: f64, bounds: &Bounds, speed: f64) -> (Self, Option<Limit>) {
        let wanted = if jerk.is_finite() { jerk.clamp(-bounds.jerk, bounds.jerk) } else { 0.0 };
        let refused = match self.advance(wanted, bounds, speed) {
            Ok(track) => return (track, None),
            Err(limit) => limit,
        };
        let follow = self.follow_stop();
        let braking = (follow.state().a - self.state().a) / bounds.period_s;
        let (mut good, mut bad, mut best) = (braking, wanted, follow);
        for _ in 0..BISECTIONS {
            let middle = (0.5 * (good + bad)).clamp(-bounds.jerk, bounds.jerk);
            match self.advance(middle, bounds, speed) {
                Ok(track) => (good, best) = (middle, track),
                Err(_) => bad = middle,
            }
        }
        (best, Some(refused))
    }
}

/// Halvings between the wanted jerk and the stop's: the result is within 2 % of the range.
const BISECTIONS: usize = 6;
