"""The newest of everything on the robot, as telemetryd finds it in shared memory."""

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

import numpy as np

from runtime.shm import Histogram, Shm, Stage

E = TypeVar("E", bound=Enum)

TOPICS = ("scene", "people", "plan", "verdict", "directive", "goal", "policy_status", "hal.gpu")


@dataclass(frozen=True)
class Readings:
    """Messages by topic; None where nothing was ever written."""

    at_ns: int
    state: np.void | None = None
    messages: dict[str, np.void | None] = field(default_factory=dict)
    histograms: dict[Stage, Histogram] = field(default_factory=dict)

    def get(self, topic: str) -> np.void | None:
        return self.messages.get(topic)


class Eyes:
    """Holds the readers; a topic whose writer is not there yet reads as None."""

    def __init__(self, shm: Shm) -> None:
        self._state = shm.state_reader()
        self._readers = {topic: shm.reader(topic) for topic in TOPICS}

    def look(self, now_ns: int) -> Readings:
        state = self._state.latest()
        return Readings(
            at_ns=now_ns,
            state=state,
            messages={topic: reader.latest() for topic, reader in self._readers.items()},
            histograms=self._state.histograms() if state is not None else {},
        )


def word(kind: type[E], value: int) -> str:
    """An enum's member as a word; a number that is none of them stays visible as such."""
    try:
        return kind(int(value)).name.lower()
    except ValueError:
        return f"invalid_{int(value)}"


def words(bits: int, names: dict[str, int]) -> list[str]:
    return [name.lower() for name, bit in names.items() if bit and bits & bit]


def number(value: float, digits: int = 4) -> float | None:
    """Rounded for a message; None for what is not known."""
    value = float(value)
    return round(value, digits) if np.isfinite(value) else None


def age_ms(record: np.void, now_ns: int, key: str = "created_ns") -> float:
    return round((now_ns - int(record[key])) / 1e6, 1)
