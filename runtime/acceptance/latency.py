"""How late wake-ups were: one kind of histogram for the control process and for cyclictest."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# cyclictest counts whole microseconds up to here; what is later is in its maximum only.
PEER_MOST_US: Final = 20_000


@dataclass(frozen=True)
class Latencies:
    """Counts by bucket, each with its upper bound in µs, rising; the maximum is one or exact."""

    rows: tuple[tuple[float, int], ...]
    max_us: float

    @property
    def count(self) -> int:
        return sum(count for _, count in self.rows)

    def quantile_us(self, ratio: float) -> float | None:
        """The bound below which this share lies; None without any sample."""
        wanted, seen = ratio * self.count, 0
        for upper_us, count in self.rows:
            seen += count
            if seen >= wanted and seen > 0:
                return min(upper_us, self.max_us)
        return None


def of_buckets(upper_us: Sequence[float], counts: Sequence[int]) -> Latencies | None:
    """From the state file's histogram; None without any sample.

    The last bucket has no bound: what lies there is reported with the bound before, and is far
    beyond any limit.
    """
    finite = [upper for upper in upper_us if math.isfinite(upper)]
    rows = tuple(
        (upper if math.isfinite(upper) else finite[-1], int(count))
        for upper, count in zip(upper_us, counts, strict=True)
        if count
    )
    return Latencies(rows, rows[-1][0]) if rows else None


def parse_cyclictest(text: str) -> Latencies | None:
    """What `cyclictest -q -h` prints for one thread; None where that is not what was printed."""
    rows = tuple(
        (float(us), int(count))
        for us, count in re.findall(r"^(\d{6})[ \t]+(\d{1,15})[ \t]*$", text, re.MULTILINE)
        if int(count)
    )
    found = re.search(r"^# Max Latencies:[ \t]*(\d{1,12})[ \t]*$", text, re.MULTILINE)
    late = re.search(r"^# Histogram Overflows:[ \t]*(\d{1,12})[ \t]*$", text, re.MULTILINE)
    if found is None or not (rows or late):
        return None
    max_us = float(found[1])
    overflows = int(late[1]) if late else 0
    if overflows:
        rows = (*rows, (max(max_us, PEER_MOST_US), overflows))
    if not rows or list(rows) != sorted(rows):
        return None
    return Latencies(rows, max_us)
