"""Timestamps that are unique on one robot and ascend with the sequence, whatever its clock does.

A database keeps one point per series and time, so equal times would silently merge two records.
Each record therefore gets a microsecond of its own. A clock that is set back by more than the
tolerance begins a new era, and the era is written into the last three digits of the nanoseconds:
times of the hour that is lived through twice stay apart, and are right again at once, instead of
being held at the wrong clock's time until the true one catches up. Within an era times ascend;
between eras, and always, the sequence number gives the order. After a thousand eras the digits
begin again.
"""

from dataclasses import dataclass

ERAS = 1000
STEP_TOLERANCE_NS = 2_000_000_000  # below: the clock is being slewed, times wait for it
BACKDATE_MAX_NS = 3_600_000_000_000  # a client's creation time older than this is not believed
YEAR_2200_US = 7_258_118_400_000_000  # beyond lies the end of what nanoseconds in 64 bits can hold


@dataclass(frozen=True)
class Instant:
    """One reading of both clocks."""

    now_ns: int
    wall_ns: int


@dataclass
class Stamper:
    """The part of the spool's state that makes timestamps; saved with every commit."""

    last_us: int = 0
    era: int = 0

    def observe(self, now: Instant) -> int:
        """Looks at the wall clock before a commit; returns how far it was found set back, or 0."""
        back_ns = (self.last_us - _plausible_us(now.wall_ns)) * 1000
        if back_ns <= STEP_TOLERANCE_NS:
            return 0
        self.era += 1
        self.last_us = max(0, _plausible_us(now.wall_ns) - BACKDATE_MAX_NS // 1000)
        return back_ns

    def stamp(self, created_ns: int, now: Instant) -> int:
        """The record's time in nanoseconds since 1970, unlike any before it."""
        age_ns = now.now_ns - created_ns
        if not 0 <= age_ns <= BACKDATE_MAX_NS:
            age_ns = 0
        event_us = _plausible_us(now.wall_ns - age_ns)
        self.last_us = max(event_us, self.last_us + 1)
        return self.last_us * 1000 + self.era % ERAS


def _plausible_us(wall_ns: int) -> int:
    return min(max(0, wall_ns // 1000), YEAR_2200_US)
