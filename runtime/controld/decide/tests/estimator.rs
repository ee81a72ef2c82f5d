//! The estimator against what it replaces: differentiating positions, or trusting measured velocities, behind a low-pass.
//!
//! The plant is not the model the filter believes in: links 4 % heavier or lighter, friction it is told nothing about, a push
//! now and then. The rivals' cut-offs are tuned for the least error on a run of their own; the filter takes the profile's noise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::needless_range_loop)]

mod common;

use std::f64::consts::TAU;

use common::rig::Plant;
use common::{panda, ur5e};
use decide::estimator::{Estimator, Lapse};
use decide::model::{J, RobotModel};
use decide::params::Control;
use layout::Actuators;

const PERIOD_S: f64 = 1e-3;
const CYCLES: usize = 8_000;
/// Before this the filters settle.
const SETTLED: usize = 500;

/// Numbers from a normal distribution; the same each run.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().max(1e-300).ln()).sqrt() * (TAU * self.uniform()).cos()
    }
}

/// One cycle: what was true and what was measured.
#[derive(Clone, Copy)]
struct Sample {
    q: [f64; J],
    qd: [f64; J],
    tau_ext: [f64; J],
    q_seen: [f64; J],
    qd_seen: [f64; J],
    tau_seen: [f64; J],
}

/// The arm swings all joints at different rates, with a push on two of them in between.
fn record(control: &Control, seed: u64) -> Vec<Sample> {
    let mut noise = Noise(seed);
    for _ in 0..10 {
        noise.uniform();
    }
    let mut real = control.model.clone();
    for link in &mut real.links {
        let factor = 1.0 + 0.04 * (2.0 * noise.uniform() - 1.0);
        link.mass_kg *= factor;
        link.inertia_kgm2 = link.inertia_kgm2.map(|x| x * factor);
        link.damping_nms_rad *= 1.2;
    }
    let mut plant = Plant::new(control, RobotModel::new(&real).expect("a valid model"));
    let n = control.home_rad.len();
    let home = common::joints(&control.home_rad);
    let phase: Vec<f64> = (0..n).map(|_| noise.uniform() * TAU).collect();
    let e = control.estimator;
    let model = RobotModel::new(&control.model).expect("a valid model");
    let mut samples = Vec::new();
    for cycle in 0..CYCLES {
        let t = cycle as f64 * PERIOD_S;
        let ramp = (t / 0.5).min(1.0);
        let mut a = Actuators { power: 1, ..Actuators::default() };
        for i in 0..n {
            let w = TAU * (0.3 + 0.07 * i as f64);
            a.q_des[i] = home[i] + 0.25 * ramp * ((w * t + phase[i]).sin() - phase[i].sin());
            a.qd_des[i] = 0.25 * ramp * w * (w * t + phase[i]).cos();
        }
        a.tau_ff = model.inverse_dynamics(&a.q_des, &a.qd_des, &[0.0; J]);
        plant.tau_ext = [0.0; J];
        if (3_000..3_600).contains(&cycle) {
            (plant.tau_ext[1], plant.tau_ext[3]) = (15.0, -8.0);
        }
        plant.step(&a);
        let grain = e.position_noise_rad;
        samples.push(Sample {
            q: plant.q,
            qd: plant.qd,
            tau_ext: plant.tau_ext,
            q_seen: plant.q.map(|q| ((q + grain * noise.normal()) / grain).round() * grain),
            qd_seen: plant.qd.map(|v| v + e.velocity_noise_rad_s * noise.normal()),
            tau_seen: plant.tau.map(|tau| tau + e.torque_noise_nm * noise.normal()),
        });
    }
    samples
}

/// Root mean square over joints and time, after settling.
fn rms(samples: &[Sample], n: usize, error: impl Fn(usize, usize) -> f64) -> f64 {
    let mut sum = 0.0;
    for k in SETTLED..samples.len() {
        sum += (0..n).map(|i| error(k, i).powi(2)).sum::<f64>();
    }
    (sum / ((samples.len() - SETTLED) * n) as f64).sqrt()
}

