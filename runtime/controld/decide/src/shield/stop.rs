//! One joint's stop: a trapezoid of acceleration over whole cycles, in closed form.
//!
//! A stop takes the acceleration from its present value to a plateau in `ramp` cycles, holds it for `plateau` cycles and lets
//! it go to zero in `release` cycles, so that speed and acceleration are zero at the end. What is left of a stop after any of
//! its cycles is again such a stop: that is why a robot that follows a verified stop stays verified.

/// A commanded joint: position, velocity, acceleration.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct JointState {
    pub p: f64,
    pub v: f64,
    pub a: f64,
}

/// What bounds a stop.
#[derive(Clone, Copy, Debug)]
pub struct StopLimits {
    pub acceleration: f64,
    pub jerk: f64,
    pub period_s: f64,
}

/// A stop from a given state.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    start: JointState,
    ramped: JointState,
    released: JointState,
    rest_p: f64,
    /// Acceleration of the plateau.
    plateau: f64,
    /// Jerk of the first and of the last part.
    jerk: [f64; 2],
    /// Cycles at which each part ends.
    ends: [u32; 3],
    period_s: f64,
}

/// The furthest that a stop goes from some cycle on.
#[derive(Clone, Copy, Debug)]
pub struct Extremes {
    pub p_min: f64,
    pub p_max: f64,
    pub speed: f64,
    pub acceleration: f64,
    /// Velocity, with its sign, where the speed is greatest.
    pub velocity: f64,
}

/// Relative grain of the jerk test: rounding must not ask for another cycle.
const GRAIN: f64 = 1e-12;
/// Corrections of the rounded times; two million random states never needed all of them.
const CORRECTIONS: usize = 8;
/// Longest stop in cycles; `params` refuses limits that would need a tenth of it.
const MOST_CYCLES: f64 = 1e6;

impl JointState {
    #[must_use]
    pub fn at_rest(p: f64) -> Self {
        Self { p, v: 0.0, a: 0.0 }
    }

    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        // Exactly zero, as every stop ends.
        self.v.abs() <= 0.0 && self.a.abs() <= 0.0
    }

    /// After `t` seconds of constant jerk.
    #[must_use]
    pub fn after(&self, jerk: f64, t: f64) -> Self {
        Self {
            p: self.p + t * (self.v + t * (self.a * 0.5 + t * jerk * (1.0 / 6.0))),
            v: self.v + t * (self.a + t * jerk * 0.5),
            a: self.a + t * jerk,
        }
    }
}

impl Stop {
    /// A stop that is over: standing at `p`.
    #[must_use]
    pub fn standing(p: f64, period_s: f64) -> Self {
        let rest = JointState::at_rest(p);
        Self { start: rest, ramped: rest, released: rest, rest_p: p, plateau: 0.0, jerk: [0.0; 2], ends: [0; 3], period_s }
    }

    /// The shortest trapezoid stop in whole cycles, or `None` where the state is no finite, plausible one.
    #[must_use]
    pub fn plan(start: JointState, limits: &StopLimits) -> Option<Self> {
        if !(start.p.is_finite() && start.v.is_finite() && start.a.is_finite()) {
            return None;
        }
        if start.is_at_rest() {
            return Some(Self::standing(start.p, limits.period_s));
        }
        let (step, jerk) = (limits.period_s, limits.jerk);
        let turned = if start.v + start.a * start.a.abs() / (2.0 * jerk) < 0.0 { -1.0 } else { 1.0 };
        let (v, a) = (start.v * turned, start.a * turned);
        let [mut ramp, mut hold, mut release] = least_cycles(v, a, limits);
        if !(ramp + hold + release < MOST_CYCLES) {
            return None;
        }
        let most = limits.jerk * step * (1.0 + GRAIN);
        for _ in 0..CORRECTIONS {
            let plateau = -(v / step + a * ramp * 0.5) / ((ramp + release) * 0.5 + hold);
            if a - plateau > most * ramp {
                ramp += 1.0;
            } else if plateau - a > most * ramp && hold >= 1.0 {
                // More time would only lower the plateau: take it from the plateau.
                [ramp, hold] = [ramp + 1.0, hold - 1.0];
            } else if plateau - a > most * ramp {
                // Braking so hard already that even letting go overshoots, but for a fraction of a cycle: let go in whole
                // cycles, and let the last one make up for the rounding. With this ramp the plateau is always in reach.
                [ramp, release] = [(a.abs() / most).ceil(), 1.0];
            } else if plateau.abs() > most * release {
                release += 1.0;
            } else if plateau.abs() > limits.acceleration * (1.0 + GRAIN) {
                hold += 1.0;
            } else {
                return Some(Self::assembled(start, plateau * turned, [ramp, hold, release], step));
            }
        }
        None
    }

