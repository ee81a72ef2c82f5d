//! All joints together: from targets to the next commanded sample, which always has a verified stop in joint space and in space.

use layout::Check;

use super::checks::Checks;
use super::follow::{Gains, Target};
use super::space::{Clearance, Space, SpaceLimit};
use super::stop::JointState;
use super::track::{Bounds, Limit, Track};
use crate::model::{Frames, J, Joints, RobotModel};
use crate::params::Control;

/// What one cycle allows.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// Share of full speed, 0 to 1.
    pub ratio: f64,
    /// The check that set the ratio, to be counted where it slows a motion.
    pub limited_by: Option<Check>,
}

/// The commanded trajectory of the arm and what it is checked with.
#[derive(Clone, Debug)]
pub struct Motion {
    n: usize,
    bounds: [Bounds; J],
    gains: [Gains; J],
    tool_speed_m_s: f64,
    tracks: [Track; J],
    frames: Frames,
    /// The least clearance on the way of the present stop.
    committed: Clearance,
    /// Falls when space refuses a motion and recovers slowly, so that the arm creeps up to a box instead of rattling at it.
    governor: f64,
}

const GOVERNOR_FALL: f64 = 0.8;
const GOVERNOR_RISE: f64 = 0.002;
const GOVERNOR_LEAST: f64 = 0.02;
/// The law aims this far below a speed limit, so that rounding does not call the shield.
const BELOW_LIMIT: f64 = 0.98;

/// One cycle's wish, joint by joint.
struct Wish {
    jerk: Joints,
}

impl Motion {
    #[must_use]
    pub fn new(control: &Control, model: &RobotModel, space: &Space) -> Self {
        let period_s = control.cycle.period_us as f64 * 1e-6;
        let nothing = Bounds { p_min: 0.0, p_max: 0.0, velocity: 0.0, acceleration: 1.0, jerk: 1.0, effort: 0.0, period_s };
        let mut bounds = [nothing; J];
        for (bound, limits) in bounds.iter_mut().zip(&control.limits.joints) {
            *bound = Bounds::new(limits, period_s);
        }
        let mut home = [0.0; J];
        for (to, from) in home.iter_mut().zip(&control.home_rad) {
            *to = *from;
        }
        let frames = model.frames(&home);
        Self {
            n: model.joints(),
            gains: bounds.map(|b| Gains::new(&b)),
            bounds,
            tool_speed_m_s: control.limits.tool_speed_m_s,
            tracks: home.map(|p| Track::at_rest(p, period_s)),
            committed: space.clearance(model, &frames),
            frames,
            governor: 1.0,
        }
    }

    /// Begins a new trajectory at `q`, at rest.
    pub fn restart(&mut self, q: &Joints, model: &RobotModel, space: &Space) {
        for (track, (p, bounds)) in self.tracks.iter_mut().zip(q.iter().zip(&self.bounds)) {
            *track = Track::at_rest(*p, bounds.period_s);
        }
        self.begin(model, space);
    }

    /// Begins in any state, safe or not. `false`, and nothing changes, where no stop can be planned from it.
    pub fn begin_in(&mut self, states: &[JointState], model: &RobotModel, space: &Space) -> bool {
        let mut tracks = self.tracks;
        for (track, (state, bounds)) in tracks.iter_mut().zip(states.iter().zip(&self.bounds)) {
            let Some(begun) = Track::from_state(*state, bounds) else { return false };
            *track = begun;
        }
        self.tracks = tracks;
        self.begin(model, space);
        true
    }

    fn begin(&mut self, model: &RobotModel, space: &Space) {
        self.frames = model.frames(&self.positions());
        self.governor = 1.0;
        // With everything forgiven the walk only measures; where it cannot measure, the present pose must do.
        let anything = Clearance { keep_out: f64::NEG_INFINITY, workspace: f64::NEG_INFINITY };
        let present = space.clearance(model, &self.frames);
        self.committed = space.walk(model, self.active(), &self.frames, &anything).unwrap_or(present);
    }

    /// One cycle on along the verified stop.
    pub fn brake(&mut self, model: &RobotModel) {
        if self.is_at_rest() {
            return;
        }
        self.tracks = self.tracks.map(|track| track.follow_stop());
        self.frames = model.frames(&self.positions());
    }

