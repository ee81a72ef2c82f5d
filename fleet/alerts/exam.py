"""Runs the tests that stand beside the rules, on the engine that watches the fleet."""

from collections.abc import Iterator
from dataclasses import dataclass

from conf.schema.alerts import SIGNALS, Alerts, RuleTest, Scope
from conf.series import Step, parse_phases, parse_series
from fleet.alerts.engine import Engine
from fleet.alerts.fold import Phase, View
from fleet.alerts.sample import FLEET, Sample, ns

START_NS = ns(1_000_000)
FLAPPING = "flapping"


@dataclass(frozen=True)
class Difference:
    """The first step at which a test went otherwise."""

    test: str
    step: int
    at_s: float
    expected: str
    got: str
    value: float | None
    run: str  # the phases that came, as the test would have to say them


def run_tests(alerts: Alerts, only: str | None = None) -> Iterator[tuple[str, Difference | None]]:
    """Every test, and how it went otherwise; `only` is a test or a rule."""
    for key, test in alerts.tests.items():
        if only in (None, key, test.rule):
            yield key, run_test(alerts, key, test)


def run_test(alerts: Alerts, key: str, test: RuleTest) -> Difference | None:
    steps, expected = parse_series(test.series), parse_phases(test.expect)
    got = list(play(alerts, test, steps))
    for index, (want, have) in enumerate(zip(expected, got, strict=True)):
        if want != have:
            at_s, value = index * test.every_s, steps[index].value
            return Difference(key, index, at_s, want, have, value, shorten(got))
    return None


def play(alerts: Alerts, test: RuleTest, steps: list[Step]) -> Iterator[str]:
    engine, rule = Engine(alerts), alerts.rules[test.rule]
    subject = FLEET if SIGNALS[rule.signal].scope is Scope.FLEET else "robot"
    for index, step in enumerate(steps):
        now_ns = START_NS + ns(index * test.every_s)
        if step.is_sample:
            engine.observe([Sample(subject, rule.signal, now_ns, step.value, step.modes)])
        yield word_of(engine.view(subject, test.rule, now_ns))


def word_of(view: View) -> str:
    return FLAPPING if view.flapping and view.phase is Phase.FIRING else view.phase.value


def shorten(phases: list[str]) -> str:
    parts: list[tuple[str, int]] = []
    for phase in phases:
        if parts and parts[-1][0] == phase:
            parts[-1] = (phase, parts[-1][1] + 1)
        else:
            parts.append((phase, 1))
    return " ".join(f"{phase} x{count}" for phase, count in parts)
