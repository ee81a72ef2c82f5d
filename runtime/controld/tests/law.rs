//! The law of the control thread is enforced, not intended: each planted breach ends the process with its reason.
//! Needs the feature `plant-faults`: `cargo test --features plant-faults --test law`.
#![cfg(feature = "plant-faults")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::path::PathBuf;
use std::process::{Command, Output};

/// The sample profile without real-time rights: a loop that is stuck on purpose must not hold a CPU of its host.
fn gentle_control() -> Vec<u8> {
    let mut json: serde_json::Value = serde_json::from_slice(&include_bytes!("data/osaka.control")[65..]).unwrap();
    json["cycle"]["policy"] = "other".into();
    json["cycle"]["cpu"] = serde_json::Value::Null;
    json["cycle"]["lock_memory"] = false.into();
    controld::control::enclose(&json.to_string())
}

fn run_planted(breach: &str) -> Output {
    let shm = PathBuf::from(format!("/dev/shm/bedplate-test-law-{}-{breach}", std::process::id()));
    std::fs::create_dir_all(&shm).unwrap();
    let control = shm.join("control.json");
    std::fs::write(&control, gentle_control()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_controld"))
        .arg("--control")
        .arg(control)
        .arg("--shm")
        .arg(&shm)
        .args(["--plant", breach])
        .output()
        .unwrap();
    std::fs::remove_dir_all(&shm).unwrap();
    output
}

fn assert_ends(breach: &str, code: i32, reason: &str) {
    let output = run_planted(breach);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(reason), "{said}");
}

#[test]
fn an_allocation_on_the_control_thread_ends_the_process_and_is_named() {
    assert_ends("allocation", 70, "the control thread asked the allocator for 123 bytes after start, which it never may");
}

#[test]
fn a_system_call_on_the_control_thread_ends_the_process_and_is_named() {
    let open = if cfg!(target_arch = "x86_64") { 257 } else { 56 };
    assert_ends("syscall", 70, &format!("the control thread made system call {open} after start, which it never may"));
}

#[test]
fn a_panic_on_the_control_thread_ends_the_process_and_is_named() {
    assert_ends("panic", 70, "the control thread panicked at line");
}

#[test]
fn a_loop_that_is_stuck_is_noticed_by_the_watchdog_and_ended_where_nobody_else_would() {
    assert_ends("stuck", 71, "the control loop is stuck");
}
