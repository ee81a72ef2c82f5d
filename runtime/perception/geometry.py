"""A calibrated camera: pixels to points in the robot's base frame and back."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conf.schema.robot import CameraMount

Array = NDArray[np.float64]


@dataclass(frozen=True)
class View:
    """Where a camera is and how it looks. Columns of `rotation`: image right, image down, ahead."""

    position_m: Array
    rotation: Array
    focal_px: float
    width_px: int
    height_px: int
    floor_z_m: float

    @property
    def camera_height_m(self) -> float:
        return float(self.position_m[2] - self.floor_z_m)

    def project(self, points_m: Array) -> tuple[Array, Array]:
        """Pixels [..., 2] and depths [...] of points; what is behind the camera has depth <= 0."""
        local = (points_m - self.position_m) @ self.rotation
        depth = local[..., 2]
        safe = np.where(depth > 0.05, depth, 0.05)
        pixels = local[..., :2] / safe[..., None] * self.focal_px
        return pixels + np.array([self.width_px / 2, self.height_px / 2]), depth

    def lift(self, u_px: float, v_px: float, depth_m: float) -> Array:
        """The point that is seen at a pixel and depth."""
        ray = np.array(
            [
                (u_px - self.width_px / 2) / self.focal_px,
                (v_px - self.height_px / 2) / self.focal_px,
                1.0,
            ]
        )
        return self.position_m + self.rotation @ ray * depth_m

    def ray_height(self) -> NDArray[np.float32]:
        """How much higher a pixel's point lies for each metre of depth: [height, width]."""
        x = (np.arange(self.width_px) + 0.5 - self.width_px / 2) / self.focal_px
        y = (np.arange(self.height_px) + 0.5 - self.height_px / 2) / self.focal_px
        right, down, ahead = self.rotation[2]
        return (right * x[None, :] + down * y[:, None] + ahead).astype(np.float32)


def view_of(mount: CameraMount, width_px: int, height_px: int, floor_z_m: float) -> View:
    """The view of a mount as the profile declares it."""
    position = np.asarray(mount.pos_m, dtype=np.float64)
    ahead = np.asarray(mount.look_at_m, dtype=np.float64) - position
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, np.asarray(mount.up, dtype=np.float64))
    right /= np.linalg.norm(right)
    down = np.cross(ahead, right)
    focal_px = height_px / 2 / float(np.tan(np.radians(mount.fovy_deg) / 2))
    return View(
        position + mount.baseline_m * right,
        np.column_stack([right, down, ahead]),
        focal_px,
        width_px,
        height_px,
        floor_z_m,
    )
