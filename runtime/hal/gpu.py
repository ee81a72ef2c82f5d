"""What the accelerator says of itself: the simulator's slot, NVML, or a Jetson's files.

Every value that a machine does not tell is None. Unknown is not healthy.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from conf.schema import Config
from runtime.hal.clock import NS_PER_S, Clock
from runtime.shm import Shm

STALE_NS = 2 * NS_PER_S
NVML_LIBRARY = "libnvidia-ml.so.1"
NVML_SUCCESS, NVML_TEMPERATURE_GPU, NVML_CLOCK_SM = 0, 0, 1
BUSY_RATIO = 0.5  # an idle GPU clocks down by itself: only a busy one can be slowed


@dataclass(frozen=True)
class GpuReading:
    present: bool | None = None
    load_ratio: float | None = None
    slowdown: float | None = None  # 1 at full clock, 4 at a quarter of it
    temp_c: float | None = None


UNKNOWN = GpuReading()
ABSENT = GpuReading(present=False)


class GpuProbe(Protocol):
    def read(self) -> GpuReading: ...


class SharedGpu:
    """The simulator's GPU."""

    def __init__(self, shm: Shm, clock: Clock) -> None:
        self._reader = shm.reader("hal.gpu")
        self._clock = clock

    def read(self) -> GpuReading:
        record = self._reader.latest()
        if record is None or self._clock.now_ns() - int(record["created_ns"]) > STALE_NS:
            return UNKNOWN
        if not record["present"]:
            return ABSENT
        return GpuReading(
            present=True,
            load_ratio=_within(float(record["load_ratio"]), 0.0, 1.0),
            slowdown=_within(float(record["slowdown"]), 1.0, 1000.0),
            temp_c=_within(float(record["temp_c"]), -60.0, 150.0),
        )


class NoGpu:
    """A board without an accelerator: nothing to know about it."""

    def read(self) -> GpuReading:
        return UNKNOWN


class _Utilization(ctypes.Structure):
    _fields_ = [("gpu", ctypes.c_uint), ("memory", ctypes.c_uint)]


class NvmlGpu:
    """A discrete NVIDIA GPU, asked through the driver's own library; opens no CUDA context."""

    def __init__(self, library: Any | None = None, index: int = 0) -> None:
        self._index = index
        self._library = library
        self._ready = False

    def read(self) -> GpuReading:
        try:
            return self._read()
        except OSError:  # the library itself is missing
            return UNKNOWN

    def _read(self) -> GpuReading:
        if self._library is None:
            self._library = ctypes.CDLL(NVML_LIBRARY)
        library = self._library
        if not self._ready:
            self._ready = library.nvmlInit_v2() == NVML_SUCCESS
            if not self._ready:
                return ABSENT  # a library that finds no driver to speak to
        handle = ctypes.c_void_p()
        found = library.nvmlDeviceGetHandleByIndex_v2(self._index, ctypes.byref(handle))
        if found != NVML_SUCCESS:
            self._ready = False  # a GPU that fell off the bus is looked for anew
            return ABSENT
        load = _nvml_load(library, handle)
        slowdown = _nvml_slowdown(library, handle, load)
        return GpuReading(True, load, slowdown, _nvml_temperature(library, handle))


def _nvml_load(library: Any, handle: ctypes.c_void_p) -> float | None:
    rates = _Utilization()
    ok = library.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(rates))
    return _within(rates.gpu / 100.0, 0.0, 1.0) if ok == NVML_SUCCESS else None


def _nvml_temperature(library: Any, handle: ctypes.c_void_p) -> float | None:
    value = ctypes.c_uint()
    ok = library.nvmlDeviceGetTemperature(handle, NVML_TEMPERATURE_GPU, ctypes.byref(value))
    return _within(float(value.value), -60.0, 150.0) if ok == NVML_SUCCESS else None


def _nvml_slowdown(library: Any, handle: ctypes.c_void_p, load: float | None) -> float | None:
    now, top = ctypes.c_uint(), ctypes.c_uint()
    calls = (
        library.nvmlDeviceGetClockInfo(handle, NVML_CLOCK_SM, ctypes.byref(now)),
        library.nvmlDeviceGetMaxClockInfo(handle, NVML_CLOCK_SM, ctypes.byref(top)),
    )
    if any(call != NVML_SUCCESS for call in calls):
        return None
    return slowdown_of(now.value, top.value, load)


class JetsonGpu:
    """An integrated GPU, by the files that a Jetson's kernel shows."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def read(self) -> GpuReading:
        device = self._device()
        if device is None:
            return ABSENT
        load = _number(self._load_file())
        load_ratio = None if load is None else _within(load / 1000.0, 0.0, 1.0)
        now, top = _number(device / "cur_freq"), _number(device / "max_freq")
        slowdown = None if now is None or top is None else slowdown_of(now, top, load_ratio)
        return GpuReading(True, load_ratio, slowdown, self._temperature())

    def _device(self) -> Path | None:
        """The GPU's clock: `17000000.gpu` on Orin, `gpu-gpc-0` or the like on Thor."""
        folder = self._root / "sys/class/devfreq"
        return next(iter(sorted(folder.glob("*gpu*"))), None) if folder.is_dir() else None

    def _load_file(self) -> Path:
        for pattern in ("platform/*/*.gpu/load", "platform/*.gpu/load", "gpu.0/load"):
            for path in sorted((self._root / "sys/devices").glob(pattern)):
                return path
        return self._root / "sys/devices/gpu.0/load"

    def _temperature(self) -> float | None:
        for zone in sorted((self._root / "sys/class/thermal").glob("thermal_zone*")):
            try:
                name = (zone / "type").read_text(encoding="ascii").strip().lower()
            except OSError:
                continue
            if name.startswith("gpu"):
                value = _number(zone / "temp")
                return None if value is None else _within(value / 1000.0, -60.0, 150.0)
        return None


def slowdown_of(clock_now: float, clock_top: float, load_ratio: float | None) -> float | None:
    """How much slower than its best a busy GPU runs; an idle one is at full speed when asked."""
    if clock_now <= 0 or clock_top <= 0:
        return None
    if load_ratio is None or load_ratio < BUSY_RATIO:
        return 1.0
    return max(1.0, clock_top / clock_now)


def open_gpu(config: Config, shm: Shm, clock: Clock) -> GpuProbe:
    """The probe that fits the profile's board."""
    if config.hardware.actuation.kind == "sim":
        return SharedGpu(shm, clock)
    if config.hardware.compute.accelerator == "none":
        return NoGpu()
    if Path("/etc/nv_tegra_release").is_file() or "jetson" in config.hardware.name:
        return JetsonGpu()
    return NvmlGpu()


def _within(value: float, low: float, high: float) -> float | None:
    """A plausible value, or None: a driver's nonsense is not a reading."""
    return value if math.isfinite(value) and low <= value <= high else None


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        return None
