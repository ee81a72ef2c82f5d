"""The plant without a cell moves as MuJoCo's does on the same commands."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from conf.control import control_bytes, write_control
from conf.load import compose, options_of
from conf.schema import Config
from runtime.shm import Shm
from runtime.shm.dynamics import RobotModel
from sim.compile_drives import DRIVES, drives_text
from sim.layout import Array
from sim.run import BINARIES
from sim.scene import Scene

BINARY = BINARIES / "dynamics"
MOVING_MS, BRAKED_MS = 2500, 700
SWING_RAD = 0.35
# MuJoCo solves dry friction softly, this plant exactly: 0.02 mrad on the arm that has some, less
# than 0.001 on the other, and no more while the brakes bring it to a stand.
MOVING_RAD, BRAKED_RAD = 5e-5, 1e-4

pytestmark = pytest.mark.skipif(
    not BINARY.is_file(), reason=f"{BINARY} is not built; try  runtime/controld/build.sh"
)


def test_drives_of_the_bare_arm_are_those_of_the_cell() -> None:
    assert DRIVES.read_text() == drives_text(), "try  python -m sim.compile_drives"


def swing(home_rad: Array, tick: int) -> tuple[Array, Array, Array]:
    """Position, velocity and acceleration of a swing of all joints, each at a pace of its own."""
    t = tick / 1000
    pace = 2.0 + 0.7 * np.arange(len(home_rad))
    start = 1.0 - np.exp(-4.0 * t * t)  # from rest
    q = home_rad + SWING_RAD * start * np.sin(pace * t)
    qd = SWING_RAD * (
        start * pace * np.cos(pace * t) + 8.0 * t * np.exp(-4.0 * t * t) * np.sin(pace * t)
    )
    return q, qd, -SWING_RAD * start * pace**2 * np.sin(pace * t)


def commands_of(config: Config) -> list[dict[str, object]]:
    home = np.array(config.robot.home_rad)
    model = RobotModel(control_bytes(config))
    lines: list[dict[str, object]] = []
    for tick in range(MOVING_MS + BRAKED_MS):
        q, qd, qdd = swing(home, tick)
        lines.append(
            {
                "q_rad": q.tolist(),
                "qd_rad_s": qd.tolist(),
                "tau_ff_nm": model.inverse_dynamics(q, qd, qdd).tolist(),
                "power": tick < MOVING_MS,
            }
        )
    return lines


def bare_arm(config: Config, commands: list[dict[str, object]], folder: Path) -> Array:
    write_control(config, folder / "control.json")
    told = folder / "commands"
    told.write_text("".join(json.dumps(line) + "\n" for line in commands))
    done = subprocess.run(
        [BINARY, "--control", folder / "control.json", "--offline", told],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return np.array([json.loads(line) for line in done.stdout.splitlines()])


def arm_in_its_cell(config: Config, commands: list[dict[str, object]]) -> Array:
    scene = Scene(
        1,
        config.robot.arm.kind.value,
        people=0,
        parts=0,
        pool=1,
        distractors=0,
        home_rad=config.robot.home_rad,
    )
    path: list[Array] = []
    for line in commands:
        scene.set_power(bool(line["power"]))
        scene.set_joint_targets(
            np.array(line["q_rad"]), np.array(line["qd_rad_s"]), np.array(line["tau_ff_nm"])
        )
        scene.step_once()
        path.append(scene.q.copy())
    return np.array(path)


@pytest.mark.parametrize("facility", options_of("facility"))
def test_bare_arm_moves_as_the_arm_in_its_cell(facility: str, tmp_path: Path) -> None:
    config = compose(hardware="sim_x86", facility=facility).config
    commands = commands_of(config)
    bare, whole = bare_arm(config, commands, tmp_path), arm_in_its_cell(config, commands)
    away = np.abs(bare - whole).max(axis=1)
    assert np.ptp(whole, axis=0).min() > SWING_RAD, "every joint has moved"
    assert away[:MOVING_MS].max() < MOVING_RAD
    assert away.max() < BRAKED_RAD


def test_another_mass_would_be_seen(tmp_path: Path) -> None:
    """The bound is tight enough that a tool of another weight breaks it."""
    config = compose(hardware="sim_x86", facility="osaka").config
    commands = commands_of(config)
    links = list(config.robot.model.links)
    links[-1] = links[-1].model_copy(update={"mass_kg": links[-1].mass_kg * 1.2})
    model = config.robot.model.model_copy(update={"links": tuple(links)})
    heavier = config.model_copy(update={"robot": config.robot.model_copy(update={"model": model})})
    away = np.abs(bare_arm(heavier, commands, tmp_path) - arm_in_its_cell(config, commands))
    assert away[:MOVING_MS].max() > MOVING_RAD


def test_a_senseless_command_file_is_refused_with_its_line(tmp_path: Path) -> None:
    config = compose(hardware="sim_x86", facility="osaka").config
    write_control(config, tmp_path / "control.json")
    good = json.dumps(commands_of(config)[0])
    for second, said in (("{", "line 2"), (good.replace("true", "1"), "line 2")):
        (tmp_path / "commands").write_text(f"{good}\n{second}\n")
        done = subprocess.run(
            [BINARY, "--control", tmp_path / "control.json", "--offline", tmp_path / "commands"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert said in done.stderr


# The process


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[tuple[Config, Path, subprocess.Popen[str]]]:
    config = compose(hardware="qemu_arm64", facility="osaka").config
    write_control(config, tmp_path / "control.json")
    process = start(tmp_path)
    yield config, tmp_path / "shm", process
    process.terminate()
    process.communicate(timeout=10)


def start(folder: Path, **surroundings: str) -> subprocess.Popen[str]:
    command = [str(BINARY), "--control", str(folder / "control.json"), "--shm", str(folder / "shm")]
    env = os.environ | surroundings
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)


def sensors_after(shm: Path, tick: int) -> np.void:
    """The first reading beyond this tick; the machine may take its time."""
    reader = Shm(shm).reader("hal.sensors")
    for _ in range(2000):
        record = reader.latest() if (shm / "hal.sensors").exists() else None
        if record is not None and record["tick"] > tick:
            return record
        time.sleep(0.01)
    raise AssertionError(f"no reading beyond tick {tick}")


def test_the_plant_speaks_as_the_cells_plant_does(
    plant: tuple[Config, Path, subprocess.Popen[str]],
) -> None:
    config, shm, _ = plant
    joints = len(config.robot.home_rad)
    first = sensors_after(shm, 0)
    assert np.allclose(first["q"][:joints], config.robot.home_rad, atol=1e-3)
    assert not first["powered"]
    assert not first["drive_fault"]
    assert 0.9 < first["battery_ratio"] < 1.0
    # In slow motion its milliseconds are the robot's: the stamps and the ticks go together.
    later = sensors_after(shm, int(first["tick"]) + 20)
    ticks = int(later["tick"]) - int(first["tick"])
    assert int(later["created_ns"]) - int(first["created_ns"]) == ticks * 1_000_000


def test_a_plant_that_turns_says_so_to_whoever_watches_it(tmp_path: Path) -> None:
    """systemd kills a unit that is silent, and with it the sensors of Tier 1."""
    write_control(compose(hardware="qemu_arm64").config, tmp_path / "control.json")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as watcher:
        watcher.bind(str(tmp_path / "notify"))
        watcher.settimeout(20)
        process = start(tmp_path, NOTIFY_SOCKET=str(tmp_path / "notify"))
        try:
            said = [watcher.recv(4096).decode() for _ in range(4)]
        finally:
            process.terminate()
            process.communicate(timeout=10)
    assert said[0] == "READY=1"
    assert set(said[1:]) == {"WATCHDOG=1"}


def test_two_plants_do_not_write_the_same_sensors(
    plant: tuple[Config, Path, subprocess.Popen[str]],
) -> None:
    _, shm, _ = plant
    sensors_after(shm, 0)
    second = start(shm.parent)
    _, said = second.communicate(timeout=20)
    assert second.returncode == 4
    assert "has a writer already" in said


def test_a_plant_beside_a_real_arm_does_not_start(tmp_path: Path) -> None:
    write_control(compose(hardware="jetson_agx_orin").config, tmp_path / "control.json")
    _, said = (process := start(tmp_path)).communicate(timeout=20)
    assert process.returncode == 3
    assert "simulated sensors beside it would be believed" in said
