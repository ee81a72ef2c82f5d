"""The gate's service over a machine that is told what to be: verdicts, and what follows them."""

import json

import pytest

from conf.schema import Config
from ota.commit_gate import Item, Verdict
from ota.gate import COMMIT, GRACE_S, judge_boot
from ota.gate_readings import (
    Looker,
    boot_reading,
    disk_reading,
    fleet_reading,
    latency_limits,
    read_environment,
    server_reading,
)
from ota.status import as_lines, read_status
from records import Certainty
from runtime.paths import Paths
from runtime.shm import Shm
from runtime.shm import Verdict as SafetyVerdict
from runtime.telemetry.updates import read_update
from runtime.uplink import Uplink, write_uplink
from tests.ota.robot.bench import BOOT_ID, make_robot, own_config
from tests.ota.robot.gate_world import Histograms, World, judge, mark


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


def test_the_fleets_page_is_told_how_it_stands_until_it_is_settled(world: World) -> None:
    """The two meet in a file: what the gate writes, telemetry must understand."""
    on_trial(world)
    seen: list[tuple[object, ...]] = []

    def pause(seconds: float) -> None:
        world.pause(seconds)
        told = read_update(world.robot.paths)
        assert told is not None
        seen.append((told["on_trial"], told["attempts"], told["verdict"], len(told["findings"])))
        world.trial = "1" if len(seen) < 70 else "0"

    judge_boot(world.machine(), pause, lambda: None)
    assert seen[0] == (True, 1, "waiting", len(Item))
    assert seen[-1] == (True, 1, "pass", len(Item))
    told = read_update(world.robot.paths)
    assert told is not None
    assert (told["on_trial"], told["verdict"], told["findings"]) == (False, "pass", [])


def test_a_slot_that_is_rolled_back_after_its_pass_settles_nothing(world: World) -> None:
    """Data must stay as the slot before reads it, and its latency the measure."""
    on_trial(world)

    def pause(seconds: float) -> None:
        world.pause(seconds)
        if world.gate()["verdict"] == "pass":
            world.trial, world.part = "0", "2"  # `mender rollback`

    judge_boot(world.machine(), pause, lambda: None)
    assert not (world.robot.paths.ota / "latency.json").exists()
    assert world.gate()["on_trial"] is True


def test_a_client_that_cannot_commit_ends_the_trial_and_says_so(world: World) -> None:
    on_trial(world).commits = False
    mark(world, "the boot before")
    judge(world)
    assert COMMIT in world.told
    assert ("systemctl", "reboot") in world.told
    assert world.gate()["verdict"] == "fail"
    kept = json.loads((world.robot.paths.ota / "last-failure.json").read_text())
    assert "did not commit it within" in kept["reasons"][0]
    assert not (world.robot.paths.ota / "latency.json").exists()


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


def on_trial(world: World) -> World:
    world.part, world.booted, world.trial = "3", "b", "1"
    return world


def test_a_process_that_crash_loops_is_left_at_the_deadline(world: World) -> None:
    """Active whenever somebody looks, and never for long."""
    on_trial(world)

    def pause(seconds: float) -> None:
        world.pause(seconds)
        if world.now_s - world.entered_s > 20:
            world.entered_s = world.now_s

    assert judge_boot(world.machine(), pause, lambda: None).verdict is Verdict.FAIL
    assert any("gate.processes" in row for row in world.gate()["reasons"])
    assert ("systemctl", "reboot") in world.told


def test_a_boot_report_that_finds_something_wrong_is_left_at_once(world: World) -> None:
    on_trial(world)
    report = {"boot_id": BOOT_ID, "healthy": False, "problems": ["kernel: not the manifest's"]}
    world.robot.paths.boot_report.write_text(json.dumps(report))
    assert judge(world) is Verdict.FAIL
    assert any("kernel: not the manifest's" in row for row in world.gate()["reasons"])
    assert ("systemctl", "reboot") in world.told


def test_a_server_that_is_not_reached_is_left_at_the_deadline(world: World) -> None:
    on_trial(world)
    world.config = with_server(world.config)
    assert judge(world) is Verdict.FAIL
    assert world.now_s >= world.config.ota.gate.timeout_s
    assert any("gate.server is wrong" in row for row in world.gate()["reasons"])


