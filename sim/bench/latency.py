"""From camera to motors on the robot itself: how old a picture is when Tier 1 first obeys it.

Each cycle of Tier 1 publishes how old the picture is that its speed limit rests on. The first cycle
that rests on a new one ends that picture's way: shutter, networks, shared memory, drive command.
"""

from __future__ import annotations

import time
from collections import defaultdict

from runtime.perception.level import Level
from runtime.shm import Shm
from sim.bench.figures import Figures, spread_of

LOOK_EVERY_S = 0.0005
SPECIFIED: Figures = {"typical_ms": 120, "p95_ms": 250, "p99_ms": 500}


class PictureWatch:
    """Follows `people` from its capture to the first motor command that rests on it."""

    def __init__(self, shm: Shm) -> None:
        self._state = shm.state_reader()
        self._people = shm.reader("people")
        self._obeyed_ns = 0
        self._ages: dict[str, list[int]] = defaultdict(list)

    def look(self) -> None:
        state, people = self._state.latest(), self._people.latest()
        if state is None or people is None or int(state["people_age_ns"]) < 0:
            return
        capture_ns = int(state["created_ns"]) - int(state["people_age_ns"])
        if capture_ns <= self._obeyed_ns:
            return
        if self._obeyed_ns:
            level = "unknown"
            if int(people["capture_ns"]) == capture_ns and int(people["level"]) in set(Level):
                level = Level(int(people["level"])).key
            self._ages[level].append(int(state["people_age_ns"]))
        self._obeyed_ns = capture_ns

    def figures(self) -> dict[str, Figures]:
        """Of all pictures, and of those that each level spoke about."""
        every = [age for ages in self._ages.values() for age in ages]
        return {"all": spread_of(every)} | {
            level: spread_of(ages) for level, ages in sorted(self._ages.items())
        }


def watch_pictures(shm: Shm, seconds: float) -> dict[str, Figures]:
    watch, end = PictureWatch(shm), time.monotonic() + seconds
    while time.monotonic() < end:
        watch.look()
        time.sleep(LOOK_EVERY_S)
    return watch.figures() | {"specified": SPECIFIED}
