//! One joint under any jerk wish: it stays in the safe set, and from outside it never goes further out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::needless_range_loop)]

mod common;

use common::{any_bounds, any_number, state_within};
use decide::shield::stop::JointState;
use decide::shield::track::{Bounds, Track};
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

const GRAIN: f64 = 1e-9;

/// A joint, the wishes of some cycles, and the share of full speed allowed in each.
type Case = (Bounds, JointState, Vec<(f64, f64)>);

fn cases(factor: f64, cycles: usize) -> impl Strategy<Value = Case> {
    // Wishes as large as the jerk limit matter most; `any_number` brings the absurd ones.
    let wish = prop_oneof![3 => -1.5..1.5_f64, 1 => Just(1.0), 1 => Just(-1.0), 2 => any_number()];
    let ratio = prop_oneof![4 => Just(1.0), 2 => 0.0..1.0_f64, 1 => Just(0.0)];
    any_bounds().prop_flat_map(move |b| {
        (Just(b), state_within(&b, factor), prop::collection::vec((wish.clone(), ratio.clone()), 1..cycles))
    })
}

fn check(good: bool, what: &str, state: &JointState) -> Result<(), TestCaseError> {
    if good { Ok(()) } else { Err(TestCaseError::fail(format!("{what} at {state:?}"))) }
}

/// Position, velocity and acceleration of one sample, and the jerk since the one before, against the limits.
fn keeps_limits(before: &JointState, now: &JointState, b: &Bounds) -> Result<(), TestCaseError> {
    let jerk = (now.a - before.a) / b.period_s;
    check(now.p >= b.p_min - GRAIN && now.p <= b.p_max + GRAIN, "position", now)?;
    check(now.v.abs() <= b.velocity + GRAIN, "velocity", now)?;
    check(now.a.abs() <= b.acceleration * (1.0 + GRAIN), "acceleration", now)?;
    check(jerk.abs() <= b.jerk * (1.0 + GRAIN) + 1e-6, "jerk", now)?;
    let moved = before.after(jerk, b.period_s);
    check((moved.p - now.p).abs() <= GRAIN && (moved.v - now.v).abs() <= GRAIN, "continuity", now)
}

/// Follows the stop to its end, sample by sample.
fn stop_is_reachable(track: &Track, b: &Bounds) -> Result<(), TestCaseError> {
    let mut track = *track;
    for _ in 0..=track.cycles_to_rest() {
        let next = track.follow_stop();
        keeps_limits(&track.state(), &next.state(), b)?;
        track = next;
    }
    check(track.state().is_at_rest(), "not at rest", &track.state())
}

/// The shield works with `shield`, the world judges by `judge`: they are the same but where a fault is planted.
fn stays_safe((judge, start, wishes): &Case, shield: &Bounds) -> Result<(), TestCaseError> {
    prop_assume!(judge.is_safe(*start));
    let Some(mut track) = Track::from_state(*start, shield) else { return Err(TestCaseError::fail("no stop")) };
    for (wish, ratio) in wishes {
        let speed = ratio * shield.velocity;
        let (next, _) = track.advance_towards(wish * shield.jerk, shield, speed);
        keeps_limits(&track.state(), &next.state(), judge)?;
        let fastest = track.follow_stop().extremes().speed.max(ratio * judge.velocity);
        check(next.extremes().speed <= fastest + GRAIN, "speeds up above the present limit", &next.state())?;
        stop_is_reachable(&next, judge)?;
        track = next;
    }
    Ok(())
}

/// How far the present stop breaks each limit: below, above, too fast, too strong. Rounding counts in the measure of the
/// limit: 1e-9 of an acceleration, as inside the safe set.
fn committed(track: &Track, b: &Bounds) -> [f64; 4] {
    let e = track.extremes();
    let stronger = e.acceleration / b.acceleration - 1.0 - GRAIN;
    [b.p_min - e.p_min, e.p_max - b.p_max, e.speed - b.velocity, stronger].map(|x| x.max(0.0))
}

fn never_goes_further_out((judge, start, wishes): &Case, shield: &Bounds) -> Result<(), TestCaseError> {
    let Some(mut track) = Track::from_state(*start, shield) else { return Err(TestCaseError::fail("no stop")) };
    let mut violated = committed(&track, judge);
    for (wish, _) in wishes {
        let (next, _) = track.advance_towards(wish * shield.jerk, shield, shield.velocity);
        let jerk = (next.state().a - track.state().a) / shield.period_s;
        check(jerk.abs() <= judge.jerk * (1.0 + GRAIN) + 1e-6, "jerk", &next.state())?;
        let now = committed(&next, judge);
        for (now, before) in now.iter().zip(violated) {
            check(*now <= before + GRAIN, "further out", &next.state())?;
        }
        track = next;
        // Against the least so far, so that no rounding adds up from cycle to cycle.
        violated = std::array::from_fn(|i| violated[i].min(now[i]));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60_000, max_global_rejects: 1_000_000, ..ProptestConfig::default() })]

    #[test]
    fn joint_inside_safe_set_keeps_every_limit_under_any_command(case in cases(1.0, 12)) {
        let shield = case.0;
        stays_safe(&case, &shield)?;
    }

    #[test]
    fn joint_outside_safe_set_never_goes_further_out(case in cases(2.0, 12)) {
        let shield = case.0;
        never_goes_further_out(&case, &shield)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, max_global_rejects: 100_000, ..ProptestConfig::default() })]

    /// Long runs that reach the limits, where short ones only start towards them.
    #[test]
    fn joint_driven_for_long_keeps_every_limit(case in cases(1.0, 800)) {
        let shield = case.0;
        stays_safe(&case, &shield)?;
    }
}

