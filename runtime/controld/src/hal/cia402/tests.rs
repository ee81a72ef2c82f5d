use super::fake::{FakeBus, FakeDrive};
use super::*;
use std::collections::VecDeque;

struct Patience(u32);

impl Waiter for Patience {
    fn wait(&mut self) -> bool {
        self.0 += 1;
        self.0 < 100
    }
    fn restart(&mut self) {
        self.0 = 0;
    }
}

const COUNTS: f64 = 10_000.0;

fn axes() -> Vec<Axis> {
    [3, 4, 7].map(|node| Axis { node, counts_per_rad: COUNTS, rated_torque_nm: 40.0 }).to_vec()
}

fn wire() -> FakeBus {
    let drives = vec![FakeDrive::new(3, 1000), FakeDrive::new(4, -2000), FakeDrive::new(7, 30_000)];
    FakeBus { drives, full: false, sent: Vec::new(), answers: VecDeque::new() }
}

fn started(fd: bool) -> Cia402<FakeBus> {
    Cia402::start(wire(), axes(), fd, 1000, &mut Patience(0)).unwrap()
}

fn holding(arm: &mut Cia402<FakeBus>, cycles: usize, actuators: &mut Actuators) -> Option<Sensors> {
    let mut sensors = None;
    for cycle in 0..cycles {
        sensors = arm.read(cycle as i64 * 1_000_000);
        arm.write(actuators);
    }
    sensors
}

fn target(q: [f64; 3], power: bool) -> Actuators {
    let mut actuators = Actuators { power: u8::from(power), ..Actuators::default() };
    actuators.q_des[..3].copy_from_slice(&q);
    actuators
}

#[test]
fn drives_come_up_from_their_own_position_and_then_follow_on_both_kinds_of_wire() {
    for fd in [false, true] {
        let mut arm = started(fd);
        let mut wanted = target([0.1, -0.2, 3.0], true);
        let sensors = holding(&mut arm, 8, &mut wanted).unwrap();
        assert_eq!((sensors.powered, sensors.drive_fault), (1, 0), "fd {fd}");
        assert!(arm.bus().drives.iter().all(|d| d.largest_step == 0), "enabling moved a drive");
        wanted = target([0.11, -0.21, 3.01], true);
        let sensors = holding(&mut arm, 3, &mut wanted).unwrap();
        for (q, want) in sensors.q.iter().zip([0.11, -0.21, 3.01]) {
            assert!((q - want).abs() < 1.0 / COUNTS, "fd {fd}: {q} {want}");
        }
        assert!((sensors.tau[0] - 10.0).abs() < 1e-9, "a quarter of 40 Nm");
        assert!(sensors.motor_temp_c[0].is_nan() && sensors.battery_ratio.is_nan(), "unknown is not zero");
    }
}

#[test]
fn velocity_is_the_drives_own_over_fd_and_the_difference_of_positions_otherwise() {
    for fd in [false, true] {
        let mut arm = started(fd);
        let mut actuators = target([0.1, -0.2, 3.0], true);
        holding(&mut arm, 8, &mut actuators);
        let mut sensors = None;
        for step in 1..=3 {
            actuators.q_des[0] = 0.1 + f64::from(step) * 0.001;
            sensors = holding(&mut arm, 1, &mut actuators).or(sensors);
        }
        let qd = arm.read(0).unwrap().qd[0];
        assert!((qd - 1.0).abs() < 1e-6, "fd {fd}: {qd}, {sensors:?}");
    }
}

#[test]
fn one_fd_frame_commands_all_axes_and_each_drive_maps_its_own_part() {
    let mut arm = started(true);
    let mut actuators = target([0.1, -0.2, 3.0], true);
    arm.bus.sent.clear();
    holding(&mut arm, 1, &mut actuators);
    let ids: Vec<u16> = arm.bus().sent.iter().map(|f| f.id).collect();
    assert_eq!(ids, [pdo::COMMAND_ALL_ID, pdo::SYNC_ID]);
    assert_eq!(arm.bus().sent[0].payload().len(), 24);
}

#[test]
fn a_fault_is_reported_stays_until_power_is_asked_for_anew_and_is_then_reset_once() {
    let mut arm = started(true);
    let mut on = target([0.1, -0.2, 3.0], true);
    holding(&mut arm, 8, &mut on);
    arm.bus.drives[1].fault();
    let sensors = holding(&mut arm, 4, &mut on).unwrap();
    assert_eq!((sensors.drive_fault, sensors.powered), (1, 0));
    holding(&mut arm, 4, &mut target([0.1, -0.2, 3.0], false));
    let sensors = holding(&mut arm, 8, &mut on).unwrap();
    assert_eq!((sensors.drive_fault, sensors.powered), (0, 1), "reset by the re-arm");
}

