//! Speed and separation: monotone in distance and age, and never faster than the protective distance allows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::needless_range_loop)]

mod common;

use common::{Arm, fixed_rng, panda, ur5e};
use decide::shield::separation::Separation;
use layout::{People, Workspace};
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

const MS: i64 = 1_000_000;

/// Distance, age, human speed, margin; and something to add to each.
type Case = ([f64; 4], [f64; 4], bool);

fn cases() -> impl Strategy<Value = Case> {
    (
        (-0.5..6.0_f64, 0.0..0.5_f64, 0.3..4.0_f64, 1.0..2.0_f64).prop_map(|(a, b, c, d)| [a, b, c, d]),
        (0.0..3.0_f64, 0.0..0.5_f64, 0.0..2.0_f64, 0.0..1.0_f64).prop_map(|(a, b, c, d)| [a, b, c, d]),
        any::<bool>(),
    )
}

fn separation(is_ur5e: bool) -> Separation {
    Separation::new(&if is_ur5e { ur5e() } else { panda() })
}

type Rule = fn(&Separation, f64, f64, f64, f64) -> f64;

fn is_monotone_and_safe((at, more, is_ur5e): &Case, rule: Rule) -> Result<(), TestCaseError> {
    let s = separation(*is_ur5e);
    let [distance, age, speed, margin] = *at;
    let ratio = rule(&s, distance, age, speed, margin);
    prop_assert!((0.0..=1.0).contains(&ratio));
    prop_assert!(rule(&s, distance + more[0], age, speed, margin) >= ratio, "further away but slower");
    prop_assert!(rule(&s, distance, age + more[1], speed, margin) <= ratio, "older but faster");
    prop_assert!(rule(&s, distance, age, speed + more[2], margin) <= ratio, "a faster person but a faster robot");
    prop_assert!(rule(&s, distance, age, speed, margin + more[3]) <= ratio, "a wider margin but faster");
    let needed = s.protective_distance_m(ratio, age, speed, margin);
    prop_assert!(ratio <= 0.0 || needed <= distance, "moves inside the protective distance");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn allowed_speed_is_monotone_in_age_and_distance(case in cases()) {
        is_monotone_and_safe(&case, Separation::allowed_ratio)?;
    }
}

#[test]
fn planted_faults_are_caught() {
    let catches = |rule: Rule| {
        let config = ProptestConfig { cases: 2_000, failure_persistence: None, max_shrink_iters: 0, ..ProptestConfig::default() };
        let result = TestRunner::new_with_rng(config, fixed_rng()).run(&cases(), |case| is_monotone_and_safe(&case, rule));
        matches!(result, Err(TestError::Fail(..)))
    };
    assert!(catches(|s, d, _, v, m| s.allowed_ratio(d, 0.0, v, m)), "age forgotten");
    assert!(catches(|s, d, a, v, m| s.allowed_ratio(d + 0.1, a, v, m)), "uncertainty forgotten");
    assert!(catches(|s, d, a, v, m| s.allowed_ratio(d, 0.5 - a, v, m)), "age turned round");
}

#[test]
fn protective_distance_is_what_the_formula_says_by_hand() {
    // Panda in Osaka at full speed, result 0.1 s old: joint 2 takes 2.175/7.5 s to stop, joint 1 … 7 ramp 2 · 10/500 s.
    let s = separation(false);
    let stop_s = 2.175 / 7.5 + 0.04;
    let want = 1.6 * (0.1 + 0.1 + stop_s) + 1.0 * (0.1 + 0.5 * (stop_s + 0.04)) + 0.1 + 0.05;
    assert!((s.protective_distance_m(1.0, 0.1, 1.6, 1.0) - want).abs() < 1e-9);
}

fn read(people: Option<&People>, now_ns: i64) -> decide::shield::separation::Reading {
    let arm = Arm::new(panda());
    separation(false).read(people, now_ns, 1.0, &arm.model, arm.motion.frames())
}

#[test]
fn nobody_seen_freshly_allows_full_speed_and_anything_else_does_not() {
    let now_ns = 10_000 * MS;
    let nobody = People { capture_ns: now_ns - 50 * MS, workspace: Workspace::Clear.raw(), ..People::default() };
    assert!(read(Some(&nobody), now_ns).ratio >= 1.0);
    let slow = panda().separation.slow_ratio_unknown;
    let doubtful = [
        None,
        Some(People { capture_ns: now_ns - 301 * MS, ..nobody }),
        Some(People { capture_ns: now_ns + 3 * MS, ..nobody }),
        Some(People { expires_ns: now_ns - 1, ..nobody }),
        Some(People { workspace: Workspace::Unknown.raw(), ..nobody }),
        Some(People { workspace: 77, ..nobody }),
        Some(People { workspace: Workspace::Occupied.raw(), ..nobody }),
        Some(People { count: 9, ..nobody }),
        Some(People { count: 1, pos: [[f64::NAN; 3]; 8], ..nobody }),
    ];
    for people in doubtful {
        let reading = read(people.as_ref(), now_ns);
        assert!(reading.ratio <= slow && reading.separation_m.is_nan(), "{people:?}");
    }
}

#[test]
fn nearest_of_several_people_counts_and_a_running_one_more() {
    let now_ns = 10_000 * MS;
    let mut people = People { capture_ns: now_ns, workspace: Workspace::Clear.raw(), count: 2, ..People::default() };
    people.pos[0] = [3.0, 0.0, 0.0];
    people.pos[1] = [0.0, 2.0, 1.0];
    people.radius_m = [0.2; 8];
    let walking = read(Some(&people), now_ns);
    people.vel[1] = [0.0, -5.0, 0.0];
    let running = read(Some(&people), now_ns);
    people.pos[1] = [0.0, 2.8, 1.0];
    people.vel[1] = [0.0; 3];
    let further = read(Some(&people), now_ns);
    assert!(walking.separation_m > 1.0 && walking.separation_m < 2.0, "{}", walking.separation_m);
    assert!(running.ratio < walking.ratio && walking.ratio < further.ratio);
}
