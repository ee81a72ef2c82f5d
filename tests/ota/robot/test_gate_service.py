"""The gate's service over a machine that is told what to be: verdicts, and what follows them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conf.schema import Config
from ota.commit_gate import Item, Verdict
from ota.gate import COMMIT, GRACE_S, judge_boot, judge_switch, settle_switch
from ota.gate_readings import (
    Looker,
    Machine,
    boot_reading,
    disk_reading,
    fleet_reading,
    latency_limits,
    read_environment,
    server_reading,
)
from ota.status import as_lines, read_status
from ota.switch import begin, store_folder
from records import Certainty
from runtime.active import Selection, read_trial
from runtime.hal.clock import VirtualClock
from runtime.paths import Paths
from runtime.shm import GpuState, Shm
from runtime.uplink import Uplink, write_uplink
from tests.ota.robot.bench import BOOT_ID, Robot, make_robot, own_config, tighter_config


@dataclass
class World:
    """A robot that is well, unless a test says otherwise. Time passes while somebody waits."""

    robot: Robot
    config: Config
    booted: str = "a"
    part: str = "2"
    trial: str = "0"
    down: tuple[str, ...] = ()
    entered_s: float = 5.0
    now_s: float = 20.0
    server: bool = False
    told: list[tuple[str, ...]] = field(default_factory=list)
    events: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    commits: bool = True
    clock: VirtualClock = field(default_factory=VirtualClock)

    def run(self, command: Sequence[str]) -> str | None:
        words = tuple(command)
        if words[0] == "print":
            return f"mender_boot_part={self.part}\nupgrade_available={self.trial}\n"
        if words[:2] == ("systemctl", "show"):
            return "\n\n".join(self._unit(unit) for unit in words[3:])
        self.told.append(words)
        if words == COMMIT and self.commits:
            self.trial = "0"
        return ""

    def _unit(self, unit: str) -> str:
        state = "failed" if unit.split("-")[1].split(".")[0] in self.down else "active"
        entered = int(self.entered_s * 1e6)
        return f"Id={unit}\nActiveState={state}\nActiveEnterTimestampMonotonic={entered}"

    def pause(self, seconds: float) -> None:
        self.now_s += seconds

    def tell(self, name: str, well: bool, fields: dict[str, str]) -> None:
        assert well is (name == "ota.gate_passed")
        self.events.append((name, fields))

    def machine(self) -> Machine:
        proc = self.robot.home / "proc"
        (proc / "sys/kernel/random").mkdir(parents=True, exist_ok=True)
        (proc / "cmdline").write_text(f"ro bedplate.slot={self.booted}\n")
        (proc / "sys/kernel/random/boot_id").write_text(f"{BOOT_ID}\n")
        return Machine(
            self.config, self.robot.paths, self.robot.home / "shm", self.clock, self.run, proc,
            "print", lambda: self.now_s, self.tell, lambda url, authority: self.server,
        )  # fmt: skip

    def gate(self) -> dict[str, Any]:
        return json.loads(self.robot.paths.gate.read_text())


@pytest.fixture
def world(tmp_path: Path) -> World:
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
    shm.writer("verdict").write(created_ns=now_ns)
    return world


class Histograms:
    """In place of controld's own file: so many wake-ups a look, each this late."""

    def __init__(self, upper_us: float) -> None:
        self.looks = 0
        self.upper_us = upper_us

    def __call__(self, watch: object) -> tuple[int, Any]:
        from runtime.shm import Histogram

        self.looks += 1
        bounds, counts = np.array([self.upper_us, np.inf]), np.array([self.looks * 2000, 0])
        return 1, Histogram(bounds, counts.astype(np.uint64))


@pytest.fixture(autouse=True)
def wakeups(monkeypatch: pytest.MonkeyPatch) -> Histograms:
    source = Histograms(40.0)
    monkeypatch.setattr("ota.gate_readings.WakeupWatch._look", lambda self: source(self))
    return source


def judge(world: World) -> Verdict:
    return judge_boot(world.machine(), world.pause, lambda: None).verdict


def test_a_well_robot_passes_once_everything_has_run_for_the_declared_time(world: World) -> None:
    assert judge(world) is Verdict.PASS
    table = world.gate()
    assert (table["verdict"], table["slot"], table["boot_id"]) == ("pass", "a", BOOT_ID)
    assert table["reasons"] == []
    assert world.now_s >= world.entered_s + world.config.ota.gate.observe_s
    assert {row["item"] for row in table["readings"]} == {item.value for item in Item}


def test_a_pass_on_trial_is_committed_by_itself_only_if_it_came_from_a_file(world: World) -> None:
    world.part, world.booted, world.trial = "3", "b", "1"
    world.robot.paths.ota.mkdir()
    (world.robot.paths.ota / "install.json").write_text('{"version": 1, "source": "file"}')
    assert judge(world) is Verdict.PASS
    assert COMMIT in world.told
    assert not (world.robot.paths.ota / "install.json").exists()
    kept = json.loads((world.robot.paths.ota / "latency.json").read_text())
    assert kept["p999_us"] == 40.0