#[test]
fn a_following_error_is_a_drive_fault() {
    let mut arm = started(false);
    let mut on = target([0.1, -0.2, 3.0], true);
    holding(&mut arm, 8, &mut on);
    arm.bus.drives[2].following_error = true;
    assert_eq!(holding(&mut arm, 2, &mut on).unwrap().drive_fault, 1);
}

#[test]
fn without_power_the_drives_leave_operation_and_their_targets_stay_where_they_are() {
    let mut arm = started(false);
    holding(&mut arm, 8, &mut target([0.1, -0.2, 3.0], true));
    let sensors = holding(&mut arm, 4, &mut target([2.0, 2.0, 2.0], false)).unwrap();
    assert_eq!(sensors.powered, 0);
    assert_eq!(arm.bus().drives[0].position, 1000);
}

#[test]
fn a_drive_that_falls_silent_makes_the_sensors_old_not_fresh() {
    let mut arm = started(true);
    let mut on = target([0.1, -0.2, 3.0], true);
    holding(&mut arm, 8, &mut on);
    arm.bus.drives[0].silent = true;
    let before = holding(&mut arm, 2, &mut on).unwrap();
    let after = holding(&mut arm, 20, &mut on).unwrap();
    assert!(after.created_ns <= before.created_ns, "the oldest report counts");
    assert_eq!(arm.read(0).unwrap().seq, after.seq, "silence is not a new report");
}

#[test]
fn targets_that_no_drive_could_take_are_not_sent() {
    let mut arm = started(false);
    holding(&mut arm, 8, &mut target([0.1, -0.2, 3.0], true));
    for wrong in [f64::NAN, f64::INFINITY, 1e12] {
        holding(&mut arm, 2, &mut target([wrong, -0.2, 3.0], true));
        assert_eq!(arm.bus().drives[0].position, 1000);
    }
}

#[test]
fn a_missing_or_refusing_drive_stops_the_start_and_is_named() {
    let mut silent = wire();
    silent.drives[2].silent = true;
    let error = Cia402::start(silent, axes(), true, 1000, &mut Patience(0)).err().unwrap();
    assert_eq!(error, SetupError::Silent { node: 7, object: 0x0060_6000 });
    assert!(error.to_string().contains("drive 7 does not answer"));
    let mut refusing = wire();
    refusing.drives[0].refuses = Some(0x0060_c201);
    let error = Cia402::start(refusing, axes(), true, 1000, &mut Patience(0)).err().unwrap();
    assert_eq!(
        error.to_string(),
        "drive 3 refuses object 0x60c2:1 with abort code 0x06090030: this drive cannot be used as configured"
    );
    let full = FakeBus { full: true, ..wire() };
    assert_eq!(Cia402::start(full, axes(), true, 1000, &mut Patience(0)).err(), Some(SetupError::BusFull));
}

#[test]
fn every_status_word_has_a_state_and_only_the_right_ones_enable() {
    for word in 0..=u16::MAX {
        let enabled = DriveState::of(word) == DriveState::Enabled;
        assert_eq!(enabled, word & 0x6f == 0x27);
    }
}

/// The same arm over a real socket. Run by tests/controld/test_virtual_can.py where this kernel has the interface, which says
/// so where it has not.
#[test]
#[ignore = "needs the virtual CAN interface vcan0"]
fn an_arm_runs_over_a_virtual_can_interface() {
    use crate::sys::can::Socket;
    let [ours, theirs] = [(); 2].map(|()| Socket::open("vcan0", true).unwrap());
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| run_drives(theirs, &done));
        struct Sleeper(u32);
        impl Waiter for Sleeper {
            fn wait(&mut self) -> bool {
                std::thread::sleep(std::time::Duration::from_millis(1));
                self.0 += 1;
                self.0 < 1000
            }
            fn restart(&mut self) {
                self.0 = 0;
            }
        }
        let mut arm = Cia402::start(ours, axes(), true, 1000, &mut Sleeper(0)).unwrap();
        let mut sensors = None;
        for cycle in 0..200 {
            sensors = arm.read(cycle).or(sensors);
            arm.write(&target([0.1, -0.2, 3.0], true));
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(sensors.unwrap().powered, 1);
    });
}

fn run_drives(mut socket: crate::sys::can::Socket, done: &std::sync::atomic::AtomicBool) {
    let mut wire = wire();
    while !done.load(std::sync::atomic::Ordering::Relaxed) {
        while let Some(frame) = socket.receive() {
            wire.send(&frame);
            while let Some(answer) = wire.receive() {
                socket.send(&answer);
            }
        }
        std::thread::sleep(std::time::Duration::from_micros(100));
    }
}
