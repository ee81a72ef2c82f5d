"""What the engine is fed with: one signal of one subject at one time of the event itself."""

from dataclasses import dataclass

from conf.schema.alerts import RobotMode, Signal

NS_PER_S = 1_000_000_000
FLEET = "fleet"
"""The subject of signals that are of no single robot."""


@dataclass(frozen=True)
class Sample:
    """`value` None: the subject was heard, and the signal is not known."""

    subject: str
    signal: Signal
    at_ns: int
    value: float | None
    modes: frozenset[RobotMode] = frozenset()

    @property
    def rank(self) -> tuple[bool, float, tuple[str, ...]]:
        """An order between two words about one time, so that which came first does not matter."""
        value = self.value
        return value is not None, value or 0.0, tuple(sorted(self.modes))


def ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)
