"""Overlays may only tighten safety."""

import copy
from functools import cache
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from conf.load import Composed, compose
from conf.mistake import ConfigError
from conf.plain import Path, as_list, at, dotted, has, step
from conf.profile import dump
from conf.schema import Config
from conf.shape import Shape, child, field_shape
from conf.tighten import Change, find_moves


def numeric_safety_settings(data: object) -> list[tuple[Path, str]]:
    """Path and safe direction of every number, element by element."""
    found: list[tuple[Path, str]] = []

    def walk(shape: Shape, value: object, path: Path, direction: str | None) -> None:
        if shape.model is not None:
            for name in shape.model.model_fields:
                inner = field_shape(shape.model, name, step(value, name))
                assert inner is not None
                walk(inner, step(value, name), (*path, name), inner.extra.get("safe"))
        elif isinstance(value, dict):
            for key in value:
                inner = child(shape, key, value[key])
                assert inner is not None
                walk(inner, value[key], (*path, key), direction)
        elif (items := as_list(value)) is not None:
            for index, item in enumerate(items):
                inner = child(shape, index, item)
                if inner is not None:
                    walk(inner, item, (*path, index), direction)
        elif direction is not None and isinstance(value, int | float):
            found.append((path, direction))

    walk(Shape(Config), data, (), None)
    return found


@cache
def base_data() -> dict[str, Any]:
    return dump(compose().config)


@cache
def base_settings() -> list[tuple[Path, str]]:
    return numeric_safety_settings(base_data())


@pytest.fixture
def data() -> dict[str, Any]:
    return base_data()


def moved(data: dict[str, Any], path: Path, value: object) -> dict[str, Any]:
    changed = copy.deepcopy(data)
    holder: Any = at(changed, path[:-1])
    holder[path[-1]] = value
    return changed


def test_there_are_safety_settings_of_each_direction():
    settings_found = base_settings()
    assert len(settings_found) > 100
    assert {direction for _, direction in settings_found} == {"lower", "higher", "fixed"}


@given(draw=st.data())
def test_any_loosening_is_refused_and_any_tightening_accepted(draw):
    data, settings_found = base_data(), base_settings()
    path, direction = draw.draw(st.sampled_from(settings_found))
    old = at(data, path)
    assert isinstance(old, int | float)
    if isinstance(old, bool):
        new: float = not old
    else:
        step_size = draw.draw(st.floats(min_value=1e-6, max_value=1e6))
        new = old + draw.draw(st.sampled_from([-1, 1])) * step_size
    if new == old:
        return
    [move] = find_moves(Config, data, moved(data, path, new))
    # A list that may not move at all is reported as a whole.
    assert move.path == path[: len(move.path)]
    safer = {"lower": new < old, "higher": new > old, "fixed": False}[direction]
    assert move.refused is not safer


def test_unchanged_settings_are_no_moves(data):
    assert find_moves(Config, data, copy.deepcopy(data)) == []


@given(draw=st.data())
def test_many_moves_are_each_judged(draw):
    data, settings_found = base_data(), base_settings()
    chosen = draw.draw(
        st.lists(st.sampled_from(settings_found), min_size=1, max_size=8, unique=True)
    )
    changed = data
    for path, direction in chosen:
        old = at(data, path)
        assert isinstance(old, int | float)
        worse = (not old) if isinstance(old, bool) else old + (1 if direction == "lower" else -1)
        changed = moved(changed, path, worse)
    moves = find_moves(Config, data, changed)
    loosened = {move.path for move in moves if move.refused}
    numbers = {path for path, direction in chosen if not isinstance(at(data, path), bool)}
    assert all(any(path[: len(known)] == known for known in loosened) for path in numbers)


def test_removed_keep_out_is_refused(data):
    changed = copy.deepcopy(data)
    del changed["facility"]["keep_out"]["table"]
    [move] = find_moves(Config, data, changed)
    assert (move.change, dotted(move.path)) == (Change.REMOVED, "facility.keep_out.table")


def test_added_keep_out_is_a_tightening(data):
    changed = copy.deepcopy(data)
    changed["facility"]["keep_out"]["pillar"] = {"min_m": [1, 1, 0], "max_m": [2, 2, 2]}
    [move] = find_moves(Config, data, changed)
    assert (move.change, dotted(move.path)) == (Change.TIGHTENED, "facility.keep_out.pillar")


