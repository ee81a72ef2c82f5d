"""The network as ONNX, built by hand: standardise, clip, MLP, add to the present velocity, clip.

Weights are stored in half precision and widened in the graph: every runtime computes in single.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.policy.network import CLIP_SIGMA, Parameters, Shape
from runtime.skills.verify import CHUNK_OUTPUT, OBSERVATION_INPUT

OPSET = 17
IR_VERSION = 10


@dataclass(frozen=True)
class Figures:
    """What training measured; goes onto the card."""

    role: str
    seed: int
    hidden: tuple[int, ...]
    parameters: int
    demonstrations: int
    expert_success_ratio: float
    inferences: int
    loss: float
    training_s: float

    def as_card(self) -> dict[str, object]:
        return {**asdict(self), "hidden": list(self.hidden)}


def export_policy(folder: Path, shape: Shape, parameters: Parameters, role: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{role}.onnx"
    path.write_bytes(policy_bytes(shape, parameters))
    return path


def policy_bytes(shape: Shape, parameters: Parameters) -> bytes:
    graph = _Graph()
    x = graph.node("Sub", [OBSERVATION_INPUT, graph.keep("mean", parameters.mean)])
    x = graph.node("Mul", [x, graph.keep("scale", parameters.scale)])
    x = graph.clip(x, CLIP_SIGMA)
    last = len(parameters.weights) - 1
    for index, (weight, bias) in enumerate(zip(parameters.weights, parameters.biases, strict=True)):
        w, b = graph.keep_half(f"w{index}", weight), graph.keep_half(f"b{index}", bias)
        x = graph.node("Gemm", [x, w, b])
        if index < last:
            x = graph.node("Mul", [x, graph.node("Sigmoid", [x])])
    steps, joints = shape.chunk_steps, shape.joints
    x = graph.node("Reshape", [x, graph.keep_ints("shape", [1, steps, joints + 1])])
    velocity = _velocity(graph, shape, graph.slice(x, 0, joints, axis=2))
    suction = graph.node("Sigmoid", [graph.slice(x, joints, joints + 1, axis=2)])
    graph.node("Concat", [velocity, suction], output=CHUNK_OUTPUT, axis=2)
    return graph.model(
        {OBSERVATION_INPUT: [1, shape.observation_size]}, {CHUNK_OUTPUT: [1, steps, joints + 1]}
    )


def _velocity(graph: "_Graph", shape: Shape, change: str) -> str:
    """The answer is a change: a chunk begins at the velocity that the arm already has."""
    present = graph.slice(OBSERVATION_INPUT, shape.joints, 2 * shape.joints, axis=1)
    present = graph.clip(present, shape.velocity_limit_rad_s)
    present = graph.node("Reshape", [present, graph.keep_ints("row", [1, 1, shape.joints])])
    return graph.clip(graph.node("Add", [change, present]), shape.velocity_limit_rad_s)


class _Graph:
    """Collects nodes and constants under names that are unique by counting."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def node(
        self, kind: str, inputs: list[str], output: str | None = None, **attributes: Any
    ) -> str:
        name = output or f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def keep(self, name: str, value: object) -> str:
        return self._constant(name, np.asarray(value, np.float32))

    def keep_half(self, name: str, value: object) -> str:
        half = self._constant(f"{name}_half", np.asarray(value, np.float16))
        return self.node("Cast", [half], to=TensorProto.FLOAT)

    def keep_ints(self, name: str, value: list[int]) -> str:
        return self._constant(name, np.asarray(value, np.int64))

    def clip(self, x: str, bound: float) -> str:
        count = len(self._constants)
        low, high = self.keep(f"low{count}", -bound), self.keep(f"high{count}", bound)
        return self.node("Clip", [x, low, high])

    def slice(self, x: str, start: int, end: int, axis: int) -> str:
        count = len(self._constants)
        bounds = [
            self.keep_ints(f"{kind}{count}", [value])
            for kind, value in (("start", start), ("end", end), ("axis", axis))
        ]
        return self.node("Slice", [x, *bounds])

    def _constant(self, name: str, value: np.ndarray) -> str:
        self._constants.append(numpy_helper.from_array(value, name))
        return name

    def model(self, inputs: dict[str, list[int]], outputs: dict[str, list[int]]) -> bytes:
        def values(shapes: dict[str, list[int]]) -> list[onnx.ValueInfoProto]:
            return [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in shapes.items()
            ]

        graph = helper.make_graph(
            self._nodes, "policy", values(inputs), values(outputs), self._constants
        )
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString()
