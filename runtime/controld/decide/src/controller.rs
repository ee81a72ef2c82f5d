//! One cycle's decisions, stage by stage, in the order in which `controld` calls and times them:
//!
//! 1. [`Controller::estimate`]: sensors → what is believed about the arm
//! 2. [`Controller::shield`]: causes for a stop, the allowed share of speed, the ladder, re-arming
//! 3. [`Controller::choose`]: which command to follow, if any
//! 4. [`Controller::command`]: the next sample of the commanded trajectory → what the drives shall do
//! 5. [`Controller::report`]: everything of it into the state frame
//!
//! Nothing here allocates, blocks or reads a clock: time is an argument, and so is every message.

use layout::{
    Actuators, CHECKS, Check, Directive, ExecState, MotionCommand, People, Reject, SafetyVerdict, Sensors, Source, StopLevel,
    StopReason,
};

use crate::estimator::{Estimate, Estimator, Lapse};
use crate::gate::{Accepted, Gate, Moment, millis};
use crate::ladder::{Causes, Ladder, Motion as Standing};
use crate::liveness::Liveness;
use crate::model::{Frames, J, Joints, ModelError, RobotModel};
use crate::params::{self, Control};
use crate::sensing::Sensing;
use crate::shield::checks::Checks;
use crate::shield::collision::Collision;
use crate::shield::follow::Target;
use crate::shield::gripper::Suction;
use crate::shield::motion::{Allowance, Motion};
use crate::shield::separation::{Reading, Separation};
use crate::shield::space::Space;
use crate::{exec, report};

/// All that one cycle reads. A message that was never written is `None`; how old one may be is decided here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inputs<'a> {
    pub now_ns: i64,
    pub sensors: Option<&'a Sensors>,
    pub policy: Option<&'a MotionCommand>,
    pub fallback: Option<&'a MotionCommand>,
    pub people: Option<&'a People>,
    pub verdict: Option<&'a SafetyVerdict>,
    pub directive: Option<&'a Directive>,
    /// The miss ledger counted more than the limit in its window.
    pub deadlines_missed: bool,
    /// The process is ending.
    pub shutdown: bool,
}

/// Tier 1's whole state between two cycles.
#[derive(Clone, Debug)]
pub struct Controller {
    pub(crate) n: usize,
    pub(crate) epoch: u64,
    pub(crate) period_ns: i64,
    pub(crate) rules: Rules,
    pub(crate) model: RobotModel,
    pub(crate) space: Space,
    pub(crate) separation: Separation,
    pub(crate) sensing: Sensing,
    pub(crate) estimator: Estimator,
    pub(crate) motion: Motion,
    pub(crate) collision: Collision,
    pub(crate) suction: Suction,
    pub(crate) gate: Gate,
    pub(crate) ladder: Ladder,
    pub(crate) liveness: Liveness,
    pub(crate) state: ExecState,
    pub(crate) source: Source,
    pub(crate) reading: Reading,
    pub(crate) allowance: Allowance,
    pub(crate) interventions: [u64; CHECKS],
    pub(crate) challenge: u64,
    pub(crate) tau_cmd: Joints,
    pub(crate) causes: Causes,
    pub(crate) checks: Checks,
    pub(crate) chosen: Option<Accepted>,
    pub(crate) friction: Joints,
    /// Of what the estimator believes, and of the frame that last corrected it.
    pub(crate) believed_ns: i64,
    pub(crate) seen_ns: i64,
    /// When a command was last there, or could first have been.
    pub(crate) commanded_ns: i64,
    pub(crate) stray_ns: i64,
    pub(crate) unpowered_ns: i64,
    /// The drives had power since they were last told to have it.
    pub(crate) was_powered: bool,
    /// Of the estimated pose.
    pub(crate) frames: Frames,
    pub(crate) ticks: u64,
}

