"""Every shipped network on one thread: what an inference costs on this machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from sim.bench.figures import Figures, spread_of
from sim.supplies import ROOT

WARM_UP = 10
DTYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(int64)": np.int64}


def measure_networks(runs: int) -> dict[str, Figures]:
    found = sorted((ROOT / "models").rglob("*.onnx"))
    return {str(path.relative_to(ROOT / "models")): _measure(path, runs) for path in found}


def _measure(path: Path, runs: int) -> Figures:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(1)
    feeds = {node.name: _input(node, rng) for node in session.get_inputs()}
    taken: list[int] = []
    for index in range(WARM_UP + runs):
        started = time.perf_counter_ns()
        session.run(None, feeds)
        if index >= WARM_UP:
            taken.append(time.perf_counter_ns() - started)
    return spread_of(taken)


def _input(node: Any, rng: np.random.Generator) -> np.ndarray:
    shape = [size if isinstance(size, int) else 1 for size in node.shape]
    return rng.random(shape).astype(DTYPES.get(node.type, np.float32))
