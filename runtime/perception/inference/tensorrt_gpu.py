"""TensorRT 10.3 to 11.x: engines built on the device from strongly typed ONNX, run asynchronously.

Only what both ends of that range share is called: named tensors, `execute_async_v3`, the ONNX
parser, serialized engines. Imported only on a robot that has TensorRT.
"""

import importlib
import logging
from pathlib import Path
from typing import Any

import numpy as np

from runtime.perception.inference.card import (
    Card,
    CardError,
    check_inputs,
    check_shapes,
    read_card,
    read_network,
)
from runtime.perception.inference.cuda_driver import CudaDriver, open_driver
from runtime.perception.inference.engine_cache import EngineCache, EngineKey
from runtime.perception.inference.port import DeviceLostError, Tensors

log = logging.getLogger(__name__)

WORKSPACE_BYTES = 512 * 2**20
OLDEST = (10, 3)


def open_tensorrt(cache_dir: str) -> "TensorrtEngine":
    try:
        trt = importlib.import_module("tensorrt")
    except ImportError as error:
        raise CardError(
            f"perception.backend is tensorrt, but TensorRT is not installed ({error}), so no "
            "network can run; install the board's tensorrt, or set perception.backend: onnxruntime"
        ) from error
    return TensorrtEngine(trt, open_driver(), EngineCache(Path(cache_dir)))


class TensorrtEngine:
    name = "tensorrt"

    def __init__(self, trt: Any, driver: CudaDriver, cache: EngineCache) -> None:
        version = tuple(int(part) for part in trt.__version__.split(".")[:2])
        if version < OLDEST:
            raise CardError(
                f"TensorRT {trt.__version__} is installed, the oldest that works is 10.3, because "
                "older ones lack strongly typed networks as used here; update the board's packages"
            )
        self._trt = trt
        self._driver = driver
        self._cache = cache
        self._logger = trt.Logger(trt.Logger.WARNING)
        self._runtime = trt.Runtime(self._logger)

    def load(self, network: str, card_path: str) -> "TensorrtSession":
        path = Path(card_path)
        card = read_card(path)
        if card.name != network:
            raise CardError(
                f"{path}: describes {card.name!r}, the profile wants {network!r}; not loaded"
            )
        data = read_network(path, card)
        key = self.key(card)
        engine = self._cached(key)
        if engine is None:
            plan = self._build(card, data, key)
            self._cache.store(key, plan)
            engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise CardError(
                f"{card.file}: TensorRT {self._trt.__version__} built an engine that it cannot "
                "load; its log names the reason; the network stays off"
            )
        return TensorrtSession(self._trt, self._driver, card, engine)

    def key(self, card: Card) -> EngineKey:
        return EngineKey(
            network_sha256=card.sha256,
            tensorrt=self._trt.__version__,
            gpu=self._driver.device_name(),
            capability=self._driver.capability(),
            driver=self._driver.driver_version(),
            shapes=tuple(spec.describe() for spec in card.inputs),
        )

    def _cached(self, key: EngineKey) -> Any:
        plan = self._cache.load(key)
        if plan is None:
            return None
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            # There is no check before this one: an engine that does not load is built anew.
            log.warning("%s does not load here and is built anew", key.file_name())
            self._cache.forget(key)
        return engine

    def _build(self, card: Card, data: bytes, key: EngineKey) -> bytes:
        trt = self._trt
        builder = trt.Builder(self._logger)
        # From 11 on every network is strongly typed and the flag may be gone; 10 has to be asked.
        flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        network = builder.create_network(0 if flag is None else 1 << int(flag))
        parser = trt.OnnxParser(network, self._logger)
        if not parser.parse(data):
            reasons = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
            raise CardError(
                f"{card.file}: TensorRT {trt.__version__} cannot read the network ({reasons}); "
                "its level stays off; export it with operators that this version knows"
            )
        config = builder.create_builder_config()
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
        timing = config.create_timing_cache(self._cache.timing(key))
        config.set_timing_cache(timing, ignore_mismatch=False)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise CardError(
                f"{card.file}: TensorRT {trt.__version__} could not build an engine for "
                f"{key.gpu}; its log names the layer; the level stays off"
            )
        self._cache.store_timing(key, bytes(config.get_timing_cache().serialize()))
        return bytes(plan)

    def close(self) -> None:
        self._driver.close()


class TensorrtSession:
    """An engine with its buffers and stream: runs are queued whole, asked for, never waited for."""

    def __init__(self, trt: Any, driver: CudaDriver, card: Card, engine: Any) -> None:
        self.card = card
        self._driver = driver
        self._engine = engine  # the context does not keep it alive
        _check_engine(trt, card, engine)
        self._context = engine.create_execution_context()
        if self._context is None:
            raise DeviceLostError(f"{card.name}: no memory for an execution context")
        self._stream = driver.stream(card.level - 1)
        self._event = driver.event()
        self._running = False
        self._host: dict[str, np.ndarray] = {}
        self._device: dict[str, int] = {}
        for spec in (*card.inputs, *card.outputs):
            self._host[spec.name] = driver.pinned(spec.shape, spec.dtype)
            self._device[spec.name] = driver.allocate(spec.size_bytes)
            if not self._context.set_tensor_address(spec.name, self._device[spec.name]):
                raise CardError(f"{card.file}: TensorRT refuses a buffer for {spec.describe()}")

    def start(self, tensors: Tensors) -> None:
        check_inputs(self.card, tensors)
        for spec in self.card.inputs:
            self._host[spec.name][...] = tensors[spec.name]
            self._driver.copy_in(self._device[spec.name], self._host[spec.name], self._stream)
        if not self._context.execute_async_v3(self._stream):
            raise DeviceLostError(f"{self.card.name}: execute_async_v3 was refused")
        for spec in self.card.outputs:
            self._driver.copy_out(self._host[spec.name], self._device[spec.name], self._stream)
        self._driver.record(self._event, self._stream)
        self._running = True

    def collect(self) -> Tensors | None:
        if not self._running or not self._driver.is_done(self._event):
            return None
        self._running = False
        # Copies: the buffers are the next run's.
        return {spec.name: self._host[spec.name].copy() for spec in self.card.outputs}


def _check_engine(trt: Any, card: Card, engine: Any) -> None:
    sides: dict[str, dict[str, tuple[str, tuple[int, ...]]]] = {"inputs": {}, "outputs": {}}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(name))).name
        shape = tuple(int(size) for size in engine.get_tensor_shape(name))
        sides["inputs" if is_input else "outputs"][name] = (dtype, shape)
    check_shapes(card, "inputs", card.inputs, sides["inputs"])
    check_shapes(card, "outputs", card.outputs, sides["outputs"])
