"""A device that does as it is told: scripted delays, scripted ends. For tests and drills."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path

import numpy as np

from runtime.perception.inference.card import Card, check_inputs, read_card
from runtime.perception.inference.port import Tensors

EXIT_DEVICE_LOST = 70


@dataclass(frozen=True)
class Script:
    """What each run does, the last entry for ever."""

    delay_ms: tuple[float, ...] = (0.0,)
    die_on_run: int | None = None  # this run, counted from 1, ends the process
    hang_on_run: int | None = None  # this run never ends


class FakeSession:
    def __init__(self, card: Card, script: Script) -> None:
        self.card = card
        self._script = script
        self._delays: Iterator[float] = _endless(script.delay_ms)
        self._runs = 0
        self._ready_at = 0.0
        self._running = False

    def start(self, tensors: Tensors) -> None:
        check_inputs(self.card, tensors)
        self._runs += 1
        if self._runs == self._script.die_on_run:
            os._exit(EXIT_DEVICE_LOST)
        hang = self._runs == self._script.hang_on_run
        self._running = True
        self._ready_at = time.monotonic() + (1e9 if hang else next(self._delays) / 1e3)

    def collect(self) -> Tensors | None:
        if not self._running or time.monotonic() < self._ready_at:
            return None
        self._running = False
        return {spec.name: np.zeros(spec.shape, spec.dtype) for spec in self.card.outputs}


def _endless(values: Sequence[float]) -> Iterator[float]:
    return chain(values, repeat(values[-1]))


class FakeEngine:
    name = "fake"

    def __init__(self, script: Script | None = None) -> None:
        self._script = script or Script()

    def load(self, network: str, card_path: str) -> FakeSession:
        return FakeSession(read_card(Path(card_path)), self._script)

    def close(self) -> None:
        return
