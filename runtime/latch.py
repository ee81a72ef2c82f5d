"""A condition with hysteresis: it changes over once the opposite was seen long enough, unbroken."""

from dataclasses import dataclass
from enum import StrEnum


class Condition(StrEnum):
    """What one look says."""

    BAD = "bad"
    GOOD = "good"
    BETWEEN = "between"  # inside the hysteresis band: nothing changes


@dataclass(frozen=True)
class Latch:
    """Whether something bad holds, and since when the opposite is seen."""

    active: bool
    opposite_since_ns: int | None = None

    def look(
        self, condition: Condition, now_ns: int, *, enter_ns: int = 0, leave_ns: int = 0
    ) -> "Latch":
        """The next one: bad for `enter_ns` makes it active, good for `leave_ns` ends that."""
        opposite = Condition.GOOD if self.active else Condition.BAD
        if condition is not opposite:
            return Latch(self.active)
        since_ns = now_ns if self.opposite_since_ns is None else self.opposite_since_ns
        if now_ns - since_ns >= (leave_ns if self.active else enter_ns):
            return Latch(not self.active)
        return Latch(self.active, since_ns)
