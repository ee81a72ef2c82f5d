"""A network as a list of rows, read twice: by JAX to train it and by the ONNX writer to ship it.

One declaration for both means that the shipped graph cannot drift from the trained one; a test
compares their numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Op(StrEnum):
    CONV = "conv"
    DEPTHWISE = "depthwise"
    ADD = "add"
    UPSAMPLE = "upsample"
    POOL = "pool"  # global average, for the feature vector


@dataclass(frozen=True)
class Row:
    """One step of the network; `src` names earlier rows, `in` is the prepared image."""

    name: str
    op: Op
    src: tuple[str, ...]
    channels: int
    kernel: int = 1
    stride: int = 1
    relu: bool = True
    norm: bool = True
    model: str = "detector"  # whose share of the compute this row is


@dataclass(frozen=True)
class Shape:
    height: int
    width: int
    channels: int


@dataclass(frozen=True, eq=False)  # compared and hashed as an object: a static argument of jit
class Net:
    """A trunk with heads; `heads` maps output names to the rows that make them."""

    name: str
    level: int
    step: int  # every `step`-th pixel of the camera is read
    rows: tuple[Row, ...]
    heads: dict[str, str]
    grid_stride: int  # camera pixels a cell of the heads
    classes: tuple[str, ...]
    # Heights outside are clipped; then shifted and scaled to about -1 to 1. Heights are over the
    # floor for the cell, over the table for the bin.
    height_range_m: tuple[float, float] = (-0.25, 2.25)
    height_shift_m: float = 1.0
    height_scale: float = 1.0

    def row(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)


INPUT_CHANNELS = 5  # red, green, blue, depth, height over the floor

# What is done to pixels before the first row, in training and in the shipped graph alike.
COLOR_SHIFT, COLOR_SCALE = 0.45 * 255.0, 1.0 / (0.25 * 255.0)
DEPTH_MAX_M = 6.0


def conv(name: str, src: str, channels: int, **kw: object) -> Row:
    return Row(name, Op.CONV, (src,), channels, **{"kernel": 3, **kw})  # type: ignore[arg-type]


def separable(name: str, src: str, channels: int, model: str = "detector") -> tuple[Row, ...]:
    """A depthwise 3×3 and a pointwise convolution: a ninth of a full one's work, roughly."""
    return (
        Row(f"{name}_dw", Op.DEPTHWISE, (src,), 0, kernel=3, model=model),
        Row(f"{name}_pw", Op.CONV, (f"{name}_dw",), channels, model=model),
    )


def separable_residual(
    name: str, src: str, channels: int, model: str = "detector"
) -> tuple[Row, ...]:
    return (
        Row(f"{name}_dw", Op.DEPTHWISE, (src,), 0, kernel=3, model=model),
        Row(f"{name}_pw", Op.CONV, (f"{name}_dw",), channels, relu=False, model=model),
        Row(name, Op.ADD, (src, f"{name}_pw"), channels, model=model),
    )


def residual(name: str, src: str, channels: int, model: str = "detector") -> tuple[Row, ...]:
    return (
        conv(f"{name}_a", src, channels, model=model),
        conv(f"{name}_b", f"{name}_a", channels, relu=False, model=model),
        Row(name, Op.ADD, (src, f"{name}_b"), channels, model=model),
    )


def head(name: str, src: str, channels: int, model: str) -> Row:
    return Row(name, Op.CONV, (src,), channels, relu=False, norm=False, model=model)


def shapes(net: Net, height: int, width: int) -> dict[str, Shape]:
    """The shape of every row for a camera of this size."""
    out = {"in": Shape(-(-height // net.step), -(-width // net.step), INPUT_CHANNELS)}
    for row in net.rows:
        src = out[row.src[0]]
        match row.op:
            case Op.CONV:
                shape = Shape(
                    -(-src.height // row.stride), -(-src.width // row.stride), row.channels
                )
            case Op.DEPTHWISE:
                shape = src
            case Op.ADD:
                # Upsampling an odd grid overshoots by one: the sum is cut to the lateral's size.
                shape = Shape(src.height, src.width, row.channels)
            case Op.UPSAMPLE:
                shape = Shape(src.height * 2, src.width * 2, src.channels)
            case Op.POOL:
                shape = Shape(1, 1, src.channels)
        out[row.name] = shape
    return out


def flops(net: Net, height: int, width: int) -> dict[str, float]:
    """Operations a run, by declared model, a multiply-add counted as two."""
    sizes = shapes(net, height, width)
    total: dict[str, float] = {}
    for row in net.rows:
        out, src = sizes[row.name], sizes[row.src[0]]
        cells = out.height * out.width
        match row.op:
            case Op.CONV:
                count = 2 * row.kernel**2 * src.channels * out.channels * cells
            case Op.DEPTHWISE:
                count = 2 * row.kernel**2 * out.channels * cells
            case Op.ADD | Op.UPSAMPLE:
                count = out.channels * cells
            case Op.POOL:
                count = src.height * src.width * src.channels
        total[row.model] = total.get(row.model, 0.0) + count
    return total


def preparation_flops(net: Net, height: int, width: int) -> float:
    """What the graph does to the camera's pixels before its first convolution.

    Three colours scaled and shifted (2 each), depth clipped and scaled (4), height from depth
    (2) clipped and scaled (4).
    """
    pixels = -(-height // net.step) * -(-width // net.step)
    return float(pixels * (3 * 2 + 4 + 6))


def parameters(net: Net, height: int = 120, width: int = 160) -> int:
    sizes = shapes(net, height, width)
    count = 0
    for row in net.rows:
        src = sizes[row.src[0]]
        if row.op is Op.CONV:
            count += row.kernel**2 * src.channels * row.channels + row.channels
        elif row.op is Op.DEPTHWISE:
            count += row.kernel**2 * src.channels + src.channels
    return count


def models_of(nets: Sequence[Net]) -> set[str]:
    return {row.model for net in nets for row in net.rows}
