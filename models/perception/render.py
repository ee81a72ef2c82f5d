"""Renders labelled training pictures: `nice -n 19 python -m models.perception.render --out DIR`.

Every eighth picture begins a new cell: other colours, light, people, clutter, and a camera that
is mounted a little differently. Style TRAIN only; what the acceptance walks look like is never
drawn here.
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.perception.pictures import PART_SLOTS, SLOTS, Pictures, join
from models.perception.stage import PARTS, PEOPLE, SIZE, Stage, View
from models.perception.zoo import KEYPOINTS
from sim.appearance import Style
from sim.layout import CellLayout
from sim.people import Limb, Stance
from sim.render import Segmentation
from sim.robot_model import Arm
from sim.scene import SegKind

PICTURES_A_CELL = 8
SHARD = 500
COUNTS = {
    ("cell", "train"): 24000,
    ("cell", "validation"): 500,
    ("bin", "train"): 4000,
    ("bin", "validation"): 500,
}
FIRST_SEED = {"train": 1_000_000, "validation": 2_000_000}
NEAR_M, FAR_M, SIDE_M = 0.95, 4.4, 2.3  # where people are put


def random_arm(rng: np.random.Generator, stage: Stage) -> np.ndarray:
    """Around the rest pose, now and then far from it."""
    spread = 0.25 if rng.random() < 0.6 else 0.7
    home = stage.scene.home_rad
    limits = stage.scene.model.jnt_range[: stage.scene.joints]
    return np.clip(home + rng.normal(0.0, spread, home.shape), limits[:, 0], limits[:, 1])


def random_stance(rng: np.random.Generator) -> Stance:
    heading = float(rng.uniform(-np.pi, np.pi))
    speed = 0.0 if rng.random() < 0.25 else float(rng.uniform(0.4, 1.9))
    velocity = (speed * float(np.cos(heading)), speed * float(np.sin(heading)))
    spot = (float(rng.uniform(NEAR_M, FAR_M)), float(rng.uniform(-SIDE_M, SIDE_M)))
    walked = float(rng.uniform(0.0, 10.0))
    return Stance(spot, heading, velocity, walked, bool(speed == 0.0 and rng.random() < 0.4))


def occlusion_of(limbs: np.ndarray, view: View, depth_m: np.ndarray) -> float:
    """Share of limbs outside the picture or behind something."""
    pixels, ranges = view.project(limbs)
    width, height = SIZE
    hidden = 0
    for (u, v), reach in zip(pixels, ranges, strict=True):
        inside = 0 <= u < width and 0 <= v < height and reach > 0.1
        if not inside or 0 < depth_m[int(v), int(u)] < reach - 0.30:
            hidden += 1
    return hidden / len(limbs)


def _visible_box(hit: np.ndarray) -> tuple[int, np.ndarray]:
    rows, columns = np.flatnonzero(hit.any(1)), np.flatnonzero(hit.any(0))
    if not len(rows):
        return 0, np.zeros(4, np.float32)
    box = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    return int(np.count_nonzero(hit)), np.array(box, np.float32)


def keypoints_m(limbs: dict[Limb, np.ndarray]) -> np.ndarray:
    feet = (limbs[Limb.FOOT_LEFT] + limbs[Limb.FOOT_RIGHT]) / 2
    return np.stack([limbs[Limb.HEAD], limbs[Limb.TORSO], limbs[Limb.PELVIS], feet])


class _Labels:
    """Rows of one picture's labels, filled slot by slot."""

    def __init__(self, slots: int) -> None:
        self.pixels = np.zeros(slots, np.int32)
        self.box = np.zeros((slots, 4), np.float32)
        self.range = np.zeros(slots, np.float32)
        self.position = np.zeros((slots, 3), np.float32)
        self.keypoints = np.zeros((slots, len(KEYPOINTS), 2), np.float32)
        self.occlusion = np.zeros(slots, np.float32)


def label_people(
    stage: Stage, view: View, seg: Segmentation, depth_m: np.ndarray, who: list[int]
) -> _Labels:
    labels = _Labels(SLOTS)
    for slot, person in enumerate(who):
        hit = (seg.kind == SegKind.PERSON) & (seg.instance == person)
        labels.pixels[slot], labels.box[slot] = _visible_box(hit)
        limbs = stage.limbs_m(person)
        axis = (limbs[Limb.TORSO] + limbs[Limb.PELVIS]) / 2
        labels.position[slot] = axis
        labels.range[slot] = view.project(axis)[1]
        labels.keypoints[slot] = view.project(keypoints_m(limbs))[0]
        every = np.stack(list(limbs.values()))
        labels.occlusion[slot] = occlusion_of(every, view, depth_m)
    return labels


def label_parts(stage: Stage, view: View, seg: Segmentation) -> _Labels:
    """A part's place is the middle of its upper side: that is where suction takes it."""
    labels = _Labels(PART_SLOTS)
    for truth in stage.scene.parts():
        if not truth.in_play:
            continue
        slot = truth.index
        hit = (seg.kind == SegKind.PART) & (seg.instance == truth.index)
        labels.pixels[slot], box = _visible_box(hit)
        top = np.array(truth.position_m)
        top[2] += top_height_m(stage, truth.index)
        pixel, labels.range[slot] = view.project(top)
        # The box is centred on that point, with the visible size.
        half = np.array([box[2] - box[0], box[3] - box[1]]) / 2
        labels.box[slot] = [*(pixel - half), *(pixel + half)]
        labels.position[slot] = top
    return labels


