//! A whole robot in a test: the controller, a plant made of the same equations, and a director that keeps it alive.

use std::time::Instant;

use decide::model::{Factor, J, RobotModel};
use decide::params::Control;
use decide::{Controller, Inputs};
use layout::{
    Actuators, CHALLENGE_KEY, Directive, ExecState, MotionCommand, People, SafetyVerdict, Sensors, Source, StateFrame, StopLevel,
    Verdict, Workspace, sources,
};

pub const EPOCH: u64 = 7;
const MS: i64 = 1_000_000;

/// Joints with drives: a PD law on the desired motion, plus the torque fed forward.
pub struct Plant {
    model: RobotModel,
    pub q: [f64; J],
    pub qd: [f64; J],
    pub tau: [f64; J],
    /// Pushes from outside.
    pub tau_ext: [f64; J],
    pub effort: [f64; J],
    pub powered: bool,
    stiffness: [f64; J],
    damping: [f64; J],
}

impl Plant {
    pub fn new(control: &Control, model: RobotModel) -> Self {
        let mut effort = [0.0; J];
        for (to, from) in effort.iter_mut().zip(&control.limits.joints) {
            *to = from.effort_nm;
        }
        Self {
            model,
            q: super::joints(&control.home_rad),
            qd: [0.0; J],
            tau: [0.0; J],
            tau_ext: [0.0; J],
            effort,
            powered: true,
            stiffness: [3000.0, 3000.0, 3000.0, 3000.0, 1500.0, 1000.0, 600.0, 0.0],
            damping: [150.0, 150.0, 120.0, 120.0, 50.0, 40.0, 25.0, 0.0],
        }
    }

    pub fn step(&mut self, a: &Actuators) {
        self.powered = a.power != 0;
        if !self.powered {
            (self.qd, self.tau) = ([0.0; J], [0.0; J]); // brakes
            return;
        }
        let n = self.model.joints();
        const PARTS: usize = 4;
        for _ in 0..PARTS {
            let mut load = [0.0; J];
            let (bias, mass) = self.model.bias_and_mass(&self.q, &self.qd);
            for i in 0..n {
                let drive = self.stiffness[i] * (a.q_des[i] - self.q[i]) + self.damping[i] * (a.qd_des[i] - self.qd[i]);
                self.tau[i] = (drive + a.tau_ff[i]).clamp(-self.effort[i], self.effort[i]);
                load[i] = self.tau[i] + self.tau_ext[i] - bias[i];
            }
            let qdd = Factor::new(&mass, n).expect("a mass matrix").solve(&load);
            let step = 1e-3 / PARTS as f64;
            for i in 0..n {
                self.qd[i] += step * qdd[i];
                self.q[i] += step * self.qd[i];
            }
        }
    }
}

pub struct Rig {
    pub control: Control,
    pub controller: Controller,
    pub plant: Plant,
    pub now_ns: i64,
    pub frame: StateFrame,
    pub actuators: Actuators,
    pub sensors: Sensors,
    pub directive: Directive,
    pub people: People,
    pub verdict: SafetyVerdict,
    pub policy: Option<MotionCommand>,
    pub fallback: Option<MotionCommand>,
    /// What still works: a test switches it off.
    pub answers: bool,
    pub sees: bool,
    pub judges: bool,
    pub senses: bool,
    pub shutdown: bool,
    pub deadlines_missed: bool,
    seq: u64,
}

impl Rig {
    pub fn new(control: Control) -> Self {
        let model = RobotModel::new(&control.model).expect("a valid model");
        let directive = Directive {
            epoch: EPOCH,
            margin_multiplier: 1.0,
            speed_scale: 1.0,
            allowed_sources: sources::POLICY | sources::FALLBACK,
            ..Directive::default()
        };
        let sensors = Sensors { motor_temp_c: [40.0; J], gripper_pressure_kpa: 0.0, battery_ratio: 1.0, ..Sensors::default() };
        Self {
            controller: Controller::new(&control, EPOCH).expect("a valid model"),
            plant: Plant::new(&control, model),
            control,
            now_ns: 1_000 * MS,
            frame: StateFrame::default(),
            actuators: Actuators::default(),
            sensors,
            directive,
            people: People { workspace: Workspace::Clear.raw(), ..People::default() },
            verdict: SafetyVerdict { verdict: Verdict::Ok.raw(), speed_scale: 1.0, ..SafetyVerdict::default() },
            policy: None,
            fallback: None,
            answers: true,
            sees: true,
            judges: true,
            senses: true,
            shutdown: false,
            deadlines_missed: false,
            seq: 0,
        }
    }

