"""GPU probes: nonsense and silence are unknown, absence is absence."""

import ctypes
from pathlib import Path
from typing import Any

import pytest

from runtime.hal.clock import VirtualClock
from runtime.hal.gpu import (
    ABSENT,
    UNKNOWN,
    GpuReading,
    JetsonGpu,
    NoGpu,
    NvmlGpu,
    SharedGpu,
    slowdown_of,
)
from runtime.shm import Shm

S = 1_000_000_000


def test_no_gpu_is_unknown() -> None:
    assert NoGpu().read() == UNKNOWN


# The simulator's slot


@pytest.fixture
def shm(tmp_path: Path) -> Shm:
    return Shm(tmp_path)


def test_shared_gpu_before_the_first_record_is_unknown(shm: Shm) -> None:
    assert SharedGpu(shm, VirtualClock()).read() == UNKNOWN


def test_shared_gpu_reads_the_slot_and_forgets_it_when_it_is_old(shm: Shm) -> None:
    clock = VirtualClock()
    shm.writer("hal.gpu").write(
        created_ns=clock.now_ns(), present=1, load_ratio=0.5, slowdown=2.0, temp_c=60.0
    )
    probe = SharedGpu(shm, clock)
    assert probe.read() == GpuReading(True, 0.5, 2.0, 60.0)
    clock.advance(3 * S)
    assert probe.read() == UNKNOWN


def test_shared_gpu_takes_no_nonsense_for_a_reading(shm: Shm) -> None:
    clock = VirtualClock()
    shm.writer("hal.gpu").write(
        created_ns=clock.now_ns(), present=1, load_ratio=float("nan"), slowdown=-3.0, temp_c=1e9
    )
    assert SharedGpu(shm, clock).read() == GpuReading(present=True)


def test_shared_gpu_that_is_gone_is_absent(shm: Shm) -> None:
    clock = VirtualClock()
    shm.writer("hal.gpu").write(created_ns=clock.now_ns(), present=0)
    assert SharedGpu(shm, clock).read() == ABSENT


# NVML, by a double of the driver's library


class Library:
    """Answers as libnvidia-ml does."""

    def __init__(self, **answers: int) -> None:
        self.answers = answers
        self.values = {"load": 80, "temp": 61, "now": 600, "top": 1800}

    def _code(self, name: str) -> int:
        return self.answers.get(name, 0)

    def nvmlInit_v2(self) -> int:
        return self._code("init")

    def nvmlDeviceGetHandleByIndex_v2(self, index: int, handle: Any) -> int:
        return self._code("handle")

    def nvmlDeviceGetUtilizationRates(self, handle: Any, rates: Any) -> int:
        ctypes.cast(rates, ctypes.POINTER(ctypes.c_uint))[0] = self.values["load"]
        return self._code("load")

    def nvmlDeviceGetTemperature(self, handle: Any, sensor: int, value: Any) -> int:
        ctypes.cast(value, ctypes.POINTER(ctypes.c_uint))[0] = self.values["temp"]
        return self._code("temp")

    def nvmlDeviceGetClockInfo(self, handle: Any, which: int, value: Any) -> int:
        ctypes.cast(value, ctypes.POINTER(ctypes.c_uint))[0] = self.values["now"]
        return self._code("now")

    def nvmlDeviceGetMaxClockInfo(self, handle: Any, which: int, value: Any) -> int:
        ctypes.cast(value, ctypes.POINTER(ctypes.c_uint))[0] = self.values["top"]
        return self._code("top")


def test_nvml_reads_load_clock_and_temperature() -> None:
    assert NvmlGpu(Library()).read() == GpuReading(True, 0.8, 3.0, 61.0)


@pytest.mark.parametrize(
    ("failing", "reading"),
    [
        ("load", GpuReading(True, None, 1.0, 61.0)),
        ("temp", GpuReading(True, 0.8, 3.0, None)),
        ("now", GpuReading(True, 0.8, None, 61.0)),
        ("handle", ABSENT),
        ("init", ABSENT),
    ],
)
def test_nvml_that_does_not_answer_leaves_a_gap_and_no_zero(
    failing: str, reading: GpuReading
) -> None:
    assert NvmlGpu(Library(**{failing: 15})).read() == reading


def test_nvml_finds_a_gpu_again_that_had_fallen_off_the_bus() -> None:
    library = Library(handle=15)
    probe = NvmlGpu(library)
    assert probe.read() == ABSENT
    library.answers.clear()
    assert probe.read().present


@pytest.mark.gpu
def test_nvml_of_a_real_driver_is_plausible() -> None:
    reading = NvmlGpu().read()
    if reading.present is None:
        pytest.skip("no NVIDIA driver on this machine")
    assert reading.present
    assert reading.load_ratio is not None
    assert reading.slowdown is not None
    assert reading.temp_c is not None
    assert 10 < reading.temp_c < 100


# A Jetson's files


def write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n", encoding="ascii")


@pytest.fixture
def orin(tmp_path: Path) -> Path:
    write(tmp_path, "sys/class/devfreq/17000000.gpu/cur_freq", "306000000")
    write(tmp_path, "sys/class/devfreq/17000000.gpu/max_freq", "1224000000")
    write(tmp_path, "sys/devices/platform/bus@0/17000000.gpu/load", "930")
    write(tmp_path, "sys/class/thermal/thermal_zone0/type", "cpu-thermal")
    write(tmp_path, "sys/class/thermal/thermal_zone0/temp", "48000")
    write(tmp_path, "sys/class/thermal/thermal_zone1/type", "gpu-thermal")
    write(tmp_path, "sys/class/thermal/thermal_zone1/temp", "71500")
    return tmp_path


def test_jetson_reads_its_files(orin: Path) -> None:
    assert JetsonGpu(orin).read() == GpuReading(True, 0.93, 4.0, 71.5)


def test_jetson_with_a_broken_file_leaves_a_gap(orin: Path) -> None:
    write(orin, "sys/class/thermal/thermal_zone1/temp", "-256000000")
    write(orin, "sys/devices/platform/bus@0/17000000.gpu/load", "?")
    assert JetsonGpu(orin).read() == GpuReading(True, None, 1.0, None)


def test_jetson_without_its_gpu_is_absent(tmp_path: Path) -> None:
    assert JetsonGpu(tmp_path).read() == ABSENT


@pytest.mark.parametrize(
    ("now", "top", "load", "wanted"),
    [(300, 1200, 0.9, 4.0), (300, 1200, 0.1, 1.0), (300, 1200, None, 1.0), (0, 1200, 0.9, None),
     (1300, 1200, 0.9, 1.0)],
)  # fmt: skip
def test_only_a_busy_gpu_can_be_slowed(
    now: float, top: float, load: float | None, wanted: float | None
) -> None:
    assert slowdown_of(now, top, load) == wanted
