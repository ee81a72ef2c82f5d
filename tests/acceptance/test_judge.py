"""The verdict follows from the figures alone, and doubt never counts as passed."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.schema.hardware import Acceptance
from runtime.acceptance.judge import (
    Finding,
    Measured,
    Part,
    Verdict,
    conclude,
    judge,
    wanted_cycles,
)
from runtime.acceptance.latency import Latencies

LIMITS = Acceptance(
    quiet_cycles=1000, loaded_cycles=2000, peer_cycles=1000, wakeup_max_us=100.0, missed_max=0
)


def latencies(max_us: float, count: int = 2000) -> Latencies:
    return Latencies(((1.0, count - 1), (max_us, 1)), max_us)


def held(part: Part) -> Measured:
    return Measured(part, 2000, 0, latencies(60.0), latencies(50.0), realtime=True)


HELD = (held(Part.QUIET), held(Part.LOADED))


def verdict_with(**changes: object) -> Verdict:
    return conclude(judge(LIMITS, (HELD[0], replace(HELD[1], **changes))))


def test_a_board_that_holds_everything_passes():
    findings = judge(LIMITS, HELD)
    assert {finding.verdict for finding in findings} == {Verdict.PASSED}
    assert conclude(findings) is Verdict.PASSED


@pytest.mark.parametrize(
    ("changes", "item"),
    [
        ({"missed": 1}, "loaded.missed"),
        ({"realtime": False}, "loaded.scheduling"),
        ({"wakeup": latencies(101.0), "peer": latencies(100.0)}, "loaded.wakeup"),
        ({"wakeup": latencies(80.0)}, "loaded.peer_ratio"),
    ],
)
def test_each_limit_that_is_not_held_fails_and_is_named(changes: dict[str, object], item: str):
    findings = judge(LIMITS, (HELD[0], replace(HELD[1], **changes)))
    assert [f.item for f in findings if f.verdict is Verdict.FAILED] == [item]
    assert conclude(findings) is Verdict.FAILED


@pytest.mark.parametrize(
    "changes",
    [
        {"cycles": 1999},
        {"wakeup": None},
        {"peer": None, "problem": "cyclictest is not installed"},
        {"realtime": None},
        {"load_died": ("disk",)},
        {"wakeup": Latencies((), 0.0)},
    ],
)
def test_what_was_not_measured_is_unknown(changes: dict[str, object]):
    assert verdict_with(**changes) is Verdict.UNKNOWN


def test_a_part_that_is_missing_is_unknown_and_named():
    findings = judge(LIMITS, HELD[:1])
    assert [(f.item, f.verdict) for f in findings if f.verdict is not Verdict.PASSED] == [
        ("loaded", Verdict.UNKNOWN)
    ]
    assert conclude(judge(LIMITS, ())) is Verdict.UNKNOWN
    assert conclude(()) is Verdict.UNKNOWN


def test_a_miss_before_the_loop_stopped_short_still_fails():
    assert verdict_with(cycles=10, missed=3) is Verdict.FAILED


def test_a_shorter_run_wants_fewer_cycles_and_never_more():
    assert wanted_cycles(LIMITS, Part.LOADED, 500) == 500
    assert wanted_cycles(LIMITS, Part.QUIET, 10**9) == 1000
    few = tuple(replace(measured, cycles=500) for measured in HELD)
    assert conclude(judge(LIMITS, few)) is Verdict.UNKNOWN
    assert conclude(judge(LIMITS, few, shortened_to=500)) is Verdict.PASSED


def test_a_peer_below_its_own_resolution_counts_as_one_microsecond():
    quick = Latencies(((0.0, 1000),), 0.0)
    assert verdict_with(peer=quick, wakeup=latencies(1.4)) is Verdict.PASSED
    assert verdict_with(peer=quick, wakeup=latencies(1.6)) is Verdict.FAILED


MAX_US = st.floats(0.1, 10_000)
MEASURED = st.builds(
    Measured,
    part=st.sampled_from(list(Part)),
    cycles=st.integers(0, 5000),
    missed=st.integers(0, 3),
    wakeup=st.none() | MAX_US.map(latencies),
    peer=st.none() | MAX_US.map(latencies),
    realtime=st.sampled_from([True, False, None]),
)
WORSE_THAN = {Verdict.PASSED: 0, Verdict.UNKNOWN: 1, Verdict.FAILED: 2}


def severity(*parts: Measured) -> int:
    return WORSE_THAN[conclude(judge(LIMITS, parts))]


@given(MEASURED, st.integers(1, 5), st.floats(1.0, 100.0))
def test_worse_figures_never_give_a_better_verdict(measured: Measured, missed: int, factor: float):
    other = held(Part.LOADED if measured.part is Part.QUIET else Part.QUIET)
    before = severity(measured, other)
    assert severity(replace(measured, missed=measured.missed + missed), other) >= before
    if measured.wakeup is not None:
        later = latencies(measured.wakeup.max_us * factor)
        assert severity(replace(measured, wakeup=later), other) >= before


@given(MEASURED)
def test_forgetting_a_figure_never_makes_a_verdict_passed(measured: Measured):
    other = held(Part.LOADED if measured.part is Part.QUIET else Part.QUIET)
    for gone in ("wakeup", "peer", "realtime"):
        found = conclude(judge(LIMITS, (replace(measured, **{gone: None}), other)))
        assert found is not Verdict.PASSED
    assert conclude(judge(LIMITS, (replace(measured, cycles=0), other))) is not Verdict.PASSED


@given(st.lists(st.sampled_from(list(Verdict)), max_size=6))
def test_the_worst_finding_decides(verdicts: list[Verdict]):
    findings = [Finding("item", "wanted", "found", verdict) for verdict in verdicts]
    concluded = conclude(findings)
    assert (concluded is Verdict.PASSED) == (set(verdicts) == {Verdict.PASSED})
    assert (concluded is Verdict.FAILED) == (Verdict.FAILED in verdicts)
