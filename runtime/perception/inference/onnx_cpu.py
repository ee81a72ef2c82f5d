"""ONNX Runtime on the CPU: the embedded default."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from runtime.perception.inference.card import (
    Card,
    CardError,
    check_inputs,
    check_shapes,
    read_card,
    read_network,
)
from runtime.perception.inference.port import Tensors

_DTYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}


class OnnxSession:
    def __init__(self, card: Card, data: bytes, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning threads would burn the cores that policy and planner need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise CardError(
                f"{card.file}: ONNX Runtime refuses the network ({error}); it is not loaded"
            ) from error
        check_shapes(card, "inputs", card.inputs, _found(self._session.get_inputs()))
        check_shapes(card, "outputs", card.outputs, _found(self._session.get_outputs()))
        self.card = card
        self._names = [spec.name for spec in card.outputs]
        self._ready: Tensors | None = None

    def start(self, tensors: Tensors) -> None:
        self._ready = self.run(tensors)

    def collect(self) -> Tensors | None:
        ready, self._ready = self._ready, None
        return ready

    def run(self, tensors: Tensors) -> Tensors:
        check_inputs(self.card, tensors)
        values = self._session.run(self._names, tensors)
        return {name: np.asarray(value) for name, value in zip(self._names, values, strict=True)}


def _found(nodes: Sequence[Any]) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {
        str(node.name): (
            _DTYPES.get(node.type, str(node.type)),
            tuple(size if isinstance(size, int) else -1 for size in node.shape),
        )
        for node in nodes
    }


class OnnxEngine:
    name = "onnxruntime"

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads

    def load(self, network: str, card_path: str) -> OnnxSession:
        path = Path(card_path)
        card = read_card(path)
        if card.name != network:
            raise CardError(
                f"{path}: describes {card.name!r}, the profile wants {network!r}; not loaded"
            )
        session = OnnxSession(card, read_network(path, card), self._threads)
        warm_up(session, card)
        return session

    def close(self) -> None:
        return


def warm_up(session: OnnxSession, card: Card, runs: int = 2) -> None:
    """The first runs allocate and choose kernels; they must not count as slow ones."""
    tensors = {spec.name: np.zeros(spec.shape, spec.dtype) for spec in card.inputs}
    for _ in range(runs):
        session.run(tensors)
