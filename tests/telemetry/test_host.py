"""What the machine says of itself: room on its disk, and whether its battery rises."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.telemetry.host import STEP_RATIO, STILL_NS, Charge, free_ratio

SECOND = 10**9


def test_free_part_of_the_disk_is_a_ratio_and_a_folder_that_is_gone_is_not_known(
    tmp_path: Path,
) -> None:
    found = free_ratio(tmp_path)
    assert found is not None
    assert 0.0 <= found <= 1.0
    assert free_ratio(tmp_path / "gone") is None


def test_disk_that_went_read_only_has_no_room(tmp_path: Path, monkeypatch) -> None:
    whole = os.statvfs(tmp_path)

    class Found:
        f_flag, f_frsize = whole.f_flag | os.ST_RDONLY, whole.f_frsize
        f_bavail, f_blocks = whole.f_bavail, whole.f_blocks

    monkeypatch.setattr(os, "statvfs", lambda _: Found)
    assert free_ratio(tmp_path) == 0.0


@pytest.mark.parametrize(("step", "charging"), [(0.0004, True), (-0.0004, False)])
def test_battery_that_rises_is_charged_and_one_that_falls_is_not(step: float, charging: bool):
    charge, said = Charge(), []
    for second in range(10):
        said.append(charge.note(0.5 + second * step, second * SECOND))
    assert said[:2] == [None, None]  # too little to tell it from noise
    assert said[-1] is charging


def test_battery_that_stands_still_for_long_or_is_not_read_is_not_known() -> None:
    charge = Charge()
    charge.note(0.5, 0)
    assert charge.note(0.6, SECOND) is True
    assert charge.note(0.6, STILL_NS // 2) is True
    assert charge.note(0.6, STILL_NS + SECOND) is None
    assert charge.note(0.7, STILL_NS + 2 * SECOND) is True
    assert charge.note(None, STILL_NS + 3 * SECOND) is None


@given(st.lists(st.floats(0.3, 0.3 + STEP_RATIO / 3), max_size=40))
def test_noise_below_the_step_never_says_anything(ratios: list[float]) -> None:
    charge = Charge()
    assert {charge.note(one, at * SECOND) for at, one in enumerate(ratios)} <= {None}