/// The few parameters that the cycle itself looks up.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub(crate) thermal: params::Thermal,
    pub(crate) verdict: params::Verdict,
    pub(crate) resume_ns: i64,
    pub(crate) slow_rad_s: f64,
    pub(crate) miss_reaction: params::MissReaction,
}

/// Speed over which the friction that is commanded against turns round.
const FRICTION_TURN_RAD_S: f64 = 0.05;

impl Controller {
    /// Everything is allocated here; no other call allocates. The profile must have been validated.
    ///
    /// # Errors
    /// Where the model does not fit the fixed arrays.
    pub fn new(control: &Control, epoch: u64) -> Result<Self, ModelError> {
        let model = RobotModel::new(&control.model)?;
        let space = Space::new(control);
        let motion = Motion::new(control, &model, &space);
        let period_ns = i64::try_from(control.cycle.period_us).unwrap_or(1_000).saturating_mul(1_000);
        let estimator = Estimator::new(&control.estimator, &model, period_ns as f64 * 1e-9);
        let rules = Rules {
            thermal: control.thermal,
            verdict: control.verdict,
            resume_ns: millis(control.command.resume_ms),
            slow_rad_s: control.stop.power_off_speed_rad_s,
            miss_reaction: control.cycle.miss_reaction,
        };
        Ok(Self {
            n: model.joints(),
            epoch,
            period_ns,
            rules,
            friction: model.friction(),
            separation: Separation::new(control),
            sensing: Sensing::new(control),
            collision: Collision::new(control),
            suction: Suction::new(control.gripper),
            gate: Gate::new(&control.command, &control.limits.joints),
            ladder: Ladder::new(&control.stop),
            liveness: Liveness::new(epoch, millis(control.liveness.timeout_ms)),
            state: ExecState::Starting,
            source: Source::None,
            reading: Reading { ratio: 0.0, separation_m: f64::NAN, age_ns: i64::MAX },
            allowance: Allowance { ratio: 0.0, limited_by: None },
            interventions: [0; CHECKS],
            challenge: 0,
            tau_cmd: [0.0; J],
            causes: Causes::default(),
            checks: Checks::default(),
            chosen: None,
            believed_ns: 0,
            seen_ns: 0,
            commanded_ns: 0,
            stray_ns: 0,
            unpowered_ns: 0,
            was_powered: false,
            frames: *motion.frames(),
            ticks: 0,
            model,
            space,
            motion,
            estimator,
        })
    }

    /// Stage 1. Sensors that are old, torn or absurd are left out; the filter then goes on by prediction alone, until they
    /// are stale. By then the robot brakes as commanded, which is the best that is known of it; a prediction would run away.
    pub fn estimate(&mut self, inputs: &Inputs) {
        self.checks = Checks::default();
        let first = !self.sensing.is_ready();
        self.sensing.take(inputs.sensors, inputs.now_ns, &self.estimator.estimate().q);
        if !self.sensing.is_ready() {
            return;
        }
        if self.sensing.is_lost(inputs.now_ns) {
            self.estimator.reset(&self.motion.positions(), &self.motion.velocities());
            self.collision.forget();
            return;
        }
        let s = self.sensing.latest();
        let lapse = if self.sensing.is_new() {
            let lapse = Lapse::to_frame(s.created_ns, self.believed_ns, self.seen_ns, self.period_ns);
            (self.believed_ns, self.seen_ns) = (s.created_ns, s.created_ns);
            lapse
        } else {
            self.believed_ns = self.believed_ns.saturating_add(self.period_ns);
            Lapse::ONE
        };
        if self.sensing.is_regained() || s.powered == 0 {
            // Brakes hold an arm without power: its torques say nothing about what pushes it.
            if self.sensing.is_new() {
                self.estimator.reset(&s.q, &s.qd);
            }
            self.collision.forget();
            if first {
                self.motion.restart(&s.q, &self.model, &self.space);
            }
            return;
        }
        self.estimator.predict(&s.tau, &self.model, lapse);
        if self.sensing.is_new() {
            self.estimator.correct(&s.q, &s.qd);
        }
    }

