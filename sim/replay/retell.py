"""Where recorded parts are now: in the bin as recorded, at the cup, or where the cup let them go.

A pure step over what the robot itself reports. The recording knows nothing of this run's robot, so
a part that the cup has taken is carried and laid down here; the noise of its detection is the
recorded one. When the bin is empty and the arm has rested, the parts lie in the bin again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from sim.replay.recording import Array, Recording

NEAR_M = 0.06  # a part this near under the cup is the one that it took
REFILL_NS = 3_000_000_000
PARTS_SHOWN_MAX = 8


@dataclass(frozen=True)
class Cup:
    """What the robot says of its tool."""

    tip_m: tuple[float, float, float]
    holding: bool


@dataclass(frozen=True)
class Parts:
    """Parts by their column in the recording."""

    moved_m: dict[int, tuple[float, float]] = field(default_factory=dict)
    carried: int | None = None
    holding: bool = False
    rested_ns: int | None = None  # since when nothing is left to pick


def middle_m(recording: Recording) -> Array:
    """Where each part lay, over the whole recording."""
    return np.median(recording.parts["pos"], axis=0)


def follow(parts: Parts, cup: Cup | None, home_m: Array, now_ns: int) -> Parts:
    """One look at the tool. Without one, things stay where they are."""
    if cup is None or not all(np.isfinite(cup.tip_m)):
        return parts
    if cup.holding and not parts.holding:
        parts = replace(parts, carried=_nearest(parts, cup, home_m), rested_ns=None)
    elif parts.holding and not cup.holding and parts.carried is not None:
        spot = (float(cup.tip_m[0]), float(cup.tip_m[1]))
        parts = replace(parts, moved_m={**parts.moved_m, parts.carried: spot}, carried=None)
    parts = replace(parts, holding=cup.holding)
    return _refilled(parts, len(home_m), now_ns)


def _nearest(parts: Parts, cup: Cup, home_m: Array) -> int | None:
    spots = home_m[:, :2].copy()
    for column, spot in parts.moved_m.items():
        spots[column] = spot
    away_m = np.hypot(spots[:, 0] - cup.tip_m[0], spots[:, 1] - cup.tip_m[1])
    column = int(np.argmin(away_m))
    return column if away_m[column] <= NEAR_M else None


def _refilled(parts: Parts, count: int, now_ns: int) -> Parts:
    if parts.holding or len(parts.moved_m) < count:
        return replace(parts, rested_ns=None)
    if parts.rested_ns is None:
        return replace(parts, rested_ns=now_ns)
    return parts if now_ns - parts.rested_ns < REFILL_NS else Parts()


def positions_m(
    parts: Parts, recording: Recording, home_m: Array, frame: int
) -> list[tuple[int, Array]]:
    """Column and place of every part that cameras would see: all but the one at the cup."""
    shown: list[tuple[int, Array]] = []
    for column in range(len(home_m)):
        if column == parts.carried:
            continue
        place = recording.parts["pos"][frame, column].astype(float)
        moved = parts.moved_m.get(column)
        if moved is not None:
            place[:2] += np.array(moved) - home_m[column, :2]
        shown.append((column, place))
    return shown