def test_removed_setting_is_refused(data):
    changed = copy.deepcopy(data)
    del changed["robot"]["safety"]["liveness"]["timeout_ms"]
    [move] = find_moves(Config, data, changed)
    assert move.change is Change.REMOVED
    assert not has(changed, move.path)


@pytest.mark.parametrize(
    ("override", "path", "bound"),
    [
        ("robot.limits.tool_speed_m_s=1.1", "robot.limits.tool_speed_m_s", "at most 1 "),
        ("facility.people.human_speed_m_s=1.5", "facility.people.human_speed_m_s", "at least 1.6"),
        ("hardware.control.period_us=2000", "hardware.control.period_us", "left at 1000"),
        ("facility.workspace.max_m=[0.9,0.6,1.1]", "facility.workspace.max_m[0]", "at most 0.85"),
        ("ota.gate.fleet_absence_allowed=true", "ota.gate.fleet_absence_allowed", "at most false"),
        ("facility.keep_out.table.max_m=[0.8,0.5,0]", "facility.keep_out.table.max_m[1]", "0.55"),
    ],
)
def test_command_line_cannot_loosen(override, path, bound):
    with pytest.raises(ConfigError) as caught:
        compose(overrides=[override])
    found = {mistake.path: mistake for mistake in caught.value.mistakes}
    assert bound in found[path].allowed
    assert str(found[path].origin) == "command line"


def test_facility_cannot_loosen_the_arm(tree):
    line = tree.append("facility/osaka.yaml", "robot: {limits: {tool_speed_m_s: 1.5}}\n")
    [mistake] = tree.mistakes()
    assert str(mistake.origin) == f"conf/facility/osaka.yaml:{line}"
    assert mistake.allowed.startswith("at most 1 (conf/robot/panda.yaml:")
    assert "only tighten safety" in mistake.because


def test_scenario_cannot_loosen_what_the_facility_tightened(tree):
    tree.write(
        "scenario/empty_hall.yaml",
        "# @package _global_\nrobot: {limits: {tool_speed_m_s: 0.9}}\n",
    )
    assert tree.compose(facility="osaka", scenario="empty_hall")
    [mistake] = tree.mistakes(facility="gdansk", scenario="empty_hall")
    assert str(mistake.origin) == "conf/scenario/empty_hall.yaml:2"
    assert "at most 0.7 (conf/facility/gdansk.yaml:" in mistake.allowed


def test_unit_cannot_give_itself_more_than_its_type(tree):
    tree.write("robot/unit/osaka-08.yaml", "# @package unit\nderating: {effort_ratio: 0.9}\n")
    assert tree.compose(robot_id="osaka-08").config.unit.derating.effort_ratio == 0.9
    with pytest.raises(ConfigError):
        tree.compose(robot_id="osaka-08", overrides=["unit.derating.effort_ratio=1.0"])


def test_loosening_by_a_reference_is_seen(tree):
    tree.append(
        "facility/osaka.yaml",
        "robot: {limits: {tool_speed_m_s: '${facility.people.human_speed_m_s}'}}\n",
    )
    [mistake] = tree.mistakes()
    assert (mistake.path, mistake.got) == ("robot.limits.tool_speed_m_s", "1.6")


def test_loosening_by_another_table_of_modes_is_seen(tree):
    table = yaml.safe_load((tree.folder / "modes/default.yaml").read_text())
    table["fresh"]["control_ms"] += 1
    tree.write("modes/lax.yaml", yaml.safe_dump(table))
    [mistake] = tree.mistakes(overrides=["modes=lax"])
    assert mistake.path == "modes.fresh.control_ms"


def test_loosening_is_reported_beside_other_mistakes(tree):
    tree.append(
        "facility/osaka.yaml", "robot: {limits: {tool_speed_m_s: 1.5}}\npolicy: {retrys: 1}\n"
    )
    paths = {mistake.path for mistake in tree.mistakes()}
    assert paths == {"policy.retrys", "robot.limits.tool_speed_m_s"}


def test_tightening_by_every_layer_is_accepted_and_listed():
    composed: Composed = compose(
        facility="gdansk", scenario="crowded", overrides=["robot.limits.tool_speed_m_s=0.3"]
    )
    steps = [row.after for row in composed.tightened if row.path[-1] == "tool_speed_m_s"]
    assert steps == [0.7, 0.5, 0.3]
