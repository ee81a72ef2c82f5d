"""The ONNX writer: pixel preparation, the rows, and what makes heads readable, as one graph.

Weights are stored as float16 and cast when the graph is loaded: half the file, and the same
numbers on every device. Only operators that TensorRT 10.3 and ONNX Runtime share are used.
"""

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.perception.graph import (
    COLOR_SCALE,
    COLOR_SHIFT,
    DEPTH_MAX_M,
    INPUT_CHANNELS,
    Net,
    Op,
    Row,
    Shape,
    shapes,
)
from models.perception.weights import Folded

OPSET = 17
IR_VERSION = 9
MOTION_GRID = 4  # camera pixels a cell of the motion map
INT64_MAX = 2**62


@dataclass
class Writer:
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    count: int = 0

    def node(self, op: str, inputs: list[str], output: str | None = None, **attrs: object) -> str:
        self.count += 1
        name = output or f"{op.lower()}_{self.count}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"n{self.count}", **attrs))
        return name

    def constant(self, value: np.ndarray, name: str) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def number(self, value: float) -> str:
        self.count += 1
        return self.constant(np.asarray(value, np.float32), f"k{self.count}")

    def integers(self, values: list[int]) -> str:
        self.count += 1
        return self.constant(np.asarray(values, np.int64), f"i{self.count}")

    def half(self, value: np.ndarray, name: str) -> str:
        stored = self.constant(value.astype(np.float16), f"{name}.f16")
        return self.node("Cast", [stored], name, to=TensorProto.FLOAT)


def _prepare(w: Writer, net: Net) -> tuple[str, str]:
    """Camera tensors to the five channels, channels first; and the unprepared depth, strided."""

    def stride(name: str) -> str:
        if net.step == 1:
            return name
        starts, ends = w.integers([0, 0]), w.integers([INT64_MAX, INT64_MAX])
        axes, steps = w.integers([1, 2]), w.integers([net.step, net.step])
        return w.node("Slice", [name, starts, ends, axes, steps])

    color = w.node("Cast", [stride("rgb")], to=TensorProto.FLOAT)
    color = w.node("Sub", [color, w.number(COLOR_SHIFT)])
    color = w.node("Mul", [color, w.number(COLOR_SCALE)])
    color = w.node("Transpose", [color], perm=[0, 3, 1, 2])
    depth = stride("depth")
    near = w.node("Clip", [depth, w.number(0.0), w.number(DEPTH_MAX_M)])
    near = w.node("Mul", [near, w.number(2.0 / DEPTH_MAX_M)])
    near = w.node("Sub", [near, w.number(1.0)])
    height = w.node("Mul", [depth, stride("ray_height")])
    height = w.node("Add", [height, "camera_height"])
    height = w.node("Clip", [height, *map(w.number, net.height_range_m)])
    height = w.node("Sub", [height, w.number(net.height_shift_m)])
    height = w.node("Mul", [height, w.number(net.height_scale)])
    axis = w.integers([1])
    near, height = w.node("Unsqueeze", [near, axis]), w.node("Unsqueeze", [height, axis])
    return w.node("Concat", [color, near, height], "in", axis=1), near


def _row(w: Writer, row: Row, folded: Folded, channels: int, crop: tuple[int, int] | None) -> None:
    match row.op:
        case Op.CONV | Op.DEPTHWISE:
            weight, bias = folded[row.name]
            inputs = [
                row.src[0],
                w.half(np.transpose(weight, (3, 2, 0, 1)), f"{row.name}.w"),
                w.half(bias, f"{row.name}.b"),
            ]
            pad = (row.kernel - 1) // 2
            raw = w.node(
                "Conv",
                inputs,
                f"{row.name}.raw" if row.relu else row.name,
                kernel_shape=[row.kernel] * 2,
                strides=[row.stride] * 2,
                pads=[pad] * 4,
                group=channels if row.op is Op.DEPTHWISE else 1,
            )
            if row.relu:
                w.node("Relu", [raw], row.name)
        case Op.ADD:
            other = row.src[1]
            if crop is not None:
                starts, ends = w.integers([0, 0]), w.integers(list(crop))
                other = w.node("Slice", [other, starts, ends, w.integers([2, 3])])
            w.node("Relu", [w.node("Add", [row.src[0], other])], row.name)
        case Op.UPSAMPLE:
            scales = w.constant(np.asarray([1, 1, 2, 2], np.float32), f"{row.name}.scales")
            w.node(
                "Resize",
                [row.src[0], "", scales],
                row.name,
                mode="nearest",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            )
        case Op.POOL:
            w.node("GlobalAveragePool", [row.src[0]], row.name)


