//! The control file is refused when anything about it is wrong, with one message that says what; nothing makes the loader panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::path::Path;

use controld::control::{enclose, load, parse};
use proptest::prelude::*;
use serde_json::Value;

const SAMPLES: [&[u8]; 2] = [include_bytes!("data/osaka.control"), include_bytes!("data/gdansk.control")];

fn sample_json() -> Value {
    serde_json::from_slice(&SAMPLES[0][65..]).unwrap()
}

fn refusal(value: &Value) -> String {
    parse(&enclose(&value.to_string())).expect_err("accepted").to_string()
}

/// Every object of a JSON text, as pointers.
fn paths(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(key, child)| paths(child, &format!("{at}/{key}"), found)),
        Value::Array(list) => list.iter().enumerate().for_each(|(i, child)| paths(child, &format!("{at}/{i}"), found)),
        _ => {}
    }
}

fn all_paths() -> Vec<String> {
    let mut found = Vec::new();
    paths(&sample_json(), "", &mut found);
    found
}

#[test]
fn the_composers_own_files_are_accepted() {
    for sample in SAMPLES {
        assert_eq!(parse(sample).map_err(|e| e.to_string()).unwrap().version, 1);
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    for length in 0..SAMPLES[0].len() {
        let error = parse(&SAMPLES[0][..length]).expect_err("accepted").to_string();
        assert!(error.contains("cut short") || error.contains("sha256") || error.contains("goes on after"), "{length}: {error}");
    }
}

#[test]
fn any_changed_byte_is_refused() {
    for place in 0..SAMPLES[0].len() {
        let mut bytes = SAMPLES[0].to_vec();
        bytes[place] ^= 0x01;
        assert!(parse(&bytes).is_err(), "byte {place}");
    }
}

#[test]
fn a_wrong_hash_says_both_hashes() {
    let mut bytes = SAMPLES[0].to_vec();
    bytes[0] = if bytes[0] == b'0' { b'1' } else { b'0' };
    let error = parse(&bytes).unwrap_err().to_string();
    assert!(error.contains("line 2 has sha256 ") && error.contains("line 1 says "), "{error}");
}

#[test]
fn an_unknown_key_is_refused_at_every_depth_and_named() {
    for path in all_paths() {
        let mut value = sample_json();
        if let Some(Value::Object(map)) = value.pointer_mut(&path) {
            map.insert("surprise".to_owned(), Value::from(1));
            assert!(refusal(&value).contains("surprise"), "{path}");
        }
    }
}

#[test]
fn a_missing_key_is_refused_and_named_unless_it_may_be_nothing() {
    for path in all_paths() {
        let Some((parent, key)) = path.rsplit_once('/') else { continue };
        if ["cpu", "gpio"].contains(&key) {
            continue;
        }
        let mut value = sample_json();
        if let Some(Value::Object(map)) = value.pointer_mut(parent) {
            map.remove(key);
            assert!(refusal(&value).contains(key), "{path}");
        }
    }
}

#[test]
fn numbers_far_out_of_range_are_refused_with_their_path_value_and_bound() {
    for (path, wrong) in [
        ("/cycle/period_us", Value::from(0)),
        ("/limits/joints/2/jerk_rad_s3", Value::from(-1.0)),
        ("/limits/tool_speed_m_s", Value::from(1e9)),
        ("/separation/human_speed_m_s", Value::from(0.0)),
        ("/verdict/restrict_ratio", Value::from(1.5)),
    ] {
        let mut value = sample_json();
        *value.pointer_mut(path).unwrap() = wrong.clone();
        let error = refusal(&value);
        let last = path.rsplit('/').next().unwrap();
        assert!(error.contains(last) && error.contains("must be") && error.contains("because"), "{error}");
    }
}

#[test]
fn every_mistake_is_reported_at_once() {
    let mut value = sample_json();
    value["limits"]["tool_speed_m_s"] = Value::from(100.0);
    value["cycle"]["miss_limit"] = Value::from(0);
    let error = refusal(&value);
    assert!(error.contains("tool_speed_m_s") && error.contains("miss_limit"), "{error}");
}

#[test]
fn a_missing_file_is_one_clear_message() {
    let error = load(Path::new("/nowhere/control.json")).unwrap_err().to_string();
    assert!(error.starts_with("control file /nowhere/control.json\n  cannot be opened: "), "{error}");
    assert!(error.contains("try  compose the profile again"), "{error}");
}

#[test]
fn a_file_without_end_is_not_read_to_its_end() {
    assert!(load(Path::new("/dev/zero")).unwrap_err().to_string().contains("more than"));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![1e300, -1e300, 5e-324, 0.0, -0.0, 1e308]).prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec(("[a-z_]{1,12}", inner), 0..5).prop_map(|rows| rows.into_iter().collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_end_in_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(parse(&bytes).is_err());
    }

    #[test]
    fn any_text_under_a_right_hash_ends_in_an_answer(text in ".{0,200}") {
        prop_assert!(parse(&enclose(&text)).is_err());
    }

    /// Up to three places of a good file replaced by anything: refused, or it satisfies every bound.
    #[test]
    fn any_change_under_a_right_hash_is_refused_or_within_the_bounds(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any_json()), 1..4)
    ) {
        let paths = all_paths();
        let mut value = sample_json();
        for (index, new) in changes {
            let path: &String = index.get(&paths);
            if let Some(place) = value.pointer_mut(path) {
                *place = new;
            }
        }
        match parse(&enclose(&value.to_string())) {
            Ok(control) => prop_assert!(control.validate().is_empty()),
            Err(error) => prop_assert!(!error.problems.is_empty()),
        }
    }

    /// Pieces cut out, doubled and moved, as a torn write would leave them.
    #[test]
    fn spliced_files_are_refused(a in 0usize..6000, b in 0usize..6000, c in 0usize..6000) {
        let bytes = SAMPLES[0];
        let (a, b, c) = (a.min(bytes.len()), b.min(bytes.len()), c.min(bytes.len()));
        let spliced = [&bytes[..a], &bytes[b..], &bytes[..c]].concat();
        if spliced != bytes {
            prop_assert!(parse(&spliced).is_err());
        }
    }
}
