//! What stands against moving: the causes for a stop, and the share of full speed that is left.

use layout::{Check, StopLevel, StopReason};

use crate::controller::{Controller, Inputs};
use crate::ladder::{Causes, Motion as Standing};
use crate::shield::motion::Allowance;
use crate::shield::{opinion, thermal};

/// The drives follow worse than this for `STRAY_NS`: they do not follow.
const STRAY_RAD: f64 = 0.2;
const STRAY_NS: i64 = 50_000_000;
/// Measured further outside its limits than commanded by this, a joint is being pushed out.
const PUSHED_OUT_RAD: f64 = 0.05;
/// Drives may take this long to come up before silence counts as lost power.
const POWER_UP_NS: i64 = 1_000_000_000;
/// Drives that had power and report none for this long have lost it.
const POWER_DROP_NS: i64 = 10_000_000;
/// While the present pose is outside the safe set, the arm comes back at this share of full speed at most.
const RECOVERY_RATIO: f64 = 0.25;
impl Controller {
    pub(crate) fn find_causes(&mut self, inputs: &Inputs) -> Causes {
        let mut causes = Causes::default();
        let now_ns = inputs.now_ns;
        causes.add_if(!self.liveness.is_alive(now_ns), StopReason::Liveness);
        causes.add_if(self.sensing.is_stale(now_ns), StopReason::StaleSensors);
        causes.add_if(self.sensing.is_invalid(now_ns), StopReason::InvalidSensors);
        causes.add_if(inputs.shutdown, StopReason::Shutdown);
        causes.add_if(self.suction.is_broken(), StopReason::GripperPressure);
        if inputs.deadlines_missed {
            causes.deadline(self.rules.miss_reaction);
        }
        if let Some(directive) = inputs.directive {
            causes.add_if(directive.estop != 0, StopReason::Estop);
            // What is no declared level is no "go on" either.
            causes.request(directive.stop_request().unwrap_or(StopLevel::Controlled));
        }
        causes.add_if(opinion::judge(inputs.verdict, now_ns, &self.rules.verdict).veto, StopReason::Veto);
        causes.add_if(self.is_command_missed(now_ns), StopReason::StaleCommand);
        if self.sensing.is_ready() {
            self.add_causes_from_sensors(&mut causes);
        }
        causes
    }

    fn add_causes_from_sensors(&mut self, causes: &mut Causes) {
        let s = *self.sensing.latest();
        causes.add_if(s.estop != 0, StopReason::Estop);
        causes.add_if(s.drive_fault != 0, StopReason::DriveFault);
        let temps = s.motor_temp_c.get(..self.n).unwrap_or(&s.motor_temp_c);
        causes.add_if(thermal::judge(temps, &self.rules.thermal).too_hot, StopReason::Thermal);
        let wants_power = self.ladder.level() != StopLevel::PowerOff;
        if s.powered == 0 {
            let patience_ns = if self.was_powered { POWER_DROP_NS } else { POWER_UP_NS };
            self.unpowered_ns = if wants_power { self.unpowered_ns.saturating_add(self.period_ns) } else { 0 };
            causes.add_if(self.unpowered_ns > patience_ns, StopReason::PowerLost);
            self.stray_ns = 0;
            return;
        }
        (self.unpowered_ns, self.was_powered) = (0, wants_power);
        let tau_ext = self.estimator.estimate().tau_ext;
        causes.add_if(self.collision.observe(&tau_ext, self.period_ns), StopReason::Collision);
        self.stray_ns = if self.strays() { self.stray_ns.saturating_add(self.period_ns) } else { 0 };
        causes.add_if(self.stray_ns > STRAY_NS, StopReason::Tracking);
        causes.add_if(self.is_pushed_out(), StopReason::OutsideSafeSet);
    }

    /// NaN strays.
    fn strays(&self) -> bool {
        let pairs = self.estimator.estimate().q.into_iter().zip(self.motion.positions()).take(self.n);
        !pairs.into_iter().all(|(q, commanded)| (q - commanded).abs() <= STRAY_RAD)
    }

    fn is_pushed_out(&self) -> bool {
        let pairs = self.estimator.estimate().q.into_iter().zip(self.motion.positions());
        pairs.zip(self.motion.bounds()).any(|((q, commanded), bounds)| {
            q < commanded.min(bounds.p_min) - PUSHED_OUT_RAD || q > commanded.max(bounds.p_max) + PUSHED_OUT_RAD
        })
    }

    /// Armed, but without a command for too long.
    fn is_command_missed(&self, now_ns: i64) -> bool {
        let armed = self.ladder.level() == StopLevel::None;
        armed && now_ns.saturating_sub(self.commanded_ns) > self.rules.resume_ns
    }

    pub(crate) fn count_new_causes(&mut self, before: &Causes) {
        for (reason, check) in [
            (StopReason::Collision, Check::Collision),
            (StopReason::Thermal, Check::MotorTemp),
            (StopReason::Veto, Check::Verdict),
            (StopReason::GripperPressure, Check::GripperPressure),
        ] {
            if self.causes.has(reason) && !before.has(reason) {
                self.checks.add(check);
            }
        }
    }

    /// The least of all shares of speed, and the check that it is due to.
    pub(crate) fn find_allowance(&mut self, inputs: &Inputs) -> Allowance {
        let margin = inputs.directive.map_or(1.0, |d| d.margin_multiplier);
        let margin = if margin.is_finite() { margin.max(1.0) } else { 2.0 };
        self.frames = self.model.frames(&self.estimator.estimate().q);
        self.reading = self.separation.read(inputs.people, inputs.now_ns, margin, &self.model, &self.frames);
        let s = self.sensing.latest();
        let temps = s.motor_temp_c.get(..self.n).unwrap_or(&s.motor_temp_c);
        let directed = inputs.directive.map_or(0.0, |d| d.speed_scale);
        let outside = if self.motion.is_outside_safe_set() { RECOVERY_RATIO } else { 1.0 };
        let mut allowance = Allowance { ratio: 1.0, limited_by: None };
        for (ratio, check) in [
            (self.reading.ratio, Check::Separation),
            (opinion::judge(inputs.verdict, inputs.now_ns, &self.rules.verdict).ratio, Check::Verdict),
            (thermal::judge(temps, &self.rules.thermal).ratio, Check::MotorTemp),
            (directed, Check::Directive),
            (outside, Check::Position),
        ] {
            if !(ratio >= allowance.ratio) {
                // NaN is no share of speed: it stops.
                let ratio = if ratio > 0.0 { ratio } else { 0.0 };
                allowance = Allowance { ratio, limited_by: Some(check) };
            }
        }
        allowance
    }

    pub(crate) fn standing(&self, now_ns: i64) -> Standing {
        let speeds = self.estimator.estimate().qd.into_iter().take(self.n);
        let slow = speeds.into_iter().all(|v| v.abs() < self.rules.slow_rad_s);
        Standing { now_ns, at_rest: self.motion.is_at_rest(), slow }
    }
}
