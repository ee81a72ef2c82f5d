"""Detections from a recording: sound files, honest ages, parts that follow the robot."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conf.load import compose, options_of
from conf.schema import Config
from runtime.hal.clock import NS_PER_MS, VirtualClock
from runtime.shm import Backend, ObjectKind, Workspace
from sim.replay.recording import (
    FOLDER,
    RATE_HZ,
    Recording,
    RecordingError,
    problem_of,
    read_recording,
    recording_of,
    write_recording,
)
from sim.replay.replayd import Replay
from sim.replay.retell import REFILL_NS, Cup, Parts, follow, middle_m, positions_m
from tests.sim.cores import make_context

SIZE_MAX = 300_000
T = 1_000_000_000
PANDA = read_recording(recording_of("panda"))
HOME_M = middle_m(PANDA)
FUZZED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)


@pytest.mark.parametrize("facility", options_of("facility"))
def test_every_arm_has_a_recording_of_its_own_bin(facility: str) -> None:
    config = compose(hardware="qemu_arm64", facility=facility).config
    recording = read_recording(recording_of(config.robot.arm.kind.value))
    tub = config.robot.pick
    away = np.abs(middle_m(recording)[:, :2] - np.array(tub.center_m))
    assert (away < np.array(tub.inner_m) / 2).all()
    assert len(recording) >= 10 * RATE_HZ
    assert recording.frames["people_count"].max() >= 1, "somebody walks by"
    assert set(recording.frames["workspace"]) <= {int(Workspace.CLEAR), int(Workspace.OCCUPIED)}


def test_recordings_are_small() -> None:
    assert sum(file.stat().st_size for file in FOLDER.glob("*.npz")) < SIZE_MAX


def test_a_recording_survives_its_file(tmp_path: Path) -> None:
    write_recording(tmp_path / "r.npz", PANDA)
    again = read_recording(tmp_path / "r.npz")
    for name, values in PANDA.parts.items():
        assert np.array_equal(again.parts[name], values)


@FUZZED
@given(data=st.data())
def test_a_damaged_recording_is_refused_or_whole(data: st.DataObject, tmp_path: Path) -> None:
    raw = recording_of("panda").read_bytes()
    at = data.draw(st.integers(0, len(raw) - 1))
    cut = data.draw(st.booleans())
    flipped = bytes([raw[at] ^ data.draw(st.integers(1, 255))])
    path = tmp_path / "r.npz"
    path.write_bytes(raw[:at] if cut else raw[:at] + flipped + raw[at + 1 :])
    assert is_refused_or_whole(path)


def is_refused_or_whole(path: Path) -> bool:
    try:
        return problem_of(read_recording(path)) is None
    except RecordingError as refusal:
        return "python -m sim.replay.record" in str(refusal)


def changed(part: str, name: str, values: object) -> Recording:
    tables = {"frames": PANDA.frames, "people": PANDA.people, "parts": PANDA.parts}
    return Recording(**{**tables, part: {**tables[part], name: np.asarray(values)}})


@pytest.mark.parametrize(
    ("part", "name", "values", "said"),
    [
        ("frames", "level", np.zeros(3, np.int64), "one length"),
        ("frames", "people_age_ns", np.full(len(PANDA), -1), "outside"),
        ("frames", "people_count", np.full(len(PANDA), 3), "not 420 rows"),
        ("parts", "yaw", np.zeros((len(PANDA), 1)), "differ in shape"),
        ("parts", "pos", np.full(PANDA.parts["pos"].shape, np.nan), "not finite"),
        ("people", "pos", np.array([["a"]]), "no number"),
    ],
)
def test_a_recording_that_makes_no_sense_is_refused(
    part: str, name: str, values: object, said: str
) -> None:
    problem = problem_of(changed(part, name, values))
    assert problem is not None
    assert said in problem


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    held = io.BytesIO()
    np.savez(held, format=np.array([{"a": 1}], dtype=object))
    (tmp_path / "r.npz").write_bytes(held.getvalue())
    with pytest.raises(RecordingError, match="cannot be read"):
        read_recording(tmp_path / "r.npz")


def over(column: int) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in HOME_M[column])
    return x + 0.005, y, z


def test_a_part_goes_where_the_cup_takes_it() -> None:
    parts = follow(Parts(), Cup(over(1), holding=True), HOME_M, T)
    assert [column for column, _ in positions_m(parts, PANDA, HOME_M, 0)] == [0, 2], "at the cup"
    parts = follow(parts, Cup((0.4, 0.3, 0.2), holding=False), HOME_M, 2 * T)
    places = dict(positions_m(parts, PANDA, HOME_M, 5))
    assert np.allclose(places[1][:2], (0.4, 0.3), atol=0.01)
    assert np.allclose(places[1][2], PANDA.parts["pos"][5, 1, 2])
    assert np.array_equal(places[0], PANDA.parts["pos"][5, 0])


def test_a_cup_that_holds_where_no_part_is_moves_none() -> None:
    parts = follow(Parts(), Cup((-0.3, 0.0, 0.5), holding=True), HOME_M, T)
    parts = follow(parts, Cup((-0.3, 0.3, 0.5), holding=False), HOME_M, T)
    assert parts.moved_m == {}
    assert len(positions_m(parts, PANDA, HOME_M, 0)) == len(HOME_M)


def test_the_bin_is_filled_again_when_all_parts_have_rested_in_the_tray() -> None:
    parts, now = Parts(), T
    for column in range(len(HOME_M)):
        parts = follow(parts, Cup(over(column), holding=True), HOME_M, now)
        parts = follow(parts, Cup((0.4, 0.1 * column, 0.1), holding=False), HOME_M, now)
    assert len(parts.moved_m) == len(HOME_M)
    parts = follow(parts, Cup((0.0, 0.0, 0.5), holding=False), HOME_M, now + REFILL_NS - 1)
    assert len(parts.moved_m) == len(HOME_M)
    parts = follow(parts, Cup((0.0, 0.0, 0.5), holding=False), HOME_M, now + REFILL_NS)
    assert parts.moved_m == {}


numbers = st.floats(-1.0, 1.0) | st.just(float("nan"))
looks = st.none() | st.builds(Cup, st.tuples(numbers, numbers, numbers), holding=st.booleans())


@given(st.lists(looks, max_size=40))
def test_no_part_is_ever_lost_or_doubled(cups: list[Cup | None]) -> None:
    parts = Parts()
    for tick, cup in enumerate(cups):
        parts = follow(parts, cup, HOME_M, T + tick * 500 * NS_PER_MS)
        shown = [column for column, _ in positions_m(parts, PANDA, HOME_M, 0)]
        carried = [] if parts.carried is None else [parts.carried]
        assert sorted([*shown, *carried]) == list(range(len(HOME_M)))
        assert all(np.isfinite(place).all() for _, place in positions_m(parts, PANDA, HOME_M, 0))


@pytest.fixture
def guest() -> Config:
    return compose(hardware="qemu_arm64", facility="osaka").config


def test_results_are_as_old_as_they_were_when_recorded(guest: Config, tmp_path: Path) -> None:
    context = make_context(guest, tmp_path)
    clock = context.clock
    assert isinstance(clock, VirtualClock)
    replay = Replay(context, PANDA)
    people, scene = context.shm.reader("people"), context.shm.reader("scene")
    for _ in range(2 * len(PANDA)):
        now_ns = clock.advance(50 * NS_PER_MS)
        replay.step(now_ns)
        told, seen = people.latest(), scene.latest()
        assert told is not None
        assert seen is not None
        age_ns = now_ns - int(told["capture_ns"])
        assert age_ns in PANDA.frames["people_age_ns"]
        assert now_ns - int(seen["capture_ns"]) in PANDA.frames["scene_age_ns"]
        assert int(told["created_ns"]) == now_ns
        assert list(seen["kind"][: int(seen["count"])]) == [ObjectKind.PART] * len(HOME_M)
        assert int(seen["backend"]) == Backend.FAKE, "no network looked at anything"
    gpu = context.shm.reader("hal.gpu").latest()
    assert gpu is not None
    assert gpu["present"]
