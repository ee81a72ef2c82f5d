"""Where a build is, and how long the rest takes: from what the same steps took here before."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

KEPT = 5  # times a step is remembered


@dataclass(frozen=True)
class Step:
    """A step and what it takes, in seconds: with nothing in the cache, and with all of it there.

    Measured on two cores; after the first build on a machine its own times replace them.
    """

    name: str
    cold_s: float
    warm_s: float


@dataclass
class Progress:
    """Prints steps as they begin and end; keeps their times for the next estimate."""

    steps: tuple[Step, ...]
    cold: frozenset[str] = frozenset()
    times_file: Path | None = None
    out: IO[str] = field(default_factory=lambda: sys.stderr)
    clock: Callable[[], float] = time.monotonic
    taken_s: dict[str, float] = field(default_factory=dict)
    _known: dict[str, list[float]] = field(default_factory=dict)
    _begun_s: float = 0.0

    def begin(self, cold: frozenset[str], times_file: Path) -> None:
        self.cold, self.times_file = cold, times_file
        self._known = read_times(times_file)
        self._begun_s = self.clock()
        total = sum(self.estimate_s(step) for step in self.steps)
        basis = "measured here" if self._known else "measured elsewhere, on two cores"
        self._print(f"{len(self.steps)} steps, about {spoken(total)} ({basis})")

    def estimate_s(self, step: Step) -> float:
        """The middle of what it took here lately, in the state that the cache is in."""
        times = sorted(self._known.get(self._key(step.name), ()))
        if times:
            return times[len(times) // 2]
        return step.cold_s if step.name in self.cold else step.warm_s

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        at = next(index for index, step in enumerate(self.steps) if step.name == name)
        left = sum(self.estimate_s(step) for step in self.steps[at:])
        self._print(f"[{at + 1}/{len(self.steps)}] {name}; {spoken(left)} left")
        begun = self.clock()
        yield lambda text: self._print(f"      {text}")
        self.taken_s[name] = self.clock() - begun
        self._keep(name, self.taken_s[name])

    def end(self) -> float:
        return self.clock() - self._begun_s

    def _key(self, name: str) -> str:
        return f"{name} {'cold' if name in self.cold else 'warm'}"

    def _keep(self, name: str, taken_s: float) -> None:
        if self.times_file is None:
            return
        known = read_times(self.times_file)
        key = self._key(name)
        known[key] = [*known.get(key, []), round(taken_s, 2)][-KEPT:]
        part = self.times_file.with_suffix(".part")
        part.write_text(json.dumps(known, indent=1))
        part.replace(self.times_file)

    def _print(self, text: str) -> None:
        print(text, file=self.out, flush=True)


def read_times(path: Path) -> dict[str, list[float]]:
    """Times of earlier builds; a file that is not what it should be counts as none."""
    try:
        raw = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(raw, Mapping):
        return {}
    return {
        str(key): [float(value) for value in values if isinstance(value, int | float)]
        for key, values in raw.items()
        if isinstance(values, list)
    }


def spoken(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 100 else f"{whole // 60} min {whole % 60:02d} s"
