"""All of the robot's own processes on a virtual clock: repeatable, and blind without pictures."""

from pathlib import Path

import pytest

from conf.schema import Config
from runtime.paths import Paths
from sim.faults import Component, Kind, ScheduledFault
from sim.lockstep import DAEMONS, LockStep, Pictures, Setup
from sim.supplies import install_skill

S = 1_000_000_000


def start(config: Config, folder: Path, faults: tuple[ScheduledFault, ...] = (), **kw: object):
    return LockStep(
        config, folder / "run", folder / "data", 3, faults, setup=Setup(**kw)  # type: ignore[arg-type]
    )  # fmt: skip


def test_whole_robot_repeats_to_the_byte(config: Config, tmp_path: Path) -> None:
    def digest(folder: str) -> tuple[str, int, bytes]:
        without_eyes = tuple(name for name in DAEMONS if name != "visiond")
        with start(
            config, tmp_path / folder, daemons=without_eyes, pictures=Pictures.STAND_IN
        ) as run:
            run.run(2.5)
            state = run.shm.state_reader().latest()
            assert state is not None
            return run.telemetry_digest(), len(run.records), state.tobytes()

    first = digest("a")
    assert first == digest("b")
    assert first[1] > 10


@pytest.mark.usefixtures("needs_gl")
def test_blind_robot_knows_of_nobody_and_is_slow(config: Config, tmp_path: Path) -> None:
    """What perception knows comes from pictures: without them the truth next door helps nobody."""
    blind = tuple(
        ScheduledFault(at_ns=0, component=camera, kind=Kind.OFF)
        for camera in (Component.CAMERA_CELL, Component.CAMERA_BIN)
    )
    with start(config, tmp_path, blind) as run:
        run.run(2.0)
        scene, people = (run.shm.reader(topic).latest() for topic in ("scene", "people"))
        state = run.shm.state_reader().latest()
        assert state is not None
        assert any(truth.in_play for truth in run.plant.scene.parts())
        assert scene is None or scene["count"] == 0
        limit = config.facility.people.stale_ms * 1_000_000
        assert people is None or run.clock.now_ns() - int(people["capture_ns"]) > limit
        assert state["speed_limit_ratio"] <= config.facility.people.slow_ratio_unknown


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("needs_gl")
def test_whole_robot_with_its_eyes_and_a_task_repeats_to_the_byte(
    config: Config, tmp_path: Path
) -> None:
    def digest(folder: str) -> tuple[str, bytes, int]:
        home = tmp_path / folder
        paths = Paths(home / "run", home / "data")
        for place in (paths.run, paths.data):
            place.mkdir(parents=True)
        install_skill(config, paths, tmp_path / "var")
        with start(config, home) as run:
            run.run(12.0)
            return (
                run.telemetry_digest(),
                run.plant.scene.capture().tobytes(),
                run.plant.director.referee.tally.picked,
            )

    assert digest("a") == digest("b")
