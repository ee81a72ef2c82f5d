"""Runs all checks at the profile's interval and keeps the last findings.

A probe that raises is a finding of its own (unknown), never the end of the process that asked.
"""

import importlib
import pkgutil
from collections.abc import Iterable

from runtime.health import checks
from runtime.health.check import Bands, Check, Finding, HealthState, Measured, Probe, Sources, judge

RECHECK_NS = 1_000_000_000
"""While a critical check is not well, it is looked at this often, so recovery shows at once."""


def discover_checks() -> tuple[Check, ...]:
    """The `CHECK` of every module in runtime/health/checks/."""
    names = sorted(module.name for module in pkgutil.iter_modules(checks.__path__))
    return tuple(importlib.import_module(f"{checks.__name__}.{name}").CHECK for name in names)


class HealthRounds:
    """Owned by the agent; `step` is cheap when no round is due."""

    def __init__(
        self, sources: Sources, bands: Bands, period_ns: int, found: Iterable[Check] | None = None
    ) -> None:
        self.findings: tuple[Finding, ...] = ()
        self._sources = sources
        self._bands = bands
        self._period_ns = period_ns
        known = discover_checks() if found is None else tuple(found)
        self._probes = [(check, check.make_probe()) for check in known if check.name in bands]
        self._next_round_ns: int | None = None
        self._next_report_ns: int | None = None

    def step(self, now_ns: int) -> bool:
        """Runs a round if one is due; true when its findings are to be reported."""
        if self._next_round_ns is not None and now_ns < self._next_round_ns:
            return False
        before = {finding.check: finding.state for finding in self.findings}
        self.findings = tuple(self._look(check, probe) for check, probe in self._probes)
        well = worst_critical(self.findings) is HealthState.OK
        self._next_round_ns = now_ns + (self._period_ns if well else RECHECK_NS)
        changed = any(before.get(f.check, f.state) is not f.state for f in self.findings)
        due = self._next_report_ns is None or now_ns >= self._next_report_ns
        if due or changed:
            self._next_report_ns = now_ns + self._period_ns
        return due or changed

    def _look(self, check: Check, probe: Probe) -> Finding:
        clock = self._sources.clock
        try:
            measured = probe(self._sources)
        except Exception as error:  # noqa: BLE001 - whatever a probe does, the others still run
            measured = Measured(None, clock.now_ns(), f"{type(error).__name__}: {error}")
        # Only now: what a probe reads while it runs would be from the future of a look before it.
        return judge(check, measured, self._bands[check.name], clock.now_ns())


def worst_critical(findings: tuple[Finding, ...]) -> HealthState:
    """Well, failed, or not known; a warning stops nothing. No finding at all is not known."""
    if not findings:
        return HealthState.UNKNOWN
    states = {finding.state for finding in findings if finding.critical}
    if HealthState.FAIL in states:
        return HealthState.FAIL
    return HealthState.UNKNOWN if HealthState.UNKNOWN in states else HealthState.OK
