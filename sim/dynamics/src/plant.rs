//! One step of everything, and the process's loop: commands in, sensors out, on a grid of milliseconds.

use std::path::Path;

use controld::shm::{ShmError, SlotReader, SlotWriter};
use controld::sys::clock;
use decide::params::Control;
use layout::{Actuators, Scene, Sensors};

use crate::STEP_NS;
use crate::arm::Arm;
use crate::obey::{Obedience, Order};
use crate::sensing::Sensing;
use crate::suction::{self, Suction};

/// More than this behind, and simulated time is given up.
pub const CATCH_UP_STEPS: i64 = 50;
/// Without vacuum, contact is only reported, so it is looked for less often.
const IDLE_LOOK_STEPS: u64 = 10;
const SEED: u64 = 20_261_121;

/// The physics and the sensors, without any clock.
pub struct Plant {
    pub arm: Arm,
    pub cup: Suction,
    obedience: Obedience,
    sensing: Sensing,
    valve: f64,
    fault: bool,
    on_part: bool,
    tick: u64,
}

impl Plant {
    /// # Errors
    /// As `Arm::new`.
    pub fn new(control: &Control) -> Result<Self, String> {
        Ok(Self {
            arm: Arm::new(control)?,
            cup: Suction::default(),
            obedience: Obedience::default(),
            sensing: Sensing::new(SEED),
            valve: 0.0,
            fault: false,
            on_part: false,
            tick: 0,
        })
    }

    /// One millisecond: what the drives were told, what perception says lies about, and when this is.
    pub fn step(&mut self, command: Option<&Actuators>, scene: Option<&Scene>, now_ns: i64) -> Sensors {
        self.obey(command, now_ns);
        if self.valve > 0.0 || self.tick % IDLE_LOOK_STEPS == 0 {
            self.on_part = scene.is_some_and(|scene| suction::is_on_part(self.arm.tip_m(), scene));
        }
        self.cup.step(self.valve, self.on_part);
        self.tick += 1;
        self.sense(now_ns)
    }

    fn obey(&mut self, command: Option<&Actuators>, now_ns: i64) {
        let order = self.obedience.order(command, self.arm.joints(), now_ns);
        self.fault = matches!(order, Order::Brake { fault: true });
        let mut targets = crate::arm::Targets { q_rad: self.arm.q_rad, ..crate::arm::Targets::default() };
        match order {
            Order::Brake { .. } => {
                self.arm.set_power(false);
                self.valve = 0.0;
            }
            Order::Hold { power, suction } => {
                self.arm.set_power(power);
                self.valve = suction;
                targets.tau_ff_nm = self.arm.held_nm();
            }
            Order::Follow { power, suction, targets: told } => {
                self.arm.set_power(power);
                self.valve = suction;
                targets = told;
            }
        }
        self.arm.step(&targets);
    }

    fn sense(&mut self, now_ns: i64) -> Sensors {
        let reading = self.sensing.measure(&self.arm, self.cup.pressure_kpa);
        Sensors {
            created_ns: now_ns,
            tick: self.tick,
            q: reading.q_rad,
            qd: reading.qd_rad_s,
            tau: reading.torque_nm,
            motor_temp_c: reading.temp_c,
            gripper_pressure_kpa: reading.pressure_kpa,
            battery_ratio: reading.battery_ratio,
            gripper_contact: u8::from(self.cup.touching),
            drive_fault: u8::from(self.fault),
            powered: u8::from(self.arm.is_powered()),
            ..Sensors::default()
        }
    }
}

/// The plant with the robot's shared memory around it.
pub struct Process {
    plant: Plant,
    actuators: SlotReader<Actuators>,
    scene: SlotReader<Scene>,
    sensors: SlotWriter<Sensors>,
    sequence: u64,
    next_ns: i64,
    /// Steps of simulated time that were never made up for.
    pub given_up: i64,
}

impl Process {
    /// # Errors
    /// When a slot cannot be made or mapped, or another plant writes these sensors.
    pub fn open(plant: Plant, shm: &Path) -> Result<Self, ShmError> {
        let sensors = SlotWriter::open(shm, "hal.sensors")?;
        let actuators = SlotReader::open(shm, "hal.actuators")?;
        let scene = SlotReader::open(shm, "scene")?;
        Ok(Self { plant, actuators, scene, sensors, sequence: 0, next_ns: clock::now_ns(), given_up: 0 })
    }

    /// The mappings that another process could cut short.
    #[must_use]
    pub fn foreign_ranges(&self) -> [(usize, usize); 2] {
        [self.actuators.map().range(), self.scene.map().range()]
    }

    /// Brings the physics up to now, then sleeps to the next point of the grid.
    pub fn turn(&mut self) {
        let behind = (clock::now_ns() - self.next_ns) / STEP_NS;
        if behind > CATCH_UP_STEPS {
            let lost = behind - CATCH_UP_STEPS;
            self.given_up += lost;
            self.next_ns += lost * STEP_NS;
        }
        while self.next_ns <= clock::now_ns() {
            let (command, scene) = (self.actuators.latest(), self.scene.latest());
            let mut sensed = self.plant.step(command, scene, self.next_ns);
            self.sequence += 1;
            sensed.seq = self.sequence;
            self.sensors.write(&sensed);
            self.next_ns += STEP_NS;
        }
        clock::sleep_until(self.next_ns);
    }
}
