"""A double of TensorRT's and CUDA's Python API, as recorded from their documentation.

It keeps to the part that 10.3 and 11.x share and that the backend may use: anything else raises.
`Trt(version="11.4.0", ...)` leaves out what 11 removed.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np

INPUT, OUTPUT = "INPUT", "OUTPUT"


class Memory:
    """Device memory by address, so that a run can be computed when its stream gets there."""

    def __init__(self) -> None:
        self.blocks: dict[int, bytearray] = {}
        self._next = 0x1000

    def allocate(self, size: int) -> int:
        address, self._next = self._next, self._next + 0x100000
        self.blocks[address] = bytearray(size)
        return address


class Device:
    """The driver's side: streams run nothing until the test lets time pass."""

    name = "double"

    def __init__(self) -> None:
        self.memory = Memory()
        self.queue: list[Any] = []
        self.calls: list[str] = []
        self.finished = True
        self.priorities: list[int] = []
        self.fault: Exception | None = None
        self.closed = False

    def device_name(self) -> str:
        return "Orin (nvgpu)"

    def capability(self) -> str:
        return "8.7"

    def driver_version(self) -> str:
        return "12060"

    def allocate(self, size_bytes: int) -> int:
        return self.memory.allocate(size_bytes)

    def pinned(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        return np.zeros(shape, dtype)

    def stream(self, priority: int) -> int:
        self.priorities.append(priority)
        return 7

    def copy_in(self, device: int, host: np.ndarray, stream: int) -> None:
        self.calls.append("in")
        self.memory.blocks[device][:] = host.tobytes()

    def copy_out(self, host: np.ndarray, device: int, stream: int) -> None:
        self.calls.append("out")

        def copy() -> None:
            block = self.memory.blocks[device]
            host[...] = np.frombuffer(block, host.dtype).reshape(host.shape)

        self.queue.append(copy)

    def event(self) -> object:
        return object()

    def record(self, event: object, stream: int) -> None:
        self.calls.append("record")

    def is_done(self, event: object) -> bool:
        if self.fault is not None:
            raise self.fault
        if not self.finished:
            return False
        for job in self.queue:
            job()
        self.queue.clear()
        return True

    def close(self) -> None:
        self.closed = True


class Trt:
    """The module `tensorrt`. An engine is its ONNX file behind a mark of the version."""

    def __init__(self, device: Device, version: str = "10.3.0", factor: float = 2.0) -> None:
        self.__version__ = version
        self.device = device
        self.factor = factor
        self.builds = 0
        self.network_flags: list[int] = []
        self.parse_ok = True
        self.shape = (1, 3, 4)
        self.MemoryPoolType = SimpleNamespace(WORKSPACE="WORKSPACE")
        self.TensorIOMode = SimpleNamespace(INPUT=INPUT, OUTPUT=OUTPUT)
        old = version.startswith("10.")
        self.NetworkDefinitionCreationFlag = SimpleNamespace(
            **({"STRONGLY_TYPED": 1} if old else {})
        )

    class Logger:
        WARNING = 2

        def __init__(self, level: int) -> None:
            self.level = level

    def Builder(self, logger: Any) -> "Builder":
        return Builder(self)

    def OnnxParser(self, network: Any, logger: Any) -> "Parser":
        return Parser(self, network)

    def Runtime(self, logger: Any) -> "Runtime":
        return Runtime(self)

    def nptype(self, dtype: str) -> type:
        return {"FLOAT": np.float32, "UINT8": np.uint8}[dtype]

    @property
    def mark(self) -> bytes:
        return f"engine {self.__version__}|".encode()


class Builder:
    def __init__(self, trt: Trt) -> None:
        self._trt = trt

    def create_network(self, flags: int = 0) -> SimpleNamespace:
        self._trt.network_flags.append(flags)
        return SimpleNamespace(onnx=b"")

    def create_builder_config(self) -> "Config":
        return Config()

    def build_serialized_network(self, network: Any, config: "Config") -> Any:
        self._trt.builds += 1
        assert config.workspace
        return memoryview(self._trt.mark + network.onnx)


class Config:
    def __init__(self) -> None:
        self.workspace = 0
        self._cache: Any = None

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        assert pool == "WORKSPACE"
        self.workspace = size

    def create_timing_cache(self, data: bytes) -> SimpleNamespace:
        return SimpleNamespace(serialize=lambda: memoryview(data or b"timing"))

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> None:
        assert not ignore_mismatch
        self._cache = cache

    def get_timing_cache(self) -> Any:
        return self._cache


class Parser:
    def __init__(self, trt: Trt, network: Any) -> None:
        self._trt, self._network = trt, network
        self.num_errors = 1

    def parse(self, data: bytes) -> bool:
        self._network.onnx = data
        return self._trt.parse_ok

    def get_error(self, index: int) -> str:
        return "In node 3: UNSUPPORTED_NODE"


class Runtime:
    def __init__(self, trt: Trt) -> None:
        self._trt = trt

    def deserialize_cuda_engine(self, plan: bytes) -> "Engine | None":
        return Engine(self._trt) if bytes(plan).startswith(self._trt.mark) else None


class Engine:
    def __init__(self, trt: Trt) -> None:
        self._trt = trt
        self.num_io_tensors = 2

    def get_tensor_name(self, index: int) -> str:
        return ("x", "y")[index]

    def get_tensor_mode(self, name: str) -> str:
        return INPUT if name == "x" else OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._trt.shape

    def get_tensor_dtype(self, name: str) -> str:
        return "FLOAT"

    def create_execution_context(self) -> "Context":
        return Context(self._trt)


class Context:
    def __init__(self, trt: Trt) -> None:
        self._trt = trt
        self._addresses: dict[str, int] = {}

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert stream_handle == 7
        blocks = self._trt.device.memory.blocks

        def run() -> None:
            x = np.frombuffer(blocks[self._addresses["x"]], np.float32)
            blocks[self._addresses["y"]][:] = (self._trt.factor * x).tobytes()

        self._trt.device.calls.append("execute")
        self._trt.device.queue.append(run)
        return True
