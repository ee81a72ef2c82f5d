"""A simulated cell posed for pictures: looks, arm, people, camera; no physics in between."""

from dataclasses import dataclass

import mujoco
import numpy as np

from sim.appearance import Style
from sim.people import LIMBS, Limb, Stance, limb_poses
from sim.people import PARKED_M as PARKED_M
from sim.render import Renderer, Segmentation
from sim.robot_model import Arm
from sim.scene import Scene

SIZE = (160, 120)  # width, height
PEOPLE = 3
PARTS = 6


@dataclass(frozen=True)
class View:
    """A camera's calibration: where it is, which way it looks, its focal length in pixels."""

    position_m: np.ndarray
    rotation: np.ndarray  # columns: image right, image down, forward
    focal_px: float
    floor_z_m: float

    @property
    def up_row(self) -> np.ndarray:
        return np.array([*self.rotation[2], self.focal_px], np.float32)

    @property
    def height_m(self) -> float:
        return float(self.position_m[2] - self.floor_z_m)

    def project(self, points_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixel positions [..., 2] and depths [...] of points in the base frame."""
        local = (points_m - self.position_m) @ self.rotation
        depth = local[..., 2]
        safe = np.where(depth > 0.05, depth, 0.05)
        pixels = local[..., :2] / safe[..., None] * self.focal_px
        return pixels + np.array(SIZE) / 2, depth

    def lift(self, pixel: np.ndarray, depth_m: float | np.ndarray) -> np.ndarray:
        """The point in the base frame seen at a pixel and depth."""
        xy = (pixel - np.array(SIZE) / 2) / self.focal_px
        ray = np.concatenate([xy, np.ones((*xy.shape[:-1], 1))], -1)
        return self.position_m + (ray * np.asarray(depth_m)[..., None]) @ self.rotation.T


class Stage:
    """One scene with one renderer, reused for many seeds."""

    def __init__(self, seed: int, arm: Arm, style: Style, *, parts: int = 3) -> None:
        self.scene = Scene(seed, arm, style, people=PEOPLE, parts=parts, pool=PARTS)
        self.renderer = Renderer(self.scene, SIZE)
        model = self.scene.model
        self._cameras = {
            name: (model.cam_pos[model.camera(name).id].copy(), model.camera(name).id)
            for name in ("cell", "bin")
        }
        self._limbs = [
            [int(model.body(f"person{i}_{limb}").mocapid[0]) for limb in LIMBS]
            for i in range(PEOPLE)
        ]
        self._distractors = [
            int(model.body(f"distractor{i}").mocapid[0]) for i in range(self.scene.spec.distractors)
        ]
        self._tilt = {name: np.eye(3) for name in self._cameras}

    def reset(self, seed: int, style: Style, *, parts: int = 3, clutter: bool = False) -> None:
        self.scene.reset(seed, parts=parts, style=style, clutter=clutter)

    def tilt_camera(self, name: str, shift_m: np.ndarray, angles_rad: np.ndarray) -> None:
        """Mount the camera a little differently, as no two cells have it in the same place."""
        position, index = self._cameras[name]
        quat, matrix = np.zeros(4), np.zeros(9)
        angle = float(np.linalg.norm(angles_rad))
        mujoco.mju_axisAngle2Quat(quat, angles_rad / max(angle, 1e-9), angle)
        mujoco.mju_quat2Mat(matrix, quat)
        self._tilt[name] = matrix.reshape(3, 3)
        model = self.scene.model
        model.cam_pos[index] = position + shift_m
        _, base = self.scene.camera_pose(name)
        turned = self._tilt[name] @ base @ np.diag([1.0, -1.0, -1.0])
        mujoco.mju_mat2Quat(model.cam_quat[index], turned.flatten())

    def view(self, name: str) -> View:
        _, base = self.scene.camera_pose(name)
        focal = float(self.scene.intrinsics(name, SIZE)[0, 0])
        position = self.scene.model.cam_pos[self._cameras[name][1]].copy()
        return View(position, self._tilt[name] @ base, focal, self.scene.layout.floor_z_m)

    def pose_arm(self, q_rad: np.ndarray) -> None:
        self.scene.data.qpos[: self.scene.joints] = q_rad

    def pose_person(self, person: int, stance: Stance | None) -> None:
        data, mocaps = self.scene.data, self._limbs[person]
        if stance is None:
            data.mocap_pos[mocaps] = PARKED_M
            return
        look = self.scene.people.looks[person]
        poses = limb_poses(look, stance, self.scene.layout.floor_z_m)
        for mocap, limb in zip(mocaps, LIMBS, strict=True):
            data.mocap_pos[mocap], data.mocap_quat[mocap] = poses[limb]

    def pose_things(self) -> None:
        """Boxes, carts and pillars where they are at the scene's time."""
        data, scene = self.scene.data, self.scene
        for index, mocap in enumerate(self._distractors):
            spot = scene.distractor_spot(index)
            data.mocap_pos[mocap] = PARKED_M if spot is None else [*spot, scene.layout.floor_z_m]

    def limbs_m(self, person: int) -> dict[Limb, np.ndarray]:
        positions = self.scene.data.mocap_pos[self._limbs[person]]
        return dict(zip(LIMBS, positions, strict=True))

    def settle(self) -> None:
        """Work out where everything is after poses were set."""
        mujoco.mj_kinematics(self.scene.model, self.scene.data)
        mujoco.mj_camlight(self.scene.model, self.scene.data)

    def rgbd(self, camera: str) -> tuple[np.ndarray, np.ndarray]:
        return self.renderer.rgbd(camera)

    def segmentation(self, camera: str) -> Segmentation:
        return self.renderer.segmentation(camera)

    def close(self) -> None:
        self.renderer.close()
