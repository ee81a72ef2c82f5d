"""What the eyes may do: directive, GPU, and defaults when nobody says anything."""

import numpy as np
import pytest

from conf.schema.modes import GpuBand
from runtime.hal.gpu import ABSENT, UNKNOWN, GpuReading
from runtime.perception.duty import DIRECTIVE_STALE_NS, duty_of, gpu_state
from runtime.perception.inference import Health
from runtime.shm import DTYPES
from runtime.shm.enums import GpuState, Levels

BAND = GpuBand(slowdown_enter=3.0, slowdown_leave=2.0, load_enter=0.95, load_leave=0.8)
ALL = Levels.LEVEL1 | Levels.LEVEL2 | Levels.LEVEL3


def directive(**fields: int) -> np.void:
    record = np.zeros((), DTYPES["directive"])
    for name, value in {"allowed_levels": int(ALL), "perception_rate_hz": 30, **fields}.items():
        record[name] = value
    return record[()]


def state(reading: GpuReading, health: Health, before: GpuState, late: float = 0.0) -> GpuState:
    return gpu_state(reading, health, BAND, before, late_ratio=late)


@pytest.mark.parametrize("before", list(GpuState))
def test_gpu_that_is_absent_or_a_worker_that_is_lost_is_offline(before: GpuState) -> None:
    assert state(ABSENT, Health.OK, before) is GpuState.OFFLINE
    assert state(UNKNOWN, Health.OFFLINE, before) is GpuState.OFFLINE


def test_worker_on_its_way_back_is_not_yet_ok() -> None:
    assert state(UNKNOWN, Health.RESTARTING, GpuState.OFFLINE) is GpuState.OFFLINE
    assert state(UNKNOWN, Health.RESTARTING, GpuState.OK) is GpuState.UNKNOWN


def test_overload_has_hysteresis() -> None:
    slow = GpuReading(True, 0.5, 2.5, 50.0)
    assert state(slow, Health.OK, GpuState.OK) is GpuState.OK
    assert state(slow, Health.OK, GpuState.OVERLOADED) is GpuState.OVERLOADED
    assert state(GpuReading(True, 0.5, 3.5, 50.0), Health.OK, GpuState.OK) is GpuState.OVERLOADED


def test_late_results_are_overload_whatever_the_probe_says() -> None:
    assert state(UNKNOWN, Health.OK, GpuState.OK, late=0.5) is GpuState.OVERLOADED


def test_overloaded_gpu_leaves_level_1_only() -> None:
    duty = duty_of(directive(), GpuState.OVERLOADED, 30.0, 10.0, 0)
    assert duty.allowed == Levels.LEVEL1
    assert not duty.stereo


def test_gpu_gone_means_stereo_at_its_own_rate() -> None:
    duty = duty_of(directive(), GpuState.OFFLINE, 30.0, 10.0, 0)
    assert duty.stereo
    assert duty.rate_hz == 10.0
    assert duty.allowed == Levels(0)


def test_directive_is_obeyed_while_fresh() -> None:
    word = directive(allowed_levels=int(Levels.LEVEL1), perception_rate_hz=15)
    duty = duty_of(word, GpuState.OK, 30.0, 10.0, 0)
    assert (duty.allowed, duty.rate_hz) == (Levels.LEVEL1, 15.0)
    assert duty_of(directive(stereo=1), GpuState.OK, 30.0, 10.0, 0).stereo


def test_silent_agent_does_not_blind_the_eyes() -> None:
    word = directive(allowed_levels=int(Levels.LEVEL1))
    for spoken in (None, word):
        duty = duty_of(spoken, GpuState.OK, 30.0, 10.0, DIRECTIVE_STALE_NS)
        assert duty.allowed == ALL
