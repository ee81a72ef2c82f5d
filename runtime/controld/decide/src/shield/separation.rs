//! Speed and separation: how fast the robot may be, by the distance to people and by how old that distance is.
//!
//! In the manner of ISO/TS 15066 the protective distance adds what the person walks until the robot stands, what the robot
//! moves until it brakes and while it brakes, how far a body part reaches in unseen, and the uncertainty of both positions.
//! The age of the perception result is time in which the person walked: it widens the distance like reaction time does.

use layout::{PEOPLE, People, Workspace};

use crate::model::{Frames, RobotModel};
use crate::params::Control;

/// What is known about people now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    pub ratio: f64,
    /// Horizontal distance to the nearest person; infinite with nobody, NaN where unknown.
    pub separation_m: f64,
    /// `i64::MAX` where nothing was ever seen.
    pub age_ns: i64,
}

/// The constants of the protective distance.
#[derive(Clone, Copy, Debug)]
pub struct Separation {
    human_speed_m_s: f64,
    reaction_s: f64,
    /// Intrusion and uncertainty.
    fixed_m: f64,
    stale_ns: i64,
    slow_ratio_unknown: f64,
    full_speed_distance_m: f64,
    robot_speed_m_s: f64,
    /// Longest time to stop: the part that grows with speed, and the ramps of acceleration.
    stop_time_s: f64,
    ramp_time_s: f64,
}

/// Halvings when the protective distance is solved for the speed: the ratio is exact to 1/4096, on the slow side.
const HALVINGS: usize = 12;
/// A capture time further ahead than this is no time at all.
const FUTURE_NS: i64 = 2_000_000;

impl Separation {
    #[must_use]
    pub fn new(control: &Control) -> Self {
        let s = &control.separation;
        let joints = || control.limits.joints.iter();
        Self {
            human_speed_m_s: s.human_speed_m_s,
            reaction_s: s.reaction_s,
            fixed_m: s.intrusion_m + s.uncertainty_m,
            stale_ns: i64::try_from(s.stale_ms).unwrap_or(i64::MAX / 1_000_000).saturating_mul(1_000_000),
            slow_ratio_unknown: s.slow_ratio_unknown,
            full_speed_distance_m: s.max_ratio_distance_m,
            robot_speed_m_s: control.limits.tool_speed_m_s,
            stop_time_s: joints().map(|j| j.velocity_rad_s / j.acceleration_rad_s2).fold(0.0, f64::max),
            ramp_time_s: joints().map(|j| 2.0 * j.acceleration_rad_s2 / j.jerk_rad_s3).fold(0.0, f64::max),
        }
    }

    /// The distance that must be free for the robot to move at `ratio` of full speed.
    #[must_use]
    pub fn protective_distance_m(&self, ratio: f64, age_s: f64, human_speed_m_s: f64, margin: f64) -> f64 {
        let stop_s = ratio * self.stop_time_s + self.ramp_time_s;
        let robot = ratio * self.robot_speed_m_s;
        let person_m = human_speed_m_s * (age_s + self.reaction_s + stop_s);
        // Speed falls along the stop: half of its time at full speed, but all of it while acceleration turns round.
        let robot_m = robot * (self.reaction_s + 0.5 * (stop_s + self.ramp_time_s));
        margin * (person_m + robot_m + self.fixed_m)
    }

    /// The greatest ratio whose protective distance is free; falls with age and rises with distance, never the other way.
    #[must_use]
    pub fn allowed_ratio(&self, distance_m: f64, age_s: f64, human_speed_m_s: f64, margin: f64) -> f64 {
        let fits = |ratio: f64| self.protective_distance_m(ratio, age_s, human_speed_m_s, margin) <= distance_m;
        let near = (distance_m - human_speed_m_s * age_s) / self.full_speed_distance_m;
        let cap = if near >= 0.0 { near.min(1.0) } else { 0.0 };
        if fits(1.0) {
            return cap;
        }
        let (mut slow, mut fast) = (0.0, 1.0);
        for _ in 0..HALVINGS {
            let middle = 0.5 * (slow + fast);
            if fits(middle) {
                slow = middle;
            } else {
                fast = middle;
            }
        }
        slow.min(cap)
    }

    /// The speed allowed by what perception last said. Unknown or stale is never clear.
    #[must_use]
    pub fn read(&self, people: Option<&People>, now_ns: i64, margin: f64, model: &RobotModel, frames: &Frames) -> Reading {
        let Some(people) = people else {
            return self.unknown(i64::MAX);
        };
        let age_ns = now_ns.saturating_sub(people.capture_ns);
        let expired = people.expires_ns != 0 && now_ns > people.expires_ns;
        if age_ns > self.stale_ns || age_ns < -FUTURE_NS || expired {
            return self.unknown(age_ns);
        }
        let count = usize::try_from(people.count).unwrap_or(usize::MAX);
        let nobody = count == 0;
        match people.workspace() {
            None | Some(Workspace::Unknown) => return self.unknown(age_ns),
            // Somebody is there whom nobody located.
            Some(Workspace::Occupied) if nobody => return self.unknown(age_ns),
            Some(Workspace::Occupied | Workspace::Clear) => {}
        }
        if count > PEOPLE {
            return self.unknown(age_ns);
        }
        let mut reading = Reading { ratio: 1.0, separation_m: f64::INFINITY, age_ns };
        for ((pos, vel), radius_m) in people.pos.iter().zip(&people.vel).zip(&people.radius_m).take(count) {
            if !(is_finite(pos) && is_finite(vel) && *radius_m >= 0.0 && radius_m.is_finite()) {
                return self.unknown(age_ns);
            }
            let distance_m = horizontal_distance(model, frames, pos) - radius_m;
            let speed = self.human_speed_m_s.max((vel[0] * vel[0] + vel[1] * vel[1]).sqrt());
            let ratio = self.allowed_ratio(distance_m, age_ns.max(0) as f64 * 1e-9, speed, margin);
            reading.ratio = reading.ratio.min(ratio);
            reading.separation_m = reading.separation_m.min(distance_m);
        }
        reading
    }

    fn unknown(&self, age_ns: i64) -> Reading {
        Reading { ratio: self.slow_ratio_unknown, separation_m: f64::NAN, age_ns }
    }
}

fn is_finite(v: &[f64; 3]) -> bool {
    v.iter().all(|x| x.is_finite())
}

/// From the robot's surface to the vertical line on which a person stands: a person is as tall as the robot can reach.
fn horizontal_distance(model: &RobotModel, frames: &Frames, person: &[f64; 3]) -> f64 {
    let from = |(center, radius): ([f64; 3], f64)| {
        let (x, y) = (center[0] - person[0], center[1] - person[1]);
        (x * x + y * y).sqrt() - radius
    };
    model.spheres(frames).map(from).fold(f64::INFINITY, f64::min)
}
