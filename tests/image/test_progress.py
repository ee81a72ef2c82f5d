"""Where a build is, and an estimate that learns."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image.progress import Progress, Step, read_times, spoken

STEPS = (Step("fetch", 60, 1), Step("make", 10, 2))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def run(times, cold=frozenset(), took=3.0) -> str:
    clock, out = Clock(), io.StringIO()
    progress = Progress(STEPS, out=out, clock=clock)
    progress.begin(cold, times)
    for step in STEPS:
        with progress.step(step.name):
            clock.now += took
    return out.getvalue()


def test_first_estimate_is_of_elsewhere_and_knows_what_is_cold(tmp_path):
    assert "about 62 s (measured elsewhere" in run(tmp_path / "a.json", frozenset({"fetch"}))
    assert "about 3 s (measured elsewhere" in run(tmp_path / "b.json")


def test_second_estimate_is_what_it_took_here(tmp_path):
    run(tmp_path / "t.json")
    assert "about 6 s (measured here)" in run(tmp_path / "t.json")


def test_step_that_fails_teaches_nothing(tmp_path):
    progress = Progress(STEPS, out=io.StringIO())
    progress.begin(frozenset(), tmp_path / "t.json")
    with pytest.raises(ValueError, match="broken"), progress.step("make"):
        raise ValueError("broken")
    assert read_times(tmp_path / "t.json") == {}


@given(st.binary(max_size=100))
def test_spoiled_times_count_as_none_or_as_numbers(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("t") / "t.json"
    path.write_bytes(raw)
    assert all(isinstance(v, float) for values in read_times(path).values() for v in values)


def test_times_are_spoken_as_people_do():
    assert (spoken(59.6), spoken(125)) == ("60 s", "2 min 05 s")
