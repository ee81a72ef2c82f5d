//! The whole arm under any targets: joint limits, keep-outs, workspace and tool speed, with a stop always in reach.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::needless_range_loop)]

mod common;

use common::{Arm, any_number, panda, ur5e};
use decide::model::J;
use decide::params::{Control, KeepOut};
use decide::shield::checks::Checks;
use decide::shield::follow::Target;
use decide::shield::motion::{Allowance, Motion};
use decide::shield::space::{MARGIN_M, Space};
use decide::shield::stop::JointState;
use layout::Check;
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

const GRAIN: f64 = 1e-9;

/// Which arm, where it starts (shares of the joint ranges and limits), and for some cycles targets and the share of speed.
#[derive(Clone, Debug)]
struct Case {
    ur5e: bool,
    start: Vec<[f64; 3]>,
    /// Each wish holds for ten cycles, as a policy's command does.
    wishes: Vec<(Vec<(f64, f64)>, f64)>,
}

fn cases(factor: f64, wishes: usize) -> impl Strategy<Value = Case> {
    let share = move || prop_oneof![2 => -factor..factor, 1 => Just(0.0)];
    let start = prop::collection::vec([share(), share(), share()], J);
    let target = (any_number(), prop_oneof![2 => Just(0.0), 2 => -3.0..3.0_f64, 1 => any_number()]);
    let ratio = prop_oneof![4 => Just(1.0), 2 => 0.0..1.0_f64, 1 => Just(0.0), 1 => any_number()];
    let wish = (prop::collection::vec(target, J), ratio);
    (any::<bool>(), start, prop::collection::vec(wish, 1..wishes)).prop_map(|(ur5e, start, wishes)| Case { ur5e, start, wishes })
}

/// A real profile with a post beside the arm, so that there is something to run into.
fn profile(case: &Case) -> Control {
    let mut control = if case.ur5e { ur5e() } else { panda() };
    control.keep_out.push(KeepOut { name: "post".to_owned(), min_m: [0.25, 0.15, -0.1], max_m: [0.35, 0.35, 0.5] });
    control
}

fn begin(arm: &mut Arm, case: &Case) -> bool {
    let states: Vec<JointState> = arm
        .motion
        .bounds()
        .iter()
        .zip(&case.start)
        .map(|(b, share)| {
            let (middle, half) = ((b.p_min + b.p_max) / 2.0, (b.p_max - b.p_min) / 2.0);
            JointState { p: middle + half * share[0], v: share[1] * b.velocity, a: share[2] * b.acceleration }
        })
        .collect();
    arm.motion.begin_in(&states, &arm.model, &arm.space)
}

fn targets(wish: &[(f64, f64)]) -> Vec<Target> {
    wish.iter().map(|(q, qd)| Target { q: *q, qd: *qd }).collect()
}

fn check(good: bool, what: &str) -> Result<(), TestCaseError> {
    if good { Ok(()) } else { Err(TestCaseError::fail(what.to_owned())) }
}

fn keeps_joint_limits(before: &[JointState], now: &[JointState], motion: &Motion) -> Result<(), TestCaseError> {
    for ((before, now), b) in before.iter().zip(now).zip(motion.bounds()) {
        let jerk = (now.a - before.a) / b.period_s;
        check(now.p >= b.p_min - GRAIN && now.p <= b.p_max + GRAIN, "position")?;
        check(now.v.abs() <= b.velocity + GRAIN && now.a.abs() <= b.acceleration + GRAIN, "velocity or acceleration")?;
        check(jerk.abs() <= b.jerk * (1.0 + GRAIN) + 1e-6, "jerk")?;
    }
    Ok(())
}

/// True clearance, without the margin, as `judge` sees it.
fn clearance(arm: &Arm, judge: &Space) -> f64 {
    judge.clearance(&arm.model, arm.motion.frames()).nearest() + MARGIN_M
}

