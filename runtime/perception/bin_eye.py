"""Parts over time: the same part keeps its number, and neither one behind the arm is forgotten nor
one whose top the depth still shows while the network is silent about it."""

from dataclasses import dataclass, field, replace

import numpy as np

from runtime.perception.detection import Depth
from runtime.perception.geometry import Array, View
from runtime.perception.parts import Part

GATE_M = 0.03
SMOOTH = 0.35  # how far a new look pulls a part that lies still
MOVED_M = 0.008  # beyond this it has moved, and the new look is believed at once
HIDDEN_NS = 8_000_000_000  # behind the arm, a part is remembered this long
HIDDEN_BY_M = 0.04
STANDS_NS = 20_000_000_000  # so long a part whose top is still measured needs no network's word
STANDS_WITHIN_M = 0.012  # of depth around a known top; the thinnest part is twice as high
FADE = 0.97  # confidence falls with each look in which the network does not name the part
MAX_PARTS = 12


@dataclass(frozen=True)
class HeldPart:
    id: int
    position_m: Array
    velocity_m_s: Array
    size_m: Array
    yaw_rad: float
    confidence: float
    uncertainty_m: float
    box_px: tuple[float, float, float, float]
    seen_ns: int
    hits: int = 1


@dataclass
class BinEye:
    """What lies in bin and tray."""

    view: View
    keep_ns: int
    parts: list[HeldPart] = field(default_factory=list)
    capture_ns: int = 0
    _next_id: int = 1

    def take(self, capture_ns: int, found: list[Part], depth_m: Depth) -> None:
        """One look: known parts move or stay, new ones begin, missing ones end unless hidden."""
        free = sorted((part for part in found if part.measured), key=lambda part: -part.score)
        kept: list[HeldPart] = []
        for held in self.parts:
            match = _nearest(held, free)
            if match is not None:
                free.remove(match)
                kept.append(_follow(held, match, capture_ns))
            elif self._is_remembered(held, capture_ns, depth_m):
                kept.append(replace(held, confidence=held.confidence * FADE))
        for part in free:
            kept.append(self._begin(part, capture_ns))
        self.parts = kept[:MAX_PARTS]
        self.capture_ns = capture_ns

    def _is_remembered(self, held: HeldPart, capture_ns: int, depth_m: Depth) -> bool:
        missing_ns = capture_ns - held.seen_ns
        if missing_ns <= self.keep_ns:
            return True
        nearer_m = self._nearer_m(held, depth_m)
        if nearer_m is None or nearer_m > HIDDEN_BY_M:
            # Something is in the way, or no depth is there: it cannot be told that it is gone.
            return missing_ns <= HIDDEN_NS
        return missing_ns <= STANDS_NS and abs(nearer_m) < STANDS_WITHIN_M

    def _nearer_m(self, held: HeldPart, depth_m: Depth) -> float | None:
        """By how much what is seen at a part's place is nearer than its top; None: no depth."""
        (u, v), distance = self.view.project(held.position_m)
        row, column = int(v), int(u)
        if not (1 <= row < depth_m.shape[0] - 1 and 1 <= column < depth_m.shape[1] - 1):
            return float("-inf")  # out of the picture
        around = depth_m[row - 1 : row + 2, column - 1 : column + 2]
        valid = around[around > 0]
        return None if valid.size < 3 else float(distance) - float(np.median(valid))

    def _begin(self, part: Part, capture_ns: int) -> HeldPart:
        held = HeldPart(
            id=self._next_id,
            position_m=part.position_m,
            velocity_m_s=np.zeros(3),
            size_m=part.size_m,
            yaw_rad=part.yaw_rad,
            confidence=part.score,
            uncertainty_m=0.01,
            box_px=part.box_px,
            seen_ns=capture_ns,
        )
        self._next_id += 1
        return held


def _nearest(held: HeldPart, free: list[Part]) -> Part | None:
    best: Part | None = None
    best_m = GATE_M
    for part in free:
        distance = float(np.linalg.norm(part.position_m[:2] - held.position_m[:2]))
        if distance < best_m:
            best, best_m = part, distance
    return best


def _follow(held: HeldPart, part: Part, capture_ns: int) -> HeldPart:
    """Looks at a part that lies still are averaged; one that moved is believed at once."""
    step = part.position_m - held.position_m
    moved = float(np.linalg.norm(step)) > MOVED_M
    gap_s = max((capture_ns - held.seen_ns) / 1e9, 1e-3)
    share = 1.0 if moved else max(SMOOTH, 1.0 / (held.hits + 1))
    return replace(
        held,
        position_m=held.position_m + share * step,
        velocity_m_s=step / gap_s if moved else np.zeros(3),
        size_m=held.size_m + share * (part.size_m - held.size_m),
        yaw_rad=part.yaw_rad,
        confidence=part.score,
        uncertainty_m=0.008 if moved else max(0.002, 0.008 / np.sqrt(held.hits + 1)),
        box_px=part.box_px,
        seen_ns=capture_ns,
        hits=1 if moved else held.hits + 1,
    )
