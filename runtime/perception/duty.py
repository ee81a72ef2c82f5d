"""What the eyes may and must do now: the agent's directive, the GPU's state, and safe defaults."""

from dataclasses import dataclass

import numpy as np

from conf.schema.modes import GpuBand
from runtime.hal.gpu import GpuReading
from runtime.perception.inference import Health
from runtime.shm.enums import GpuState, Levels

DIRECTIVE_STALE_NS = 1_000_000_000
ALL = Levels.LEVEL1 | Levels.LEVEL2 | Levels.LEVEL3


@dataclass(frozen=True)
class Duty:
    allowed: Levels
    rate_hz: float
    stereo: bool


def gpu_state(
    reading: GpuReading, health: Health, band: GpuBand, before: GpuState, *, late_ratio: float
) -> GpuState:
    """The device as far as the eyes can tell: probe and worker together, the worse of both."""
    if reading.present is False or health is Health.OFFLINE:
        return GpuState.OFFLINE
    if health is not Health.OK:
        return GpuState.UNKNOWN if before is not GpuState.OFFLINE else GpuState.OFFLINE
    was = before is GpuState.OVERLOADED
    slow = band.slowdown_leave if was else band.slowdown_enter
    load = band.load_leave if was else band.load_enter
    if reading.slowdown is not None and reading.slowdown > slow:
        return GpuState.OVERLOADED
    if reading.load_ratio is not None and reading.load_ratio > load:
        return GpuState.OVERLOADED
    if late_ratio > (0.05 if was else 0.2):
        return GpuState.OVERLOADED
    return GpuState.OK


def duty_of(
    directive: np.void | None, gpu: GpuState, rate_hz: float, stereo_rate_hz: float, now_ns: int
) -> Duty:
    """Without a word from the agent the eyes look on with all they have; a GPU that is gone or
    cannot keep up counts even before the agent has noticed."""
    allowed, stereo = ALL, False
    fresh = directive is not None and now_ns - int(directive["created_ns"]) < DIRECTIVE_STALE_NS
    if directive is not None and fresh:
        allowed = Levels(int(directive["allowed_levels"])) & ALL
        stereo = bool(directive["stereo"])
        wanted = int(directive["perception_rate_hz"])
        rate_hz = min(rate_hz, float(wanted)) if wanted > 0 else rate_hz
    if gpu is GpuState.OVERLOADED:
        allowed &= Levels.LEVEL1
    if gpu is GpuState.OFFLINE or stereo or not allowed & Levels.LEVEL1:
        return Duty(Levels(0), min(rate_hz, stereo_rate_hz), stereo=True)
    return Duty(allowed, rate_hz, stereo=False)
