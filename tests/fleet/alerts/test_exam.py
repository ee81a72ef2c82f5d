"""The tests that stand beside the rules: they pass, and they can fail."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.schema.alerts import SIGNALS, Alerts, RobotMode, RuleTest, Signal
from conf.series import PHASES, SeriesError, Step, parse_phases, parse_series
from fleet.alerts.exam import run_test, run_tests, shorten
from fleet.incidents.runbook import ROOT, read_runbook
from tests.fleet.alerts.made import rule, rules


def test_every_shipped_test_passes(shipped: Alerts) -> None:
    assert [found for _, found in run_tests(shipped) if found] == []


@pytest.mark.parametrize("key", ["fleet_success", "motor_hot", "stuck", "silent", "disk"])
def test_threshold_that_is_turned_off_fails_its_test(shipped: Alerts, key: str) -> None:
    one = shipped.rules[key]
    off = {"above": 1e8} if one.above is not None else {"below": -1e8, "clear": None}
    spoilt = {**shipped.rules, key: one.model_copy(update=off)}
    found = [d for _, d in run_tests(shipped.model_copy(update={"rules": spoilt}), key) if d]
    assert found
    assert found[0].got != found[0].expected


ROW = re.compile(r"\| ([^|]+) \| ([<>]) ([\d.]+)( %)?[^|]*\| `(\w+)` \| (\w+) \|")
OPERATORS = [
    "fleet success",
    "robot success",
    "latency p95",
    "error rate",
    "robot temperature",
    "gripper pressure",
    "disk space of a robot",
    "network drops",
    "real-time misses",
    "records lost",
    "spool depth",
    "a stale robot",
    "slot drift",
    "version drift",
]
"""What an operator must be told of, whatever else is watched."""


def table_of_the_page() -> dict[str, tuple[str, str, float, str]]:
    """What is watched → rule, side, threshold, severity, as docs/alerts.md has it."""
    page = (ROOT / "docs/alerts.md").read_text(encoding="utf-8")
    return {
        name: (rule, side, float(limit) / (100 if percent else 1), severity)
        for name, side, limit, percent, rule, severity in ROW.findall(page)
    }


def test_every_row_of_the_operators_table_has_its_rule_and_its_runbook(shipped: Alerts) -> None:
    table = table_of_the_page()
    assert set(OPERATORS) <= set(table)
    for name, (key, side, limit, severity) in table.items():
        found = shipped.rules[key]
        assert (found.above if side == ">" else found.below) == pytest.approx(limit), name
        assert found.severity.value == severity, name
        assert read_runbook(found.runbook).steps, name


def test_every_signal_is_explained_and_looked_at(shipped: Alerts) -> None:
    assert set(SIGNALS) == set(Signal)
    assert {one.signal for one in shipped.rules.values()} == set(Signal)


def test_difference_says_where_and_what_would_have_been_right() -> None:
    made = rules(rule(for_s=2.0))
    found = run_test(made, "t", RuleTest(rule="rule_0", series="80x4", expect="firing x4"))
    assert found is not None
    assert (found.step, found.expected, found.got) == (0, "firing", "pending")
    assert found.run == "pending x2 firing x2"


def test_series_is_read() -> None:
    steps = parse_series("40~42x3 ?x1 -x1 @busy+charging 7x1 @ -1.5x1")
    assert steps == [
        Step(True, 40.0),
        Step(True, 41.0),
        Step(True, 42.0),
        Step(True, None),
        Step(False),
        Step(True, 7.0, frozenset({RobotMode.BUSY, RobotMode.CHARGING})),
        Step(True, -1.5),
    ]
    assert parse_phases("inactive x2 flapping x1") == ["inactive", "inactive", "flapping"]


@pytest.mark.parametrize(
    "text", ["", "71", "x3", "71x", "71x0", "nanx3", "infx2", "@flying 3x1", "1x999999", "@busy"]
)
def test_series_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(SeriesError):
        parse_series(text)


@pytest.mark.parametrize("text", ["", "firing", "firing 3", "fire x3", "firing x0", "x3 firing"])
def test_phases_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(SeriesError):
        parse_phases(text)


WORDS = st.sampled_from(["71", "-0.5", "unknown", "firing", "ok", "@busy", "x3", "x0", "71x2", "x"])


@given(st.text(max_size=60) | st.lists(WORDS, max_size=6).map(" ".join))
def test_any_text_is_a_series_or_is_refused(text: str) -> None:
    for parse in (parse_series, parse_phases):
        try:
            found = parse(text)
        except SeriesError:
            continue
        assert found
        assert parse(f"{text} {text}") == found * 2


@given(st.lists(st.sampled_from(PHASES), min_size=1, max_size=50))
def test_phases_survive_being_shortened(phases: list[str]) -> None:
    assert parse_phases(shorten(phases)) == phases