    /// One cycle on towards the targets, as far as every limit allows; the checks that changed the motion are added to `checks`.
    pub fn step(&mut self, targets: &[Target], allowed: &Allowance, model: &RobotModel, space: &Space, checks: &mut Checks) {
        let ratio = if allowed.ratio >= 0.0 { allowed.ratio.min(1.0) } else { 0.0 };
        let wish = self.wish(targets, ratio, allowed.limited_by, model, checks);
        let wanted = self.proposal(&wish.jerk, ratio, checks);
        if self.try_on(&wanted, ratio, model, space, checks) {
            self.governor = (self.governor + GOVERNOR_RISE).min(1.0);
            return;
        }
        self.governor = (self.governor * GOVERNOR_FALL).max(GOVERNOR_LEAST);
        let mut unused = Checks::default();
        let gentler = self.proposal(&self.halfway_to_stop(&wanted), ratio, &mut unused);
        if !self.try_on(&gentler, ratio, model, space, &mut unused) {
            checks.add(Check::StopReachable);
            self.brake(model);
        }
    }

    /// The jerk each joint would like, all joints slowed by the same share where one of them, or the tool, would be too fast.
    fn wish(&self, targets: &[Target], ratio: f64, by: Option<Check>, model: &RobotModel, checks: &mut Checks) -> Wish {
        let mut velocity = [0.0; J];
        let mut share = 1.0_f64;
        let mut limit = Check::Velocity;
        for (v, ((track, target), (gains, bounds))) in
            velocity.iter_mut().zip(self.active().iter().zip(targets).zip(self.gains.iter().zip(&self.bounds)))
        {
            *v = gains.wanted_velocity(&track.state(), target, bounds);
            share = share.min(share_of(ratio * bounds.velocity * BELOW_LIMIT, v.abs()));
        }
        let tool = share_of(ratio * self.tool_speed_m_s * BELOW_LIMIT, model.greatest_speed(&self.frames, &velocity));
        if tool < share {
            (share, limit) = (tool, Check::ToolSpeed);
        }
        if share < 1.0 {
            checks.add(by.unwrap_or(limit));
        }
        let share = share * self.governor;
        let mut wish = Wish { jerk: [0.0; J] };
        for ((jerk, v), (track, (gains, bounds))) in
            wish.jerk.iter_mut().zip(velocity).zip(self.active().iter().zip(self.gains.iter().zip(&self.bounds)))
        {
            *jerk = wanted_jerk(&track.state(), v * share, gains, bounds, checks);
        }
        wish
    }

    fn proposal(&self, jerk: &Joints, ratio: f64, checks: &mut Checks) -> [Track; J] {
        let mut tracks = self.tracks;
        for (track, (jerk, bounds)) in tracks.iter_mut().zip(jerk.iter().zip(&self.bounds)).take(self.n) {
            let (next, refused) = track.advance_towards(*jerk, bounds, ratio * bounds.velocity);
            *track = next;
            match refused {
                Some(Limit::Position) => checks.add(Check::Position),
                Some(Limit::Velocity) => checks.add(Check::Velocity),
                Some(Limit::Acceleration) => checks.add(Check::Acceleration),
                None => {}
            }
        }
        tracks
    }

    fn halfway_to_stop(&self, wanted: &[Track; J]) -> Joints {
        let mut jerk = [0.0; J];
        for (j, (now, (wanted, bounds))) in jerk.iter_mut().zip(self.tracks.iter().zip(wanted.iter().zip(&self.bounds))) {
            let middle = 0.5 * (wanted.state().a + now.stopping(1).a);
            *j = (middle - now.state().a) / bounds.period_s;
        }
        jerk
    }

    /// Takes the proposal if its stop keeps every limit in space.
    fn try_on(&mut self, wanted: &[Track; J], ratio: f64, model: &RobotModel, space: &Space, checks: &mut Checks) -> bool {
        let tracks = wanted.get(..self.n).unwrap_or(wanted);
        let frames = model.frames(&positions(tracks));
        if !self.speed_is_allowed(tracks, &frames, ratio, model) {
            checks.add(Check::ToolSpeed);
            return false;
        }
        match space.walk(model, tracks, &frames, &self.committed) {
            Ok(clearance) => {
                self.committed = clearance;
                self.tracks = *wanted;
                self.frames = frames;
                true
            }
            Err(limit) => {
                checks.add(match limit {
                    SpaceLimit::KeepOut => Check::KeepOut,
                    SpaceLimit::Workspace => Check::Workspace,
                    SpaceLimit::Unverified => Check::StopReachable,
                });
                false
            }
        }
    }