    /// Stage 2.
    pub fn shield(&mut self, inputs: &Inputs) {
        self.challenge = self.liveness.challenge(inputs.now_ns);
        if let Some(directive) = inputs.directive {
            self.liveness.hear(directive.challenge_response, inputs.now_ns);
        }
        let before = self.causes;
        self.causes = self.find_causes(inputs);
        self.count_new_causes(&before);
        self.allowance = self.find_allowance(inputs);
        let standing = self.standing(inputs.now_ns);
        let level = self.ladder.level();
        self.ladder.update(&self.causes, &standing);
        if self.ladder.level() > level {
            self.enter_stop(level);
        }
        if self.ladder.level() == StopLevel::PowerOff {
            self.was_powered = false;
        }
        if self.ladder.level() == StopLevel::PowerOff || (self.is_unpowered() && self.motion.is_at_rest()) {
            self.follow_the_unpowered_arm();
        }
        if self.is_rearmed(inputs, &standing) {
            self.start_anew(inputs.now_ns);
        }
    }

    /// Stage 3.
    pub fn choose(&mut self, inputs: &Inputs) {
        let allowed_sources = inputs.directive.map_or(0, |d| d.allowed_sources);
        let pose = self.motion.positions();
        let moment = Moment {
            now_ns: inputs.now_ns,
            epoch: self.epoch,
            allowed_sources,
            pose: &pose,
            starting: exec::is_starting(self.state),
        };
        for (source, message) in [(Source::Policy, inputs.policy), (Source::Fallback, inputs.fallback)] {
            if let Some(message) = message {
                let refused = self.rejected(Reject::StartPose);
                self.gate.offer(source, message, &moment);
                if self.rejected(Reject::StartPose) > refused {
                    self.checks.add(Check::StartPose);
                }
            }
        }
        // An arm without power follows nothing; nobody is late while it comes up.
        let unpowered = self.is_unpowered();
        self.chosen = self.gate.choose(inputs.now_ns, allowed_sources).filter(|_| !unpowered).copied();
        if self.chosen.is_some() || unpowered {
            self.commanded_ns = inputs.now_ns;
        }
        let situation = exec::Situation {
            sensed: self.sensing.is_ready(),
            level: self.ladder.level(),
            commanded: self.chosen.is_some(),
            at_rest: self.motion.is_at_rest(),
        };
        self.state = exec::next(self.state, &situation);
        if !exec::is_following(self.state) {
            self.chosen = None;
        }
        self.source = self.chosen.map_or(Source::None, |c| c.source);
    }

    /// Stage 4.
    pub fn command(&mut self, inputs: &Inputs) -> Actuators {
        let pressure_kpa = self.sensing.latest().gripper_pressure_kpa;
        let wanted = self.chosen.map_or(self.suction.last(), |c| c.gripper);
        match self.chosen {
            Some(command) => {
                let targets = self.targets(&command, inputs.now_ns);
                let (allowance, n) = (self.allowance, self.n);
                let targets = targets.get(..n).unwrap_or(&targets);
                self.motion.step(targets, &allowance, &self.model, &self.space, &mut self.checks);
            }
            None => self.motion.brake(&self.model),
        }
        let gripper = self.suction.limit(wanted, pressure_kpa, self.period_ns, &mut self.checks);
        let powered = self.sensing.is_ready() && self.ladder.level() != StopLevel::PowerOff;
        self.tau_cmd = if powered { self.feed_forward() } else { [0.0; J] };
        self.checks.count_into(&mut self.interventions);
        self.ticks += 1;
        Actuators {
            seq: self.ticks,
            epoch: self.epoch,
            created_ns: inputs.now_ns,
            expires_ns: 0,
            tick: self.ticks,
            q_des: self.motion.positions(),
            qd_des: self.motion.velocities(),
            tau_ff: self.tau_cmd,
            gripper,
            power: u8::from(powered),
            _pad: [0; 7],
        }
    }