def _finish(w: Writer, net: Net) -> None:
    """Scores instead of logits, and only the local peaks of the heat map."""
    score = w.node("Sigmoid", [net.heads["heat"]])
    best = w.node("MaxPool", [score], kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
    peak = w.node("Cast", [w.node("Equal", [score, best])], to=TensorProto.FLOAT)
    w.node("Mul", [score, peak], "center")
    for name in ("occlusion", "mask"):
        if name in net.heads:
            w.node("Sigmoid", [net.heads[name]], f"{name}_ratio")
    if "features" in net.heads:
        w.node("Flatten", [net.heads["features"]], "feature_vector")


def _motion(w: Writer, near: str) -> None:
    """Level 1's motion: change of brightness and depth since the frame before, on a coarse grid."""
    grey = w.node("ReduceMean", ["in_color"], axes=[1], keepdims=1)
    both = w.node("Concat", [grey, near], axis=1)
    w.node("AveragePool", [both], "current", kernel_shape=[2, 2], strides=[2, 2])
    change = w.node("Abs", [w.node("Sub", ["current", "previous"])])
    w.node("ReduceMax", [change], "motion", axes=[1], keepdims=1)


def output_names(net: Net) -> dict[str, str]:
    """Heads as the graph calls them → as a reader of its outputs calls them."""
    names = {"heat": "center", "box": "box", "range": "range", "pose": "pose"}
    names |= {"occlusion": "occlusion_ratio", "mask": "mask_ratio", "features": "feature_vector"}
    return {head: names[head] for head in net.heads}


def build(net: Net, folded: Folded, height: int, width: int) -> onnx.ModelProto:
    w = Writer()
    sizes = shapes(net, height, width)
    _, near = _prepare(w, net)
    for row in net.rows:
        src = sizes[row.src[0]]
        crop = None
        if row.op is Op.ADD:
            other = sizes[row.src[1]]
            if (other.height, other.width) != (src.height, src.width):
                crop = (src.height, src.width)
        _row(w, row, folded, src.channels, crop)
    _finish(w, net)
    inputs = [
        helper.make_tensor_value_info("rgb", TensorProto.UINT8, [1, height, width, 3]),
        helper.make_tensor_value_info("depth", TensorProto.FLOAT, [1, height, width]),
        helper.make_tensor_value_info("ray_height", TensorProto.FLOAT, [1, height, width]),
        helper.make_tensor_value_info("camera_height", TensorProto.FLOAT, [1]),
    ]
    outputs = [_output(net, head, name, sizes) for head, name in output_names(net).items()]
    if net.name == "level1":
        grid = [1, 2, height // MOTION_GRID, width // MOTION_GRID]
        w.node("Slice", ["in", w.integers([0]), w.integers([3]), w.integers([1])], "in_color")
        _motion(w, near)
        inputs.append(helper.make_tensor_value_info("previous", TensorProto.FLOAT, grid))
        outputs.append(helper.make_tensor_value_info("current", TensorProto.FLOAT, grid))
        one = [1, 1, *grid[2:]]
        outputs.append(helper.make_tensor_value_info("motion", TensorProto.FLOAT, one))
    graph = helper.make_graph(w.nodes, net.name, inputs, outputs, w.constants)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model


def _output(net: Net, head: str, name: str, sizes: dict[str, Shape]) -> onnx.ValueInfoProto:
    row = net.row(net.heads[head])
    shape = sizes[row.name]
    dims = [1, row.channels] if head == "features" else [1, row.channels, shape.height, shape.width]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)


def motion_flops(height: int, width: int) -> float:
    """Brightness (3 a pixel read), 2×2 means (4 × 2 channels), difference and maximum (5)."""
    read = (height // 2) * (width // 2)
    cells = (height // MOTION_GRID) * (width // MOTION_GRID)
    return float(read * 3 + cells * (8 + 5))


assert INPUT_CHANNELS == 5
