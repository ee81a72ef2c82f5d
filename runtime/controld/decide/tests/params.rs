//! The control file: every field has a bound, every problem is named with its place, and nothing unknown passes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::needless_range_loop)]

mod common;

use common::panda;
use decide::Controller;
use decide::params::Control;
use serde_json::Value;

fn text() -> Value {
    serde_json::from_str(include_str!("data/panda.json")).unwrap()
}

/// Every place in the file that holds a number, as a JSON pointer.
fn numbers(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Number(_) => found.push(at.to_owned()),
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                numbers(item, &format!("{at}/{i}"), found);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                numbers(item, &format!("{at}/{key}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[test]
fn every_number_has_a_bound_on_both_sides() {
    let mut places = Vec::new();
    numbers(&text(), "", &mut places);
    assert!(places.len() > 200);
    for place in places {
        if place == "/cycle/cpu" {
            continue; // any CPU may exist
        }
        for absurd in [serde_json::json!(1e12), serde_json::json!(-1e12)] {
            let mut file = text();
            *file.pointer_mut(&place).unwrap() = absurd.clone();
            let refused = serde_json::from_value::<Control>(file).map_or(true, |c| !c.validate().is_empty());
            assert!(refused, "{place} = {absurd} was accepted");
        }
    }
}

#[test]
fn not_a_number_is_refused_wherever_it_comes_from() {
    let cases: [fn(&mut Control, f64); 12] = [
        |c, x| c.limits.joints[3].jerk_rad_s3 = x,
        |c, x| c.limits.joints[3].position_max_rad = x,
        |c, x| c.limits.joints[3].position_min_rad = x,
        |c, x| c.limits.tool_speed_m_s = x,
        |c, x| c.workspace.max_m[2] = x,
        |c, x| c.keep_out[0].min_m[1] = x,
        |c, x| c.separation.reaction_s = x,
        |c, x| c.thermal.motor_limit_c = x,
        |c, x| c.model.links[2].inertia_kgm2[4] = x,
        |c, x| c.model.links[2].quat_wxyz[0] = x,
        |c, x| c.home_rad[6] = x,
        |c, x| c.estimator.torque_noise_nm = x,
    ];
    for (i, spoil) in cases.iter().enumerate() {
        for x in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut control = panda();
            spoil(&mut control, x);
            assert!(!control.validate().is_empty(), "case {i} with {x}");
        }
    }
}

#[test]
fn all_problems_come_at_once_with_place_value_and_bound() {
    let mut control = panda();
    control.limits.joints[2].jerk_rad_s3 = 0.0;
    control.collision.torque_nm.pop();
    control.command.expiry_ms = 10_000;
    let problems: Vec<String> = control.validate().iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 4, "{problems:?}"); // an infinite stop is a problem of its own
    let all = problems.join("\n");
    for part in [
        "limits.joints[2].jerk_rad_s3: got 0, must be between 0.1 and 1000000",
        "collision.torque_nm: got 6, must be 7 entries, one a joint",
        "command.expiry_ms: got 10000, must be between 1 and 200, because old commands would move the robot",
    ] {
        assert!(all.contains(part), "{part} in {all}");
    }
}

#[test]
fn unknown_and_missing_keys_are_refused_at_every_depth() {
    for at in ["", "/limits", "/limits/joints/0", "/model/links/3", "/hal", "/separation", "/stop"] {
        let mut file = text();
        file.pointer_mut(at).unwrap().as_object_mut().unwrap().insert("extra".to_owned(), Value::from(1));
        let error = serde_json::from_value::<Control>(file).unwrap_err().to_string();
        assert!(error.contains("unknown field `extra`"), "{at}: {error}");
        let mut file = text();
        let object = file.pointer_mut(at).unwrap().as_object_mut().unwrap();
        object.remove(&object.keys().next().unwrap().clone());
        assert!(serde_json::from_value::<Control>(file).is_err(), "{at}: a missing key");
    }
}

#[test]
fn valid_file_makes_a_controller() {
    assert!(Controller::new(&panda(), 1).is_ok());
}
