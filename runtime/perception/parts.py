"""Parts seen from above: the network says where one lies, depth says exactly where its top is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.perception.detection import Depth, _box, peaks
from runtime.perception.geometry import Array, View
from runtime.perception.inference import Tensors

TOP_BAND_M = 0.006  # pixels this close to the highest count as the upper side
MIN_TOP_PIXELS = 8
NETWORK_SHARE = 0.35  # weight of the network's centre against the depth's


@dataclass(frozen=True)
class Part:
    score: float
    box_px: tuple[float, float, float, float]
    position_m: Array  # middle of the upper side
    size_m: Array  # footprint length and width, height over what it lies on
    yaw_rad: float
    measured: bool


def find_parts(
    outputs: Tensors, depth_m: Depth, view: View, stride_px: int, floor: float, limit: int = 16
) -> list[Part]:
    found: list[Part] = []
    box = outputs["box"][0]
    for row, column, score in peaks(outputs["center"][0, 0], floor, limit):
        u, v, width, height = _box(box[:, row, column], row, column, stride_px)
        if not (0 <= u < view.width_px and 0 <= v < view.height_px):
            continue
        found.append(_measure(depth_m, view, score, u, v, width, height))
    return found


def _measure(
    depth_m: Depth, view: View, score: float, u: float, v: float, width: float, height: float
) -> Part:
    box_px = (u - width / 2, v - height / 2, u + width / 2, v + height / 2)
    rows, columns = depth_m.shape
    left, right = max(0, int(box_px[0]) - 1), min(columns, int(box_px[2]) + 2)
    top, bottom = max(0, int(box_px[1]) - 1), min(rows, int(box_px[3]) + 2)
    window = depth_m[top:bottom, left:right]
    near_m = _top_depth(depth_m, u, v)
    if near_m is None:
        size = np.array([width, height, 0.0]) / view.focal_px
        return Part(score, box_px, view.lift(u, v, 1.0), size, 0.0, measured=False)
    upper = (np.abs(window - near_m) < TOP_BAND_M) & (window > 0)
    ys, xs = np.nonzero(upper)
    if len(xs) < MIN_TOP_PIXELS:
        position = view.lift(u, v, near_m)
        size = np.array([width, height, 0.0]) * near_m / view.focal_px
        return Part(score, box_px, position, size, 0.0, measured=True)
    depth = float(window[upper].mean())
    middle = np.array([xs.mean() + left + 0.5, ys.mean() + top + 0.5])
    u, v = NETWORK_SHARE * np.array([u, v]) + (1 - NETWORK_SHARE) * middle
    ground = float(np.percentile(window[window > 0], 95))
    length, breadth, yaw = _footprint(xs, ys, depth, view)
    size = np.array([length, breadth, max(0.0, ground - depth)])
    return Part(score, box_px, view.lift(float(u), float(v), depth), size, yaw, measured=True)


def _top_depth(depth_m: Depth, u: float, v: float) -> float | None:
    """Depth at the detected centre: a small window's median shrugs off a missing pixel."""
    row, column = int(np.clip(v, 1, depth_m.shape[0] - 2)), int(np.clip(u, 1, depth_m.shape[1] - 2))
    around = depth_m[row - 1 : row + 2, column - 1 : column + 2]
    valid = around[around > 0]
    return float(np.median(valid)) if valid.size >= 3 else None


def _footprint(
    xs: NDArray[np.int64], ys: NDArray[np.int64], depth: float, view: View
) -> tuple[float, float, float]:
    """Length, breadth and direction of the upper side, from its second moments."""
    local = np.stack([xs - xs.mean(), ys - ys.mean()]) * depth / view.focal_px
    spread = local @ local.T / len(xs)
    values, vectors = np.linalg.eigh(spread)
    # A rectangle's side is √12 of its standard deviation.
    breadth, length = np.sqrt(12.0 * np.maximum(values, 1e-9))
    ahead = view.rotation[:, :2] @ vectors[:, 1]
    return float(length), float(breadth), float(np.arctan2(ahead[1], ahead[0]))
