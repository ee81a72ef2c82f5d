//! A whole robot in one thread: the real cycle over real shared files, drives that follow perfectly, an agent that answers
//! every challenge, a policy that swings all joints about their home. Time is virtual.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::PathBuf;

use controld::control;
use controld::cycle::{Cycle, Events};
use controld::hal::Hal;
use controld::shm::{SlotReader, SlotWriter, StateWriter};
use layout::{
    Actuators, CHALLENGE_KEY, Directive, J, MotionCommand, People, SafetyVerdict, Sensors, Source, StateFrame, Verdict,
    Workspace, sources,
};

pub const PERIOD_NS: i64 = 1_000_000;
pub const OSAKA: &[u8] = include_bytes!("../data/osaka.control");

pub struct Rig {
    pub dir: PathBuf,
    pub cycle: Cycle,
    pub now_ns: i64,
    pub epoch: u64,
    pub home: [f64; J],
    pub swing_rad: f64,
    pub directive: Directive,
    pub send_commands: bool,
    pub answer: bool,
    sensors: SlotWriter<Sensors>,
    actuators: SlotReader<Actuators>,
    policy: SlotWriter<MotionCommand>,
    directives: SlotWriter<Directive>,
    people: SlotWriter<People>,
    verdicts: SlotWriter<SafetyVerdict>,
    plant: Sensors,
    seq: u64,
}

impl Rig {
    pub fn new(name: &str) -> Self {
        let dir = PathBuf::from(format!("/dev/shm/bedplate-rig-{}-{name}", std::process::id()));
        let control = control::parse(OSAKA).map_err(|e| e.to_string()).unwrap();
        let state = StateWriter::open(&dir).unwrap();
        let epoch = state.epoch();
        let cycle = Cycle::open(&control, &dir, Hal::open(&control, &dir).ok().unwrap(), state).unwrap();
        let mut home = [0.0; J];
        home.iter_mut().zip(&control.home_rad).for_each(|(to, from)| *to = *from);
        let plant = Sensors {
            q: home,
            gripper_pressure_kpa: 0.0,
            motor_temp_c: [35.0; J],
            battery_ratio: 0.8,
            powered: 1,
            ..Sensors::default()
        };
        let directive = Directive {
            margin_multiplier: 1.0,
            speed_scale: 1.0,
            allowed_sources: sources::POLICY | sources::FALLBACK,
            ..Directive::default()
        };
        Self {
            cycle,
            now_ns: 1_000_000_000,
            epoch,
            home,
            swing_rad: 0.3,
            directive,
            send_commands: true,
            answer: true,
            sensors: SlotWriter::open(&dir, "hal.sensors").unwrap(),
            actuators: SlotReader::open(&dir, "hal.actuators").unwrap(),
            policy: SlotWriter::open(&dir, "command.policy").unwrap(),
            directives: SlotWriter::open(&dir, "directive").unwrap(),
            people: SlotWriter::open(&dir, "people").unwrap(),
            verdicts: SlotWriter::open(&dir, "verdict").unwrap(),
            plant,
            seq: 0,
            dir,
        }
    }

    pub fn frame(&self) -> &StateFrame {
        self.cycle.frame()
    }

    /// What the other processes and the plant do in one period.
    pub fn surroundings(&mut self) {
        self.seq += 1;
        if let Some(actuators) = self.actuators.latest() {
            self.plant.q = actuators.q_des;
            self.plant.qd = actuators.qd_des;
            self.plant.tau = actuators.tau_ff;
            self.plant.powered = actuators.power;
        }
        self.plant.seq = self.seq;
        self.plant.tick = self.seq;
        self.plant.created_ns = self.now_ns;
        self.sensors.write(&self.plant);
        if self.seq % 10 == 0 {
            self.slow_surroundings();
        }
    }

    fn slow_surroundings(&mut self) {
        let header = (self.seq, self.epoch, self.now_ns);
        if self.answer {
            let challenge_response = self.frame().challenge ^ CHALLENGE_KEY;
            self.directive =
                Directive { seq: header.0, epoch: header.1, created_ns: header.2, challenge_response, ..self.directive };
            self.directives.write(&self.directive);
        }
        let people = People {
            seq: header.0,
            epoch: header.1,
            created_ns: header.2,
            capture_ns: header.2,
            workspace: Workspace::Clear.raw(),
            ..People::default()
        };
        self.people.write(&people);
        let verdict = SafetyVerdict {
            seq: header.0,
            epoch: header.1,
            created_ns: header.2,
            speed_scale: 1.0,
            verdict: Verdict::Ok.raw(),
            ..SafetyVerdict::default()
        };
        self.verdicts.write(&verdict);
        if self.send_commands {
            self.command();
        }
    }

    fn command(&mut self) {
        let t = (self.now_ns - 1_000_000_000) as f64 * 1e-9 + 0.01;
        let rate = std::f64::consts::TAU * 0.2;
        let mut command = MotionCommand {
            seq: self.seq,
            epoch: self.epoch,
            created_ns: self.now_ns,
            expires_ns: self.now_ns + 20_000_000,
            source: Source::Policy.raw(),
            ..MotionCommand::default()
        };
        for ((q, qd), home) in command.q.iter_mut().zip(&mut command.qd).zip(self.home) {
            *q = home + self.swing_rad * (rate * t).sin();
            *qd = self.swing_rad * rate * (rate * t).cos();
        }
        self.policy.write(&command);
    }

    pub fn step(&mut self) {
        self.surroundings();
        let now_ns = self.now_ns;
        self.cycle.run(now_ns, Events::default(), || now_ns);
        self.cycle.account_untimed();
        self.now_ns += PERIOD_NS;
    }

    pub fn steps(&mut self, count: u64) {
        for _ in 0..count {
            self.step();
        }
    }

    pub fn rearm(&mut self) {
        self.directive.rearm_count += 1;
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
