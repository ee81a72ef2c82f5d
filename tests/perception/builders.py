"""Small networks with cards, and a clock that tests turn: made for one test, thrown away after."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper

from runtime.perception.inference import Request

SHAPE = (1, 3, 4)


def doubling_network(factor: float = 2.0) -> bytes:
    """y = factor · x for a [1, 3, 4] tensor."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, SHAPE)
    by = helper.make_tensor("by", TensorProto.FLOAT, [], [factor])
    graph = helper.make_graph([helper.make_node("Mul", ["x", "by"], ["y"])], "g", [x], [y], [by])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def card_rows(data: bytes, name: str = "double", level: int = 1) -> dict[str, Any]:
    tensor = {"dtype": "float32", "shape": list(SHAPE)}
    return {
        "name": name,
        "level": level,
        "file": f"{name}.onnx",
        "sha256": hashlib.sha256(data).hexdigest(),
        "summary": "y = 2 x",
        "parameters": 1,
        "mflop": 0.001,
        "preparation_mflop": 0.0,
        "grid_stride_px": 1,
        "classes": ["thing"],
        "inputs": [{"name": "x", **tensor}],
        "outputs": [{"name": "y", **tensor}],
        "models": {"double": {"outputs": ["y"], "mflop": 0.001}},
        "data": {},
        "training": {},
        "quality": {},
    }


def write_network(
    folder: Path, name: str = "double", level: int = 1, data: bytes | None = None, **changes: Any
) -> Path:
    """A network and its card; `changes` replace rows of the card."""
    data = doubling_network() if data is None else data
    (folder / f"{name}.onnx").write_bytes(data)
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(card_rows(data, name, level) | changes))
    return path


def ask(
    network: str = "double", value: float = 1.0, *, capture_ns: int = 0, deadline_ns: int
) -> Request:
    tensors = {"x": np.full(SHAPE, value, np.float32)}
    return Request(network, tensors, capture_ns, deadline_ns)
