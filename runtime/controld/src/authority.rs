//! The safety authority: composes what `decide` offers into one cycle's decision.

use decide::model::RobotModel;
use decide::params::Control;
use layout::{Directive, ExecState, J, MotionCommand, People, SafetyVerdict, Sensors, StateFrame, StopLevel, StopReason};

/// What one cycle knows beside its sensors.
#[derive(Clone, Copy, Debug)]
pub struct Readings<'a> {
    pub now_ns: i64,
    pub people: Option<&'a People>,
    pub verdict: Option<&'a SafetyVerdict>,
    pub directive: Option<&'a Directive>,
    pub policy: Option<&'a MotionCommand>,
    pub fallback: Option<&'a MotionCommand>,
    pub stop_wanted: bool,
    pub too_many_misses: bool,
}

/// What the drives and the gripper shall do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Orders {
    pub q: [f64; J],
    pub qd: [f64; J],
    pub tau: [f64; J],
    pub gripper: f64,
    pub power: bool,
}

pub struct Authority {
    model: RobotModel,
    sensors: Option<Sensors>,
    stopping: bool,
}

impl Authority {
    /// # Errors
    /// When the model of a checked control file still cannot be made.
    pub fn new(control: &Control, _inherited: Option<&StateFrame>, _epoch: u64) -> Result<Self, String> {
        let model = RobotModel::new(&control.model).map_err(|e| format!("the robot's model cannot be: {e:?}"))?;
        Ok(Self { model, sensors: None, stopping: false })
    }

    #[must_use]
    pub fn first_frame(&self, inherited: Option<&StateFrame>, epoch: u64) -> StateFrame {
        let kept = inherited.copied().unwrap_or_default();
        StateFrame {
            seq: kept.seq,
            cycle: kept.cycle,
            interventions: kept.interventions,
            rejected: kept.rejected,
            misses: kept.misses,
            rearm_count: kept.rearm_count,
            epoch,
            joints: u32::try_from(self.model.joints()).unwrap_or(0),
            ..StateFrame::default()
        }
    }

    pub fn estimate(&mut self, sensors: Option<&Sensors>, _now_ns: i64) {
        self.sensors = sensors.copied();
    }

    pub fn shield(&mut self, readings: &Readings) {
        self.stopping |= readings.stop_wanted;
    }

    pub fn choose(&mut self, _readings: &Readings) -> Orders {
        let mut orders = Orders::default();
        if let Some(sensors) = &self.sensors {
            orders.q = sensors.q;
        }
        orders
    }

    pub fn report(&self, frame: &mut StateFrame) {
        frame.exec_state = ExecState::Holding.raw();
        frame.stop_level = StopLevel::Hold.raw();
        frame.stop_reason = StopReason::Boot.raw();
        if let Some(sensors) = &self.sensors {
            frame.q = sensors.q;
            frame.qd = sensors.qd;
        }
    }

    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopping
    }
}