/// Brakes to standstill and looks at every sample on the way.
fn stop_is_reachable(arm: &mut Arm, judge: &Space) -> Result<(), TestCaseError> {
    let saved = arm.motion.clone();
    for _ in 0..2000 {
        if arm.motion.is_at_rest() {
            break;
        }
        let before = arm.states();
        arm.motion.brake(&arm.model);
        keeps_joint_limits(&before, &arm.states(), &arm.motion)?;
        check(clearance(arm, judge) >= -GRAIN, "the stop leads into a keep-out or out of the workspace")?;
    }
    check(arm.motion.is_at_rest(), "the stop does not end")?;
    arm.motion = saved;
    Ok(())
}

/// The arm moves in the space it believes in; the world judges by `judge`.
fn stays_safe(case: &Case, judge: &Space, arm: &mut Arm) -> Result<(), TestCaseError> {
    prop_assume!(begin(arm, case));
    let bounds = arm.motion.bounds();
    prop_assume!(arm.states().iter().zip(bounds).all(|(s, b)| b.is_safe(*s)));
    prop_assume!(arm.motion.committed().nearest() >= 0.0);
    prop_assume!(stop_is_reachable(arm, judge).is_ok());
    for (wish, ratio) in &case.wishes {
        let (targets, allowed) = (targets(wish), Allowance { ratio: *ratio, limited_by: None });
        for _ in 0..10 {
            let (before, mut checks) = (arm.states(), Checks::default());
            arm.motion.step(&targets, &allowed, &arm.model, &arm.space, &mut checks);
            keeps_joint_limits(&before, &arm.states(), &arm.motion)?;
            check(clearance(arm, judge) >= -GRAIN, "keep-out or workspace")?;
        }
        stop_is_reachable(arm, judge)?;
    }
    Ok(())
}

fn never_goes_further_out(case: &Case) -> Result<(), TestCaseError> {
    let mut arm = Arm::new(profile(case));
    prop_assume!(begin(&mut arm, case));
    let mut committed = arm.motion.committed();
    for (wish, ratio) in &case.wishes {
        let (targets, allowed) = (targets(wish), Allowance { ratio: *ratio, limited_by: None });
        for _ in 0..10 {
            let mut checks = Checks::default();
            arm.motion.step(&targets, &allowed, &arm.model, &arm.space, &mut checks);
            let now = arm.motion.committed();
            check(now.keep_out >= committed.keep_out.min(0.0), "deeper into a keep-out")?;
            check(now.workspace >= committed.workspace.min(0.0), "further out of the workspace")?;
            committed = now;
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, max_global_rejects: 1_000_000, ..ProptestConfig::default() })]

    #[test]
    fn arm_inside_safe_set_keeps_every_limit_under_any_command(case in cases(0.6, 6)) {
        let mut arm = Arm::new(profile(&case));
        let judge = arm.space.clone();
        stays_safe(&case, &judge, &mut arm)?;
    }

    #[test]
    fn arm_outside_safe_set_never_goes_further_out(case in cases(1.3, 6)) {
        never_goes_further_out(&case)?;
    }
}

fn catches(fault: impl Fn(&mut Control)) -> bool {
    let config = ProptestConfig {
        cases: 2_000,
        max_global_rejects: 200_000,
        failure_persistence: None,
        max_shrink_iters: 0,
        ..ProptestConfig::default()
    };
    let result = TestRunner::new_with_rng(config, common::fixed_rng()).run(&cases(0.6, 30), |case| {
        let mut believed = profile(&case);
        let judge = Space::new(&believed);
        fault(&mut believed);
        stays_safe(&case, &judge, &mut Arm::new(believed))
    });
    matches!(result, Err(TestError::Fail(..)))
}

fn shrink(zone: &mut KeepOut) {
    zone.min_m = zone.min_m.map(|x| x + 0.03);
    zone.max_m = zone.max_m.map(|x| x - 0.03);
}

#[test]
fn planted_faults_are_caught() {
    assert!(catches(|c| c.keep_out.clear()), "keep-outs dropped");
    assert!(catches(|c| c.workspace.max_m[2] += 0.05), "workspace grown");
    assert!(catches(|c| c.keep_out.iter_mut().for_each(shrink)), "keep-outs shrunk");
}

/// Follows one target for a while and returns what intervened.
fn drive(arm: &mut Arm, target: &[Target], ratio: f64, cycles: usize, mut each: impl FnMut(&Arm)) -> Checks {
    let mut all = Checks::default();
    for _ in 0..cycles {
        arm.motion.step(target, &Allowance { ratio, limited_by: Some(Check::Separation) }, &arm.model, &arm.space, &mut all);
        each(arm);
    }
    all
}