struct Estimates {
    q: f64,
    qd: f64,
    tau: f64,
}

fn filter_errors(control: &Control, samples: &[Sample]) -> Estimates {
    let model = RobotModel::new(&control.model).expect("a valid model");
    let mut filter = Estimator::new(&control.estimator, &model, PERIOD_S);
    filter.reset(&samples[0].q_seen, &samples[0].qd_seen);
    let mut out = vec![*filter.estimate()];
    for s in &samples[1..] {
        filter.predict(&s.tau_seen, &model, Lapse::ONE);
        filter.correct(&s.q_seen, &s.qd_seen);
        out.push(*filter.estimate());
    }
    let n = model.joints();
    Estimates {
        q: rms(samples, n, |k, i| out[k].q[i] - samples[k].q[i]),
        qd: rms(samples, n, |k, i| out[k].qd[i] - samples[k].qd[i]),
        tau: rms(samples, n, |k, i| out[k].tau_ext[i] - samples[k].tau_ext[i]),
    }
}

/// `order` first-order low-passes in a row.
fn low_pass(values: &[[f64; J]], cutoff_hz: f64, order: usize) -> Vec<[f64; J]> {
    let gain = 1.0 - (-TAU * cutoff_hz * PERIOD_S).exp();
    let mut out = values.to_vec();
    for _ in 0..order {
        let mut state = out[0];
        for value in &mut out {
            for i in 0..J {
                state[i] += gain * (value[i] - state[i]);
            }
            *value = state;
        }
    }
    out
}

fn differences(values: &[[f64; J]]) -> Vec<[f64; J]> {
    let mut out = vec![[0.0; J]];
    out.extend(values.windows(2).map(|w| std::array::from_fn(|i| (w[1][i] - w[0][i]) / PERIOD_S)));
    out
}

const CUTOFFS_HZ: [f64; 12] = [2.0, 4.0, 6.0, 9.0, 13.0, 19.0, 28.0, 40.0, 60.0, 90.0, 130.0, 200.0];

/// The rival's velocity: from positions or from measured velocities, low-passed.
fn rival_velocity(samples: &[Sample], from_positions: bool, cutoff_hz: f64, order: usize) -> Vec<[f64; J]> {
    let seen: Vec<[f64; J]> = if from_positions {
        differences(&samples.iter().map(|s| s.q_seen).collect::<Vec<_>>())
    } else {
        samples.iter().map(|s| s.qd_seen).collect()
    };
    low_pass(&seen, cutoff_hz, order)
}

fn rival_velocity_error(control: &Control, tuning: &[Sample], test: &[Sample], from_positions: bool) -> f64 {
    let n = control.home_rad.len();
    let error = |samples: &[Sample], cutoff: f64, order: usize| {
        let out = rival_velocity(samples, from_positions, cutoff, order);
        rms(samples, n, |k, i| out[k][i] - samples[k].qd[i])
    };
    let options = CUTOFFS_HZ.iter().flat_map(|c| [(*c, 1), (*c, 2)]);
    let best = options.min_by(|a, b| error(tuning, a.0, a.1).total_cmp(&error(tuning, b.0, b.1))).expect("options");
    error(test, best.0, best.1)
}

/// The rival's external torque: inverse dynamics on low-passed velocity and its derivative, low-passed again.
fn rival_torque_error(control: &Control, tuning: &[Sample], test: &[Sample]) -> f64 {
    let model = RobotModel::new(&control.model).expect("a valid model");
    let n = model.joints();
    let error = |samples: &[Sample], velocity_hz: f64, torque_hz: f64| {
        let qd = rival_velocity(samples, false, velocity_hz, 1);
        let qdd = differences(&qd);
        let raw: Vec<[f64; J]> = samples
            .iter()
            .enumerate()
            .map(|(k, s)| {
                let tau = model.inverse_dynamics(&s.q_seen, &qd[k], &qdd[k]);
                std::array::from_fn(|i| tau[i] - s.tau_seen[i])
            })
            .collect();
        let out = low_pass(&raw, torque_hz, 1);
        rms(samples, n, |k, i| out[k][i] - samples[k].tau_ext[i])
    };
    let options = CUTOFFS_HZ.iter().step_by(2).flat_map(|v| CUTOFFS_HZ.iter().step_by(2).map(move |t| (*v, *t)));
    let best = options.min_by(|a, b| error(tuning, a.0, a.1).total_cmp(&error(tuning, b.0, b.1))).expect("options");
    error(test, best.0, best.1)
}

