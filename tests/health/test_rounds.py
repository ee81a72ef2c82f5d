"""Rounds of checks: judgement against bands, intervals, and checks that fail themselves."""

from dataclasses import replace
from pathlib import Path

import pytest

from conf.load import compose
from conf.schema.modes import HealthBand
from runtime.hal.clock import SystemClock
from runtime.health import checks
from runtime.health.check import Check, HealthState, Measured, judge
from runtime.health.rounds import HealthRounds, discover_checks, worst_critical
from tests.health.conftest import Bench

S = 1_000_000_000
RISING = HealthBand(warn=70.0, fail=85.0, critical=True, fresh_s=90.0)
FALLING = HealthBand(warn=0.2, fail=0.08, critical=True, fresh_s=90.0)


def fixed(value, name="one", at_ns=S):
    return Check(name=name, unit="", make_probe=lambda: lambda _sources: Measured(value, at_ns))


@pytest.mark.parametrize(
    ("band", "value", "state"),
    [
        (RISING, 69.9, HealthState.OK),
        (RISING, 70.0, HealthState.WARN),
        (RISING, 85.0, HealthState.FAIL),
        (FALLING, 0.21, HealthState.OK),
        (FALLING, 0.2, HealthState.WARN),
        (FALLING, 0.08, HealthState.FAIL),
        (RISING, None, HealthState.UNKNOWN),
        (RISING, float("nan"), HealthState.UNKNOWN),
        (RISING, float("inf"), HealthState.UNKNOWN),
        (FALLING, float("-inf"), HealthState.UNKNOWN),
    ],
)
def test_judge_compares_with_the_band(band, value, state):
    assert judge(fixed(value), Measured(value, S), band, S).state is state


def test_judge_does_not_believe_old_or_future_values():
    assert judge(fixed(1.0), Measured(1.0, S), RISING, 92 * S).state is HealthState.UNKNOWN
    assert judge(fixed(1.0), Measured(1.0, S), RISING, S - 1).state is HealthState.UNKNOWN


def test_every_check_has_a_band_and_every_band_a_check():
    bands = set(compose().config.modes.health)
    assert {check.name for check in discover_checks()} == bands


def test_every_check_file_has_a_twin_test():
    names = {path.stem for path in Path(checks.__path__[0]).glob("[a-z]*.py")}
    twins = {
        path.stem.removeprefix("test_")
        for path in (Path(__file__).parent / "checks").glob("test_*.py")
    }
    assert names == twins


def test_rounds_run_at_their_period_and_at_once_at_the_start(bench):
    looks = []

    def make_probe():
        return lambda sources: (
            looks.append(sources.clock.now_ns()),
            Measured(1.0, sources.clock.now_ns()),
        )[1]

    check = Check(name="one", unit="", make_probe=make_probe)
    rounds = HealthRounds(bench.sources, {"one": RISING}, 30 * S, [check])
    for _ in range(1200):
        rounds.step(bench.clock.now_ns())
        bench.clock.advance(S // 20)
    assert len(looks) == 2


def test_rounds_look_every_second_while_a_critical_check_is_not_well(bench):
    values = [None, None, None, 1.0]

    def make_probe():
        return lambda sources: Measured(values.pop(0) if values else 1.0, sources.clock.now_ns())

    check = Check(name="one", unit="", make_probe=make_probe)
    rounds = HealthRounds(bench.sources, {"one": RISING}, 30 * S, [check])
    for _ in range(80):
        rounds.step(bench.clock.now_ns())
        bench.clock.advance(S // 20)
    assert worst_critical(rounds.findings) is HealthState.OK


def test_rounds_report_a_change_at_once_and_else_once_a_period(bench):
    values = [None, None, 1.0]

    def make_probe():
        return lambda sources: Measured(values.pop(0), sources.clock.now_ns())

    check = Check(name="one", unit="", make_probe=make_probe)
    rounds = HealthRounds(bench.sources, {"one": RISING}, 30 * S, [check])
    reported = []
    for _ in range(45):
        reported.append(rounds.step(bench.clock.now_ns()))
        bench.clock.advance(S // 20)
    assert [index for index, due in enumerate(reported) if due] == [0, 40]


def test_a_probe_that_raises_is_unknown_and_the_others_still_run(bench):
    def make_probe():
        def probe(_sources):
            raise OSError("no such sensor")

        return probe

    broken = Check(name="broken", unit="", make_probe=make_probe)
    rounds = HealthRounds(
        bench.sources, {"broken": RISING, "one": RISING}, 30 * S, [broken, fixed(1.0)]
    )
    rounds.step(S)
    states = {finding.check: finding.state for finding in rounds.findings}
    assert states == {"broken": HealthState.UNKNOWN, "one": HealthState.OK}
    assert "no such sensor" in rounds.findings[0].note


def test_what_is_read_while_the_clock_goes_on_is_not_from_the_future(bench):
    def make_probe():
        def probe(sources):
            bench.clock.advance(2_000_000)
            return Measured(1.0, sources.clock.now_ns())

        return probe

    check = Check(name="one", unit="", make_probe=make_probe, of_machine=True)
    rounds = HealthRounds(bench.sources, {"one": RISING}, 30 * S, [check])
    assert rounds.step(S)
    assert [finding.state for finding in rounds.findings] == [HealthState.OK]


@pytest.mark.parametrize("check", [check for check in discover_checks() if check.of_machine])
def test_a_real_machine_is_known_by_the_real_clock(check, tmp_path):
    sources = replace(Bench(data_dir=tmp_path).sources, clock=SystemClock())
    bands = {check.name: compose().config.modes.health[check.name]}
    rounds = HealthRounds(sources, bands, 30 * S, [check])
    rounds.step(sources.clock.now_ns())
    assert rounds.findings[0].value is not None


def test_no_findings_at_all_are_not_healthy():
    assert worst_critical(()) is HealthState.UNKNOWN
