"""The shape of a health check: a probe that reads one number, and the pure judgement of it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from conf.schema.modes import HealthBand
from runtime.hal.clock import Clock
from runtime.uplink import Uplink


class HealthState(StrEnum):
    """Ordered from well to not known; only OK is healthy."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Measured:
    """`value` None: asked, and there is no answer. `note` says why, or what stands beside it."""

    value: float | None
    at_ns: int
    note: str = ""


@dataclass
class Sources:
    """Where probes read from. Records are the latest messages, None when never seen."""

    clock: Clock
    data_dir: Path
    state: Callable[[], np.void | None]
    gpu: Callable[[], np.void | None]
    uplink: Callable[[], Uplink | None]


Probe = Callable[[Sources], Measured]


@dataclass(frozen=True)
class Check:
    name: str
    unit: str
    make_probe: Callable[[], Probe]  # a probe may remember its last look
    of_machine: bool = False  # reads the computer, not the robot's messages: not in lock-step


@dataclass(frozen=True)
class Finding:
    check: str
    state: HealthState
    value: float | None
    unit: str
    age_ns: int
    critical: bool
    note: str

    @property
    def key(self) -> str:
        """Stable name of the event that this finding becomes."""
        return f"health.{self.check}_{self.state.value}"


def judge(check: Check, measured: Measured, band: HealthBand, now_ns: int) -> Finding:
    """Missing, too old, from the future and NaN are all unknown."""
    age_ns = now_ns - measured.at_ns
    value = measured.value
    known = value is not None and math.isfinite(value) and 0 <= age_ns <= band.fresh_s * 1e9
    return Finding(
        check=check.name,
        state=_state(value, band) if known and value is not None else HealthState.UNKNOWN,
        value=value if known else None,
        unit=check.unit,
        age_ns=age_ns,
        critical=band.critical,
        note=measured.note,
    )


def _state(value: float, band: HealthBand) -> HealthState:
    sign = 1.0 if band.fail >= band.warn else -1.0
    if sign * value >= sign * band.fail:
        return HealthState.FAIL
    if sign * value >= sign * band.warn:
        return HealthState.WARN
    return HealthState.OK


Bands = Mapping[str, HealthBand]