def top_height_m(stage: Stage, index: int) -> float:
    """How far a part's highest point lies above its middle, however it has fallen."""
    model, data = stage.scene.model, stage.scene.data
    geom = model.geom(f"part{index}_geom").id
    rotation = data.geom_xmat[geom].reshape(3, 3)
    size = model.geom_size[geom]
    if model.geom_type[geom] == 5:  # mjGEOM_CYLINDER: radius, half length
        up = abs(rotation[2, 2])
        return float(size[1] * up + size[0] * np.sqrt(max(0.0, 1.0 - up * up)))
    return float(np.abs(rotation[2]) @ size)


def _pose_cell(rng: np.random.Generator, stage: Stage) -> list[int]:
    who = list(range(int(rng.choice([0, 1, 2, 3], p=[0.33, 0.40, 0.18, 0.09]))))
    for person in range(PEOPLE):
        stage.pose_person(person, random_stance(rng) if person in who else None)
    stage.pose_arm(random_arm(rng, stage))
    return who


def _pose_bin(rng: np.random.Generator, stage: Stage) -> None:
    """Parts in the bin, some already in the tray, the arm away or in the picture."""
    scene = stage.scene
    for truth in scene.parts():
        if truth.in_play and rng.random() < 0.3:
            scene.spawn_part(truth.index, scene.layout.tray)
        elif truth.in_play and rng.random() < 0.5:
            scene.spawn_part(truth.index, scene.layout.bin)
    home = stage.scene.home_rad
    stage.pose_arm(home if rng.random() < 0.3 else random_arm(rng, stage))


def _begin_cell(rng: np.random.Generator, stage: Stage, camera: str, seed: int) -> bool:
    clutter = camera == "bin" and rng.random() < 0.25
    parts = int(rng.integers(0, PARTS + 1)) if camera == "bin" else int(rng.integers(0, 4))
    stage.reset(seed, Style.TRAIN, parts=parts, clutter=clutter)
    shift, turn = (0.05, 0.02) if camera == "cell" else (0.015, 0.008)
    stage.tilt_camera(camera, rng.uniform(-shift, shift, 3), rng.uniform(-turn, turn, 3))
    return clutter


def _stack(rows: list[dict[str, np.ndarray]]) -> Pictures:
    return Pictures(**{name: np.stack([row[name] for row in rows]) for name in rows[0]})


def _picture(stage: Stage, camera: str, who: list[int]) -> dict[str, np.ndarray]:
    stage.settle()
    rgb, depth = stage.rgbd(camera)
    seg, view = stage.segmentation(camera), stage.view(camera)
    if camera == "cell":
        labels = label_people(stage, view, seg, depth, who)
        person = seg.kind == SegKind.PERSON
    else:
        labels, person = label_parts(stage, view, seg), np.zeros(seg.kind.shape, bool)
    height, width = depth.shape
    cells = person.reshape(height // 4, 4, width // 4, 4).sum((1, 3))
    return {
        "rgb": rgb,
        "depth_mm": np.clip(depth * 1000.0 + 0.5, 0, 65535).astype(np.uint16),
        "mask": cells.astype(np.uint8),
        "pixels": labels.pixels,
        "box_px": labels.box,
        "range_m": labels.range,
        "position_m": labels.position,
        "keypoints_px": labels.keypoints,
        "occlusion": labels.occlusion,
        "up_row": view.up_row,
        "camera_height_m": np.float32(view.height_m),
    }


def render_shard(camera: str, first_seed: int, count: int, arm: Arm, path: Path) -> Path:
    if path.exists():
        return path
    stage = Stage(first_seed, arm, Style.TRAIN)
    rows: list[dict[str, np.ndarray]] = []
    clutter = False
    for index in range(count):
        rng = np.random.default_rng([first_seed, index])
        if index % PICTURES_A_CELL == 0:
            clutter = _begin_cell(rng, stage, camera, first_seed + index)
        who: list[int] = []
        if camera == "cell":
            who = _pose_cell(rng, stage)
        elif not clutter:
            _pose_bin(rng, stage)
        else:
            stage.pose_arm(random_arm(rng, stage))
        rows.append(_picture(stage, camera, who))
    stage.close()
    _stack(rows).save(path)
    return path


def _jobs(out: Path, scale: float) -> list[tuple[str, int, int, Arm, Path]]:
    jobs: list[tuple[str, int, int, Arm, Path]] = []
    for (camera, split), total in COUNTS.items():
        shards = max(1, round(total * scale / SHARD))
        for shard in range(shards):
            arm = Arm.UR5E if shard % 4 == 3 else Arm.PANDA
            seed = FIRST_SEED[split] + 10_000 * shard + (5_000_000 if camera == "bin" else 0)
            path = out / f"{camera}-{split}-{shard:02d}.npz"
            jobs.append((camera, seed, min(SHARD, int(total * scale) or 1), arm, path))
    return jobs


def dataset(root: Path, camera: str, split: str) -> Pictures:
    shards = sorted(root.glob(f"{camera}-{split}-[0-9][0-9].npz"))
    if not shards:
        raise FileNotFoundError(
            f"{root}: no {camera}-{split}-NN.npz, so there is nothing to train on; "
            f"try  python -m models.perception.render --out {root}"
        )
    pictures = join([Pictures.load(shard) for shard in shards])
    if camera == "bin":  # the bin's heights are over the table, which is the base frame's zero
        above = pictures.camera_height_m + np.float32(CellLayout().floor_z_m)
        return replace(pictures, camera_height_m=above)
    return pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full number")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    began = time.monotonic()
    with ProcessPoolExecutor(args.processes) as pool:
        for path in pool.map(_run, _jobs(args.out, args.scale)):
            print(f"{time.monotonic() - began:.0f} s  {path}", flush=True)


def _run(job: tuple[str, int, int, Arm, Path]) -> Path:
    return render_shard(*job)


if __name__ == "__main__":
    main()
