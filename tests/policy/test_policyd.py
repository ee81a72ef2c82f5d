"""policyd as a process against real files of shared memory; a stand-in plays Tier 1 and the cell.

The stand-in follows commands exactly and has no physics: tested is who may move the arm when.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from conf.control import control_bytes
from models.policy.bundle import manifest_of
from runtime.daemon import Context
from runtime.hal.clock import VirtualClock
from runtime.paths import Paths
from runtime.policy import policyd
from runtime.shm import (
    ExecState,
    ObjectKind,
    Phase,
    PolicyReason,
    Shm,
    Source,
    Sources,
    StopLevel,
    Verdict,
    Workspace,
)
from runtime.skills.cache import SkillCache
from runtime.skills.cli import write_manifest
from runtime.skills.signature import public_pem, sign_folder
from runtime.telemetry.client import MemorySink, TelemetryClient
from sim.robot_model import Arm

STEP_NS = 10_000_000
TARGET, PLACE = np.array([0.47, -0.24, 0.05]), np.array([0.47, 0.24, 0.05])
TOPICS = ("people", "scene", "goal", "plan", "verdict", "directive")


def padded(values):
    return np.concatenate([values, np.zeros(8 - len(values))])


class StandIn:
    """A cell whose every reading can be set by a test."""

    def __init__(self, config, root: Path, panda_folder: Path) -> None:
        paths = Paths(root / "run", root / "data")
        paths.shm.mkdir(parents=True)
        paths.control.write_bytes(control_bytes(config))
        install_skill(paths, root / "skill", panda_folder)
        self.clock, self.sink = VirtualClock(), MemorySink()
        shm = Shm(paths.shm)
        telemetry = TelemetryClient(self.sink, "policyd", self.clock)
        self.state = shm.writer("state")
        self.writers = {topic: shm.writer(topic) for topic in TOPICS}
        self.daemon = policyd.build(Context(config, paths, self.clock, shm, telemetry))
        self._command, self._status = shm.reader("command.policy"), shm.reader("policy_status")
        self._kinematics = policyd.open_kinematics(paths.control.read_bytes())
        self.q_rad = np.array(config.robot.home_rad)
        self.qd_rad_s = np.zeros(7)
        self.suction, self.holding = 0.0, False
        self.readings = {
            "state": {},
            "people": {"workspace": Workspace.CLEAR},
            "plan": {"speed_scale": 1.0},
            "verdict": {"verdict": Verdict.OK, "speed_scale": 1.0},
            "directive": {
                "speed_scale": 1.0,
                "allowed_sources": Sources.POLICY | Sources.FALLBACK,
                "policy_rate_hz": 100,
            },
            "goal": {
                "task_id": 5,
                "phase": Phase.PICK,
                "object_id": 1,
                "target_pos": TARGET,
                "place_pos": PLACE,
            },
        }
        self.silent: set[str] = set()
        self.tips: list[np.ndarray] = []

    def step(self, count: int = 1) -> None:
        for _ in range(count):
            self._publish()
            self.daemon.step(self.clock.now_ns())
            self._follow()
            self.clock.advance(STEP_NS)

    def command(self):
        """The command of this step, if there was one."""
        record = self._command.latest()
        fresh = record is not None and record["created_ns"] == self.clock.now_ns() - STEP_NS
        return record if fresh else None

    @property
    def status(self):
        record = self._status.latest()
        assert record is not None
        return record

    @property
    def reason(self) -> PolicyReason:
        return PolicyReason(int(self.status["reason"]))

    def events(self) -> list:
        return [record for record in self.sink.drain() if record.kind == "event"]

    def _publish(self) -> None:
        now_ns = self.clock.now_ns()
        tool = self._kinematics.tool(self.q_rad)
        record = self.state.new()
        fields = {
            "epoch": 1,
            "created_ns": now_ns,
            "q": padded(self.q_rad),
            "q_cmd": padded(self.q_rad),
            "qd_cmd": padded(self.qd_rad_s),
            "tool_pos": tool.tip_m,
            "motor_temp_c": padded(np.full(7, 35.0)),
            "gripper_pressure_kpa": 60.0 if self.holding else 0.0,
            "gripper_holding": self.holding,
            "speed_limit_ratio": 1.0,
            "joints": 7,
            "exec_state": ExecState.READY,
            **self.readings["state"],
        }
        for name, value in fields.items():
            record[name] = value
        if "state" not in self.silent:
            self.state.write(record)
        for topic, writer in self.writers.items():
            if topic in self.silent:
                continue
            if topic == "scene":
                self._write_scene(writer, now_ns)
                continue
            extra = {"capture_ns": now_ns - 30_000_000} if topic == "people" else {}
            writer.write(created_ns=now_ns, **extra, **self.readings[topic])

    def _write_scene(self, writer, now_ns: int) -> None:
        record = writer.new()
        record["created_ns"], record["capture_ns"], record["count"] = now_ns, now_ns, 1
        record["id"][0], record["kind"][0], record["pos"][0] = 1, ObjectKind.PART, TARGET
        writer.write(record)

    def _follow(self) -> None:
        record = self._command.latest()
        if record is None or record["created_ns"] != self.clock.now_ns():
            self.qd_rad_s = np.zeros(7)
            return
        self.q_rad = np.array(record["q"][:7])
        self.qd_rad_s = np.array(record["qd"][:7])
        self.suction = float(record["gripper"])
        tip = self._kinematics.tool(self.q_rad).tip_m
        self.tips.append(tip)
        touching = np.hypot(*(tip[:2] - TARGET[:2])) < 0.015 and tip[2] <= TARGET[2] + 0.001
        self.holding = self.suction > 0.5 and (self.holding or bool(touching))


def install_skill(paths: Paths, folder: Path, panda_folder: Path) -> None:
    folder.mkdir()
    for name in ("primary.onnx", "backup.onnx", "card.yaml"):
        shutil.copyfile(panda_folder / name, folder / name)
    write_manifest(folder / "manifest.yaml", manifest_of(Arm.PANDA))
    key = Ed25519PrivateKey.generate()
    sign_folder(folder, key)
    trusted = paths.pki / "skills"
    trusted.mkdir(parents=True)
    (trusted / "test.pem").write_bytes(public_pem(key.public_key()))
    SkillCache.open(paths.skills, trusted).install(folder, "panda")


@pytest.fixture
def cell(config, tmp_path, panda_folder):
    return StandIn(config, tmp_path, panda_folder)


def test_whole_task_from_reach_to_done(cell, home):
    cell.step(1400)
    assert cell.status["done"] == 1
    assert cell.status["failed"] == 0
    assert cell.status["progress"] == 100
    assert np.max(np.abs(cell.q_rad - home)) < 0.05
    release = PLACE + np.array([0.0, 0.0, 0.008])
    nearest = min(float(np.linalg.norm(tip - release)) for tip in cell.tips)
    assert nearest < 0.02


def test_command_carries_source_epoch_task_and_expiry(cell, config):
    cell.step(3)
    command = cell.command()
    assert command is not None
    assert command["source"] == Source.POLICY
    assert command["epoch"] == 1
    assert command["task_id"] == 5
    life_ns = int(command["expires_ns"]) - int(command["created_ns"])
    assert life_ns == config.robot.safety.command.expiry_ms * 1_000_000


def test_command_says_which_picture_was_there_when_it_was_decided(cell):
    cell.readings["directive"]["policy_rate_hz"] = 50
    cell.step(20)
    seen = set()
    for _ in range(10):
        cell.step()
        command = cell.command()
        seen.add((int(command["created_ns"]) - int(command["observed_ns"])) // STEP_NS)
    assert seen == {0, 1}, "at every second step it is decided, and in between it is played on"
    cell.silent.add("scene")
    cell.step(200)
    assert cell.command()["observed_ns"] == 0, "an old picture is none"


def test_commanded_velocity_is_the_change_of_position(cell):
    cell.step(20)
    before = np.array(cell.command()["q"])
    cell.step()
    command = cell.command()
    assert np.allclose(np.array(command["q"]) - before, np.array(command["qd"]) * 0.01, atol=1e-9)


def test_occupied_workspace_stops_the_arm_and_is_told_as_an_incident(cell):
    cell.step(60)
    assert np.max(np.abs(cell.qd_rad_s)) > 0.1
    cell.events()
    cell.readings["people"]["workspace"] = Workspace.OCCUPIED
    cell.step(30)
    assert np.max(np.abs(cell.qd_rad_s)) == 0.0
    assert cell.reason is PolicyReason.WORKSPACE_OCCUPIED
    told = [event for event in cell.events() if event.name == "action.rejected"]
    assert len(told) == 1
    assert told[0].fields["reason"] == "workspace_occupied"
    assert cell.status["rejected_actions"] == 30
    cell.readings["people"]["workspace"] = Workspace.CLEAR
    cell.step(40)
    assert np.max(np.abs(cell.qd_rad_s)) > 0.1


def test_lasting_rejection_is_told_again_each_second(cell):
    cell.readings["people"]["workspace"] = Workspace.OCCUPIED
    cell.step(350)
    told = [event for event in cell.events() if event.name == "action.rejected"]
    assert len(told) == 4


@pytest.mark.parametrize(
    ("topic", "changes", "reason"),
    [
        ("people", {"workspace": Workspace.UNKNOWN}, PolicyReason.WORKSPACE_OCCUPIED),
        ("verdict", {"verdict": Verdict.VETO}, PolicyReason.VETOED),
        ("state", {"motor_temp_c": padded(np.full(7, 90.0))}, PolicyReason.UNHEALTHY),
    ],
)
def test_failing_check_holds_the_arm_with_its_reason(cell, home, topic, changes, reason):
    cell.readings[topic] = {**cell.readings[topic], **changes}
    cell.step(30)
    assert cell.reason is reason
    assert np.max(np.abs(cell.q_rad - home)) < 1e-9


def test_silent_people_count_as_occupied(cell):
    cell.step(50)
    cell.silent.add("people")
    cell.step(60)
    assert cell.reason is PolicyReason.WORKSPACE_OCCUPIED
    assert np.max(np.abs(cell.qd_rad_s)) == 0.0


def test_without_fresh_state_nothing_is_commanded(cell):
    cell.step(10)
    cell.silent.add("state")
    cell.step(10)
    assert cell.command() is None
    assert cell.reason is PolicyReason.STALE_STATE


@pytest.mark.parametrize(
    ("topic", "changes"),
    [
        ("directive", {"allowed_sources": Sources.FALLBACK}),
        ("directive", {"allowed_sources": 0}),
        ("state", {"stop_level": StopLevel.HOLD}),
        ("state", {"exec_state": ExecState.HOLDING}),
    ],
)
def test_policy_is_silent_where_it_may_not_drive(cell, topic, changes):
    cell.step(10)
    cell.readings[topic] = {**cell.readings[topic], **changes}
    cell.step(2)
    assert cell.command() is None
    assert cell.reason is PolicyReason.MODE_FORBIDS


def test_silent_agent_silences_the_policy(cell):
    cell.step(10)
    cell.silent.add("directive")
    cell.step(110)
    assert cell.command() is None


@pytest.mark.parametrize(
    ("topic", "changes"),
    [
        ("directive", {"speed_scale": 0.5}),
        ("plan", {"speed_scale": 0.5}),
        ("verdict", {"verdict": Verdict.RESTRICT, "speed_scale": 0.5}),
        ("state", {"speed_limit_ratio": 0.5}),
    ],
)
def test_anyone_may_slow_the_policy(cell, config, tmp_path, panda_folder, topic, changes):
    (tmp_path / "other").mkdir()
    other = StandIn(config, tmp_path / "other", panda_folder)
    other.readings[topic] = {**other.readings[topic], **changes}
    cell.step(100)
    other.step(100)
    speeds = [float(np.max(np.abs(one.qd_rad_s))) for one in (cell, other)]
    assert speeds[1] <= 0.56 * max(speeds[0], 1.0)
    assert speeds[1] > 0.1


def test_target_that_is_not_seen_is_not_reached_for(cell, home):
    cell.silent.add("scene")
    cell.step(60)
    assert cell.reason is PolicyReason.TARGET_LOST
    assert np.max(np.abs(cell.q_rad - home)) < 1e-9
    cell.silent.clear()
    cell.step(60)
    assert np.max(np.abs(cell.q_rad - home)) > 0.01


def test_target_hidden_by_the_arm_later_does_not_stop_the_task(cell):
    cell.step(100)
    cell.silent.add("scene")
    cell.step(1400)
    assert cell.status["done"] == 1


def test_planner_leads_around_by_a_waypoint_and_the_task_goes_on(cell, home):
    cell.step(60)
    waypoint = home.copy()
    waypoint[0] = 0.4
    cell.readings["plan"] = {"speed_scale": 0.5, "has_waypoint": 1, "waypoint": padded(waypoint)}
    cell.step(400)
    assert np.max(np.abs(cell.q_rad - waypoint)) < 0.02
    cell.readings["plan"] = {"speed_scale": 1.0}
    cell.step(1400)
    assert cell.status["done"] == 1


def test_fifty_hertz_decides_half_as_often_and_still_commands_each_step(cell):
    cell.readings["directive"]["policy_rate_hz"] = 50
    cell.step(40)
    chunks = int(cell.status["chunk_index"])
    assert cell.command() is not None
    assert 2 <= chunks <= 10
    cell.step(1400)
    assert cell.status["done"] == 1


def test_between_tasks_the_arm_rests_at_home_under_command(cell, home):
    cell.readings["goal"] = {"task_id": 0, "phase": Phase.IDLE}
    cell.step(100)
    assert cell.command() is not None
    assert np.max(np.abs(cell.q_rad - home)) < 0.04
    assert np.max(np.abs(cell.qd_rad_s)) == 0.0


def test_missing_skill_is_said(cell):
    cell.readings["goal"]["skill_hash"] = 12345
    cell.step(3)
    assert cell.command() is None
    assert cell.reason is PolicyReason.SKILL_MISSING


def test_failed_network_hands_over_without_a_gap(cell):
    cell.step(40)

    def broken(observation):
        raise RuntimeError("device lost")

    cell.daemon._inference._primary = broken
    before = cell.q_rad.copy()
    for _ in range(60):
        cell.step()
        assert cell.command() is not None
    assert cell.status["active"] == 2
    assert np.max(np.abs(cell.q_rad - before)) > 0.05