    fn assembled(start: JointState, plateau: f64, cycles: [f64; 3], period_s: f64) -> Self {
        let [ramp, hold, release] = cycles;
        let jerk = [(plateau - start.a) / (ramp * period_s), -plateau / (release * period_s)];
        let mut ramped = start.after(jerk[0], ramp * period_s);
        ramped.a = plateau;
        let released = ramped.after(0.0, hold * period_s);
        let end = released.after(jerk[1], release * period_s);
        Self {
            start,
            ramped,
            released,
            rest_p: end.p,
            plateau,
            jerk,
            // Whole numbers below a million.
            ends: [ramp as u32, (ramp + hold) as u32, (ramp + hold + release) as u32],
            period_s,
        }
    }

    /// Cycles until it stands.
    #[must_use]
    pub fn cycles(&self) -> u32 {
        self.ends[2]
    }

    #[must_use]
    pub fn rest_position(&self) -> f64 {
        self.rest_p
    }

    /// The commanded state `cycle` cycles after the start.
    #[must_use]
    pub fn at(&self, cycle: u32) -> JointState {
        let [ramp_end, hold_end, end] = self.ends;
        let seconds = |cycles: u32| f64::from(cycles) * self.period_s;
        if cycle >= end {
            JointState::at_rest(self.rest_p)
        } else if cycle < ramp_end {
            self.start.after(self.jerk[0], seconds(cycle))
        } else if cycle < hold_end {
            self.ramped.after(0.0, seconds(cycle - ramp_end))
        } else {
            self.released.after(self.jerk[1], seconds(cycle - hold_end))
        }
    }

    /// Bounds of everything from `cycle` on; between the cycles too, so they are never too tight.
    #[must_use]
    pub fn extremes_from(&self, cycle: u32) -> Extremes {
        let from = self.at(cycle);
        let (mut p_min, mut p_max) = (from.p.min(self.rest_p), from.p.max(self.rest_p));
        let (mut speed, mut velocity) = (from.v.abs(), from.v);
        if cycle < self.ends[0] {
            let jerk = self.jerk[0];
            if self.ramped.v.abs() > speed {
                (speed, velocity) = (self.ramped.v.abs(), self.ramped.v);
            }
            if from.a * self.plateau < 0.0 {
                let peak = from.v - from.a * from.a / (2.0 * jerk);
                if peak.abs() > speed {
                    (speed, velocity) = (peak.abs(), peak);
                }
            }
            if from.v * self.ramped.v < 0.0 {
                let turning = self.turning_point(from);
                (p_min, p_max) = (p_min.min(turning), p_max.max(turning));
            }
        }
        Extremes { p_min, p_max, speed, acceleration: from.a.abs().max(self.plateau.abs()), velocity }
    }

    /// The most that the joint moves in any one cycle from `cycle` on.
    #[must_use]
    pub fn pace_from(&self, cycle: u32) -> f64 {
        self.extremes_from(cycle).speed * self.period_s
    }

    /// How far the joint moves from `cycle` on, forth and back added up.
    #[must_use]
    pub fn travel_from(&self, cycle: u32) -> f64 {
        let from = self.at(cycle);
        if cycle < self.ends[0] && from.v * self.ramped.v < 0.0 {
            let turning = self.turning_point(from);
            return (turning - from.p).abs() + (self.rest_p - turning).abs();
        }
        (self.rest_p - from.p).abs()
    }

    /// Where the velocity passes through zero on the way from `from` to the end of the first part.
    fn turning_point(&self, from: JointState) -> f64 {
        let jerk = self.jerk[0];
        let root = (from.a * from.a - 2.0 * jerk * from.v).max(0.0).sqrt();
        // The root of v + a t + j t²/2 that does not cancel: v and the velocity to come differ in sign.
        let t = 2.0 * from.v / (-from.a - root.copysign(-from.v));
        from.after(jerk, if t.is_finite() { t.max(0.0) } else { 0.0 }).p
    }
}

/// Whole cycles of each part for a state that has to brake by negative acceleration.
fn least_cycles(v: f64, a: f64, limits: &StopLimits) -> [f64; 3] {
    let (step, jerk) = (limits.period_s, limits.jerk);
    let deepest = (jerk * v + a * a * 0.5).max(0.0).sqrt();
    let (ramp, hold, plateau) = if deepest <= limits.acceleration {
        ((a + deepest) / jerk, 0.0, deepest)
    } else if a >= -limits.acceleration {
        let least = limits.acceleration;
        ((a + least) / jerk, (v + a * a / (2.0 * jerk) - least * least / jerk) / least, least)
    } else {
        // Braking harder than allowed already: first back to the limit.
        let least = limits.acceleration;
        ((-a - least) / jerk, (v - a * a / (2.0 * jerk)) / least, least)
    };
    [(ramp / step).ceil().max(1.0), (hold / step).ceil().max(0.0), (plateau / (jerk * step)).ceil().max(1.0)]
}
