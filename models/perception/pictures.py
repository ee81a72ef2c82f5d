"""Labelled pictures on disk. Numpy only: what merely reads pictures needs nothing that trains."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

SLOTS = 4  # people a cell picture is labelled with
PART_SLOTS = 8
HARDLY_VISIBLE_PX = 60


@dataclass(frozen=True)
class Pictures:
    """N labelled pictures of one camera."""

    rgb: np.ndarray  # [N, H, W, 3] uint8
    depth_mm: np.ndarray  # [N, H, W] uint16, 0 where there is none
    mask: np.ndarray  # [N, H/4, W/4] uint8, pixels of a person in each 4×4 cell
    pixels: np.ndarray  # [N, P] visible pixels of each
    box_px: np.ndarray  # [N, P, 4] left, top, right, bottom of the visible part
    range_m: np.ndarray  # [N, P]
    position_m: np.ndarray  # [N, P, 3] in the robot's base frame
    keypoints_px: np.ndarray  # [N, P, K, 2]
    occlusion: np.ndarray  # [N, P]
    up_row: np.ndarray  # [N, 4] third row of the camera's rotation, and its focal length
    camera_height_m: np.ndarray  # [N] over the floor

    def __len__(self) -> int:
        return len(self.rgb)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, **{f.name: getattr(self, f.name) for f in fields(self)})
        partial.rename(path)

    @staticmethod
    def load(path: Path) -> "Pictures":
        with np.load(path) as archive:
            return Pictures(**{f.name: archive[f.name] for f in fields(Pictures)})


def join(parts: list[Pictures]) -> Pictures:
    return Pictures(
        **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Pictures)}
    )


def ray_height(up_row: np.ndarray, height: int, width: int) -> np.ndarray:
    """How much higher a pixel's point lies for each metre of depth: [..., H, W]."""
    focal = up_row[..., 3, None, None]
    x = (np.arange(width) + 0.5 - width / 2)[None, :] / focal
    y = (np.arange(height) + 0.5 - height / 2)[:, None] / focal
    right, down, ahead = (up_row[..., i, None, None] for i in range(3))
    return (right * x + down * y + ahead).astype(np.float32)
