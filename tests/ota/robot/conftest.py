"""A robot that is well, and its control loop's wake-ups, for tests of the gate."""

import json
from pathlib import Path

import pytest

from runtime.shm import GpuState, Shm
from runtime.shm import Verdict as SafetyVerdict
from runtime.uplink import Uplink, write_uplink
from tests.ota.robot.bench import BOOT_ID, make_robot, own_config
from tests.ota.robot.gate_world import Histograms, World


@pytest.fixture
def wakeups(monkeypatch: pytest.MonkeyPatch) -> Histograms:
    source = Histograms(40.0)
    monkeypatch.setattr("ota.gate_readings.WakeupWatch._look", lambda self: source(self))
    return source


@pytest.fixture
def world(tmp_path: Path, wakeups: Histograms) -> World:
    robot = make_robot(tmp_path)
    world = World(robot, own_config())
    report = {"boot_id": BOOT_ID, "healthy": True, "problems": []}
    robot.paths.boot_report.write_text(json.dumps(report))
    now_ns = world.clock.now_ns()
    write_uplink(robot.paths.uplink, Uplink(connected=True, last_heard_ns=now_ns, at_ns=now_ns))
    (tmp_path / "shm").mkdir()
    shm = Shm(tmp_path / "shm")
    shm.writer("scene").write(created_ns=now_ns, gpu_state=int(GpuState.OK), frames=7)
    shm.writer("policy_status").write(created_ns=now_ns, reason=1)
    shm.writer("verdict").write(created_ns=now_ns, verdict=int(SafetyVerdict.OK))
    return world
