"""What lenses and sensors add to a rendered picture: noise that repeats with the seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.render import DepthImage, RgbImage

BANK = 12  # noise pictures drawn once; each use takes one at a random shift
COLOR_NOISE = 2.0
DEPTH_NOISE_M, DEPTH_NOISE_PER_M2 = 0.0008, 0.0012  # grows with the square of distance
DEPTH_STEP_M = 0.001


class Optics:
    """Noise for pictures of one size."""

    def __init__(self, size: tuple[int, int], seed: int) -> None:
        width, height = size
        self._rng = np.random.default_rng([seed, 3])
        shape = (BANK, height, width)
        self._color = np.rint(self._rng.normal(0.0, COLOR_NOISE, (*shape, 3))).astype(np.int16)
        self._depth = self._rng.standard_normal(shape, dtype=np.float32)

    def spoil_color(self, picture: RgbImage) -> RgbImage:
        noise = self._pick(self._color)
        return np.clip(picture.astype(np.int16) + noise, 0, 255).astype(np.uint8)

    def spoil_grey(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        noise = self._pick(self._color)[..., 0]
        return np.clip(picture.astype(np.int16) + noise, 0, 255).astype(np.uint8)

    def spoil_depth(self, depth_m: DepthImage) -> DepthImage:
        """Noise and millimetre steps; pixels without a return keep their 0."""
        deviation = DEPTH_NOISE_M + DEPTH_NOISE_PER_M2 * np.square(depth_m)
        noisy = depth_m + deviation * self._pick(self._depth)
        stepped = np.rint(noisy / DEPTH_STEP_M) * DEPTH_STEP_M
        return np.where(depth_m > 0.0, stepped, 0.0).astype(np.float32)

    def garbage(self, shape: tuple[int, ...]) -> RgbImage:
        return self._rng.integers(0, 256, shape, dtype=np.uint8)

    def garbage_depth(self, shape: tuple[int, int]) -> DepthImage:
        return self._rng.uniform(0.0, 6.0, shape).astype(np.float32)

    def _pick(self, bank: np.ndarray) -> np.ndarray:
        index, shift = (int(value) for value in self._rng.integers(0, (BANK, bank.shape[1])))
        return np.roll(bank[index], shift, axis=0)