#[test]
fn estimator_beats_a_tuned_differentiator_on_noisy_runs_of_a_plant_it_does_not_quite_know() {
    for (name, control) in [("panda", panda()), ("ur5e", ur5e())] {
        let tuning = record(&control, 11);
        for seed in [101, 202] {
            let test = record(&control, seed);
            let filter = filter_errors(&control, &test);
            let from_positions = rival_velocity_error(&control, &tuning, &test, true);
            let from_velocities = rival_velocity_error(&control, &tuning, &test, false);
            let torque = rival_torque_error(&control, &tuning, &test);
            println!(
                "{name} seed {seed}: position {:.2e} rad; velocity {:.4} rad/s (differentiator {from_positions:.4}, \
                 low-passed measurement {from_velocities:.4}); external torque {:.3} Nm (inverse dynamics {torque:.3})",
                filter.q, filter.qd, filter.tau
            );
            assert!(filter.q < control.estimator.position_noise_rad, "better than one encoder reading");
            assert!(filter.qd < 0.5 * from_positions, "velocity against the differentiator");
            // On the UR5e's light wrist the noise of measured torque leaves no advantage over an ideally tuned low-pass.
            assert!(filter.qd < 1.05 * from_velocities, "velocity against the low-passed measurement");
            // Here the tuned rival is as good; most of both errors is the plant's other mass.
            assert!(filter.tau < 1.1 * torque, "external torque");
        }
    }
}

/// A rival with a plant's true noise-free velocity would win: the comparison can be lost.
#[test]
fn comparison_can_be_lost() {
    let control = panda();
    let mut samples = record(&control, 5);
    for s in &mut samples {
        s.qd_seen = s.qd;
    }
    let worse =
        Control { estimator: decide::params::Estimator { velocity_noise_rad_s: 10.0, ..control.estimator }, ..control.clone() };
    let filter = filter_errors(&worse, &samples);
    assert!(filter.qd > rival_velocity_error(&control, &samples, &samples, false));
}

#[test]
fn push_is_felt_within_its_hold_time() {
    let control = panda();
    let samples = record(&control, 77);
    let model = RobotModel::new(&control.model).expect("a valid model");
    let mut filter = Estimator::new(&control.estimator, &model, PERIOD_S);
    filter.reset(&samples[0].q_seen, &samples[0].qd_seen);
    let mut felt = None;
    for (k, s) in samples.iter().enumerate().skip(1) {
        filter.predict(&s.tau_seen, &model, Lapse::ONE);
        filter.correct(&s.q_seen, &s.qd_seen);
        if k >= 3_000 && felt.is_none() && filter.estimate().tau_ext[1] > 0.5 * 15.0 {
            felt = Some(k - 3_000);
        }
    }
    let after = felt.expect("the push is felt");
    println!("half of a 15 Nm push is felt after {after} ms");
    assert!(after <= 30, "{after}");
}

/// What is felt on a healthy, moving arm when `lost` frames in a row never come, twenty times a second.
fn felt_over_gaps(control: &Control, samples: &[Sample], lost: usize, count: bool) -> [f64; J] {
    let model = RobotModel::new(&control.model).expect("a valid model");
    let mut filter = Estimator::new(&control.estimator, &model, PERIOD_S);
    filter.reset(&samples[0].q_seen, &samples[0].qd_seen);
    let (mut worst, mut gone) = ([0.0_f64; J], 0_u32);
    for (k, s) in samples.iter().enumerate().skip(1) {
        if k > SETTLED && k % 50 < lost {
            gone += 1;
            continue;
        }
        let lapse = if count { Lapse { periods: gone + 1, unseen: gone } } else { Lapse::ONE };
        gone = 0;
        filter.predict(&s.tau_seen, &model, lapse);
        filter.correct(&s.q_seen, &s.qd_seen);
        for i in 0..J {
            if k > SETTLED {
                worst[i] = worst[i].max(filter.estimate().tau_ext[i].abs());
            }
        }
    }
    worst
}