    /// The tool and the spheres are no faster than the limit, or no faster than if the arm braked.
    fn speed_is_allowed(&self, tracks: &[Track], frames: &Frames, ratio: f64, model: &RobotModel) -> bool {
        let limit = ratio * self.tool_speed_m_s;
        let speed = greatest_speed(tracks, frames, model);
        if speed <= limit {
            return true;
        }
        let mut braking = self.tracks;
        for track in &mut braking {
            *track = track.follow_stop();
        }
        let braking = braking.get(..self.n).unwrap_or(&braking);
        speed <= greatest_speed(braking, &model.frames(&positions(braking)), model)
    }

    fn active(&self) -> &[Track] {
        self.tracks.get(..self.n).unwrap_or(&self.tracks)
    }

    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.active().iter().all(Track::is_at_rest)
    }

    #[must_use]
    pub fn positions(&self) -> Joints {
        positions(self.active())
    }

    #[must_use]
    pub fn velocities(&self) -> Joints {
        self.collect(|state| state.v)
    }

    #[must_use]
    pub fn accelerations(&self) -> Joints {
        self.collect(|state| state.a)
    }

    #[must_use]
    pub fn bounds(&self) -> &[Bounds] {
        self.bounds.get(..self.n).unwrap_or(&self.bounds)
    }

    /// The commanded pose's frames.
    #[must_use]
    pub fn frames(&self) -> &Frames {
        &self.frames
    }

    /// The least clearance on the way of the present stop, less the margin.
    #[must_use]
    pub fn committed(&self) -> Clearance {
        self.committed
    }

    /// Whether the present stop breaks any limit.
    #[must_use]
    pub fn is_outside_safe_set(&self) -> bool {
        let joint = |(track, bounds): (&Track, &Bounds)| {
            let e = track.extremes();
            !(e.p_min >= bounds.p_min && e.p_max <= bounds.p_max)
        };
        self.committed.nearest() < 0.0 || self.active().iter().zip(&self.bounds).any(joint)
    }

    fn collect(&self, of: impl Fn(JointState) -> f64) -> Joints {
        let mut values = [0.0; J];
        for (value, track) in values.iter_mut().zip(self.active()) {
            *value = of(track.state());
        }
        values
    }
}

/// The jerk that leads to velocity `v`, with the acceleration kept inside its limit.
fn wanted_jerk(state: &JointState, v: f64, gains: &Gains, bounds: &Bounds, checks: &mut Checks) -> f64 {
    let acceleration = gains.wanted_acceleration(state, v);
    if acceleration.abs() > bounds.acceleration {
        checks.add(Check::Acceleration);
    }
    let acceleration = acceleration.clamp(-bounds.acceleration, bounds.acceleration);
    let jerk = gains.wanted_jerk(state, acceleration);
    if jerk.abs() > bounds.jerk {
        checks.add(Check::Jerk);
    }
    let (low, high) = ((-bounds.acceleration - state.a) / bounds.period_s, (bounds.acceleration - state.a) / bounds.period_s);
    jerk.max(low).min(high).clamp(-bounds.jerk, bounds.jerk)
}

/// How much of `wanted` fits into `limit`.
fn share_of(limit: f64, wanted: f64) -> f64 {
    if wanted <= limit { 1.0 } else { limit / wanted }
}

/// Of the tool and all spheres, at the next sample and with every joint as fast as it will be before it stops.
fn greatest_speed(tracks: &[Track], frames: &Frames, model: &RobotModel) -> f64 {
    let (mut now, mut peak) = ([0.0; J], [0.0; J]);
    for ((now, peak), track) in now.iter_mut().zip(&mut peak).zip(tracks) {
        *now = track.state().v;
        *peak = track.extremes().velocity;
    }
    model.greatest_speed(frames, &now).max(model.greatest_speed(frames, &peak))
}

fn positions(tracks: &[Track]) -> Joints {
    let mut q = [0.0; J];
    for (position, track) in q.iter_mut().zip(tracks) {
        *position = track.state().p;
    }
    q
}
