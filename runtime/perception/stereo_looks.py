"""Stereo in the process: learns the empty scene while the networks see, looks without them."""

from dataclasses import dataclass, field

import numpy as np

from conf.calibration import calibrated_camera
from conf.schema import Config
from runtime.hal.clock import NS_PER_MS, NS_PER_S
from runtime.perception.arm import ArmMask, ArmShape
from runtime.perception.eye import Zone
from runtime.perception.geometry import Array, view_of
from runtime.perception.records import PeopleReport, from_volume
from runtime.perception.stereo import StereoEye, StereoLook
from runtime.perception.watch import CameraWatch
from runtime.perception.workspace import NEAR_M, Sight, judge

LEARN_EVERY_NS = 3 * NS_PER_S
FIRST_LEARN_EVERY_NS = 300 * NS_PER_MS  # until there is a background
MAX_APART_NS = 5 * NS_PER_MS  # the two eyes of one look
MAX_AGE_NS = 300 * NS_PER_MS


@dataclass
class StereoLooks:
    config: Config
    watches: dict[str, CameraWatch]
    shape: ArmShape
    look: StereoLook = field(default_factory=lambda: StereoLook([], known=False, why="no look yet"))
    told_ns: int | None = None  # capture time of the last look that could tell
    _due_ns: int = 0
    _learn_ns: int = 0

    def __post_init__(self) -> None:
        left = self.config.hardware.cameras.streams["stereo_left"]
        floor = -self.config.robot.arm.mount_height_m
        mounts = [calibrated_camera(self.config, f"stereo_{side}") for side in ("left", "right")]
        views = [view_of(mount, left.width_px, left.height_px, floor) for mount in mounts]
        self.view = views[0]
        baseline_m = float(np.linalg.norm(views[1].position_m - views[0].position_m))
        self.eye = StereoEye(self.view, baseline_m, ArmMask(self.shape, self.view, 1))
        box = self.config.facility.workspace
        self._zone = Zone((box.min_m[0], box.min_m[1]), (box.max_m[0], box.max_m[1]))
        self._period_ns = round(1e9 / self.config.perception.stereo_rate_hz)

    def learn(self, now_ns: int, arm_q_rad: Array | None, *, empty: bool) -> None:
        """Now and then, while the networks say that nobody is there."""
        if not empty or now_ns < self._learn_ns or arm_q_rad is None:
            return
        pair = self._pair(now_ns)
        if pair is None:
            return
        self.eye.learn(pair[0], arm_q_rad)
        pause = LEARN_EVERY_NS if self.eye.has_background else FIRST_LEARN_EVERY_NS
        self._learn_ns = now_ns + pause

    def step(self, now_ns: int, arm_q_rad: Array | None) -> None:
        if now_ns < self._due_ns:
            return
        self._due_ns = now_ns + self._period_ns - 10 * NS_PER_MS
        pair = self._pair(now_ns)
        if pair is None:
            return
        left, right, capture_ns = pair
        self.look = self.eye.look(left, right, arm_q_rad)
        if self.look.known:
            self.told_ns = capture_ns

    def report(self, now_ns: int) -> PeopleReport:
        """A look that cannot tell leaves the last one's time standing: it only grows older."""
        fresh = self.told_ns is not None and now_ns - self.told_ns <= MAX_AGE_NS
        sight = Sight(
            is_blind=any(
                self.watches[f"stereo_{side}"].is_blind(now_ns) for side in ("left", "right")
            ),
            result_age_ns=None if self.told_ns is None else now_ns - self.told_ns,
            max_age_ns=MAX_AGE_NS,
            can_tell=self.look.known,
            occupied=fresh
            and any(self._zone.holds(v.position_m, NEAR_M) for v in self.look.volumes),
            unexplained_since_ns=None,
        )
        people = [from_volume(volume) for volume in self.look.volumes]
        return PeopleReport(self.told_ns or 0, 0, 0, judge(sight, now_ns), people)

    def _pair(self, now_ns: int) -> tuple[np.ndarray, np.ndarray, int] | None:
        """The newest picture of each eye, if they belong together."""
        for side in ("left", "right"):
            self.watches[f"stereo_{side}"].fetch(now_ns)
        left, right = (self.watches[f"stereo_{side}"] for side in ("left", "right"))
        if (
            left.last is None
            or right.last is None
            or left.is_blind(now_ns)
            or right.is_blind(now_ns)
        ):
            return None
        if abs(left.last.capture_ns - right.last.capture_ns) > MAX_APART_NS:
            return None
        return left.last.color, right.last.color, left.last.capture_ns