def test_the_latency_is_kept_only_after_the_commit(world: World) -> None:
    world.part, world.booted, world.trial = "3", "b", "1"
    seen: list[bool] = []

    def pause(seconds: float) -> None:
        world.pause(seconds)
        if world.gate()["verdict"] == "pass":
            seen.append((world.robot.paths.ota / "latency.json").exists())
            world.trial = "0" if len(seen) > 3 else "1"

    judge_boot(world.machine(), pause, lambda: None)
    assert seen == [False] * 4
    assert (world.robot.paths.ota / "latency.json").exists()


def test_a_slow_build_in_its_own_time_is_left_by_a_restart(
    world: World, wakeups: Histograms
) -> None:
    """The planted fault: on a board whose clock is its own, the loop wakes twice as late."""
    from conf.load import compose

    world.config = compose(hardware="qemu_arm64_icount", facility="osaka").config
    world.part, world.booted, world.trial = "3", "b", "1"
    world.robot.paths.ota.mkdir()
    kept = {"hardware": "qemu_arm64_icount", "p999_us": 40.0}
    (world.robot.paths.ota / "latency.json").write_text(json.dumps(kept))
    wakeups.upper_us = 80.0
    assert judge(world) is Verdict.FAIL
    assert any("gate.latency is wrong: 80.0 µs" in row for row in world.gate()["reasons"])
    assert ("systemctl", "reboot") in world.told
    assert world.now_s >= GRACE_S
    assert json.loads((world.robot.paths.ota / "latency.json").read_text()) == kept


def test_in_slow_motion_latency_is_only_told(world: World, wakeups: Histograms) -> None:
    wakeups.upper_us = 5000.0
    assert judge(world) is Verdict.PASS
    told = {row["item"]: row["found"] for row in world.gate()["readings"]}[Item.LATENCY.value]
    assert "only told" in told


@pytest.mark.parametrize(
    ("hardware", "decides"),
    [("qemu_arm64", False), ("qemu_arm64_icount", True), ("jetson_agx_orin", True),
     ("sim_x86", False)],
)  # fmt: skip
def test_whether_latency_decides_follows_from_the_profile(hardware: str, decides: bool) -> None:
    from conf.load import compose

    limits = latency_limits(compose(hardware=hardware).config, 60)
    assert limits.decides is decides
    assert bool(limits.why_not) is not decides


def test_another_slot_than_the_one_that_should_have_booted_fails_at_once(world: World) -> None:
    world.part, world.booted = "3", "a"
    assert judge(world) is Verdict.FAIL
    assert world.now_s < 30


def test_a_process_that_is_down_fails_at_the_deadline_with_its_name(world: World) -> None:
    world.down, world.part, world.booted, world.trial = ("visiond", "policyd"), "3", "b", "1"
    assert judge(world) is Verdict.FAIL
    assert world.now_s >= world.config.ota.gate.timeout_s
    assert any("policyd" in row for row in world.gate()["reasons"])
    assert ("systemctl", "reboot") in world.told
    assert [name for name, _ in world.events] == ["ota.gate_failed"]
    assert "policyd" in world.events[0][1]["reasons"]


def test_why_a_slot_was_not_kept_is_known_after_the_restart(world: World) -> None:
    world.down, world.part, world.booted, world.trial = ("policyd",), "3", "b", "1"
    judge(world)
    world.robot.paths.gate.unlink()
    lines = as_lines(read_status(world.robot.paths, lambda _: None, world.machine().proc))
    assert any(line.startswith("last not kept: dev in slot b") for line in lines)
    assert any("policyd" in line for line in lines)


def test_a_failed_boot_that_is_not_on_trial_is_told_and_nothing_else(world: World) -> None:
    world.down = ("policyd",)
    assert judge(world) is Verdict.FAIL
    assert world.told == []


def test_a_client_that_rolls_back_by_itself_is_left_to_it(world: World) -> None:
    world.part, world.booted, world.trial = "2", "b", "1"

    def pause(seconds: float) -> None:
        world.pause(seconds)
        world.trial = "0"

    assert judge_boot(world.machine(), pause, lambda: None).verdict is Verdict.FAIL
    assert world.told == []


def test_an_environment_that_cannot_be_read_never_passes(world: World) -> None:
    world.part = "?"
    assert judge(world) is Verdict.FAIL
    assert read_environment(world.machine()).slot is None


@pytest.mark.parametrize(
    ("report", "certainty"),
    [
        ({"boot_id": BOOT_ID, "healthy": True, "problems": []}, Certainty.OK),
        ({"boot_id": BOOT_ID, "healthy": False, "problems": ["x"]}, Certainty.WRONG),
        ({"boot_id": BOOT_ID, "healthy": None, "problems": []}, Certainty.UNKNOWN),
        ({"boot_id": "another", "healthy": True, "problems": []}, Certainty.UNKNOWN),
        ([], Certainty.UNKNOWN),
    ],
)
def test_only_a_clean_report_of_this_boot_counts(
    world: World, report: object, certainty: Certainty
) -> None:
    world.robot.paths.boot_report.write_text(json.dumps(report))
    assert boot_reading(world.machine()).certainty is certainty