    /// Stage 5: the fields of the state frame that decisions fill; the rest (header, cycle, misses, times) is left as it is.
    pub fn report(&self, inputs: &Inputs, frame: &mut layout::StateFrame) {
        report::fill(self, inputs, frame);
    }

    #[must_use]
    pub fn state(&self) -> ExecState {
        self.state
    }

    #[must_use]
    pub fn level(&self) -> StopLevel {
        self.ladder.level()
    }

    #[must_use]
    pub fn reason(&self) -> StopReason {
        self.ladder.reason()
    }

    #[must_use]
    pub fn estimated(&self) -> &Estimate {
        self.estimator.estimate()
    }

    fn rejected(&self, reject: Reject) -> u64 {
        self.gate.rejected().get(usize::from(reject.raw())).copied().unwrap_or(0)
    }

    fn is_unpowered(&self) -> bool {
        self.sensing.latest().powered == 0
    }

    fn enter_stop(&mut self, from: StopLevel) {
        if from == StopLevel::None {
            self.gate.forget();
        }
        // The arm was commanded into what it touched: it holds where it is, and stops pushing.
        if self.ladder.level() == StopLevel::Hold && self.ladder.reason() == StopReason::Collision {
            self.motion.restart(&self.estimator.estimate().q, &self.model, &self.space);
        }
    }

    fn follow_the_unpowered_arm(&mut self) {
        if self.sensing.is_new() {
            self.motion.restart(&self.estimator.estimate().q, &self.model, &self.space);
        }
    }

    fn is_rearmed(&mut self, inputs: &Inputs, standing: &Standing) -> bool {
        let Some(directive) = inputs.directive else { return false };
        // A directive from before this start knows nothing of it.
        if directive.epoch != self.epoch || !self.sensing.is_ready() {
            return false;
        }
        self.ladder.rearm(directive.rearm_count, &self.causes, standing)
    }

    /// A new trajectory from the present pose, at rest; commands from before count no more.
    fn start_anew(&mut self, now_ns: i64) {
        self.motion.restart(&self.estimator.estimate().q, &self.model, &self.space);
        self.gate.forget();
        self.collision.forget();
        self.commanded_ns = now_ns;
        self.stray_ns = 0;
        self.unpowered_ns = 0;
    }

    /// Where the command wants the joints one period from now.
    fn targets(&self, command: &Accepted, now_ns: i64) -> [Target; J] {
        let ahead_ns = now_ns.saturating_add(self.period_ns).saturating_sub(command.valid_ns);
        let ahead_s = ahead_ns as f64 * 1e-9;
        let mut targets = [Target { q: 0.0, qd: 0.0 }; J];
        for (target, (q, qd)) in targets.iter_mut().zip(command.q.iter().zip(&command.qd)) {
            *target = Target { q: q + qd * ahead_s, qd: *qd };
        }
        targets
    }

    /// The torques of the commanded motion, cut to the effort limits.
    fn feed_forward(&mut self) -> Joints {
        let (q, qd, qdd) = (self.motion.positions(), self.motion.velocities(), self.motion.accelerations());
        let mut tau = self.model.inverse_dynamics(&q, &qd, &qdd);
        for ((tau, bounds), (friction, qd)) in tau.iter_mut().zip(self.motion.bounds()).zip(self.friction.iter().zip(qd)) {
            let wanted = *tau + friction * (qd / FRICTION_TURN_RAD_S).tanh();
            if !(wanted.abs() <= bounds.effort) {
                self.checks.add(Check::Effort);
            }
            *tau = if wanted.is_finite() { wanted.clamp(-bounds.effort, bounds.effort) } else { 0.0 };
        }
        tau
    }
}