/// Runs a property with a fault planted in what the shield believes, and says whether it was caught.
fn catches(fault: impl Fn(&mut Bounds), property: impl Fn(&Case, &Bounds) -> Result<(), TestCaseError>, factor: f64) -> bool {
    let config = ProptestConfig {
        cases: 5_000,
        max_global_rejects: 100_000,
        failure_persistence: None,
        max_shrink_iters: 0,
        ..ProptestConfig::default()
    };
    let result = TestRunner::new_with_rng(config, common::fixed_rng()).run(&cases(factor, 200), |case| {
        let mut shield = case.0;
        fault(&mut shield);
        property(&case, &shield)
    });
    matches!(result, Err(TestError::Fail(..)))
}

#[test]
fn planted_faults_are_caught_inside_the_safe_set() {
    assert!(catches(|b| b.p_max += 1e-3, stays_safe, 1.0), "position limit");
    assert!(catches(|b| b.velocity *= 1.01, stays_safe, 1.0), "velocity limit");
    assert!(catches(|b| b.acceleration *= 1.01, stays_safe, 1.0), "acceleration limit");
    assert!(catches(|b| b.jerk *= 1.01, stays_safe, 1.0), "jerk limit");
}

#[test]
fn planted_faults_are_caught_outside_the_safe_set() {
    assert!(catches(|b| b.p_min -= 1e-3, never_goes_further_out, 2.0), "position limit");
    assert!(catches(|b| b.velocity *= 1.01, never_goes_further_out, 2.0), "velocity limit");
    assert!(catches(|b| b.acceleration *= 1.01, never_goes_further_out, 2.0), "acceleration limit");
    assert!(catches(|b| b.jerk *= 1.01, never_goes_further_out, 2.0), "jerk limit");
}

#[test]
fn joint_comes_back_from_outside_when_told_to() {
    let bounds = Bounds { p_min: -1.0, p_max: 1.0, velocity: 2.0, acceleration: 10.0, jerk: 500.0, effort: 1.0, period_s: 0.001 };
    let mut track = Track::at_rest(1.2, bounds.period_s);
    for cycle in 0..2000 {
        let jerk = if cycle < 20 { -bounds.jerk } else { 0.0 };
        track = track.advance_towards(jerk, &bounds, bounds.velocity).0;
    }
    assert!(track.state().p < 1.0 && track.state().p > -1.0);
}

/// Found by the property above: the limit of acceleration is kept to a share of it, not to an absolute number.
#[test]
fn strong_joint_that_comes_inside_may_be_at_its_acceleration_limit() {
    let bounds = Bounds {
        p_min: -0.1,
        p_max: 0.0,
        velocity: 0.05,
        acceleration: 26.436936842712495,
        jerk: 3681.171265386367,
        effort: 100.0,
        period_s: 0.004,
    };
    let start = JointState { p: -0.05, v: -3.492491458031742e-11, a: -52.87387368542499 };
    let wishes = [2.6753772423692226, 1.320418940761698, 1.0, -1.0, 0.0, 1.2115328204346592].map(|wish| (wish, 1.0));
    never_goes_further_out(&(bounds, start, wishes.to_vec()), &bounds).unwrap();
}

#[test]
fn rounding_allowed_in_one_cycle_does_not_add_up_over_many() {
    let bounds = Bounds { p_min: -9.0, p_max: 9.0, velocity: 5.0, acceleration: 10.0, jerk: 500.0, effort: 1.0, period_s: 0.001 };
    let start = JointState { p: 0.0, v: -5.0, a: 10.0 };
    let mut track = Track::from_state(start, &bounds).unwrap();
    let mut strongest = 0.0_f64;
    for _ in 0..100 {
        let creep = track.state().a * 0.9e-10 / bounds.period_s;
        track = track.advance_towards(creep, &bounds, bounds.velocity).0;
        strongest = strongest.max(track.state().a);
    }
    assert!(strongest > bounds.acceleration, "the creep was never tried");
    assert!(strongest <= bounds.acceleration * (1.0 + 1e-10), "{strongest}");
}