def test_a_fleet_that_fell_silent_is_not_there(world: World) -> None:
    now_ns = world.clock.now_ns()
    for connected, heard, at in ((False, now_ns, now_ns), (True, None, now_ns)):
        uplink = Uplink(connected=connected, last_heard_ns=heard, at_ns=at)
        write_uplink(world.robot.paths.uplink, uplink)
        assert fleet_reading(world.machine()).certainty is Certainty.WRONG
    world.clock.advance(100_000_000_000)
    assert fleet_reading(world.machine()).certainty is Certainty.UNKNOWN
    world.robot.paths.uplink.unlink()
    assert fleet_reading(world.machine()).certainty is Certainty.UNKNOWN


def with_server(config: Config) -> Config:
    mender = config.ota.mender.model_copy(update={"server_url": "https://mender.example"})
    return config.model_copy(update={"ota": config.ota.model_copy(update={"mender": mender})})


def test_a_servers_absence_is_excused_only_for_what_came_from_a_file(world: World) -> None:
    world.config = with_server(world.config)
    machine = world.machine()
    assert server_reading(machine, asked=False).certainty is Certainty.WRONG
    assert server_reading(machine, asked=None).certainty is Certainty.UNKNOWN
    assert server_reading(machine, asked=True).certainty is Certainty.OK
    machine.paths.ota.mkdir()
    (machine.paths.ota / "install.json").write_text('{"version": 1, "source": "file"}')
    assert server_reading(machine, asked=False).certainty is Certainty.OK


def test_a_data_folder_that_is_gone_is_unknown(world: World) -> None:
    gone = Paths(world.robot.paths.run, world.robot.home / "nowhere")
    machine = world.machine()
    there = disk_reading(machine)
    assert there.certainty is not Certainty.UNKNOWN
    from dataclasses import replace

    assert disk_reading(replace(machine, paths=gone)).certainty is Certainty.UNKNOWN


def test_nothing_to_look_at_is_unknown_everywhere_but_the_disk(world: World) -> None:
    empty = make_robot(world.robot.home / "empty")
    bare = World(empty, own_config(), part="?")
    found = {row.item: row.certainty for row in Looker(bare.machine(), 60).look()}
    for item in (Item.SLOT, Item.BOOT, Item.PERCEPTION, Item.POLICY, Item.FLEET):
        assert found[item] is Certainty.UNKNOWN


def switched(world: World) -> str:
    store_folder(world.robot.paths.profiles, "0" * 64, {"profile.json": b"{}"})
    trial = begin(world.robot.around, "profile", Selection(tighter_config().config_hash, {}))
    world.now_s = trial.started_s
    return trial.token


def test_a_switch_that_passes_is_told_with_its_token(world: World) -> None:
    token = switched(world)
    world.entered_s = world.now_s
    trial = read_trial(world.robot.paths.trial)
    assert trial is not None
    decision = judge_switch(world.machine(), trial, world.pause, lambda: None)
    assert decision.verdict is Verdict.PASS
    told = json.loads(world.robot.paths.switch_gate.read_text())
    assert (told["verdict"], told["token"]) == ("pass", token)


def test_a_failed_switch_that_nobody_takes_back_goes_by_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    switched(world)
    world.down = ("plannerd",)
    around = world.robot.around
    monkeypatch.setattr("ota.switch.surroundings_of", lambda paths, shm: around)
    trial = read_trial(world.robot.paths.trial)
    assert trial is not None
    decision = judge_switch(world.machine(), trial, world.pause, lambda: None)
    assert decision.verdict is Verdict.FAIL
    assert read_trial(world.robot.paths.trial) is None
    assert world.robot.running() == own_config().config_hash


def test_a_switch_of_an_earlier_boot_is_taken_back_for_good(world: World) -> None:
    world.robot.boot_id = "an-earlier-boot"
    switched(world)
    settle_switch(world.machine())
    assert read_trial(world.robot.paths.trial) is None


def test_a_damaged_trial_is_removed(world: World) -> None:
    world.robot.paths.trial.write_bytes(b"\0\0\0")
    settle_switch(world.machine())
    assert not world.robot.paths.trial.exists()


@pytest.mark.parametrize("booted", ["a", "b"])
def test_the_environment_tool_lets_go_of_a_trial_on_this_gates_word_only(
    world: World, booted: str
) -> None:
    """The two meet in a file: what the one writes, the other must understand."""
    from ota.boot_env import tool

    world.booted, world.part, world.trial = booted, {"a": "2", "b": "3"}[booted], "1"
    machine = world.machine()
    boot_id = str(machine.proc / "sys/kernel/random/boot_id")
    options = tool.Options(gate=str(machine.paths.gate), boot_id=boot_id)
    assert "has not spoken" in tool._gate(booted, options)
    judge_boot(machine, lambda s: world.pause(s) or world.__setattr__("trial", "0"), lambda: None)
    assert tool._gate(booted, options) == ""
    assert "other slot" in tool._gate("ab".replace(booted, ""), options)
    world.down, world.now_s, world.trial = ("policyd",), 10_000.0, "0"
    judge(world)
    assert "says fail: not decided within" in tool._gate(booted, options)
