"""The TensorRT backend against a double of TensorRT's API (no GPU here): what it calls, in which
order, and what it does when the device says no."""

from pathlib import Path

import numpy as np
import pytest

from runtime.perception.inference import CardError
from runtime.perception.inference.cuda_driver import CudaPythonDriver, PycudaDriver
from runtime.perception.inference.engine_cache import EngineCache
from runtime.perception.inference.port import DeviceLostError
from runtime.perception.inference.tensorrt_gpu import TensorrtEngine
from tests.perception.builders import SHAPE, write_network
from tests.perception.tensorrt_double import Device, Trt

X = {"x": np.full(SHAPE, 5.0, np.float32)}


def engine_on(trt: Trt, folder: Path) -> TensorrtEngine:
    return TensorrtEngine(trt, trt.device, EngineCache(folder / "engines"))


@pytest.mark.parametrize(("version", "flags"), [("10.3.0", 2), ("10.16.1", 2), ("11.4.0", 0)])
def test_network_runs_on_every_version(tmp_path: Path, version: str, flags: int) -> None:
    trt = Trt(Device(), version)
    session = engine_on(trt, tmp_path).load("double", str(write_network(tmp_path)))
    session.start(X)
    out = session.collect()
    assert out is not None
    assert np.array_equal(out["y"], np.full(SHAPE, 10.0, np.float32))
    assert trt.network_flags == [flags]  # 10 is asked for strong types, 11 has nothing else
    assert trt.device.calls == ["in", "execute", "out", "record"]


def test_run_is_asked_for_and_never_waited_for(tmp_path: Path) -> None:
    trt = Trt(Device())
    session = engine_on(trt, tmp_path).load("double", str(write_network(tmp_path)))
    trt.device.finished = False
    session.start(X)
    assert session.collect() is None
    trt.device.finished = True
    assert session.collect() is not None
    assert session.collect() is None


def test_outputs_are_copies_that_the_next_run_leaves_alone(tmp_path: Path) -> None:
    trt = Trt(Device())
    session = engine_on(trt, tmp_path).load("double", str(write_network(tmp_path)))
    session.start(X)
    first = session.collect()
    session.start({"x": np.zeros(SHAPE, np.float32)})
    session.collect()
    assert first is not None
    assert first["y"][0, 0, 0] == 10.0


def test_engine_is_built_once_and_then_loaded(tmp_path: Path) -> None:
    path = str(write_network(tmp_path))
    trt = Trt(Device())
    engine_on(trt, tmp_path).load("double", path)
    engine_on(trt, tmp_path).load("double", path)
    assert trt.builds == 1


def test_engine_of_another_version_or_network_is_not_used(tmp_path: Path) -> None:
    path = str(write_network(tmp_path))
    engine_on(Trt(Device(), "10.3.0"), tmp_path).load("double", path)
    newer = Trt(Device(), "10.16.1")
    engine_on(newer, tmp_path).load("double", path)
    assert newer.builds == 1


def test_damaged_engine_in_the_cache_is_built_anew(tmp_path: Path) -> None:
    path = str(write_network(tmp_path))
    engine_on(Trt(Device()), tmp_path).load("double", path)
    (stored,) = (tmp_path / "engines").glob("*.engine")
    stored.write_bytes(stored.read_bytes()[:-3] + b"xyz")
    trt = Trt(Device())
    engine_on(trt, tmp_path).load("double", path)
    assert trt.builds == 1


def test_engine_with_other_shapes_than_the_card_is_refused(tmp_path: Path) -> None:
    trt = Trt(Device())
    trt.shape = (1, 3, 5)
    with pytest.raises(CardError, match=r"declared, x: float32\[1, 3, 5\] in the file"):
        engine_on(trt, tmp_path).load("double", str(write_network(tmp_path)))


def test_network_that_tensorrt_cannot_read_is_refused_with_its_reason(tmp_path: Path) -> None:
    trt = Trt(Device())
    trt.parse_ok = False
    with pytest.raises(CardError, match="UNSUPPORTED_NODE"):
        engine_on(trt, tmp_path).load("double", str(write_network(tmp_path)))


def test_tensorrt_older_than_10_3_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"oldest that works is 10\.3"):
        engine_on(Trt(Device(), "8.6.1"), tmp_path)


