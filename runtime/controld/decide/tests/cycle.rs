//! The whole cycle in front of a plant: what a robot does when something stops working.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::needless_range_loop)]

mod common;

use common::rig::Rig;
use common::{panda, ur5e};
use layout::{Check, ExecState, Reject, Source, StopLevel, StopReason, Verdict, Workspace};

fn fastest(rig: &Rig) -> f64 {
    rig.plant.qd.iter().fold(0.0, |most, v| v.abs().max(most))
}

fn count(rig: &Rig, check: Check) -> u64 {
    rig.frame.interventions[usize::from(check.raw())]
}

#[test]
fn robot_holds_until_it_is_armed() {
    let mut rig = Rig::new(panda());
    rig.swing(300, 0.2, 2.0, |_| {});
    assert_eq!((rig.level(), rig.controller.reason()), (StopLevel::Hold, StopReason::Boot));
    assert_eq!(rig.controller.state(), ExecState::Holding);
    assert!(fastest(&rig) < 1e-3);
}

#[test]
fn directive_of_an_older_epoch_arms_nothing() {
    let mut rig = Rig::new(panda());
    rig.directive.epoch -= 1;
    rig.run(250);
    rig.rearm();
    rig.run(100);
    assert_eq!(rig.level(), StopLevel::Hold);
}

#[test]
fn policy_is_followed_closely_and_without_interventions() {
    for control in [panda(), ur5e()] {
        let mut rig = Rig::armed(control);
        let mut worst = 0.0_f64;
        rig.swing(4000, 0.15, 3.0, |rig| {
            let errors = rig.plant.q.iter().zip(&rig.actuators.q_des).map(|(q, want)| (q - want).abs());
            worst = errors.fold(worst, f64::max);
        });
        assert_eq!(rig.controller.state(), ExecState::Executing);
        assert_eq!(rig.frame.source, Source::Policy.raw());
        assert_eq!(rig.frame.interventions, [0; 16], "nothing to intervene in");
        assert_eq!(rig.frame.rejected, [0; 8]);
        assert!(worst < 0.02, "drives follow the commanded trajectory: {worst}");
    }
}

#[test]
fn robot_brakes_when_commands_stop_resumes_with_fresh_ones_and_holds_after_too_long() {
    let mut rig = Rig::armed(panda());
    rig.swing(700, 0.3, 3.0, |_| {});
    assert!(fastest(&rig) > 0.05);
    rig.run(300);
    assert_eq!((rig.level(), rig.controller.state()), (StopLevel::None, ExecState::Ready));
    assert!(fastest(&rig) < 1e-2);
    let here = rig.actuators.q_des;
    rig.policy = Some(rig.message(Source::Policy, here, [0.0; 8]));
    rig.run(5);
    assert_eq!(rig.controller.state(), ExecState::Executing);
    rig.run(600);
    assert_eq!((rig.level(), rig.controller.reason()), (StopLevel::Hold, StopReason::StaleCommand));
    rig.rearm();
    rig.run(2);
    assert_eq!(rig.level(), StopLevel::None);
}

#[test]
fn fallback_takes_over_while_the_policy_is_silent() {
    let mut rig = Rig::armed(panda());
    let here = rig.actuators.q_des;
    rig.fallback = Some(rig.message(Source::Fallback, here, [0.0; 8]));
    rig.run(3);
    assert_eq!((rig.controller.state(), rig.frame.source), (ExecState::Executing, Source::Fallback.raw()));
    rig.policy = Some(rig.message(Source::Policy, here, [0.0; 8]));
    rig.run(3);
    assert_eq!(rig.frame.source, Source::Policy.raw());
}

#[test]
fn source_that_the_directive_does_not_allow_moves_nothing() {
    let mut rig = Rig::armed(panda());
    rig.directive.allowed_sources = layout::sources::FALLBACK;
    rig.swing(100, 0.2, 2.0, |_| {});
    assert_eq!(rig.frame.source, Source::None.raw());
    assert!(rig.frame.rejected[usize::from(Reject::SourceNotAllowed.raw())] >= 10);
}