@pytest.mark.parametrize("year", [1970, 2100])
def test_no_date_moves_a_deadline(world: World, monkeypatch: pytest.MonkeyPatch, year: int) -> None:
    from datetime import UTC, datetime

    class Date(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Date":
            return cls(year if len(world.told) % 2 else 2026, 1, 1, tzinfo=UTC)

    monkeypatch.setattr("ota.gate.datetime", Date)
    assert judge(world) is Verdict.PASS
    on_trial(world).down = ("policyd",)
    assert judge(world) is Verdict.FAIL
    late_s = world.now_s - world.config.ota.gate.timeout_s
    assert 0 <= late_s < 2 * GRACE_S


def test_a_process_that_systemd_has_given_up_is_not_waited_for(world: World) -> None:
    on_trial(world).given_up = ("policyd",)
    assert judge(world) is Verdict.FAIL
    assert world.now_s < world.config.ota.gate.timeout_s / 2
    assert any("given up after many starts: policyd" in row for row in world.gate()["reasons"])


def test_why_a_slot_was_not_kept_is_known_after_the_restart(world: World) -> None:
    world.down, world.part, world.booted, world.trial = ("policyd",), "3", "b", "1"
    judge(world)
    world.robot.paths.gate.unlink()
    lines = as_lines(read_status(world.robot.paths, lambda _: None, world.machine().proc))
    assert any(line.startswith("last not kept: dev in slot b") for line in lines)
    assert any("policyd" in line for line in lines)


def test_what_came_from_a_file_is_left_at_once_for_nobody_asked_the_client(world: World) -> None:
    world.down, world.part, world.booted, world.trial = ("policyd",), "3", "b", "1"
    mark(world, "the boot before")
    judge(world)
    assert ("systemctl", "reboot") in world.told
    assert world.now_s < world.config.ota.gate.timeout_s + GRACE_S / 2


def test_an_installation_that_began_in_this_boot_keeps_its_mark(world: World) -> None:
    """Somebody installs while the gate still judges a boot that is not on trial."""
    file = mark(world, BOOT_ID)
    assert judge(world) is Verdict.PASS
    assert file.exists()


@pytest.mark.parametrize("down", [(), ("policyd",)])
def test_the_mark_of_a_trial_that_is_over_goes_whatever_this_boot_comes_to(
    world: World, down: tuple[str, ...]
) -> None:
    world.down = down
    file = mark(world, "an earlier boot")
    judge(world)
    assert not file.exists()


def test_a_safety_model_without_an_opinion_never_passes(world: World) -> None:
    """As where the profile names a model that is not there: fresh messages, and nothing in them."""
    shm = Shm(world.robot.home / "shm")
    now_ns = world.clock.now_ns()
    shm.writer("verdict").write(created_ns=now_ns, verdict=int(SafetyVerdict.UNKNOWN))
    assert judge(world) is Verdict.FAIL
    assert any("the safety model has no opinion" in row for row in world.gate()["reasons"])


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


@pytest.mark.parametrize("allowed", [True, False])
def test_a_robot_that_has_no_fleet_is_updated_only_where_its_profile_says_so(
    world: World, allowed: bool
) -> None:
    """Never enrolled: telemetryd says that it has no way to anybody, again and again."""
    on_trial(world)
    gate = world.config.ota.gate.model_copy(update={"fleet_absence_allowed": allowed})
    ota = world.config.ota.model_copy(update={"gate": gate})
    world.config = world.config.model_copy(update={"ota": ota})
    now_ns = world.clock.now_ns()
    uplink = Uplink(connected=False, last_heard_ns=None, at_ns=now_ns)
    write_uplink(world.robot.paths.uplink, uplink)
    mark(world, "the boot before")
    assert judge(world) is (Verdict.PASS if allowed else Verdict.FAIL)
    assert (COMMIT in world.told) is allowed
    if not allowed:
        assert any("gate.fleet is wrong: not reached" in row for row in world.gate()["reasons"])


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
