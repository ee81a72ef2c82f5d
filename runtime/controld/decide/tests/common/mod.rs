//! What the tests of this crate share: two real profiles, and states and commands to throw at them.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::needless_range_loop
)]

pub mod rig;

use std::sync::LazyLock;

use decide::model::{J, RobotModel};
use decide::params::Control;
use decide::shield::motion::Motion;
use decide::shield::space::Space;
use decide::shield::stop::JointState;
use decide::shield::track::Bounds;
use proptest::prelude::*;

pub fn panda() -> Control {
    static PARSED: LazyLock<Control> = LazyLock::new(|| parse(include_str!("../data/panda.json")));
    PARSED.clone()
}

pub fn ur5e() -> Control {
    static PARSED: LazyLock<Control> = LazyLock::new(|| parse(include_str!("../data/ur5e.json")));
    PARSED.clone()
}

fn parse(text: &str) -> Control {
    let control: Control = serde_json::from_str(text).expect("the test profile parses");
    assert_eq!(control.validate(), vec![], "the test profile is valid");
    control
}

/// An arm with everything that its motion is checked with.
pub struct Arm {
    pub control: Control,
    pub model: RobotModel,
    pub space: Space,
    pub motion: Motion,
}

impl Arm {
    pub fn new(control: Control) -> Self {
        let model = RobotModel::new(&control.model).expect("the test model is valid");
        let space = Space::new(&control);
        let motion = Motion::new(&control, &model, &space);
        Self { control, model, space, motion }
    }

    pub fn states(&self) -> Vec<JointState> {
        let (p, v, a) = (self.motion.positions(), self.motion.velocities(), self.motion.accelerations());
        (0..self.model.joints()).map(|i| JointState { p: p[i], v: v[i], a: a[i] }).collect()
    }
}

/// Every kind of number that a broken writer could send, and plenty of plausible ones.
pub fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => -4.0..4.0_f64,
        1 => prop::num::f64::ANY,
        1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE / 8.0, -0.0]),
    ]
}

/// Limits of joints from a sluggish to a nimble one.
pub fn any_bounds() -> impl Strategy<Value = Bounds> {
    (0.1..3.0_f64, 0.1..6.0_f64, 0.05..5.0_f64, 0.5..30.0_f64, 5.0..5000.0_f64, prop::sample::select(vec![0.0005, 0.001, 0.004]))
        .prop_map(|(low, range, velocity, acceleration, jerk, period_s)| Bounds {
            p_min: -low,
            p_max: range - low,
            velocity,
            acceleration,
            jerk,
            effort: 100.0,
            period_s,
        })
}

/// A state whose velocity and acceleration are up to `factor` times their limits, and whose position may be as far outside.
pub fn state_within(bounds: &Bounds, factor: f64) -> impl Strategy<Value = JointState> + use<> {
    let (middle, half) = ((bounds.p_min + bounds.p_max) / 2.0, (bounds.p_max - bounds.p_min) / 2.0);
    let (velocity, acceleration) = (bounds.velocity, bounds.acceleration);
    let share =
        move || prop_oneof![4 => -factor..factor, 1 => Just(0.0), 1 => Just(factor), 1 => Just(-factor), 1 => -1e-9..1e-9_f64];
    (share(), share(), share()).prop_map(move |(p, v, a)| JointState {
        p: middle + p * half,
        v: v * velocity,
        a: a * acceleration,
    })
}

pub fn joints(values: &[f64]) -> [f64; J] {
    let mut all = [0.0; J];
    all[..values.len()].copy_from_slice(values);
    all
}

/// The same random numbers in each run, for tests that must find something.
pub fn fixed_rng() -> proptest::test_runner::TestRng {
    proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha)
}
