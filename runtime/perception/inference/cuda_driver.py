"""The few CUDA calls that inference needs, over cuda-python or pycuda, whichever the robot has.

One thread of one process uses a driver. Nothing is imported or initialised before `open_driver`.
"""

import importlib
from typing import Any, Protocol

import numpy as np

from runtime.perception.inference.port import DeviceLostError


class CudaDriver(Protocol):
    """Memory, streams and events of one GPU. Handles are plain integers where CUDA's are."""

    name: str

    def device_name(self) -> str: ...

    def capability(self) -> str: ...

    def driver_version(self) -> str: ...

    def allocate(self, size_bytes: int) -> int: ...

    def pinned(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        """Host memory that copies do not have to stage."""
        ...

    def stream(self, priority: int) -> int:
        """A stream; level 1's goes first when the GPU has to choose."""
        ...

    def copy_in(self, device: int, host: np.ndarray, stream: int) -> None: ...

    def copy_out(self, host: np.ndarray, device: int, stream: int) -> None: ...

    def event(self) -> Any: ...

    def record(self, event: Any, stream: int) -> None: ...

    def is_done(self, event: Any) -> bool: ...

    def close(self) -> None: ...


def open_driver() -> CudaDriver:
    """cuda-python where it is installed, else pycuda; an error that says what was tried."""
    problems: list[str] = []
    for module, make in (
        ("cuda.bindings.runtime", CudaPythonDriver),
        ("cuda.cudart", CudaPythonDriver),
        ("pycuda.driver", PycudaDriver),
    ):
        try:
            return make(importlib.import_module(module))
        except ImportError as error:
            problems.append(f"{module}: {error}")
    raise DeviceLostError(
        "no CUDA binding for Python, so TensorRT cannot run here (tried "
        + "; ".join(problems)
        + "); install cuda-python or pycuda, or set perception.backend: onnxruntime"
    )


class CudaPythonDriver:
    """CUDA's runtime API through NVIDIA's own bindings: every call gives (error, values…)."""

    name = "cuda-python"

    def __init__(self, cudart: Any) -> None:
        self._rt = cudart
        self._pinned: list[int] = []
        self._device: list[int] = []
        self._call("cudaSetDevice", 0)
        self._properties = self._call("cudaGetDeviceProperties", 0)
        # Least and greatest: numerically the greatest priority is the lower number.
        self._priorities = self._call("cudaDeviceGetStreamPriorityRange")

    def _call(self, function: str, *args: Any) -> Any:
        status, *values = getattr(self._rt, function)(*args)
        if int(status) != 0:
            raise DeviceLostError(f"{function} failed with CUDA error {int(status)}")
        if not values:
            return None
        return values[0] if len(values) == 1 else tuple(values)

    def device_name(self) -> str:
        name = self._properties.name
        return name.decode().rstrip("\0") if isinstance(name, bytes) else str(name)

    def capability(self) -> str:
        return f"{self._properties.major}.{self._properties.minor}"

    def driver_version(self) -> str:
        return str(self._call("cudaDriverGetVersion"))

    def allocate(self, size_bytes: int) -> int:
        pointer = int(self._call("cudaMalloc", size_bytes))
        self._device.append(pointer)
        return pointer

    def pinned(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        import ctypes

        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        pointer = int(self._call("cudaHostAlloc", size, self._rt.cudaHostAllocDefault))
        self._pinned.append(pointer)
        raw = (ctypes.c_uint8 * size).from_address(pointer)
        return np.frombuffer(memoryview(raw), dtype).reshape(shape)

    def stream(self, priority: int) -> int:
        least, greatest = (int(value) for value in self._priorities)
        wanted = min(least, greatest + priority)
        flags = self._rt.cudaStreamNonBlocking
        return int(self._call("cudaStreamCreateWithPriority", flags, wanted))

    def copy_in(self, device: int, host: np.ndarray, stream: int) -> None:
        kind = self._rt.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", device, host.ctypes.data, host.nbytes, kind, stream)

    def copy_out(self, host: np.ndarray, device: int, stream: int) -> None:
        kind = self._rt.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", host.ctypes.data, device, host.nbytes, kind, stream)

    def event(self) -> Any:
        return self._call("cudaEventCreateWithFlags", self._rt.cudaEventDisableTiming)

    def record(self, event: Any, stream: int) -> None:
        self._call("cudaEventRecord", event, stream)

    def is_done(self, event: Any) -> bool:
        (status,) = self._rt.cudaEventQuery(event)
        if int(status) == int(self._rt.cudaError_t.cudaErrorNotReady):
            return False
        if int(status) != 0:
            raise DeviceLostError(f"cudaEventQuery failed with CUDA error {int(status)}")
        return True

    def close(self) -> None:
        for pointer in self._device:
            self._rt.cudaFree(pointer)
        for pointer in self._pinned:
            self._rt.cudaFreeHost(pointer)


class PycudaDriver:
    """CUDA's driver API through pycuda. The primary context is retained, which is the one that
    TensorRT uses; `pycuda.autoinit` would make a second one that only takes turns with it."""

    name = "pycuda"

    def __init__(self, driver: Any) -> None:
        self._drv = driver
        self._lost = driver.Error
        try:
            driver.init()
            self._gpu = driver.Device(0)
            self._context = self._gpu.retain_primary_context()
            self._context.push()
        except driver.Error as error:
            raise DeviceLostError(f"pycuda cannot open GPU 0: {error}") from error
        self._memory: list[Any] = []
        self._streams: dict[int, Any] = {}

    def device_name(self) -> str:
        return str(self._gpu.name())

    def capability(self) -> str:
        major, minor = self._gpu.compute_capability()
        return f"{major}.{minor}"

    def driver_version(self) -> str:
        return str(self._drv.get_driver_version())

    def allocate(self, size_bytes: int) -> int:
        try:
            memory = self._drv.mem_alloc(size_bytes)
        except self._lost as error:
            raise DeviceLostError(f"mem_alloc of {size_bytes} bytes: {error}") from error
        self._memory.append(memory)
        return int(memory)

    def pinned(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        return self._drv.pagelocked_empty(shape, dtype)

    def stream(self, priority: int) -> int:
        del priority  # pycuda's streams have none
        stream = self._drv.Stream()
        self._streams[int(stream.handle)] = stream
        return int(stream.handle)

    def copy_in(self, device: int, host: np.ndarray, stream: int) -> None:
        self._guard(self._drv.memcpy_htod_async, device, host, self._streams[stream])

    def copy_out(self, host: np.ndarray, device: int, stream: int) -> None:
        self._guard(self._drv.memcpy_dtoh_async, host, device, self._streams[stream])

    def event(self) -> Any:
        return self._drv.Event(self._drv.event_flags.DISABLE_TIMING)

    def record(self, event: Any, stream: int) -> None:
        self._guard(event.record, self._streams[stream])

    def is_done(self, event: Any) -> bool:
        return bool(self._guard(event.query))

    def _guard(self, call: Any, *args: Any) -> Any:
        try:
            return call(*args)
        except self._lost as error:
            raise DeviceLostError(f"{getattr(call, '__name__', call)} failed: {error}") from error

    def close(self) -> None:
        self._memory.clear()
        self._streams.clear()
        self._context.pop()
