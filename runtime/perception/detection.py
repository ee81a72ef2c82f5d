"""Network outputs to things at places: heat-map peaks, lifted into the base frame with depth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.perception.geometry import Array, View
from runtime.perception.inference import Tensors

Depth = NDArray[np.float32]

RANGE_SHIFT_M = 2.0  # the range head speaks of metres beyond this
SIZE_UNIT_PX = 16.0  # the size head speaks of logarithms of this
BODY_HALF_DEPTH_M = 0.10  # from the side that a depth camera sees to the body's axis
MIN_DEPTH_PIXELS = 6
MIN_GATE_M = 0.5


@dataclass(frozen=True)
class Detection:
    """Something one level saw in one picture."""

    score: float
    box_px: tuple[float, float, float, float]  # left, top, right, bottom
    position_m: Array  # base frame
    range_m: float  # along the camera's axis, as the network has it
    uncertainty_m: float  # the network's own doubt about that range
    measured: bool  # whether depth agrees that something stands there
    occlusion: float | None = None


def peaks(heat: NDArray[np.float32], floor: float, limit: int) -> list[tuple[int, int, float]]:
    """Cells of a heat map that hold a score, best first."""
    rows, columns = np.nonzero(heat >= floor)
    scores = heat[rows, columns]
    order = np.argsort(-scores, kind="stable")[:limit]
    return [(int(rows[i]), int(columns[i]), float(scores[i])) for i in order]


def find_people(
    outputs: Tensors, depth_m: Depth, view: View, stride_px: int, floor: float, limit: int = 8
) -> list[Detection]:
    """People in a picture, the surest first."""
    found: list[Detection] = []
    box, reach = outputs["box"][0], outputs["range"][0]
    hidden = outputs.get("occlusion_ratio")
    for row, column, score in peaks(outputs["center"][0, 0], floor, limit):
        u, v, width, height = _box(box[:, row, column], row, column, stride_px)
        range_m = float(reach[0, row, column]) + RANGE_SHIFT_M
        doubt_m = float(np.exp(np.clip(reach[1, row, column], -4.0, 2.0)))
        measured = _surface_m(depth_m, u, v, width, height, range_m, doubt_m)
        distance_m = range_m if measured is None else measured + BODY_HALF_DEPTH_M
        found.append(
            Detection(
                score=score,
                box_px=(u - width / 2, v - height / 2, u + width / 2, v + height / 2),
                position_m=view.lift(u, v, max(distance_m, 0.1)),
                range_m=range_m,
                uncertainty_m=doubt_m,
                measured=measured is not None,
                occlusion=None if hidden is None else float(hidden[0, 0, row, column]),
            )
        )
    return found


def _box(
    values: NDArray[np.float32], row: int, column: int, stride_px: int
) -> tuple[float, float, float, float]:
    """Centre and size in camera pixels."""
    u = (column + 0.5 + float(values[0])) * stride_px
    v = (row + 0.5 + float(values[1])) * stride_px
    width, height = SIZE_UNIT_PX * np.exp(np.clip(values[2:], -3.0, 3.0))
    return u, v, float(width), float(height)


def _surface_m(
    depth_m: Depth, u: float, v: float, width: float, height: float, range_m: float, doubt_m: float
) -> float | None:
    """Measured depth in the middle of a box, of the pixels near the range the network expects."""
    rows, columns = depth_m.shape
    left, right = max(0, int(u - width * 0.3)), min(columns, int(u + width * 0.3) + 1)
    top, bottom = max(0, int(v - height * 0.35)), min(rows, int(v + height * 0.35) + 1)
    window = depth_m[top:bottom, left:right]
    gate_m = max(MIN_GATE_M, 3.0 * doubt_m)
    near = window[np.abs(window - range_m) < gate_m]
    if near.size < MIN_DEPTH_PIXELS:
        return None
    return float(np.median(near))


def suppress(found: list[Detection], apart_m: float) -> list[Detection]:
    """Of several detections at one place on the floor, the surest."""
    kept: list[Detection] = []
    for one in found:
        if all(_floor_distance(one, other) > apart_m for other in kept):
            kept.append(one)
    return kept


def _floor_distance(one: Detection, other: Detection) -> float:
    x, y = one.position_m[:2] - other.position_m[:2]
    return float(np.hypot(x, y))