#[test]
fn first_command_after_a_stop_must_start_at_the_present_pose() {
    let mut rig = Rig::armed(panda());
    let mut far = rig.actuators.q_des;
    far[0] += 0.5;
    rig.policy = Some(rig.message(Source::Policy, far, [0.0; 8]));
    rig.run(2);
    assert_eq!(rig.controller.state(), ExecState::Ready);
    assert_eq!((rig.frame.rejected[usize::from(Reject::StartPose.raw())], count(&rig, Check::StartPose)), (1, 1));
}

/// Moves, lets `fail` break something, and says after how many cycles the arm stood, on which level and why.
fn stop_after(fail: impl FnOnce(&mut Rig)) -> (Rig, StopLevel, StopReason) {
    let mut rig = Rig::armed(panda());
    rig.swing(700, 0.3, 3.0, |_| {});
    assert_eq!(rig.controller.state(), ExecState::Executing);
    fail(&mut rig);
    rig.swing(1500, 0.3, 3.0, |_| {});
    assert!(fastest(&rig) < 1e-2, "it stands");
    let (level, reason) = (rig.level(), rig.controller.reason());
    (rig, level, reason)
}

#[test]
fn every_cause_stops_the_robot_and_names_itself() {
    use StopLevel::{Hold, PowerOff};
    type Failure = (&'static str, StopLevel, StopReason, fn(&mut Rig));
    let cases: [Failure; 13] = [
        ("liveness", Hold, StopReason::Liveness, |r| r.answers = false),
        ("veto", Hold, StopReason::Veto, |r| r.verdict.verdict = Verdict::Veto.raw()),
        ("thermal", Hold, StopReason::Thermal, |r| r.sensors.motor_temp_c[3] = 90.0),
        ("stale sensors", Hold, StopReason::StaleSensors, |r| r.senses = false),
        ("collision", Hold, StopReason::Collision, |r| r.plant.tau_ext[1] = 60.0),
        ("requested hold", Hold, StopReason::Requested, |r| r.directive.stop_request = StopLevel::Hold.raw()),
        ("absurd request", Hold, StopReason::Requested, |r| r.directive.stop_request = 99),
        ("missed deadlines", Hold, StopReason::Deadline, |r| r.deadlines_missed = true),
        ("e-stop button", PowerOff, StopReason::Estop, |r| r.sensors.estop = 1),
        ("e-stop directive", PowerOff, StopReason::Estop, |r| r.directive.estop = 1),
        ("drive fault", PowerOff, StopReason::DriveFault, |r| r.sensors.drive_fault = 1),
        ("requested power off", PowerOff, StopReason::Requested, |r| r.directive.stop_request = StopLevel::PowerOff.raw()),
        ("shutdown", PowerOff, StopReason::Shutdown, |r| r.shutdown = true),
    ];
    for (name, level, reason, fail) in cases {
        let (rig, got_level, got_reason) = stop_after(fail);
        assert_eq!((got_level, got_reason), (level, reason), "{name}");
        assert_eq!(rig.actuators.power == 0, level == PowerOff, "{name}: power");
    }
}

#[test]
fn sensors_that_come_back_after_a_gap_are_believed_again() {
    let mut rig = Rig::armed(panda());
    rig.swing(700, 0.3, 3.0, |_| {});
    assert!(fastest(&rig) > 0.05, "it moves when they are lost, and the last torques say so");
    rig.senses = false;
    rig.run(3000);
    assert_eq!(rig.controller.reason(), StopReason::StaleSensors);
    rig.senses = true;
    rig.run(100);
    let estimate = rig.controller.estimated();
    for joint in 0..7 {
        assert!((estimate.q[joint] - rig.plant.q[joint]).abs() < 0.01, "joint {joint}: {estimate:?}");
    }
    rig.rearm();
    rig.run(20);
    assert_eq!(rig.level(), StopLevel::None);
}

#[test]
fn encoder_that_jumps_stays_refused_however_long_it_says_so() {
    let mut rig = Rig::armed(panda());
    rig.senses = false;
    for _ in 0..1000_u64 {
        (rig.sensors.seq, rig.sensors.created_ns) = (rig.sensors.seq + 1_000_000, rig.now_ns);
        rig.sensors.q[1] = rig.plant.q[1] + 0.6;
        rig.cycle();
    }
    rig.rearm();
    rig.run(20);
    assert_eq!((rig.level(), rig.controller.reason()), (StopLevel::Hold, StopReason::InvalidSensors));
}

#[test]
fn garbage_from_sensors_stops_the_robot_and_moves_nothing() {
    let mut rig = Rig::armed(panda());
    rig.swing(700, 0.3, 3.0, |_| {});
    rig.senses = false;
    for cycle in 0..400_u64 {
        rig.sensors.seq += 1_000_000;
        rig.sensors.created_ns = rig.now_ns;
        rig.sensors.q[(cycle % 7) as usize] = [f64::NAN, 1e300, -9.0][(cycle % 3) as usize];
        rig.cycle();
        assert!(rig.actuators.q_des.iter().chain(&rig.actuators.tau_ff).all(|x| x.is_finite()));
    }
    assert_eq!(rig.controller.reason(), StopReason::InvalidSensors);
    assert!(fastest(&rig) < 1e-2);
}

#[test]
fn stop_is_left_by_a_new_rearm_only_and_only_without_cause() {
    let (mut rig, _, _) = stop_after(|r| r.sensors.estop = 1);
    rig.rearm();
    rig.run(100);
    assert_eq!(rig.level(), StopLevel::PowerOff, "the button is still pressed");
    rig.run(600);
    rig.sensors.estop = 0;
    rig.run(100);
    assert_eq!(rig.level(), StopLevel::PowerOff, "a re-arm given too early has lapsed");
    rig.rearm();
    rig.run(20);
    assert_eq!(rig.level(), StopLevel::None);
    assert_eq!(rig.actuators.power, 1);
    let count = rig.directive.rearm_count;
    assert_eq!(rig.frame.rearm_count, count);
}

#[test]
fn arm_that_was_moved_by_hand_without_power_starts_from_where_it_is() {
    let (mut rig, _, _) = stop_after(|r| r.sensors.estop = 1);
    for _ in 0..300 {
        rig.plant.q[0] += 0.001;
        rig.cycle();
    }
    rig.sensors.estop = 0;
    rig.rearm();
    rig.run(50);
    assert_eq!(rig.level(), StopLevel::None);
    assert!((rig.actuators.q_des[0] - rig.plant.q[0]).abs() < 1e-3);
    assert!(fastest(&rig) < 0.02);
}

#[test]
fn person_who_comes_near_slows_and_stops_the_robot_which_goes_on_by_itself() {
    let mut rig = Rig::armed(panda());
    rig.swing(700, 0.3, 3.0, |_| {});
    assert!(rig.frame.speed_limit_ratio > 0.99 && rig.frame.separation_m.is_infinite());
    rig.person_at(2.2, 0.0);
    rig.swing(500, 0.3, 3.0, |_| {});
    let slow = rig.frame.speed_limit_ratio;
    assert!(slow > 0.0 && slow < 0.7, "{slow}");
    rig.person_at(0.9, 0.0);
    rig.swing(600, 0.3, 3.0, |_| {});
    assert!(rig.frame.speed_limit_ratio <= 0.0 && fastest(&rig) < 1e-2);
    assert_eq!(rig.level(), StopLevel::None, "separation is a speed limit, no stop");
    assert!(count(&rig, Check::Separation) > 0);
    rig.people.count = 0;
    rig.swing(600, 0.3, 3.0, |_| {});
    assert!(fastest(&rig) > 0.02);
}

#[test]
fn unknown_people_are_never_clear() {
    let blind: [fn(&mut Rig); 4] = [
        |r| r.sees = false,
        |r| r.people.workspace = Workspace::Unknown.raw(),
        |r| (r.people.count, r.people.radius_m[0]) = (1, f64::NAN),
        |r| r.people.count = 1000,
    ];
    for fail in blind {
        let mut rig = Rig::armed(panda());
        fail(&mut rig);
        rig.swing(400, 0.2, 3.0, |_| {});
        assert!(rig.frame.speed_limit_ratio <= rig.control.separation.slow_ratio_unknown);
        assert!(rig.frame.separation_m.is_nan());
    }
}

#[test]
fn silent_safety_model_restricts_and_never_approves() {
    let mut rig = Rig::armed(panda());
    rig.judges = false;
    rig.swing(300, 0.2, 3.0, |_| {});
    assert!(rig.frame.speed_limit_ratio <= rig.control.verdict.restrict_ratio);
    assert_eq!(rig.level(), StopLevel::None);
    (rig.judges, rig.verdict.speed_scale) = (true, 5.0);
    rig.people.workspace = Workspace::Unknown.raw();
    rig.swing(300, 0.2, 3.0, |_| {});
    assert!(rig.frame.speed_limit_ratio <= rig.control.separation.slow_ratio_unknown);
}

#[test]
fn hand_that_pushes_is_felt_and_the_arm_stops_pushing_back() {
    let (mut rig, level, reason) = stop_after(|r| r.plant.tau_ext[1] = -60.0);
    assert_eq!((level, reason), (StopLevel::Hold, StopReason::Collision));
    assert_eq!(count(&rig, Check::Collision), 1);
    let felt = rig.frame.tau_ext[1];
    assert!((felt + 60.0).abs() < 3.0, "the estimate of the push: {felt}");
    rig.rearm();
    rig.run(50);
    assert_eq!(rig.level(), StopLevel::Hold, "still pushed");
    rig.plant.tau_ext[1] = 0.0;
    rig.run(600);
    rig.rearm();
    rig.run(50);
    assert_eq!(rig.level(), StopLevel::None);
}

#[test]
fn gripper_holds_its_part_through_a_stop_and_throttles_above_its_pressure() {
    let mut rig = Rig::armed(panda());
    let here = rig.actuators.q_des;
    let mut grip = rig.message(Source::Policy, here, [0.0; 8]);
    grip.gripper = 1.0;
    rig.policy = Some(grip);
    rig.run(10);
    assert!(rig.actuators.gripper > 0.99);
    rig.directive.stop_request = StopLevel::Hold.raw();
    rig.run(500);
    assert!(rig.actuators.gripper > 0.99, "a stop drops nothing");
    rig.sensors.gripper_pressure_kpa = 90.0;
    rig.run(50);
    assert!(rig.actuators.gripper < 0.6 && count(&rig, Check::GripperPressure) > 0);
    (rig.sensors.gripper_pressure_kpa, rig.sensors.gripper_contact) = (50.0, 1);
    rig.run(1);
    assert_eq!(rig.frame.gripper_holding, 1);
}

#[test]
fn hot_motor_slows_the_robot_before_it_stops_it() {
    let mut rig = Rig::armed(panda());
    rig.sensors.motor_temp_c[2] = 77.5;
    rig.swing(100, 0.2, 3.0, |_| {});
    let ratio = rig.frame.speed_limit_ratio;
    assert!(ratio > 0.4 && ratio < 0.8, "{ratio}");
    rig.sensors.motor_temp_c[2] = f64::NAN;
    rig.swing(100, 0.2, 3.0, |_| {});
    assert!(rig.frame.speed_limit_ratio <= 0.5, "unknown is not cold");
    assert_eq!(rig.level(), StopLevel::None);
}
