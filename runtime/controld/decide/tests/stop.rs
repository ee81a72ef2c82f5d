//! The stop of one joint: it exists, it keeps its limits cycle by cycle, and its bounds are never too tight.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::needless_range_loop)]

mod common;

use common::{any_bounds, state_within};
use decide::shield::stop::{JointState, Stop, StopLimits};
use proptest::prelude::*;

/// Follows a stop cycle by cycle as a drive would see it, and checks it against its own claims.
fn walk(start: JointState, stop: &Stop, limits: &StopLimits) -> Result<(), TestCaseError> {
    let scale = 1.0 + start.p.abs() + start.v.abs() + start.a.abs();
    let mut before = stop.at(0);
    prop_assert!((before.p - start.p).abs() + (before.v - start.v).abs() + (before.a - start.a).abs() <= 1e-12 * scale);
    let claimed = stop.extremes_from(0);
    let travel = stop.travel_from(0);
    let mut moved = 0.0;
    for cycle in 1..=stop.cycles() {
        let now = stop.at(cycle);
        let jerk = (now.a - before.a) / limits.period_s;
        prop_assert!(jerk.abs() <= limits.jerk * (1.0 + 1e-9) + 1e-6, "jerk {jerk} at {cycle}");
        let there = before.after(jerk, limits.period_s);
        prop_assert!((there.p - now.p).abs() <= 1e-9 * scale && (there.v - now.v).abs() <= 1e-9 * scale, "torn at {cycle}");
        prop_assert!(now.p >= claimed.p_min - 1e-12 * scale && now.p <= claimed.p_max + 1e-12 * scale, "p at {cycle}");
        prop_assert!(now.v.abs() <= claimed.speed + 1e-12 * scale, "v at {cycle}: {} above {}", now.v, claimed.speed);
        prop_assert!(now.a.abs() <= claimed.acceleration + 1e-12 * scale, "a at {cycle}");
        moved += (now.p - before.p).abs();
        prop_assert!(stop.travel_from(cycle) <= travel - moved + 1e-9 * scale, "travel at {cycle}");
        before = now;
    }
    prop_assert!(before.is_at_rest());
    prop_assert!(claimed.acceleration <= limits.acceleration.max(start.a.abs()) * (1.0 + 1e-9));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn stop_of_any_state_keeps_limits_and_ends_at_rest((bounds, start) in any_bounds().prop_flat_map(|b| (Just(b), state_within(&b, 2.0)))) {
        let limits = bounds.stop_limits();
        let stop = Stop::plan(start, &limits);
        prop_assert!(stop.is_some(), "no stop from {start:?} in {limits:?}");
        walk(start, &stop.unwrap(), &limits)?;
    }

    /// What is left of a stop claims no more than the whole of it.
    #[test]
    fn rest_of_a_stop_never_claims_more((bounds, start) in any_bounds().prop_flat_map(|b| (Just(b), state_within(&b, 1.5))), at in 0.0..1.0_f64) {
        let stop = Stop::plan(start, &bounds.stop_limits()).unwrap();
        let cycle = (f64::from(stop.cycles()) * at) as u32;
        let (whole, rest) = (stop.extremes_from(0), stop.extremes_from(cycle));
        prop_assert!(rest.p_min >= whole.p_min - 1e-12 && rest.p_max <= whole.p_max + 1e-12);
        prop_assert!(rest.speed <= whole.speed + 1e-12 && rest.acceleration <= whole.acceleration + 1e-12);
    }
}

#[test]
fn stop_from_full_speed_takes_the_textbook_time() {
    // v/a + a/J = 0.2 s + 0.02 s, the trapezoid of a joint of the Panda.
    let limits = StopLimits { acceleration: 10.0, jerk: 500.0, period_s: 0.001 };
    let stop = Stop::plan(JointState { p: 0.0, v: 2.0, a: 0.0 }, &limits).unwrap();
    assert_eq!(stop.cycles(), 220);
    assert!((stop.rest_position() - 0.22).abs() < 1e-9);
}

#[test]
fn no_stop_is_planned_from_what_is_no_number() {
    let limits = StopLimits { acceleration: 10.0, jerk: 500.0, period_s: 0.001 };
    for bad in [f64::NAN, f64::INFINITY, 1e200] {
        assert!(Stop::plan(JointState { p: 0.0, v: bad, a: 0.0 }, &limits).is_none());
        assert!(Stop::plan(JointState { p: 0.0, v: 0.0, a: bad }, &limits).is_none());
    }
    assert!(Stop::plan(JointState::at_rest(f64::NAN), &limits).is_none());
}
