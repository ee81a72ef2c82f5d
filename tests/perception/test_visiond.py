"""The eyes' process in lock-step with the simulated cell: what it says, seeing and blind."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from conf.schema import Config
from runtime.shm.enums import GpuState, ObjectKind, Workspace
from sim.faults import Component, Kind
from sim.lockstep import LockStep, Setup
from sim.people import WalkEnd

pytestmark = [pytest.mark.usefixtures("needs_gl"), pytest.mark.timeout(120)]

MS = 1_000_000


class Eyes:
    """A lock-step run with the eyes and Tier 1 only."""

    def __init__(self, config: Config, folder: Path, seed: int = 3) -> None:
        self.run_of = LockStep(
            config,
            run_dir=folder / "run",
            data_dir=folder / "data",
            seed=seed,
            setup=Setup(daemons=("visiond",)),
        )
        self.people = self.run_of.shm.reader("people")
        self.scene = self.run_of.shm.reader("scene")

    def run(self, seconds: float) -> np.void:
        self.run_of.run(seconds)
        record = self.people.latest()
        assert record is not None
        return record

    def age_ms(self, record: np.void) -> float:
        return (self.run_of.clock.now_ns() - int(record["capture_ns"])) / MS

    def bring_somebody(self, spot: tuple[float, float]) -> None:
        scene = self.run_of.plant.scene
        nearby = (spot[0] + 0.3, spot[1])
        scene.people.walk(0, [nearby, spot], 1.0, start_s=scene.time_s, end=WalkEnd.STAY)

    def send_everybody_away(self) -> None:
        people = self.run_of.plant.scene.people
        for person in range(len(people)):
            people.leave(person)


@pytest.fixture
def eyes(config: Config, tmp_path: Path) -> Iterator[Eyes]:
    eyes = Eyes(config, tmp_path)
    yield eyes
    eyes.run_of.close()


def test_empty_cell_is_clear_and_costs_next_to_nothing(eyes: Eyes) -> None:
    record = eyes.run(2.0)
    assert Workspace(int(record["workspace"])) is Workspace.CLEAR
    assert record["count"] == 0
    assert eyes.age_ms(record) < 100
    scene = eyes.scene.latest()
    assert scene is not None
    assert 50 <= scene["runs"][0] <= 62
    assert scene["runs"][2] <= 6


def test_person_is_found_where_he_stands(eyes: Eyes) -> None:
    eyes.run(1.0)
    eyes.bring_somebody((1.7, 0.2))
    record = eyes.run(1.5)
    assert record["count"] >= 1
    gaps = np.linalg.norm(record["pos"][: record["count"], :2] - np.array([1.7, 0.2]), axis=1)
    assert gaps.min() < 0.4
    scene = eyes.scene.latest()
    assert scene is not None
    kinds = {ObjectKind(int(kind)) for kind in scene["kind"][: scene["count"]]}
    assert ObjectKind.PERSON in kinds


def test_person_at_the_table_makes_the_workspace_occupied(eyes: Eyes) -> None:
    eyes.run(1.0)
    eyes.bring_somebody((1.05, 0.1))
    record = eyes.run(1.5)
    assert Workspace(int(record["workspace"])) is not Workspace.CLEAR


def test_parts_in_the_bin_are_found_to_millimetres(eyes: Eyes) -> None:
    scene = eyes.run_of.plant.scene
    scene.fill_bin(3)
    eyes.run(2.0)
    record = eyes.scene.latest()
    assert record is not None
    found = record["pos"][: record["count"]][record["kind"][: record["count"]] == ObjectKind.PART]
    for truth in scene.parts():
        if truth.in_play:
            top = np.array(truth.position_m)
            top[2] += scene.look.parts[truth.index].half_height_m
            error = np.linalg.norm(found - top, axis=1).min()
            assert error < 0.010


@pytest.mark.parametrize("kind", [Kind.OFF, Kind.STUCK, Kind.GARBAGE, Kind.WRONG])
def test_blinded_camera_makes_the_workspace_unknown(eyes: Eyes, kind: Kind) -> None:
    eyes.run(1.0)
    eyes.run_of.inject(Component.CAMERA_CELL, kind)
    record = eyes.run(1.5)
    assert Workspace(int(record["workspace"])) is Workspace.UNKNOWN
    eyes.run_of.clear(Component.CAMERA_CELL)
    eyes.send_everybody_away()
    record = eyes.run(1.5)
    assert Workspace(int(record["workspace"])) is Workspace.CLEAR


def test_picture_that_repeats_grows_old_and_is_never_told_as_new(eyes: Eyes) -> None:
    eyes.run(1.0)
    eyes.run_of.inject(Component.CAMERA_CELL, Kind.STUCK)
    assert eyes.age_ms(eyes.run(1.0)) > 900


def test_gpu_gone_is_told_and_stereo_takes_over(eyes: Eyes) -> None:
    eyes.run(3.0)
    eyes.send_everybody_away()
    eyes.run_of.shm.writer("directive").write(stereo=1, created_ns=2**62)
    eyes.run_of.inject(Component.GPU, Kind.OFF)
    record = eyes.run(1.5)
    scene = eyes.scene.latest()
    assert scene is not None
    assert GpuState(int(scene["gpu_state"])) is GpuState.OFFLINE
    assert record["level"] == 0
    eyes.bring_somebody((1.6, 0.3))
    record = eyes.run(1.5)
    workspace = Workspace(int(record["workspace"]))
    near = np.linalg.norm(record["pos"][: record["count"], :2] - np.array([1.6, 0.3]), axis=1)
    assert workspace is not Workspace.CLEAR or near.min(initial=9.0) < 0.7
    names = [record.name for record in eyes.run_of.records]
    assert "perception.gpu_changed" in names
    assert "perception.level_changed" in names


def test_same_seed_says_the_same_to_the_byte(config: Config, tmp_path: Path) -> None:
    said: list[bytes] = []
    for attempt in ("a", "b"):
        eyes = Eyes(config, tmp_path / attempt, seed=8)
        record = eyes.run(1.2)
        scene = eyes.scene.latest()
        assert scene is not None
        said.append(record.tobytes() + scene.tobytes() + eyes.run_of.telemetry_digest().encode())
        eyes.run_of.close()
    assert said[0] == said[1]
