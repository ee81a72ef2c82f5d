"""How durations are spread: from the control process's own histograms, and from cyclictest."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from runtime.shm import Histogram

CYCLICTEST_MOST_US: Final = 50_000


@dataclass(frozen=True)
class Distribution:
    """Microseconds; from a histogram, so each is the upper bound of its bucket."""

    count: int
    p50_us: float
    p99_us: float
    p999_us: float
    max_us: float

    @classmethod
    def of(cls, histogram: Histogram) -> Distribution:
        quantile = histogram.quantile_us
        return cls(
            count=int(histogram.counts.sum()),
            p50_us=quantile(0.5),
            p99_us=quantile(0.99),
            p999_us=quantile(0.999),
            max_us=quantile(1.0),
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def ratio_to(self, other: Distribution) -> dict[str, float]:
        """This one's figures in units of the other's."""
        mine, theirs = self.to_dict(), other.to_dict()
        names = [name for name in mine if name != "count"]
        return {name: round(mine[name] / theirs[name], 2) for name in names if theirs[name] > 0}


def parse_cyclictest(text: str) -> Distribution:
    """The histogram that `cyclictest -q -h` prints, and its true maximum."""
    rows = [(int(us), int(n)) for us, n in re.findall(r"^(\d{6})\s+(\d+)", text, re.MULTILINE)]
    found = re.search(r"^# Max Latencies:\s*(\d+)", text, re.MULTILINE)
    total = sum(n for _, n in rows)
    if found is None or total == 0:
        raise ValueError(f"this is no output of cyclictest -h: {text[:200]!r}")

    def quantile(ratio: float) -> float:
        seen = 0
        for us, n in rows:
            seen += n
            if seen >= ratio * total:
                return float(us)
        return float(CYCLICTEST_MOST_US)

    return Distribution(
        count=total,
        p50_us=quantile(0.5),
        p99_us=quantile(0.99),
        p999_us=quantile(0.999),
        max_us=float(found[1]),
    )


def run_cyclictest(seconds: float, cpu: int, priority: int) -> Distribution | str:
    """cyclictest's wake-up latencies on that CPU at that priority, or why there are none."""
    program = shutil.which("cyclictest")
    if program is None:
        return "cyclictest is not installed (Debian: rt-tests)"
    command = [program, "-q", "-m", "-t1", f"-a{cpu}", f"-p{priority}", "-i1000"]
    command += [f"-h{CYCLICTEST_MOST_US}", f"-D{max(1, round(seconds))}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        return f"cyclictest ended with {result.returncode}: {result.stderr.strip()[:200]}"
    return parse_cyclictest(result.stdout)
