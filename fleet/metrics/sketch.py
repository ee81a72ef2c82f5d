"""How long things took, as counts in fixed slots that can be added up and asked for percentiles.

Slots are spaced by a constant ratio, the same everywhere, so that sketches of any two robots, hours
or versions merge by adding counts, in any order, and a percentile of the sum is as good as one of a
single sketch: never further than `RELATIVE_ERROR` from the sample at that rank.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

RELATIVE_ERROR = 0.02
_RATIO = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_RATIO = math.log(_RATIO)
SMALLEST_MS = 0.001  # below it everything counts as this
LARGEST_MS = 1e9  # eleven days; above it everything counts as this
_FIRST = math.floor(math.log(SMALLEST_MS) / _LOG_RATIO)


def slot_of(milliseconds: float) -> int | None:
    """None for what is no duration: negative, or no number at all."""
    if not milliseconds >= 0.0:  # written so that NaN fails
        return None
    bounded = min(max(milliseconds, SMALLEST_MS), LARGEST_MS)
    return math.ceil(math.log(bounded) / _LOG_RATIO) - _FIRST


def milliseconds_of(slot: int) -> float:
    """The value that is nowhere in the slot off by more than the error."""
    upper = math.exp((slot + _FIRST) * _LOG_RATIO)
    return 2 * upper / (1 + _RATIO)


@dataclass(frozen=True)
class Sketch:
    """Counts by slot; `count` 0 has no percentiles."""

    slots: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, samples_ms: Iterable[float]) -> "Sketch":
        counts = Counter(slot for ms in samples_ms if (slot := slot_of(ms)) is not None)
        return cls(dict(counts))

    @property
    def count(self) -> int:
        return sum(self.slots.values())

    def merged(self, other: "Sketch") -> "Sketch":
        return Sketch(dict(Counter(self.slots) + Counter(other.slots)))

    def quantile_ms(self, ratio: float) -> float | None:
        """The sample of rank ⌈ratio × count⌉, within the relative error; None without samples."""
        total = self.count
        if total == 0:
            return None
        left = max(1, math.ceil(ratio * total))
        for slot in sorted(self.slots):
            left -= self.slots[slot]
            if left <= 0:
                return milliseconds_of(slot)
        return milliseconds_of(max(self.slots))
