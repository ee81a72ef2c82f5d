"""The plant obeys its actuators, tells the truth with noise, and acts its faults out."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.schema import Config
from runtime.daemon import Context
from sim.faults import Component, FaultBoard, Kind, Venue
from sim.plant import CATCH_UP_STEPS, Plant, Setpoint, between
from sim.scenario import load_scenario
from sim.score import read_tally
from sim.truth import FaultReader, FaultWriter, SceneReader, truth_memory
from tests.sim.cores import SwingingCore, make_context

MS = 1_000_000


class Rig:
    """A plant, a core that swings the first joint, and one clock."""

    def __init__(self, context: Context, scenario: str = "empty") -> None:
        self.context, self.clock = context, context.clock
        self.board = FaultBoard(Venue.LOCK_STEP)
        self.plant = Plant(context, load_scenario(scenario), self.board)
        self.core = SwingingCore(context.paths.control, context.paths.shm)
        self.reader = context.shm.reader("hal.sensors")

    def run(self, milliseconds: int, *, commanded: bool = True) -> list[np.void]:
        """Every distinct sensor record of this time."""
        seen: list[np.void] = []
        self.truth: list[float] = []
        for _ in range(milliseconds):
            now_ns = self.clock.advance(MS)  # type: ignore[attr-defined]
            self.plant.step(now_ns)
            if commanded:
                self.core.cycle(now_ns)
            self.truth.append(float(self.plant.scene.q[0]))
            record = self.reader.latest()
            if record is not None and (not seen or record["seq"] != seen[-1]["seq"]):
                seen.append(record)
        return seen

    def inject(self, component: Component, kind: Kind) -> None:
        self.board.inject(component, kind, self.clock.now_ns())


@pytest.fixture
def rig(context: Context) -> Rig:
    return Rig(context)


def test_plant_without_a_control_process_stands_on_its_brakes(rig: Rig) -> None:
    home = rig.plant.scene.q.copy()
    records = rig.run(400, commanded=False)
    assert len(records) == 400
    assert not any(record["powered"] for record in records)
    assert np.abs(rig.plant.scene.q - home).max() < 1e-3


def test_plant_follows_commands_and_says_where_it_is(rig: Rig) -> None:
    records = rig.run(800)
    last, n = records[-1], rig.plant.scene.joints
    assert last["powered"] == 1
    assert last["q"][:n] == pytest.approx(rig.plant.scene.q, abs=2e-4)
    assert last["qd"][:n] == pytest.approx(rig.plant.scene.qd, abs=0.03)
    moved = [record["q"][0] for record in records]
    assert max(moved) - min(moved) > 0.2
    assert [int(record["tick"]) for record in records] == list(range(1, 801))


def test_plant_ticks_carry_rising_times(rig: Rig) -> None:
    times = [int(record["created_ns"]) for record in rig.run(50)]
    assert np.diff(times).tolist() == [MS] * 49


def test_power_off_closes_the_brakes_and_power_on_opens_them(rig: Rig) -> None:
    rig.run(300)
    rig.core.power = False
    rig.run(50)
    held = rig.plant.scene.q.copy()
    off = rig.run(500)
    assert not off[-1]["powered"]
    assert np.abs(rig.plant.scene.q - held).max() < 2e-3
    rig.core.power = True
    assert rig.run(50)[-1]["powered"]


def test_drives_hold_then_brake_when_the_control_process_falls_silent(rig: Rig) -> None:
    rig.run(300)
    held = rig.run(120, commanded=False)
    assert held[-1]["powered"]
    assert np.abs(rig.plant.scene.qd).max() < 0.05
    braked = rig.run(300, commanded=False)
    assert not braked[-1]["powered"]


def test_drives_refuse_a_command_that_is_no_number(rig: Rig) -> None:
    rig.run(100)
    rig.core.swing_rad = float("nan")
    last = rig.run(20)[-1]
    assert last["drive_fault"]
    assert not last["powered"]


def test_same_seed_gives_the_same_sensor_bytes(config: Config, tmp_path: Path) -> None:
    def run(folder: str) -> list[bytes]:
        rig = Rig(make_context(config, tmp_path / folder), "picking")
        return [record.tobytes() for record in rig.run(200)]

    first = run("first")
    assert first == run("second")
    assert len(set(first)) == 200


def test_late_wake_up_is_made_up_for_and_a_long_one_is_given_up(rig: Rig) -> None:
    rig.run(20)
    ticks = rig.plant.tick
    rig.plant.step(rig.clock.advance(10 * MS))  # type: ignore[attr-defined]
    assert rig.plant.tick == ticks + 10
    rig.plant.step(rig.clock.advance(3000 * MS))  # type: ignore[attr-defined]
    assert rig.plant.tick == ticks + 10 + CATCH_UP_STEPS
    rig.plant.step(rig.clock.advance(MS))  # type: ignore[attr-defined]
    assert rig.plant.tick == ticks + 11 + CATCH_UP_STEPS


def test_made_up_steps_follow_what_was_commanded_then(config: Config, tmp_path: Path) -> None:
    """The control process went on while the plant was late; that must not kick the arm."""

    def joint_after(late_ms: int, folder: str) -> tuple[float, float]:
        rig = Rig(make_context(config, tmp_path / folder))
        rig.run(600)
        for _ in range(late_ms):
            rig.core.cycle(rig.clock.advance(MS))  # type: ignore[attr-defined]
        rig.run(41 - late_ms)
        return float(rig.plant.scene.q[0]), float(rig.plant.scene.qd[0])

    (q, qd), (q_late, qd_late) = joint_after(0, "on_time"), joint_after(40, "late")
    assert q_late == pytest.approx(q, abs=2e-5)
    assert qd_late == pytest.approx(qd, abs=5e-3)


@given(
    a=st.floats(-3, 3),
    b=st.floats(-2, 2),
    c=st.floats(-9, 9),
    d=st.floats(-90, 90),
    span_ms=st.integers(1, 60),
    share=st.floats(0, 1),
)
def test_setpoints_between_two_lie_on_the_cubic_that_joins_them(a, b, c, d, span_ms, share):
    def setpoint(t_ns: int) -> Setpoint:
        t = t_ns / 1e9
        q, qd = a + t * (b + t * (c + t * d)), b + t * (2 * c + t * 3 * d)
        return Setpoint(t_ns, np.array([q]), np.array([qd]))

    middle_ns = round(share * span_ms * MS)
    q_rad, qd_rad_s = between(setpoint(0), setpoint(span_ms * MS), middle_ns)
    assert q_rad == pytest.approx(setpoint(middle_ns).q_rad, abs=1e-9)
    assert qd_rad_s == pytest.approx(setpoint(middle_ns).qd_rad_s, abs=1e-6)


def test_motors_warm_up_with_torque_and_battery_drains(rig: Rig) -> None:
    first, last = (rig.run(500)[-1] for _ in range(2))
    n = rig.plant.scene.joints
    assert np.isfinite(last["motor_temp_c"][:n]).all()
    assert 20 < last["motor_temp_c"][:n].min() < 45
    assert last["battery_ratio"] < first["battery_ratio"]


# Faults


@pytest.mark.parametrize("kind", list(Kind))
def test_joint_sensor_faults_show_in_the_readings(rig: Rig, kind: Kind) -> None:
    rig.run(300)
    rig.inject(Component.JOINT_SENSOR, kind)
    records = rig.run(500)
    truth = rig.plant.scene.q
    match kind:
        case Kind.OFF:
            assert records == [] or len(records) == 1
        case Kind.STUCK:
            assert len({record["q"].tobytes() for record in records[1:]}) == 1
            assert len({int(record["tick"]) for record in records}) == 500
        case Kind.GARBAGE:
            assert np.std([record["q"][1] for record in records]) > 1.0
        case Kind.WRONG:
            assert records[-1]["q"][1] == pytest.approx(truth[1] + 0.2, abs=1e-3)
        case Kind.SLOW:
            assert 18 <= len(records) <= 22
        case Kind.DELAYED:
            lag = [abs(r["q"][0] - q) for r, q in zip(records, rig.truth[-500:], strict=True)]
            assert max(lag) == pytest.approx(0.6 * 0.020, rel=0.3)  # rad/s times 20 ms
        case Kind.INTERMITTENT:
            assert 430 <= len(records) <= 441
    rig.board.clear(Component.JOINT_SENSOR)
    healthy = rig.run(50)
    assert len(healthy) == 50
    assert healthy[-1]["q"][:7] == pytest.approx(rig.plant.scene.q, abs=2e-4)


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        (Kind.OFF, lambda temps: np.isnan(temps).all()),
        (Kind.STUCK, lambda temps: (temps == temps[0]).all()),
        (Kind.GARBAGE, lambda temps: temps.std() > 100),
        (Kind.WRONG, lambda temps: (temps[:, 2] > 85).all()),
        (Kind.INTERMITTENT, lambda temps: np.isnan(temps).all()),
    ],
)
def test_motor_temperature_faults_show_in_the_readings(rig: Rig, kind: Kind, check: object) -> None:
    rig.run(50)
    rig.inject(Component.MOTOR_TEMP, kind)
    temps = np.array([record["motor_temp_c"][:7] for record in rig.run(200)])
    assert check(temps)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("kind", "pressed"), [(Kind.OFF, 500), (Kind.STUCK, 500), (Kind.INTERMITTENT, 20)]
)
def test_estop_faults_press_the_button(rig: Rig, kind: Kind, pressed: int) -> None:
    rig.run(10)
    rig.inject(Component.ESTOP, kind)
    counted = sum(int(record["estop"]) for record in rig.run(500))
    assert abs(counted - pressed) <= 1
    rig.board.clear(Component.ESTOP)
    assert not rig.run(5)[-1]["estop"]


@pytest.mark.parametrize("kind", list(Kind))
def test_gripper_faults_change_what_the_vacuum_does(rig: Rig, kind: Kind) -> None:
    """Against a cup that is held shut: what the pressure reads with vacuum on, then off."""
    cup = rig.plant.scene.suction_cup
    cup._find_seal = lambda data: None  # type: ignore[method-assign]
    rig.run(50)
    rig.inject(Component.GRIPPER, kind)
    rig.core.gripper = 1.0
    on = [float(record["gripper_pressure_kpa"]) for record in rig.run(300)]
    rig.core.gripper = 0.0
    off = [float(record["gripper_pressure_kpa"]) for record in rig.run(300)]
    open_kpa = 4.0
    match kind:
        case Kind.OFF:
            assert max(on) < 1.5
        case Kind.STUCK:
            assert off[-1] == pytest.approx(open_kpa, abs=1.5)
        case Kind.GARBAGE:
            assert np.std(on) > 20
        case Kind.WRONG:
            assert min(on + off) > 50
        case Kind.SLOW:
            assert np.mean(on[50:100]) < 2.0
        case Kind.DELAYED:
            assert max(on) < 1.5
            assert max(off) > 2.0
        case Kind.INTERMITTENT:
            assert max(on[:250]) < 1.5


def test_intruder_comes_to_the_robot_and_leaves_when_cleared(rig: Rig) -> None:
    rig.inject(Component.PERSON, Kind.WRONG)
    rig.run(6000, commanded=False)
    stance = rig.plant.scene.stances()[-1]
    assert stance is not None
    assert stance.reaching
    assert stance.position_m == rig.plant.scene.layout.intruder_goal_m
    rig.board.clear(Component.PERSON)
    rig.run(5500, commanded=False)
    assert rig.plant.scene.stances()[-1] is None


def test_faults_reach_the_plant_through_shared_memory(context: Context) -> None:
    truth = truth_memory(context.paths)
    board, writer, reader = FaultBoard(Venue.FREE_RUNNING), FaultWriter(truth), FaultReader(truth)
    board.inject(Component.GRIPPER, Kind.SLOW, 77)
    writer.write(board, 80)
    reader.refresh()
    fault = reader.active(Component.GRIPPER)
    assert fault is not None
    assert (fault.kind, fault.since_ns) == (Kind.SLOW, 77)
    board.clear(Component.GRIPPER)
    writer.write(board, 90)
    reader.refresh()
    assert reader.active(Component.GRIPPER) is None


def test_plant_publishes_scene_and_tally_below_the_truth_folder_only(rig: Rig) -> None:
    rig.run(120)
    shown = SceneReader(truth_memory(rig.context.paths)).latest()
    assert shown is not None
    assert shown[0].shape == rig.plant.scene.capture().shape
    tally = read_tally(rig.context.paths.shm)
    assert tally is not None
    assert tally.placed == 0
    outside = {path.name for path in rig.context.paths.shm.iterdir() if path.is_file()}
    assert outside == {"hal.sensors", "hal.actuators"}
