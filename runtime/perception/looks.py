"""Pictures into requests and results into detections, for the cell and for the bin."""

from collections import OrderedDict
from dataclasses import dataclass, field

import cv2
import numpy as np

from conf.schema import Config
from runtime.hal.cameras import Frame
from runtime.hal.clock import NS_PER_MS
from runtime.perception.bin_eye import BinEye
from runtime.perception.cascade import Decision
from runtime.perception.detection import Depth, find_people
from runtime.perception.devices import Networks
from runtime.perception.eye import CellEye, Surroundings
from runtime.perception.geometry import View
from runtime.perception.inference import Card, Inference, Outcome, Request, Result, Tensors
from runtime.perception.level import Level
from runtime.perception.parts import find_parts
from runtime.shm.enums import Trigger

CELL, BIN = "cell", "bin"
KEPT_PICTURES = 24  # level 3 may answer up to half a second late: its depth is kept so long
FLOOR_SCORE = 0.15


@dataclass(frozen=True)
class Picture:
    """A frame at the networks' size."""

    rgb: np.ndarray
    depth_m: Depth
    capture_ns: int


def fit(frame: Frame, view: View) -> Picture | None:
    """A frame at the size that the networks take; None without colour or depth."""
    if frame.depth_m is None or frame.color.ndim != 3:
        return None
    size = (view.width_px, view.height_px)
    rgb, depth = frame.color, frame.depth_m
    if rgb.shape[:2] != (size[1], size[0]):
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        # Depths are picked, not averaged: between two surfaces there is none.
        depth = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST)
    # What is no number is no depth.
    depth = np.where(np.isfinite(depth), depth, np.float32(0.0)).astype(np.float32, copy=False)
    return Picture(rgb.astype(np.uint8, copy=False), depth, frame.capture_ns)


@dataclass
class _Inputs:
    """The tensors of a view that never change, and those of a picture."""

    view: View

    def __post_init__(self) -> None:
        self._ray = self.view.ray_height()[None]
        self._height = np.array([self.view.camera_height_m], np.float32)

    def of(self, picture: Picture) -> Tensors:
        return {
            "rgb": picture.rgb[None],
            "depth": picture.depth_m[None],
            "ray_height": self._ray,
            "camera_height": self._height,
        }


@dataclass
class CellLooks:
    """Runs the cascade's levels on the cell's pictures."""

    config: Config
    networks: Networks
    inference: Inference
    eye: CellEye
    level: int = 0  # the highest that has lately spoken
    level_ns: int = 0
    looked_ns: int | None = None  # capture time of the newest picture that level 1 has judged
    motion_ratio: float = 0.0
    why: Trigger = field(default_factory=lambda: Trigger(0))
    feature_vector: np.ndarray | None = None
    _pictures: OrderedDict[int, Picture] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self._inputs = _Inputs(self.eye.view)
        self._level_of = {card.name: level for level, card in self.networks.levels.items()}
        first = self.networks.levels[Level.FAST]
        shape = next(spec.shape for spec in first.inputs if spec.name == "previous")
        self._previous = np.zeros(shape, np.float32)

    def begin(self, frame: Frame, around: Surroundings, now_ns: int) -> bool:
        """A new picture: level 1, and at once what the independent cues call for."""
        picture = fit(frame, self.eye.view)
        if picture is None:
            return False
        self._pictures[picture.capture_ns] = picture
        while len(self._pictures) > KEPT_PICTURES:
            self._pictures.popitem(last=False)
        decision = self.eye.open(picture.depth_m, picture.capture_ns, around)
        taken = self._submit(Level.FAST, picture, now_ns)
        self.why = decision.triggers
        self._run(decision, picture, now_ns)
        return taken

    def take(self, result: Result, now_ns: int) -> None:
        level = self._level_of[result.network]
        picture = self._pictures.get(result.capture_ns)
        if result.outcome is not Outcome.DONE or result.tensors is None or picture is None:
            return
        card = self.networks.levels[level]
        found = find_people(
            result.tensors, picture.depth_m, self.eye.view, card.grid_stride_px, FLOOR_SCORE
        )
        self.eye.take(level, result.capture_ns, found, now_ns)
        self._note(level, result, now_ns)
        newest = next(reversed(self._pictures))
        if level is Level.FAST and result.capture_ns == newest:
            decision = self.eye.close(result.capture_ns)
            self.why |= decision.triggers
            self._run(decision, picture, now_ns)

    def _note(self, level: Level, result: Result, now_ns: int) -> None:
        tensors = result.tensors or {}
        if level is Level.FAST:
            self._previous = tensors["current"]
            self.motion_ratio = float(np.mean(tensors["motion"] > 0.25))
            self.looked_ns = max(result.capture_ns, self.looked_ns or 0)
        elif "feature_vector" in tensors:
            self.feature_vector = tensors["feature_vector"][0]
        hold_ns = 250 * NS_PER_MS
        if level >= self.level or now_ns - self.level_ns > hold_ns:
            self.level, self.level_ns = int(level), now_ns

    def _run(self, decision: Decision, picture: Picture, now_ns: int) -> None:
        for level in sorted(decision.run):
            if not self._submit(level, picture, now_ns):
                self.eye.refuse(level)

    def _submit(self, level: Level, picture: Picture, now_ns: int) -> bool:
        tensors = self._inputs.of(picture)
        if level is Level.FAST:
            tensors["previous"] = self._previous
        deadline_ms = self.config.perception.levels[level.key].deadline_ms
        network = self.networks.levels[level].name
        deadline_ns = now_ns + round(deadline_ms * NS_PER_MS)
        return self.inference.submit(
            Request(network, tensors, picture.capture_ns, deadline_ns, CELL), now_ns
        )


@dataclass
class BinLooks:
    """Finds parts in the bin's pictures at their own rate."""

    config: Config
    card: Card
    inference: Inference
    eye: BinEye
    _picture: Picture | None = None
    _due_ns: int = 0

    def __post_init__(self) -> None:
        self._inputs = _Inputs(self.eye.view)
        self._period_ns = round(1e9 / self.config.perception.parts.rate_hz)

    def begin(self, frame: Frame, now_ns: int) -> bool:
        if now_ns < self._due_ns:
            return False
        picture = fit(frame, self.eye.view)
        if picture is None:
            return False
        parts = self.config.perception.parts
        deadline_ns = now_ns + round(parts.deadline_ms * NS_PER_MS)
        request = Request(
            self.card.name, self._inputs.of(picture), picture.capture_ns, deadline_ns, BIN
        )
        taken = self.inference.submit(request, now_ns)
        if taken:
            self._picture = picture
            # On the camera's own grid: a due time a hair after a picture would skip it.
            self._due_ns = now_ns + self._period_ns - 10 * NS_PER_MS
        return taken

    def take(self, result: Result) -> None:
        picture = self._picture
        if result.outcome is not Outcome.DONE or result.tensors is None or picture is None:
            return
        if picture.capture_ns != result.capture_ns:
            return
        score = self.config.perception.parts.score
        found = find_parts(
            result.tensors, picture.depth_m, self.eye.view, self.card.grid_stride_px, score
        )
        self.eye.take(result.capture_ns, found, picture.depth_m)
