"""The eye on the cell: background, cascade and tracks around one camera. No device, no clock.

The caller hands in pictures and what networks saw, and asks what to run next. `visiond` does so
with a worker process behind it, the evaluation with recorded results: the same code decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from conf.schema import Config
from conf.schema.perception import Perception, Triggers
from runtime.perception import cascade
from runtime.perception.arm import ArmMask
from runtime.perception.cascade import Budget, Decision, Memory, Readings, Seen
from runtime.perception.change import STEP, TILE, Change, ChangeRule, DepthChange, tiles_of_boxes
from runtime.perception.detection import BODY_HALF_DEPTH_M, Depth, Detection, suppress
from runtime.perception.geometry import Array, View
from runtime.perception.level import Level
from runtime.perception.tracks import Box, Track, Tracker, TrackRule
from runtime.shm.enums import Levels, Trigger

CANDIDATE_SCORE = 0.25  # below this, level 1's peaks are noise
WEAK_SCORE = 0.15  # below this, so are the others', whatever depth says
APART_M = 0.35  # two people are not nearer to each other than this
GROW_PX = 8.0
NEW_FOR_NS = 1_000_000_000
BODY_GATE_M = 0.5  # of depth, around where a track should be
BODY_MIN_PX, BODY_MIN_RATIO = 60, 0.15  # of a track's box that must still stand there


@dataclass(frozen=True)
class Zone:
    """An area of the floor, base frame."""

    min_m: tuple[float, float]
    max_m: tuple[float, float]

    def holds(self, position_m: Array, margin_m: float = 0.0) -> bool:
        return all(
            low - margin_m <= float(value) <= high + margin_m
            for low, value, high in zip(self.min_m, position_m[:2], self.max_m, strict=True)
        )


@dataclass(frozen=True)
class EyeSettings:
    triggers: Triggers
    budgets: Mapping[Level, Budget]
    tracks: TrackRule
    change: ChangeRule
    zone: Zone  # where the robot works


@dataclass(frozen=True)
class Surroundings:
    """What else is known when a picture arrives."""

    arm_q_rad: Array | None  # None: joints unknown, so the arm cannot be left out
    robot_speed_rad_s: float | None
    high_value: bool
    allowed: Levels


@dataclass
class CellEye:
    settings: EyeSettings
    view: View
    arm: ArmMask | None
    memory: Memory = field(default_factory=Memory)

    def __post_init__(self) -> None:
        self.tracker = Tracker(self.settings.tracks)
        self.depth_change = DepthChange(
            self.settings.change, self.view.height_px, self.view.width_px
        )
        self.change = Change(np.zeros(self.depth_change.tile_shape, np.int32), known=False)
        self.why = Trigger(0)
        self._candidates: list[Detection] = []
        self._refined_strangers: list[Detection] = []
        self._around = Surroundings(None, None, high_value=False, allowed=Levels(0))
        self._change_ns = 0

    def open(self, depth_m: Depth, capture_ns: int, around: Surroundings) -> Decision:
        """A new picture: the independent cues, and what they call for at once."""
        mask = None
        if self.arm is not None and around.arm_q_rad is not None:
            mask = self.arm.paint(around.arm_q_rad, depth_m[::STEP, ::STEP])
        self.change = self.depth_change.look(depth_m, mask)
        self._change_ns = capture_ns
        self._around = around
        self._candidates = []
        self._refined_strangers = []
        if self.change.known:
            self.tracker.keep_by_depth(capture_ns, self._body_of)
        return self._decide(capture_ns)

    def take(self, level: Level, capture_ns: int, found: list[Detection], now_ns: int) -> None:
        """What a level saw in a picture, which may be older than the newest."""
        floor = CANDIDATE_SCORE if level is Level.FAST else WEAK_SCORE
        found = suppress([one for one in found if one.score >= floor], APART_M)
        alone = not self._around.allowed & (Levels.LEVEL2 | Levels.LEVEL3)
        strangers = self.tracker.observe(
            level,
            capture_ns,
            found,
            may_begin=level is not Level.FAST or alone,
            changed=self._is_changed if self.change.known else None,
        )
        if level is Level.FAST:
            self._candidates = strangers
        if level is Level.REFINED:
            self._refined_strangers = [one for one in strangers if one.score >= CANDIDATE_SCORE]
        if level is Level.FULL:
            self._full_look(capture_ns, now_ns)

    def close(self, capture_ns: int) -> Decision:
        """Level 1 has spoken on the newest picture: what it calls for."""
        return self._decide(capture_ns)

    def refuse(self, level: Level) -> None:
        """A level that was called could not be started."""
        self.memory = cascade.refund(self.memory, self.settings.budgets, level)

    def people(self, now_ns: int) -> list[Track]:
        return self.tracker.alive(now_ns)

    def unexplained_px(self, now_ns: int) -> int | None:
        """Changed pixels where nobody known stands; None when the cue cannot tell."""
        if not self.change.known:
            return None
        return self.change.pixels(self._people_tiles(now_ns))

    def unexplained_place(self, now_ns: int) -> Array | None:
        """The middle of the change that nobody known explains."""
        if not self.change.known:
            return None
        rows, columns = np.nonzero(np.where(self._people_tiles(now_ns), 0, self.change.tiles))
        if not len(rows):
            return None
        v, u = (float(np.median(axis)) * TILE + TILE / 2 for axis in (rows, columns))
        depth_m = self.depth_change.depth_near(u, v)
        return None if depth_m is None else self.view.lift(u, v, depth_m)

    def _body_of(self, track: Track, capture_ns: int) -> tuple[Array, Box] | None:
        """A track's body by depth: what stands before the background where it should be now."""
        expected = track.at(capture_ns)
        (u, v), range_m = self.view.project(expected)
        (u_then, v_then), _ = self.view.project(track.position_m)
        du, dv = float(u - u_then), float(v - v_then)
        left, top, right, bottom = track.box_px
        box = (left + du, top + dv, right + du, bottom + dv)
        found = self.depth_change.body_at(box, float(range_m) - BODY_HALF_DEPTH_M, BODY_GATE_M)
        area_px = max(1.0, (right - left) * (bottom - top))
        if found is None or found[3] < max(BODY_MIN_PX, BODY_MIN_RATIO * area_px):
            return None
        u_now, v_now, depth_m, _ = found
        position = self.view.lift(u_now, v_now, depth_m + BODY_HALF_DEPTH_M)
        # The box follows sideways; its height is the networks' to tell.
        shift = u_now - (box[0] + box[2]) / 2
        return position, (box[0] + shift, box[1], box[2] + shift, box[3])

    def _is_changed(self, seen: Detection) -> bool:
        """Whether something new stands where a network saw somebody."""
        left, top, right, bottom = seen.box_px
        found = self.depth_change.body_at(
            seen.box_px, seen.range_m - BODY_HALF_DEPTH_M, BODY_GATE_M
        )
        area_px = max(1.0, (right - left) * (bottom - top))
        return found is not None and found[3] >= max(BODY_MIN_PX, BODY_MIN_RATIO * area_px)

    def _decide(self, now_ns: int) -> Decision:
        readings = Readings(
            seen=tuple(self._seen(now_ns)),
            change_px=self.unexplained_px(now_ns),
            robot_speed_rad_s=self._around.robot_speed_rad_s,
            high_value=self._around.high_value,
        )
        decision, self.memory = cascade.decide(
            self.settings.triggers,
            self.settings.budgets,
            readings,
            self.memory,
            now_ns,
            self._around.allowed,
        )
        self.why = decision.triggers
        return decision

    def _seen(self, now_ns: int) -> list[Seen]:
        tracks = [self._seen_track(track, now_ns) for track in self.tracker.alive(now_ns)]
        # What level 1 alone shows asks for level 2; only a refined look's word counts as a person
        # nearby, else level 1's false alarms would keep level 3 awake.
        candidates = [self._seen_stranger(one, float("inf")) for one in self._candidates]
        refined = [
            self._seen_stranger(one, _distance_m(one.position_m)) for one in self._refined_strangers
        ]
        return tracks + candidates + refined

    def _seen_stranger(self, one: Detection, distance_m: float) -> Seen:
        triggers = self.settings.triggers
        return Seen(
            confidence=one.score,
            is_new=one.score >= triggers.confidence_below,
            in_workspace=self.settings.zone.holds(one.position_m),
            uncertainty_m=one.uncertainty_m,
            distance_m=distance_m,
            measured=one.measured or one.score < triggers.human_confidence,
        )

    def _seen_track(self, track: Track, now_ns: int) -> Seen:
        return Seen(
            confidence=track.confidence,
            is_new=now_ns - track.born_ns < NEW_FOR_NS and track.refined_ns == 0,
            speed_m_s=track.speed_m_s,
            in_workspace=self.settings.zone.holds(track.position_m),
            uncertainty_m=track.uncertainty_m,
            distance_m=_distance_m(track.position_m),
            occlusion=track.occlusion,
            measured=track.measured,
        )

    def _full_look(self, capture_ns: int, now_ns: int) -> None:
        last = self.memory.last_full_ns
        self.memory = replace(
            self.memory, last_full_ns=capture_ns if last is None else max(last, capture_ns)
        )
        people = self._people_tiles(now_ns)
        if not self.depth_change.has_background:
            self.depth_change.settle(people)
        elif self.change.known:
            self.depth_change.clear(self.change, people)

    def _people_tiles(self, now_ns: int) -> np.ndarray:
        boxes = [track.box_px for track in self.tracker.alive(now_ns)]
        return tiles_of_boxes(boxes, self.depth_change.tile_shape, GROW_PX)


def _distance_m(position_m: Array) -> float:
    return float(np.hypot(position_m[0], position_m[1]))


def eye_settings(config: Config) -> EyeSettings:
    workspace = config.facility.workspace
    return settings_of(
        config.perception,
        Zone((workspace.min_m[0], workspace.min_m[1]), (workspace.max_m[0], workspace.max_m[1])),
    )


def settings_of(perception: Perception, zone: Zone) -> EyeSettings:
    """The eye's settings from the profile's cascade."""
    levels = {level: perception.levels[level.key] for level in Level}
    return EyeSettings(
        triggers=perception.triggers,
        budgets={
            level: Budget(levels[level].rate_hz, levels[level].burst)
            for level in (Level.REFINED, Level.FULL)
        },
        tracks=TrackRule(
            carry_ns=perception.carry_forward_ms * 1_000_000,
            new_score={level: row.new_score for level, row in levels.items()},
            keep_score={level: row.keep_score for level, row in levels.items()},
            changed_score={level: row.changed_score for level, row in levels.items()},
        ),
        change=ChangeRule(near_m=perception.triggers.depth_change_m),
        zone=zone,
    )
