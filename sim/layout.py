"""Where everything in the picking cell stands.

The world's frame is the robot's base frame: x forward, y left, z up, metres.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from conf.schema import Config

Vec2 = tuple[float, float]
Vec3 = tuple[float, float, float]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class CameraMount:
    """A pin-hole camera: where it sits, where it looks, what it sees."""

    position_m: Vec3
    look_at_m: Vec3
    fovy_deg: float
    # The image's upward direction before it is made square to the view.
    up: Vec3 = (0.0, 0.0, 1.0)
    baseline_m: float = 0.0  # stereo_right is stereo_left moved along the image's x axis


@dataclass(frozen=True)
class Rectangle:
    """An axis-aligned area of the floor."""

    min_m: Vec2
    max_m: Vec2

    def holds(self, point: Vec2, margin_m: float = 0.0) -> bool:
        return all(
            low - margin_m <= value <= high + margin_m
            for low, value, high in zip(self.min_m, point, self.max_m, strict=True)
        )

    def sample(self, rng: np.random.Generator) -> Vec2:
        x, y = rng.uniform(self.min_m, self.max_m)
        return float(x), float(y)


@dataclass(frozen=True)
class Tub:
    """An open box on the table: the pick bin and the place tray."""

    center_m: Vec2
    inner_m: Vec2  # inner size along x and y
    wall_height_m: float
    wall_m: float = 0.012
    floor_m: float = 0.004

    def holds(self, point: Vec3, margin_m: float = 0.0) -> bool:
        """Whether a point lies between the walls and not far above them."""
        inside = all(
            abs(point[axis] - self.center_m[axis]) <= self.inner_m[axis] / 2 + margin_m
            for axis in (0, 1)
        )
        return inside and -0.01 <= point[2] <= self.wall_height_m + 0.10


def _cameras() -> dict[str, CameraMount]:
    stereo = CameraMount((-0.55, 0.98, 1.30), (1.75, -0.20, -0.25), 66.0)
    return {
        "cell": CameraMount((-0.55, 0.98, 1.38), (1.75, -0.20, -0.25), 66.0),
        "bin": CameraMount((0.47, 0.0, 1.30), (0.47, 0.0, 0.0), 33.0, up=(1.0, 0.0, 0.0)),
        "stereo_left": stereo,
        "stereo_right": CameraMount(
            stereo.position_m, stereo.look_at_m, stereo.fovy_deg, baseline_m=0.1
        ),
    }


@dataclass(frozen=True)
class CellLayout:
    floor_z_m: float = -0.75
    table_min_m: Vec2 = (-0.22, -0.55)
    table_max_m: Vec2 = (0.80, 0.55)
    bin: Tub = Tub((0.47, -0.24), (0.30, 0.30), 0.07)
    tray: Tub = Tub((0.47, 0.24), (0.30, 0.30), 0.03)
    # Where people walk when all is well, where distractors stand, and where an intruder goes.
    walkway: Rectangle = Rectangle((1.55, -2.0), (3.9, 2.0))
    clutter_area: Rectangle = Rectangle((1.3, -2.2), (4.4, 2.2))
    intruder_goal_m: Vec2 = (1.0, 0.0)
    room: Rectangle = Rectangle((-2.0, -3.6), (5.6, 3.6))
    cameras: dict[str, CameraMount] = field(default_factory=_cameras)


def camera_axes(mount: CameraMount) -> tuple[Array, Array]:
    """Position and rotation of a mount; the columns are image right, image down, forward."""
    position = np.asarray(mount.position_m, dtype=np.float64)
    forward = np.asarray(mount.look_at_m, dtype=np.float64) - position
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, np.asarray(mount.up, dtype=np.float64))
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    rotation = np.column_stack([right, down, forward])
    return position + mount.baseline_m * right, rotation


def intrinsics(fovy_deg: float, size: tuple[int, int]) -> Array:
    """Pin-hole matrix for an image of `size` = (width, height) with square pixels."""
    width, height = size
    focal = height / 2 / np.tan(np.radians(fovy_deg) / 2)
    return np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])


def layout_of(config: Config) -> CellLayout:
    """The cell that a robot's profile describes."""
    robot, facility = config.robot, config.facility
    return CellLayout(
        floor_z_m=facility.floor_z_m,
        bin=Tub(robot.pick.center_m, robot.pick.inner_m, robot.pick.wall_height_m),
        tray=Tub(robot.place.center_m, robot.place.inner_m, robot.place.wall_height_m),
        walkway=Rectangle(facility.walkway_min_m, facility.walkway_max_m),
        cameras={
            name: CameraMount(
                mount.pos_m, mount.look_at_m, mount.fovy_deg, mount.up, mount.baseline_m
            )
            for name, mount in robot.cameras.items()
        },
    )