#[test]
fn stalled_host_is_not_taken_for_a_blow() {
    for control in [panda(), ur5e()] {
        let samples = &record(&control, 41)[..2_900]; // before the push
        let near = |lost: usize, count: bool| {
            let felt = felt_over_gaps(&control, samples, lost, count);
            felt.iter().zip(&control.collision.torque_nm).map(|(felt, limit)| felt / limit).fold(0.0, f64::max)
        };
        for lost in 1..=12 {
            let (counted, uncounted) = (near(lost, true), near(lost, false));
            println!("{lost} frames lost: {counted:.2} of a collision; {uncounted:.2} if the lapse is not counted");
            assert!(counted < 0.5, "{lost} frames lost: {counted:.2} of what counts as a collision");
        }
        assert!(near(12, false) > 2.0 * near(12, true), "counting the lapse makes the difference");
    }
}

#[test]
fn push_is_felt_all_the_same_when_frames_go_missing() {
    let control = panda();
    let samples = record(&control, 77);
    let felt = felt_over_gaps(&control, &samples, 4, true);
    assert!(felt[1] > 12.0, "of 15 Nm {:.1} were felt", felt[1]);
}

#[test]
fn lapse_counts_whole_periods_and_never_runs_away() {
    let to = |frame: i64, believed: i64, seen: i64| Lapse::to_frame(frame, believed, seen, 1_000_000);
    assert_eq!(to(5_000_000, 4_000_000, 4_000_000), Lapse::ONE);
    assert_eq!(to(5_300_000, 4_000_000, 4_000_000), Lapse::ONE, "jitter is no lapse");
    assert_eq!(to(9_000_000, 4_000_000, 4_000_000), Lapse { periods: 5, unseen: 4 });
    assert_eq!(to(9_000_000, 8_000_000, 4_000_000), Lapse { periods: 1, unseen: 4 }, "predicted blindly meanwhile");
    assert_eq!(to(4_000_000, 6_000_000, 3_000_000), Lapse { periods: 0, unseen: 0 }, "never back");
    assert_eq!(to(i64::MAX, 0, i64::MIN), Lapse { periods: 50, unseen: 49 });
    assert_eq!(to(i64::MIN, i64::MAX, i64::MAX), Lapse { periods: 0, unseen: 0 });
}

#[test]
fn filter_stays_sound_for_many_minutes() {
    let control = panda();
    let samples = record(&control, 3);
    let model = RobotModel::new(&control.model).expect("a valid model");
    let mut filter = Estimator::new(&control.estimator, &model, PERIOD_S);
    filter.reset(&samples[0].q_seen, &samples[0].qd_seen);
    for _ in 0..20 {
        // Back and forth, so that the recording has no jump at its ends.
        for s in samples.iter().chain(samples.iter().rev()) {
            filter.predict(&s.tau_seen, &model, Lapse::ONE);
            filter.correct(&s.q_seen, &s.qd_seen);
        }
    }
    let e = filter.estimate();
    let tame = |values: &[f64; J], most: f64| values.iter().take(7).all(|x| x.abs() < most);
    assert!(tame(&e.qd, 10.0) && tame(&e.tau_ext, 200.0), "{e:?}");
    assert!((0..7).all(|i| (e.q[i] - samples[0].q[i]).abs() < 0.05));
}

#[test]
fn what_is_no_number_leaves_the_filter_as_it_was() {
    let control = panda();
    let model = RobotModel::new(&control.model).expect("a valid model");
    let mut filter = Estimator::new(&control.estimator, &model, PERIOD_S);
    let home = common::joints(&control.home_rad);
    filter.reset(&home, &[0.0; J]);
    filter.correct(&[f64::NAN; J], &[f64::INFINITY; J]);
    assert!(filter.estimate().q.iter().zip(home).all(|(q, home)| (q - home).abs() <= 0.0));
}
