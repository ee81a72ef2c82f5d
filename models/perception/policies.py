"""Ways of looking at a walk: the cascade, always level 3, level 3 at 5 Hz. Same carry for all."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from models.perception.outputs import Walked, unpack
from models.perception.walks import FRAMES, PERIOD_NS
from runtime.perception import arm as arm_module
from runtime.perception.change import STEP, operations
from runtime.perception.detection import suppress
from runtime.perception.eye import APART_M, CANDIDATE_SCORE, CellEye, EyeSettings, Surroundings
from runtime.perception.geometry import View
from runtime.perception.level import Level
from runtime.perception.tracks import Tracker
from runtime.shm.enums import Levels

ALL = Levels.LEVEL1 | Levels.LEVEL2 | Levels.LEVEL3


@dataclass(frozen=True)
class Cost:
    """MFLOP a run of each level, preparation included, and of the cue."""

    level: dict[Level, float]
    cue: float


@dataclass(frozen=True)
class Watched:
    """What one way of looking told about one walk, and what it cost."""

    reported_m: list[np.ndarray]  # for each picture, positions [N, 3]
    runs: dict[Level, np.ndarray]  # for each level, which pictures it ran on
    mflop: float


Policy = Callable[[Walked], Watched]


def cue_mflop(view: View, balls: int) -> float:
    """Depth change (13 operations a pixel that is read), and the arm's mask: about 10 a pixel of
    each ball's square, which measured covers 60 pixels on average."""
    return (operations(view.height_px, view.width_px) + balls * 60 * 10 + 7 * 150) / 1e6


class _KnownMask(arm_module.ArmMask):
    """The arm's pixels in each picture of a walk, painted once for all ways of looking."""

    def __init__(self, walk: Walked, shape: arm_module.ArmShape, view: View) -> None:
        super().__init__(shape, view, STEP)
        self._masks = walk.masks
        self.frame = 0

    def paint(self, q_rad: np.ndarray, depth_m: np.ndarray) -> np.ndarray:
        if self.frame not in self._masks:
            self._masks[self.frame] = super().paint(q_rad, depth_m)
        return self._masks[self.frame]


class Cascade:
    def __init__(
        self,
        settings: EyeSettings,
        view: View,
        shape: arm_module.ArmShape,
        cost: Cost,
    ) -> None:
        self._settings = settings
        self._view = view
        self._shape = shape
        self._cost = cost

    def __call__(self, walk: Walked) -> Watched:
        mask = _KnownMask(walk, self._shape, self._view)
        eye = CellEye(self._settings, self._view, mask)
        runs = {level: np.zeros(FRAMES, bool) for level in Level}
        reported: list[np.ndarray] = []
        for frame in range(FRAMES):
            now_ns = frame * PERIOD_NS
            mask.frame = frame
            self._look(eye, walk, frame, runs)
            people = eye.people(now_ns)
            reported.append(np.array([track.at(now_ns) for track in people]).reshape(-1, 3))
        spent = sum(self._cost.level[level] * int(ran.sum()) for level, ran in runs.items())
        return Watched(reported, runs, spent + self._cost.cue * FRAMES)

    def _look(self, eye: CellEye, walk: Walked, frame: int, runs: dict[Level, np.ndarray]) -> None:
        now_ns = frame * PERIOD_NS
        depth = walk.depth_m[frame]
        speed = float(walk.recording.robot_speed_rad_s[frame])
        around = Surroundings(
            walk.recording.arm_q_rad[frame].astype(np.float64), speed, high_value=False, allowed=ALL
        )
        wanted = set(eye.open(depth, now_ns, around).run)
        self._take(eye, walk, Level.FAST, frame, runs)
        for level in sorted(wanted):
            self._take(eye, walk, level, frame, runs)
        for level in sorted(eye.close(now_ns).run - wanted):
            self._take(eye, walk, level, frame, runs)

    def _take(
        self, eye: CellEye, walk: Walked, level: Level, frame: int, runs: dict[Level, np.ndarray]
    ) -> None:
        runs[level][frame] = True
        now_ns = frame * PERIOD_NS
        eye.take(level, now_ns, unpack(walk.seen[level][frame]), now_ns)


class PlainLevel3:
    """Level 3 on every n-th picture, results carried forward by the same tracker."""

    def __init__(self, settings: EyeSettings, cost: Cost, every: int, carry: bool = True) -> None:
        rule = settings.tracks if carry else replace(settings.tracks, carry_ns=0)
        self._rule = rule
        self._cost = cost
        self._every = every

    def __call__(self, walk: Walked) -> Watched:
        tracker = Tracker(self._rule)
        ran = np.zeros(FRAMES, bool)
        reported: list[np.ndarray] = []
        # The phase against the walker's entry is chance, so it differs from walk to walk.
        phase = walk.seed % self._every
        for frame in range(FRAMES):
            now_ns = frame * PERIOD_NS
            if frame % self._every == phase:
                ran[frame] = True
                found = unpack(walk.seen[Level.FULL][frame])
                found = suppress([d for d in found if d.score >= CANDIDATE_SCORE], APART_M)
                tracker.observe(Level.FULL, now_ns, found, may_begin=True)
            people = tracker.alive(now_ns)
            reported.append(np.array([track.at(now_ns) for track in people]).reshape(-1, 3))
        none = np.zeros(FRAMES, bool)
        runs = {Level.FAST: none, Level.REFINED: none, Level.FULL: ran}
        return Watched(reported, runs, self._cost.level[Level.FULL] * int(ran.sum()))