fn pose(arm: &Arm, change: &[(usize, f64)]) -> Vec<Target> {
    let mut q = arm.motion.positions();
    for (joint, by) in change {
        q[*joint] += by;
    }
    q.iter().map(|q| Target { q: *q, qd: 0.0 }).collect()
}

#[test]
fn free_target_is_reached_exactly_and_without_overshoot() {
    let mut arm = Arm::new(panda());
    let target = pose(&arm, &[(0, 0.8), (5, 0.5)]);
    let mut furthest = 0.0_f64;
    drive(&mut arm, &target, 1.0, 4000, |arm| furthest = furthest.max(arm.motion.positions()[0]));
    let end = arm.motion.positions();
    assert!((end[0] - target[0].q).abs() < 1e-4 && (end[5] - target[5].q).abs() < 1e-4, "{end:?}");
    assert!(furthest < target[0].q + 2e-3, "{furthest}");
}

#[test]
fn target_below_the_table_ends_just_above_it_without_rattling() {
    let mut arm = Arm::new(panda());
    let target = pose(&arm, &[(1, 1.8)]);
    let checks = drive(&mut arm, &target, 1.0, 5000, |arm| assert!(clearance(arm, &arm.space) >= 0.0));
    assert!(checks.has(Check::KeepOut) || checks.has(Check::Workspace));
    let near = clearance(&arm, &arm.space);
    assert!(near < 0.01, "it creeps up to the limit: {near}");
    let before = arm.motion.accelerations();
    drive(&mut arm, &target, 1.0, 200, |arm| {
        let change = arm.motion.accelerations().iter().zip(before).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(change < 1.0, "it stands quietly at the limit: {change}");
    });
}

#[test]
fn falling_speed_limit_brakes_within_limits_and_without_a_jump() {
    let mut arm = Arm::new(panda());
    let target = pose(&arm, &[(0, 1.5)]);
    drive(&mut arm, &target, 1.0, 400, |_| {});
    let fast = arm.motion.velocities()[0];
    assert!(fast > 0.5, "{fast}");
    let mut before = arm.states();
    drive(&mut arm, &target, 0.1, 400, |arm| {
        keeps_joint_limits(&before, &arm.states(), &arm.motion).unwrap();
        before = arm.states();
    });
    let slow = arm.motion.velocities()[0];
    let limit = 0.1 * arm.control.limits.joints[0].velocity_rad_s;
    assert!(slow > 0.01 && slow <= limit, "{slow}");
}

#[test]
fn tool_and_spheres_stay_below_the_tool_speed() {
    let mut arm = Arm::new(panda());
    arm.control.limits.tool_speed_m_s = 0.3;
    arm.motion = Motion::new(&arm.control, &arm.model, &arm.space);
    let target = pose(&arm, &[(0, 1.2), (3, 0.4)]);
    let mut fastest = 0.0_f64;
    let checks = drive(&mut arm, &target, 1.0, 2000, |arm| {
        fastest = fastest.max(arm.model.greatest_speed(arm.motion.frames(), &arm.motion.velocities()));
    });
    assert!(fastest > 0.2 && fastest <= 0.3, "{fastest}");
    assert!(checks.has(Check::Separation), "counted for what limited it");
}

#[test]
fn arm_that_starts_beyond_a_limit_comes_back_and_not_further_out() {
    let mut arm = Arm::new(panda());
    let mut q = arm.motion.positions();
    q[3] = arm.control.limits.joints[3].position_min_rad - 0.1;
    arm.motion.restart(&q, &arm.model, &arm.space);
    assert!(arm.motion.is_outside_safe_set());
    let home = common::joints(&arm.control.home_rad);
    let target: Vec<Target> = home.iter().map(|q| Target { q: *q, qd: 0.0 }).collect();
    let mut furthest = q[3];
    drive(&mut arm, &target, 0.25, 6000, |arm| furthest = furthest.min(arm.motion.positions()[3]));
    assert!(furthest >= q[3] - 1e-9);
    assert!(!arm.motion.is_outside_safe_set());
}
