"""People over time: who is who, how fast, when last seen, and by which level."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from runtime.perception.detection import Detection
from runtime.perception.geometry import Array
from runtime.perception.level import Level

BODY_RADIUS_M = 0.30
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class TrackRule:
    carry_ns: int  # how long a result stands in for one that is missing
    new_score: Mapping[Level, float]  # a score that makes a track, by level
    keep_score: Mapping[Level, float]  # a score that keeps one alive
    # A score that makes a track where depth, too, shows that somebody came: two weak signs.
    changed_score: Mapping[Level, float] = field(default_factory=dict)
    gate_m: float = 0.6
    gate_speed_m_s: float = 2.5
    # How far a new position pulls, by who saw it: level 1 is sure that, less sure where.
    position_share: Mapping[Level, float] = field(
        default_factory=lambda: {Level.FAST: 0.3, Level.REFINED: 0.5, Level.FULL: 0.7}
    )
    velocity_share: float = 0.06
    depth_share: float = 0.2
    depth_keep_ns: int = 500_000_000  # depth alone keeps a track so long without a network's word
    full_misses: int = 3  # full looks in a row that must miss a track to end it


@dataclass(frozen=True)
class Track:
    id: int
    position_m: Array
    velocity_m_s: Array
    confidence: float
    uncertainty_m: float
    occlusion: float
    box_px: Box
    level: Level  # the highest that has seen it lately
    born_ns: int
    seen_ns: int  # capture time of the last picture it was seen in
    refined_ns: int  # the same, of level 2 or 3; 0 never
    named_ns: int  # the same, of any network: depth alone says that, not who
    full_misses: int = 0
    measured: bool = True

    @property
    def speed_m_s(self) -> float:
        return float(np.hypot(self.velocity_m_s[0], self.velocity_m_s[1]))

    @property
    def radius_m(self) -> float:
        return BODY_RADIUS_M + min(self.uncertainty_m, 0.5)

    def at(self, time_ns: int) -> Array:
        """Where it is at another time, by its velocity."""
        return self.position_m + self.velocity_m_s * ((time_ns - self.seen_ns) / 1e9)


DepthFinder = Callable[[Track, int], tuple[Array, Box] | None]
"""Where a track's body is by depth alone in the newest picture; None where nothing stands."""


@dataclass
class Tracker:
    """Holds the living tracks; `alive` is what may be told to others."""

    rule: TrackRule
    tracks: list[Track] = field(default_factory=list)
    _next_id: int = 1

    def observe(
        self,
        level: Level,
        capture_ns: int,
        found: list[Detection],
        *,
        may_begin: bool,
        changed: Callable[[Detection], bool] | None = None,
    ) -> list[Detection]:
        """Take one level's look at one picture; returns what it saw that is no track (yet).
        `changed` tells whether depth shows something new where a detection is."""
        strangers: list[Detection] = []
        free = list(range(len(self.tracks)))
        for detection in sorted(found, key=lambda one: -one.score):
            index = self._nearest(detection, capture_ns, free)
            if index is not None and detection.score >= self.rule.keep_score[level]:
                free.remove(index)
                self.tracks[index] = self._update(self.tracks[index], level, capture_ns, detection)
            elif index is None and may_begin and self._begins(level, detection, changed):
                self.tracks.append(self._begin(level, capture_ns, detection))
            else:
                strangers.append(detection)
        if level is Level.FULL:
            self._note_misses(free, capture_ns)
        return strangers

    def _begins(
        self, level: Level, seen: Detection, changed: Callable[[Detection], bool] | None
    ) -> bool:
        alone = self.rule.new_score[level]
        if seen.score >= alone:
            return True
        both = self.rule.changed_score.get(level, alone)
        return seen.score >= both and changed is not None and changed(seen)

    def keep_by_depth(self, capture_ns: int, find: DepthFinder) -> None:
        """Where something still stands in front of the background at a track's place, the track
        lives on without a network's word, for a while."""
        for index, track in enumerate(self.tracks):
            if not 0 < capture_ns - track.seen_ns <= self.rule.carry_ns:
                continue
            if capture_ns - track.named_ns > self.rule.depth_keep_ns:
                continue
            found = find(track, capture_ns)
            if found is not None:
                position_m, box_px = found
                share = self.rule.depth_share
                self.tracks[index] = self._move(track, capture_ns, position_m, box_px, share)

    def alive(self, now_ns: int) -> list[Track]:
        """Tracks seen within the carry-forward; older ones are forgotten."""
        self.tracks = [t for t in self.tracks if now_ns - t.seen_ns <= self.rule.carry_ns]
        return list(self.tracks)

    def _nearest(self, detection: Detection, capture_ns: int, free: list[int]) -> int | None:
        best, best_m = None, np.inf
        for index in free:
            track = self.tracks[index]
            x, y = (track.at(capture_ns) - detection.position_m)[:2]
            distance = float(np.hypot(x, y))
            gap_s = abs(capture_ns - track.seen_ns) / 1e9
            gate_m = self.rule.gate_m + self.rule.gate_speed_m_s * gap_s + detection.uncertainty_m
            if distance < min(gate_m, best_m):
                best, best_m = index, distance
        return best

    def _begin(self, level: Level, capture_ns: int, detection: Detection) -> Track:
        track = Track(
            id=self._next_id,
            position_m=detection.position_m,
            velocity_m_s=np.zeros(3),
            confidence=detection.score,
            uncertainty_m=detection.uncertainty_m,
            occlusion=detection.occlusion or 0.0,
            box_px=detection.box_px,
            level=level,
            born_ns=capture_ns,
            seen_ns=capture_ns,
            refined_ns=capture_ns if level is not Level.FAST else 0,
            named_ns=capture_ns,
            measured=detection.measured,
        )
        self._next_id += 1
        return track

    def _update(self, track: Track, level: Level, capture_ns: int, seen: Detection) -> Track:
        refined = level is not Level.FAST
        track = replace(
            track,
            confidence=seen.score,
            uncertainty_m=seen.uncertainty_m,
            occlusion=track.occlusion if seen.occlusion is None else seen.occlusion,
            level=max(level, track.level) if refined else level,
            refined_ns=max(capture_ns, track.refined_ns) if refined else track.refined_ns,
            named_ns=max(capture_ns, track.named_ns),
            full_misses=0 if level is Level.FULL else track.full_misses,
            measured=seen.measured,
        )
        if capture_ns < track.seen_ns:
            return track  # a slow level's word on a picture that is long known
        share = self.rule.position_share[level]
        return self._move(track, capture_ns, seen.position_m, seen.box_px, share)

    def _move(
        self, track: Track, capture_ns: int, position_m: Array, box_px: Box, share: float
    ) -> Track:
        """Pull a track towards where it was seen; its speed follows slowly."""
        expected = track.at(capture_ns)
        error = position_m - expected
        gap_s = (capture_ns - track.seen_ns) / 1e9
        velocity = track.velocity_m_s
        if gap_s > 0:
            velocity = velocity + self.rule.velocity_share / gap_s * error * [1.0, 1.0, 0.0]
        return replace(
            track,
            position_m=expected + share * error,
            velocity_m_s=velocity,
            box_px=box_px,
            seen_ns=capture_ns,
        )

    def _note_misses(self, missed: list[int], capture_ns: int) -> None:
        """A track that full looks do not see is level 1's imagination: a few in a row end it."""
        for index in missed:
            track = self.tracks[index]
            if track.born_ns <= capture_ns:
                self.tracks[index] = replace(track, full_misses=track.full_misses + 1)
        self.tracks = [t for t in self.tracks if t.full_misses < self.rule.full_misses]
