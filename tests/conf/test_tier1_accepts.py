"""What the schema and the cross-checks accept, Tier 1 accepts: no configuration fails on the robot.

Each number that reaches the control file is set to the ends of its range, one at a time.
"""

import random
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

import pytest

from conf.checks import cross_check
from conf.control import write_control
from conf.load import compose
from conf.plain import Path, at, leaves
from conf.profile import dump
from conf.schema import Config
from conf.shape import bounds_of, shape_at
from conf.sources import Origins
from conf.validate import COMPUTED, validate

SECTIONS = ("robot", "facility", "hardware", "unit")
SAMPLE = 80


def moved(data: Any, path: Path, value: object) -> Any:
    if not path:
        return value
    key = path[0]
    if isinstance(data, dict):
        return {**data, key: moved(data[key], path[1:], value)}
    return [moved(item, path[1:], value) if i == key else item for i, item in enumerate(data)]


def ends(data: dict[str, Any]) -> Iterator[tuple[Path, float]]:
    for path, value in leaves(data):
        if path[0] not in SECTIONS or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        shape = shape_at(Config, path, data)
        bounds = bounds_of(shape) if shape else {}
        kind = int if isinstance(value, int) else float
        yield from ((path, kind(bounds[end])) for end in ("ge", "le") if end in bounds)
        if "gt" in bounds:
            yield path, kind(bounds["gt"]) + (1 if kind is int else 1e-9)


@pytest.fixture(scope="module")
def core() -> Any:
    shm = pytest.importorskip(
        "runtime.shm", reason="runtime/controld/build.sh has not been run", exc_type=ImportError
    )
    return shm.Core


def refused(
    core: Any, data: dict[str, Any], cases: list[tuple[Path, float]], folder: FilePath
) -> tuple[list[str], int]:
    """Cases that the configuration passes and Tier 1 does not, and how many were tried."""
    found: list[str] = []
    tried = 0
    for path, value in cases:
        config, _ = validate(moved(data, path, value), Origins())
        if config is None or cross_check(config):
            continue
        tried += 1
        write_control(config, folder / "control.json")
        try:
            core(str(folder / "control.json"), str(folder / f"shm{tried}"), 1)
        except ValueError as error:
            found.append(f"{path} = {value} (was {at(data, path)}): {error}")
    return found, tried


def plain_data(facility: str) -> dict[str, Any]:
    data = dump(compose(facility=facility).config)
    return {key: value for key, value in data.items() if key not in COMPUTED}


def test_sample_of_the_ends_of_all_ranges(core, tmp_path):
    data = plain_data("osaka")
    cases = random.Random(4).sample(list(ends(data)), SAMPLE)
    found, tried = refused(core, data, cases, tmp_path)
    assert found == []
    assert tried > SAMPLE // 3


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("facility", ["osaka", "gdansk"])
def test_all_ends_of_all_ranges(core, tmp_path, facility):
    data = plain_data(facility)
    found, tried = refused(core, data, list(ends(data)), tmp_path)
    assert found == []
    assert tried > 300


def test_a_value_that_tier_1_refuses_is_caught_by_this_test(core, tmp_path):
    config = compose().config
    limits = config.robot.limits.model_copy(update={"tool_speed_m_s": 1e-9})
    robot = config.robot.model_copy(update={"limits": limits})
    write_control(config.model_copy(update={"robot": robot}), tmp_path / "control.json")
    with pytest.raises(ValueError, match=r"limits\.tool_speed_m_s"):
        core(str(tmp_path / "control.json"), str(tmp_path / "shm"), 1)
