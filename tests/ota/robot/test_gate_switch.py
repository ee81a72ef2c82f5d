"""The gate over a switched profile or model: what is kept, what goes back, and the marks."""

import json

import pytest

from ota.commit_gate import Verdict
from ota.gate import COMMIT, judge_switch, settle_switch
from ota.switch import begin, store_folder
from runtime.active import Selection, read_trial
from tests.ota.robot.bench import BOOT_ID, own_config, tighter_config
from tests.ota.robot.gate_world import World, mark


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


def test_a_process_that_is_given_up_takes_a_switch_back_within_half_a_minute(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a robot ten starts of a process that ends at once take some fifteen seconds."""
    switched(world)
    world.entered_s = began_s = world.now_s
    around = world.robot.around
    monkeypatch.setattr("ota.switch.surroundings_of", lambda paths, shm: around)
    trial = read_trial(world.robot.paths.trial)
    assert trial is not None

    def pause(seconds: float) -> None:
        world.pause(seconds)
        world.given_up = ("plannerd",) if world.now_s > began_s + 15 else ()
        world.down = ("plannerd",)

    judge_switch(world.machine(), trial, pause, lambda: None)
    assert read_trial(world.robot.paths.trial) is None
    assert world.now_s - began_s <= 30
    assert world.events[0][0] == "ota.gate_failed"
    assert "given up after many starts: plannerd" in world.events[0][1]["reasons"]


@pytest.mark.parametrize("down", [(), ("plannerd",)])
def test_after_a_switch_from_a_file_the_next_may_come_from_the_server(
    world: World, monkeypatch: pytest.MonkeyPatch, down: tuple[str, ...]
) -> None:
    """Else the server's absence would be excused for what the server sent."""
    switched(world)
    world.entered_s, world.down = world.now_s, down
    file = mark(world, BOOT_ID)
    around = world.robot.around
    monkeypatch.setattr("ota.switch.surroundings_of", lambda paths, shm: around)
    trial = read_trial(world.robot.paths.trial)
    assert trial is not None
    seen: list[bool] = []

    def pause(seconds: float) -> None:
        world.pause(seconds)
        if COMMIT in world.told and not seen:
            seen.append(file.exists())
            world.robot.paths.trial.unlink()  # the client commits

    judge_switch(world.machine(), trial, pause, lambda: None)
    assert seen == ([] if down else [True])
    assert not file.exists()
    assert read_trial(world.robot.paths.trial) is None


def test_a_switch_of_an_earlier_boot_is_taken_back_for_good(world: World) -> None:
    world.robot.boot_id = "an-earlier-boot"
    switched(world)
    settle_switch(world.machine())
    assert read_trial(world.robot.paths.trial) is None


def test_a_damaged_trial_is_removed(world: World) -> None:
    world.robot.paths.trial.write_bytes(b"\0\0\0")
    settle_switch(world.machine())
    assert not world.robot.paths.trial.exists()
