//! The state frame: one cycle as it was.

use layout::StateFrame;

use crate::controller::{Controller, Inputs};

/// Fills in every field that comes from decisions.
pub fn fill(c: &Controller, inputs: &Inputs, frame: &mut StateFrame) {
    let estimate = c.estimator.estimate();
    let sensors = c.sensing.latest();
    frame.epoch = c.epoch;
    frame.created_ns = inputs.now_ns;
    frame.joints = u32::try_from(c.n).unwrap_or(0);
    (frame.q, frame.qd, frame.tau_ext) = (estimate.q, estimate.qd, estimate.tau_ext);
    (frame.q_cmd, frame.qd_cmd, frame.tau_cmd) = (c.motion.positions(), c.motion.velocities(), c.tau_cmd);
    let pose = c.model.tool_pose(&c.frames);
    (frame.tool_pos, frame.tool_quat) = (pose.pos, pose.quat_wxyz);
    frame.tool_speed_m_s = c.model.tool_speed(&c.frames, &estimate.qd);
    frame.gripper_cmd = c.suction.last();
    frame.gripper_pressure_kpa = sensors.gripper_pressure_kpa;
    let contact = sensors.gripper_contact != 0;
    frame.gripper_holding = u8::from(c.suction.is_holding(sensors.gripper_pressure_kpa, contact));
    frame.motor_temp_c = sensors.motor_temp_c;
    frame.battery_ratio = sensors.battery_ratio;
    frame.speed_limit_ratio = c.allowance.ratio;
    frame.separation_m = c.reading.separation_m;
    frame.people_age_ns = c.reading.age_ns;
    frame.sensors_age_ns = c.sensing.age_ns(inputs.now_ns);
    let observed = c.chosen.filter(|command| command.observed_ns > 0);
    frame.observed_age_ns = observed.map_or(-1, |command| inputs.now_ns.saturating_sub(command.observed_ns));
    frame.interventions = c.interventions;
    frame.rejected = *c.gate.rejected();
    frame.challenge = c.challenge;
    frame.rearm_count = c.ladder.rearm_accepted();
    frame.stop_reason = c.ladder.reason().raw();
    frame.exec_state = c.state.raw();
    frame.stop_level = c.ladder.level().raw();
    frame.source = c.source.raw();
    frame.mode = inputs.directive.map_or(0, |d| d.mode);
    let pressed = inputs.directive.is_some_and(|d| d.estop != 0);
    frame.estop = u8::from(sensors.estop != 0 || pressed);
}