    /// Armed and standing at home.
    pub fn armed(control: Control) -> Self {
        let mut rig = Self::new(control);
        rig.run(250);
        rig.rearm();
        rig.run(2);
        assert_eq!(rig.controller.state(), ExecState::Ready, "the rig is armed");
        rig
    }

    pub fn rearm(&mut self) {
        self.directive.rearm_count += 1;
    }

    pub fn cycle(&mut self) {
        let mut ignored: [Vec<u64>; 6] = Default::default();
        self.cycle_timed(&mut ignored);
    }

    /// One cycle; how long each stage and all of them took is added to `times`.
    pub fn cycle_timed(&mut self, times: &mut [Vec<u64>; 6]) {
        self.now_ns += MS;
        self.write_messages();
        let inputs = Inputs {
            now_ns: self.now_ns,
            sensors: Some(&self.sensors),
            policy: self.policy.as_ref(),
            fallback: self.fallback.as_ref(),
            people: Some(&self.people),
            verdict: Some(&self.verdict),
            directive: Some(&self.directive),
            deadlines_missed: self.deadlines_missed,
            shutdown: self.shutdown,
        };
        let mut laps = [Instant::now(); 6];
        self.controller.estimate(&inputs);
        laps[1] = Instant::now();
        self.controller.shield(&inputs);
        laps[2] = Instant::now();
        self.controller.choose(&inputs);
        laps[3] = Instant::now();
        self.actuators = self.controller.command(&inputs);
        laps[4] = Instant::now();
        self.controller.report(&inputs, &mut self.frame);
        laps[5] = Instant::now();
        let nanos = |from: usize, to: usize| u64::try_from((laps[to] - laps[from]).as_nanos()).unwrap_or(u64::MAX);
        for (stage, times) in times.iter_mut().enumerate() {
            times.push(if stage < 5 { nanos(stage, stage + 1) } else { nanos(0, 5) });
        }
        let actuators = self.actuators;
        self.plant.step(&actuators);
    }

    pub fn run(&mut self, cycles: usize) {
        for _ in 0..cycles {
            self.cycle();
        }
    }

    fn write_messages(&mut self) {
        self.seq += 1;
        if self.senses {
            let s = &mut self.sensors;
            (s.seq, s.created_ns) = (self.seq, self.now_ns);
            (s.q, s.qd, s.tau, s.powered) = (self.plant.q, self.plant.qd, self.plant.tau, u8::from(self.plant.powered));
        }
        if self.answers && self.now_ns % (100 * MS) == 0 {
            self.directive.challenge_response = self.frame.challenge ^ CHALLENGE_KEY;
        }
        if self.sees {
            (self.people.seq, self.people.capture_ns) = (self.seq, self.now_ns - 40 * MS);
        }
        if self.judges {
            (self.verdict.seq, self.verdict.created_ns) = (self.seq, self.now_ns);
        }
    }

    /// A command as a good writer would send it, made now.
    pub fn message(&mut self, source: Source, q: [f64; J], qd: [f64; J]) -> MotionCommand {
        self.seq += 1;
        MotionCommand {
            seq: self.seq,
            epoch: EPOCH,
            created_ns: self.now_ns,
            source: source.raw(),
            q,
            qd,
            ..MotionCommand::default()
        }
    }

    /// A policy that swings each joint by `swing` rad in `period_s`, every 10 ms, for `cycles`.
    pub fn swing(&mut self, cycles: usize, swing: f64, period_s: f64, mut each: impl FnMut(&mut Self)) {
        let home = super::joints(&self.control.home_rad);
        let started_ns = self.now_ns;
        for cycle in 0..cycles {
            if cycle % 10 == 0 {
                let t = (self.now_ns - started_ns + 10 * MS) as f64 * 1e-9;
                let w = std::f64::consts::TAU / period_s;
                let q = home.map(|h| h + swing * 0.5 * (1.0 - (w * t).cos()));
                let qd = home.map(|_| swing * 0.5 * w * (w * t).sin());
                self.policy = Some(self.message(Source::Policy, q, qd));
            }
            self.cycle();
            each(self);
        }
    }

    pub fn level(&self) -> StopLevel {
        self.controller.level()
    }

    /// A person at a place in the robot's base frame.
    pub fn person_at(&mut self, x: f64, y: f64) {
        self.people.count = 1;
        self.people.pos[0] = [x, y, 0.5];
        self.people.radius_m[0] = 0.25;
    }
}
