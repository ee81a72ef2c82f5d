"""People over time: who is who, how fast, when last seen, and by which level."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from runtime.perception.detection import Detection
from runtime.perception.geometry import Array
from runtime.perception.level import Level

BODY_RADIUS_M = 0.30


@dataclass(frozen=True)
class TrackRule:
    carry_ns: int  # how long a result stands in for one that is missing
    new_score: Mapping[Level, float]  # a score that makes a track, by level
    keep_score: Mapping[Level, float]  # a score that keeps one alive
    gate_m: float = 0.6
    gate_speed_m_s: float = 2.5
    position_share: float = 0.5  # how far a new position pulls
    velocity_share: float = 0.06
    full_misses: int = 3  # full looks in a row that must miss a track to end it


@dataclass(frozen=True)
class Track:
    id: int
    position_m: Array
    velocity_m_s: Array
    confidence: float
    uncertainty_m: float
    occlusion: float
    box_px: tuple[float, float, float, float]
    level: Level  # the highest that has seen it lately
    born_ns: int
    seen_ns: int  # capture time of the last picture it was seen in
    refined_ns: int  # the same, of level 2 or 3; 0 never
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
    ) -> list[Detection]:
        """Take one level's look at one picture; returns what it saw that is no track (yet)."""
        strangers: list[Detection] = []
        free = list(range(len(self.tracks)))
        for detection in sorted(found, key=lambda one: -one.score):
            index = self._nearest(detection, capture_ns, free)
            if index is not None and detection.score >= self.rule.keep_score[level]:
                free.remove(index)
                self.tracks[index] = self._update(self.tracks[index], level, capture_ns, detection)
            elif index is None and may_begin and detection.score >= self.rule.new_score[level]:
                self.tracks.append(self._begin(level, capture_ns, detection))
            else:
                strangers.append(detection)
        if level is Level.FULL:
            self._note_misses(free, capture_ns)
        return strangers

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
            full_misses=0 if level is Level.FULL else track.full_misses,
            measured=seen.measured,
        )
        gap_s = (capture_ns - track.seen_ns) / 1e9
        if gap_s <= 0:
            return track  # a slower level's word on a picture that is already known
        error = seen.position_m - track.at(capture_ns)
        return replace(
            track,
            position_m=track.at(capture_ns) + self.rule.position_share * error,
            velocity_m_s=track.velocity_m_s + self.rule.velocity_share / gap_s * error * [1, 1, 0],
            box_px=seen.box_px,
            seen_ns=capture_ns,
        )

    def _note_misses(self, missed: list[int], capture_ns: int) -> None:
        """A track that full looks do not see is level 1's imagination: a few in a row end it."""
        for index in missed:
            track = self.tracks[index]
            if track.born_ns <= capture_ns:
                self.tracks[index] = replace(track, full_misses=track.full_misses + 1)
        self.tracks = [t for t in self.tracks if t.full_misses < self.rule.full_misses]
