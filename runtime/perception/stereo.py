"""Depth from the stereo pair, on the CPU: what is left to see with when the GPU is gone.

No network runs here. Where the left picture differs from the learned background and the pair
measures something of a body's size there, somebody stands; what kind of thing it is cannot be
told. Where it differs and nothing can be measured, the answer is that it cannot be told.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.perception.arm import ArmMask
from runtime.perception.geometry import Array, View

Grey = NDArray[np.uint8]

ENLARGE = 2  # matching at twice the size: half the step from one disparity to the next
FIXED_POINT = 16.0  # OpenCV counts disparities in sixteenths of a pixel
BODY_HALF_DEPTH_M = 0.10


@dataclass(frozen=True)
class StereoRule:
    disparities: int = 48  # at the enlarged size
    block_px: int = 5
    change_grey: float = 14.0  # brightness over the background's own unrest
    max_changed_ratio: float = 0.45  # more than this is a change of light, not a person
    min_area_px: int = 70
    min_measured_ratio: float = 0.12  # of a changed area, else its place cannot be told
    min_measured_px: int = 15
    min_height_m: float = 0.45
    learn_ratio: float = 0.15


@dataclass(frozen=True)
class Volume:
    """Something of a body's size where nothing was."""

    position_m: Array
    radius_m: float
    height_m: float


@dataclass(frozen=True)
class StereoLook:
    volumes: list[Volume]
    known: bool  # False: no background was learned, the light changed, or a place is not measured
    why: str = ""


class StereoEye:
    def __init__(self, left: View, baseline_m: float, arm: ArmMask | None) -> None:
        self.rule = StereoRule()
        self._view = left
        self._arm = arm
        self._strength = left.focal_px * ENLARGE * baseline_m
        block = self.rule.block_px
        self._matcher = cv2.StereoSGBM.create(
            minDisparity=0,
            numDisparities=self.rule.disparities,
            blockSize=block,
            P1=8 * block * block,
            P2=32 * block * block,
            disp12MaxDiff=2,
            uniquenessRatio=8,
            speckleWindowSize=40,
            speckleRange=2,
        )
        self._mean: NDArray[np.float32] | None = None
        self._unrest = np.zeros((left.height_px, left.width_px), np.float32)
        self._looks = 0

    @property
    def has_background(self) -> bool:
        return self._mean is not None and self._looks >= 2

    def learn(self, left: Grey, arm_q_rad: Array | None) -> None:
        """Take a picture of a scene that is known to be empty into the background."""
        smooth = _smooth(left)
        steady = ~self._arm_pixels(arm_q_rad)
        self._looks += 1
        if self._mean is None:
            self._mean = np.where(steady, smooth, np.nan).astype(np.float32)
            return
        old = self._mean
        first = np.isnan(old) & steady
        rate = self.rule.learn_ratio
        error = np.where(first, 0.0, np.abs(smooth - old))
        self._unrest = np.where(
            steady & ~first, (1 - rate) * self._unrest + rate * error, self._unrest
        ).astype(np.float32)
        moved = np.where(first, smooth, old + rate * (smooth - old))
        self._mean = np.where(steady, moved, old).astype(np.float32)

    def look(self, left: Grey, right: Grey, arm_q_rad: Array | None) -> StereoLook:
        if self._mean is None or not self.has_background:
            return StereoLook([], known=False, why="no background was learned")
        # Where no background is known, anything may stand: that counts as changed.
        change = np.abs(_smooth(left) - self._mean)
        limit = self.rule.change_grey + 3.0 * self._unrest
        changed = ~(change <= limit) & ~self._arm_pixels(arm_q_rad)
        ratio = float(np.count_nonzero(changed)) / changed.size
        if ratio > self.rule.max_changed_ratio:
            return StereoLook([], known=False, why="the light has changed")
        return self._measure(changed, self._depth(left, right))

    def _arm_pixels(self, arm_q_rad: Array | None) -> NDArray[np.bool_]:
        blank = np.zeros((self._view.height_px, self._view.width_px), np.float32)
        if self._arm is None or arm_q_rad is None:
            return blank.astype(np.bool_)
        return self._arm.paint(arm_q_rad, blank)

    def _depth(self, left: Grey, right: Grey) -> NDArray[np.float32]:
        size = (left.shape[1] * ENLARGE, left.shape[0] * ENLARGE)
        wide = [cv2.resize(one, size, interpolation=cv2.INTER_CUBIC) for one in (left, right)]
        found = self._matcher.compute(*wide).astype(np.float32) / FIXED_POINT
        small = found[::ENLARGE, ::ENLARGE]
        return np.where(small > 0.5, self._strength / np.maximum(small, 0.5), 0.0).astype(
            np.float32
        )

    def _measure(self, changed: NDArray[np.bool_], depth: NDArray[np.float32]) -> StereoLook:
        """Changed areas as bodies at places, or the word that a place cannot be told."""
        kernel = np.ones((3, 3), np.uint8)
        mask = cv2.morphologyEx(changed.astype(np.uint8), cv2.MORPH_OPEN, kernel)
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
        count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
        volumes: list[Volume] = []
        for label in range(1, count):
            left, top, width, height, area = (int(value) for value in stats[label])
            if area < self.rule.min_area_px:
                continue
            box = (slice(top, top + height), slice(left, left + width))
            inside = (labels[box] == label) & (depth[box] > 0)
            measured = depth[box][inside]
            wanted = max(self.rule.min_measured_px, self.rule.min_measured_ratio * area)
            if measured.size < wanted:
                return StereoLook(volumes, known=False, why="a changed place cannot be measured")
            volume = self._volume(labels[box] == label, float(np.median(measured)), left, top)
            if volume.height_m >= self.rule.min_height_m:
                volumes.append(volume)
        return StereoLook(volumes, known=True)

    def _volume(self, shape: NDArray[np.bool_], surface_m: float, left: int, top: int) -> Volume:
        rows, columns = np.nonzero(shape)
        scale = surface_m / self._view.focal_px
        position = self._view.lift(
            left + float(columns.mean()) + 0.5,
            top + float(rows.mean()) + 0.5,
            surface_m + BODY_HALF_DEPTH_M,
        )
        height_m = float(np.percentile(rows, 98) - np.percentile(rows, 2)) * scale
        breadth_m = float(np.percentile(columns, 90) - np.percentile(columns, 10)) * scale
        return Volume(position, float(np.clip(breadth_m / 2 + 0.15, 0.3, 1.0)), height_m)


def _smooth(picture: Grey) -> NDArray[np.float32]:
    return cv2.GaussianBlur(picture, (3, 3), 0).astype(np.float32)
