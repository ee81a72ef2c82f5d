"""Depth change against a learned background: the cue that owes nothing to any network.

Something that stands nearer than what was there before is somebody until a full look has said
otherwise. The arm is left out by its own shape. It costs a few operations a pixel that is read.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STEP = 2  # every second pixel is read
TILE = 8  # camera pixels a tile
_TILE_READ = TILE // STEP

Depth = NDArray[np.float32]
Tiles = NDArray[np.int32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ChangeRule:
    near_m: float  # how much nearer than the background counts
    near_ratio: float = 0.03  # and this much of the distance more: far depth is rough
    tile_pixels: int = 3  # fewer changed pixels in a tile are specks
    unknown_ratio: float = 0.35  # more pixels than this without depth: it cannot tell
    flood_ratio: float = 0.6  # more change than this: covered, moved, or another view altogether
    absorb_looks: int = 4  # full looks that found nobody there before it becomes background
    learn_ratio: float = 0.08


@dataclass(frozen=True)
class Change:
    """What the cue says of one picture."""

    tiles: Tiles  # changed pixels in each tile, camera pixels
    known: bool  # False: no background yet, or too little depth to tell

    def pixels(self, ignored: Mask | None = None) -> int:
        counts = self.tiles if ignored is None else np.where(ignored, 0, self.tiles)
        return int(counts.sum())


class DepthChange:
    """The background of one camera, and what differs from it."""

    def __init__(self, rule: ChangeRule, height_px: int, width_px: int) -> None:
        self._rule = rule
        self._shape = (-(-height_px // STEP), -(-width_px // STEP))
        self.tile_shape = (height_px // TILE, width_px // TILE)
        self._background: Depth | None = None
        self._limit: Depth = np.zeros(self._shape, np.float32)
        self._cleared = np.zeros(self.tile_shape, np.int32)
        self._last: tuple[Depth, Mask] | None = None
        self._near: Mask = np.zeros(self._shape, np.bool_)

    @property
    def has_background(self) -> bool:
        return self._background is not None

    def look(self, depth_m: Depth, arm: Mask | None) -> Change:
        """Compare a picture with the background; learns slowly where nothing stands."""
        depth = depth_m[::STEP, ::STEP]
        hidden = np.zeros(depth.shape, np.bool_) if arm is None else arm
        valid = depth > 0.0
        self._last = (depth, hidden)
        missing = 1.0 - float(np.count_nonzero(valid | hidden)) / depth.size
        self._near = np.zeros(self._shape, np.bool_)
        if self._background is None or missing > self._rule.unknown_ratio:
            return Change(np.zeros(self.tile_shape, np.int32), known=False)
        near = (depth < self._limit) & valid & ~hidden
        if np.count_nonzero(near) > self._rule.flood_ratio * depth.size:
            return Change(np.zeros(self.tile_shape, np.int32), known=False)
        self._near = near
        rows, columns = self.tile_shape
        counts = near.reshape(rows, _TILE_READ, columns, _TILE_READ).sum((1, 3), dtype=np.int32)
        counts[counts < self._rule.tile_pixels] = 0
        self._learn(depth, valid & ~near & ~hidden)
        return Change(counts * STEP * STEP, known=True)

    def body_at(
        self, box_px: tuple[float, float, float, float], range_m: float, gate_m: float
    ) -> tuple[float, float, float, int] | None:
        """What stands before the background in a box, about as far as expected: the middle of it
        in pixels, its depth, and how many camera pixels it fills."""
        if self._last is None:
            return None
        left, top, right, bottom = (max(0, int(edge)) // STEP for edge in box_px)
        window = (slice(top, bottom + 1), slice(left, right + 1))
        depth = self._last[0][window]
        hit = self._near[window] & (np.abs(depth - range_m) < gate_m)
        count = int(np.count_nonzero(hit))
        if count == 0:
            return None
        rows, columns = np.nonzero(hit)
        u = (left + float(columns.mean()) + 0.5) * STEP
        v = (top + float(rows.mean()) + 0.5) * STEP
        return u, v, float(np.median(depth[hit])), count * STEP * STEP

    def depth_near(self, u_px: float, v_px: float) -> float | None:
        """What the last picture measured around a pixel, the nearer side of it."""
        if self._last is None:
            return None
        depth, _ = self._last
        row, column = int(v_px) // STEP, int(u_px) // STEP
        around = depth[max(0, row - 4) : row + 5, max(0, column - 4) : column + 5]
        valid = around[around > 0]
        return float(np.percentile(valid, 20)) if valid.size else None

    def settle(self, people: Mask) -> None:
        """Take the last picture as background, but for the tiles that hold people."""
        if self._last is None:
            return
        depth, hidden = self._last
        background = depth.copy()
        # Where the background is not known, anything with a depth counts as change.
        background[hidden | _spread(people)] = np.inf
        background[background <= 0.0] = np.inf
        self._background = background
        self._set_limit()

    def clear(self, change: Change, people: Mask) -> None:
        """A full look has found these people and nobody else: after a few such looks, what else
        has changed is furniture."""
        empty = (change.tiles > 0) & ~people
        self._cleared = np.where(empty, self._cleared + 1, 0)
        done = self._cleared >= self._rule.absorb_looks
        if self._background is None or self._last is None or not empty.any():
            return
        depth, hidden = self._last
        # What lay behind the arm was never seen: one look that finds nobody there is enough.
        take = _spread(done) | (_spread(empty) & np.isinf(self._background))
        take &= ~hidden & (depth > 0.0)
        self._background[take] = depth[take]
        self._cleared[done] = 0
        self._set_limit()

    def _learn(self, depth: Depth, steady: Mask) -> None:
        """Drift with the sensor where nothing stands; what lies further away than ever before is
        behind what stood there, so it is believed faster."""
        background = self._background
        if background is None:
            return
        # A first sight of an unknown place is no background yet: a full look has to clear it.
        take = steady & np.isfinite(background)
        old, new = background[take], depth[take]
        rate = np.where(new > old * 1.05, 0.3, self._rule.learn_ratio).astype(np.float32)
        background[take] = old + rate * (new - old)
        self._set_limit()

    def _set_limit(self) -> None:
        if self._background is not None:
            keep = np.float32(1.0 - self._rule.near_ratio)
            self._limit = self._background * keep - np.float32(self._rule.near_m)


def _spread(tiles: Mask) -> Mask:
    """Tiles to the pixels that are read."""
    return np.repeat(np.repeat(tiles, _TILE_READ, axis=0), _TILE_READ, axis=1)


def tiles_of_boxes(
    boxes_px: list[tuple[float, float, float, float]], shape: tuple[int, int], grow_px: float
) -> Mask:
    """Tiles that boxes cover, grown a little."""
    mask = np.zeros(shape, np.bool_)
    for left, top, right, bottom in boxes_px:
        rows = slice(
            max(0, int((top - grow_px) // TILE)), max(0, int((bottom + grow_px) // TILE) + 1)
        )
        columns = slice(
            max(0, int((left - grow_px) // TILE)), max(0, int((right + grow_px) // TILE) + 1)
        )
        mask[rows, columns] = True
    return mask


def operations(height_px: int, width_px: int) -> float:
    """What one look costs: a comparison, three masks, a sum, and learning (8), a pixel read."""
    read = -(-height_px // STEP) * -(-width_px // STEP)
    return float(read * (5 + 8))