def test_cuda_fault_during_a_run_is_a_lost_device(tmp_path: Path) -> None:
    trt = Trt(Device())
    session = engine_on(trt, tmp_path).load("double", str(write_network(tmp_path)))
    session.start(X)
    trt.device.fault = DeviceLostError("cudaEventQuery failed with CUDA error 700")
    with pytest.raises(DeviceLostError, match="700"):
        session.collect()


def test_level_1_gets_the_most_urgent_stream(tmp_path: Path) -> None:
    trt = Trt(Device())
    engine = engine_on(trt, tmp_path)
    for level in (1, 2, 3):
        engine.load(f"net{level}", str(write_network(tmp_path, f"net{level}", level)))
    assert trt.device.priorities == [0, 1, 2]


class Cudart:
    """cuda-python's runtime module: every call gives (error, values…)."""

    cudaHostAllocDefault = 0
    cudaStreamNonBlocking = 1
    cudaEventDisableTiming = 2

    class cudaMemcpyKind:
        cudaMemcpyHostToDevice = 1
        cudaMemcpyDeviceToHost = 2

    class cudaError_t:
        cudaErrorNotReady = 600

    def __init__(self) -> None:
        self.event_status = 0
        self.streams: list[tuple[int, int]] = []

    def cudaSetDevice(self, index: int) -> tuple[int]:
        return (0,)

    def cudaGetDeviceProperties(self, index: int) -> tuple[int, object]:
        class Properties:
            name = b"Orin\0\0"
            major, minor = 8, 7

        return 0, Properties()

    def cudaDeviceGetStreamPriorityRange(self) -> tuple[int, int, int]:
        return 0, 0, -5

    def cudaDriverGetVersion(self) -> tuple[int, int]:
        return 0, 12060

    def cudaMalloc(self, size: int) -> tuple[int, int]:
        return (2, 0) if size > 1_000_000 else (0, 4096)

    def cudaStreamCreateWithPriority(self, flags: int, priority: int) -> tuple[int, int]:
        self.streams.append((flags, priority))
        return 0, 99

    def cudaEventQuery(self, event: object) -> tuple[int]:
        return (self.event_status,)

    def cudaFree(self, pointer: int) -> tuple[int]:
        return (0,)


def test_cuda_python_errors_become_a_lost_device() -> None:
    driver = CudaPythonDriver(Cudart())
    assert driver.device_name() == "Orin"
    assert driver.capability() == "8.7"
    with pytest.raises(DeviceLostError, match="cudaMalloc failed with CUDA error 2"):
        driver.allocate(2_000_000)


def test_cuda_python_event_is_asked_without_waiting() -> None:
    cudart = Cudart()
    driver = CudaPythonDriver(cudart)
    cudart.event_status = 600
    assert not driver.is_done(object())
    cudart.event_status = 0
    assert driver.is_done(object())
    cudart.event_status = 700
    with pytest.raises(DeviceLostError, match="700"):
        driver.is_done(object())


def test_cuda_python_streams_are_ordered_by_level() -> None:
    cudart = Cudart()
    driver = CudaPythonDriver(cudart)
    for priority in (0, 1, 2, 9):
        driver.stream(priority)
    assert [given for _, given in cudart.streams] == [-5, -4, -3, 0]


def test_pycuda_retains_the_primary_context_that_tensorrt_uses() -> None:
    class Error(Exception):
        pass

    class Context:
        pushed = 0

        def push(self) -> None:
            Context.pushed += 1

        def pop(self) -> None:
            Context.pushed -= 1

    class Gpu:
        def __init__(self, index: int) -> None:
            self.index = index

        def retain_primary_context(self) -> Context:
            return Context()

        def name(self) -> str:
            return "Orin"

        def compute_capability(self) -> tuple[int, int]:
            return 8, 7

    class Drv:
        pass

    Drv.Error, Drv.Device, Drv.init = Error, Gpu, staticmethod(lambda: None)  # type: ignore[attr-defined]
    driver = PycudaDriver(Drv)
    assert Context.pushed == 1
    assert driver.capability() == "8.7"
    driver.close()
    assert Context.pushed == 0
