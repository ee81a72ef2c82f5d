//! A step allocates nothing, and no command can throw the arm out of its range, whatever it says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::undocumented_unsafe_blocks)]

#[path = "../../../runtime/controld/tests/counting/mod.rs"]
mod counting;

use controld::control;
use dynamics::plant::Plant;
use layout::{Actuators, J, ObjectKind, Scene};

const START_NS: i64 = 1_000_000_000;
const STEP_NS: i64 = 1_000_000;

fn plant() -> Plant {
    let file = include_bytes!("../../../runtime/controld/tests/data/osaka.control");
    Plant::new(&control::parse(file).ok().unwrap()).unwrap()
}

fn scene() -> Scene {
    let mut scene = Scene { count: 3, ..Scene::default() };
    scene.kind = [ObjectKind::Part.raw(); layout::OBJECTS];
    scene
}

fn holding_home(plant: &Plant, now_ns: i64) -> Actuators {
    Actuators { created_ns: now_ns, q_des: plant.arm.q_rad, tau_ff: plant.arm.held_nm(), power: 1, ..Actuators::default() }
}

#[test]
fn the_allocator_is_seen_by_this_test() {
    let before = counting::calls();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(counting::calls() - before, 2);
}

#[test]
fn motion_suction_silence_and_nonsense_allocate_nothing() {
    let (mut plant, scene, mut now_ns) = (plant(), scene(), START_NS);
    let before = counting::calls();
    for step in 0..3000 {
        let mut command = holding_home(&plant, now_ns);
        command.gripper = f64::from(step % 2);
        command.q_des[0] += 0.1 * f64::from(step % 7);
        if step % 500 == 499 {
            command.tau_ff[3] = f64::NAN;
        }
        plant.step((step % 900 < 600).then_some(&command), Some(&scene), now_ns);
        now_ns += STEP_NS;
    }
    assert_eq!(counting::calls() - before, 0);
}

#[test]
fn an_arm_without_power_stands_on_its_brakes() {
    let (mut plant, mut now_ns) = (plant(), START_NS);
    let home = plant.arm.q_rad;
    for _ in 0..2000 {
        let sensors = plant.step(None, None, now_ns);
        assert_eq!(sensors.powered, 0);
        now_ns += STEP_NS;
    }
    for (joint, (now, then)) in plant.arm.q_rad.iter().zip(&home).enumerate() {
        assert!((now - then).abs() < 1e-3, "joint {joint} crept by {}", now - then);
    }
}

#[test]
fn no_command_throws_the_arm_beyond_its_stops_or_makes_it_no_number() {
    let (mut plant, mut now_ns) = (plant(), START_NS);
    let extremes = [1e9, -1e9, 0.0, 3.0, -3.0, f64::MAX, f64::MIN, f64::NAN, f64::INFINITY];
    for (round, wild) in extremes.iter().cycle().take(90).enumerate() {
        for _ in 0..40 {
            let mut command = Actuators { created_ns: now_ns, power: 1, ..Actuators::default() };
            command.q_des = [*wild; J];
            command.qd_des = [if round % 3 == 0 { *wild } else { 0.0 }; J];
            let sensors = plant.step(Some(&command), None, now_ns);
            assert_eq!(sensors.drive_fault != 0, !(wild * 7.0).is_finite() || (round % 3 == 0 && !(wild * 15.0).is_finite()));
            now_ns += STEP_NS;
        }
        for i in 0..plant.arm.joints() {
            assert!(plant.arm.q_rad[i].abs() < 3.9 && plant.arm.qd_rad_s[i].is_finite(), "joint {i}: {}", plant.arm.q_rad[i]);
        }
    }
}
