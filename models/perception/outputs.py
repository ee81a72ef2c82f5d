"""What every network saw in every picture of a walk, computed once and kept by content."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from models.perception.quality import inputs_of
from models.perception.stage import Stage
from models.perception.walks import FRAMES, Noise, Recording, cache_root, path_of, record
from runtime.perception.detection import Detection, find_people
from runtime.perception.geometry import View
from runtime.perception.inference import Card, read_card
from runtime.perception.inference.onnx_cpu import OnnxEngine, OnnxSession
from runtime.perception.level import Level
from sim.appearance import Style

HERE = Path(__file__).resolve().parent
FLOOR_SCORE = 0.05
MAX_FOUND = 8
COLUMNS = 13  # score, box 4, position 3, range, doubt, measured, hidden share (-1 unknown), pad
NETWORKS = {Level.FAST: "level1", Level.REFINED: "level2", Level.FULL: "level3"}


@dataclass(frozen=True)
class Network:
    card: Card
    session: OnnxSession


def load_networks(folder: Path = HERE) -> dict[Level, Network]:
    engine = OnnxEngine()
    networks: dict[Level, Network] = {}
    for level, name in NETWORKS.items():
        path = folder / f"{name}.yaml"
        networks[level] = Network(read_card(path), engine.load(name, str(path)))
    return networks


def pack(found: list[Detection]) -> np.ndarray:
    rows = np.zeros((MAX_FOUND, COLUMNS), np.float32)
    for row, one in zip(rows, found[:MAX_FOUND], strict=False):
        hidden = -1.0 if one.occlusion is None else one.occlusion
        row[:12] = [
            one.score,
            *one.box_px,
            *one.position_m,
            one.range_m,
            one.uncertainty_m,
            one.measured,
            hidden,
        ]
    return rows


def unpack(rows: np.ndarray) -> list[Detection]:
    return [
        Detection(
            score=float(row[0]),
            box_px=(float(row[1]), float(row[2]), float(row[3]), float(row[4])),
            position_m=row[5:8].astype(np.float64),
            range_m=float(row[8]),
            uncertainty_m=float(row[9]),
            measured=bool(row[10]),
            occlusion=None if row[11] < 0 else float(row[11]),
        )
        for row in rows
        if row[0] > 0
    ]


def outputs_path(style: Style, seed: int, key: str, card: Card) -> Path:
    return cache_root() / "outputs" / key / card.sha256[:12] / f"{style.value}-{seed:07d}.npy"


def run_network(network: Network, noise: Noise, view: View) -> np.ndarray:
    ray = view.ray_height()
    rows = np.zeros((FRAMES, MAX_FOUND, COLUMNS), np.float32)
    for frame in range(FRAMES):
        rgb, depth = noise.frame(frame)
        tensors = inputs_of(network.card, rgb, depth, ray, view.camera_height_m)
        outputs = network.session.run(tensors)
        found = find_people(outputs, depth, view, network.card.grid_stride_px, FLOOR_SCORE)
        rows[frame] = pack(found)
    return rows


@dataclass
class Walked:
    """A recorded walk with what each level would have seen in each of its pictures."""

    seed: int
    recording: Recording
    seen: dict[Level, np.ndarray]
    masks: dict[int, np.ndarray] = field(default_factory=dict)  # of the arm, by picture

    @cached_property
    def depth_m(self) -> np.ndarray:
        """Every picture's depth with its noise."""
        noise = Noise(self.recording, self.seed)
        return np.stack([noise.depth(frame) for frame in range(FRAMES)])


def looked_at(
    seed: int, recording: Recording, networks: dict[Level, Network], view: View
) -> Walked:
    """A recording with what networks see in it now, nothing read from or kept in the cache."""
    noise = Noise(recording, seed)
    seen = {level: run_network(network, noise, view) for level, network in networks.items()}
    return Walked(seed, recording, seen)


def walked(
    style: Style,
    seed: int,
    key: str,
    networks: dict[Level, Network],
    view: View,
    stage: Stage | None,
) -> Walked:
    path = path_of(style, seed, key)
    if path.exists():
        recording = Recording.load(path)
    elif stage is not None:
        recording = record(style, seed, stage)
        recording.save(path)
    else:
        raise FileNotFoundError(f"{path}: the walk is not recorded and nothing here can render it")
    seen: dict[Level, np.ndarray] = {}
    noise = Noise(recording, seed)
    for level, network in networks.items():
        target = outputs_path(style, seed, key, network.card)
        if target.exists():
            seen[level] = np.load(target)
            continue
        seen[level] = run_network(network, noise, view)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial.npy")
        np.save(partial, seen[level])
        partial.rename(target)
    return Walked(seed, recording, seen)
