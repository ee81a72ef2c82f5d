"""What the step loop and the API thread have in common: one snapshot and one inbox."""

import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum

from runtime.agent.duty import Request, Tally
from runtime.agent.execution import Execution
from runtime.agent.task import Task
from runtime.health.check import Finding
from runtime.modes import Effects, ModeState, StopCause
from runtime.shm import StopLevel


@dataclass(frozen=True)
class ControlSummary:
    """Of Tier 1's newest frame; ages tell how far it can be trusted."""

    age_ns: int
    cycle: int
    exec_state: str
    stop_level: str
    stop_reason: str
    source: str
    realtime: str
    misses: int
    speed_limit_ratio: float
    separation_m: float | None


@dataclass(frozen=True)
class Snapshot:
    """Everything the API may show, as it was after one step."""

    at_ns: int
    mode_state: ModeState
    effects: Effects
    online: bool
    control: ControlSummary | None
    running: Execution | None
    queue: tuple[Task, ...]
    recent: tuple[Task, ...]
    tally: Tally
    findings: tuple[Finding, ...]
    refused_writes: int


class SnapshotBox:
    """The one thing both threads write or read; a snapshot itself never changes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None

    def put(self, snapshot: Snapshot) -> None:
        with self._lock:
            self._snapshot = snapshot

    def get(self) -> Snapshot | None:
        with self._lock:
            return self._snapshot


class Verb(StrEnum):
    SUBMIT = "submit"
    STOP = "stop"
    REARM = "rearm"
    CANCEL = "cancel"


@dataclass(frozen=True)
class Command:
    """A wish from outside, done by the step loop; `reply` gets its result or its exception."""

    verb: Verb
    request: Request | None = None
    level: StopLevel = StopLevel.CONTROLLED
    reply: "Future[object]" = field(default_factory=Future)


@dataclass(frozen=True)
class RearmOutcome:
    cleared: tuple[StopCause, ...]
    remaining: tuple[StopCause, ...]  # still present: these no re-arm clears


class Inbox:
    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Command] = queue.SimpleQueue()

    def put(self, command: Command) -> None:
        self._waiting.put(command)

    def drain(self) -> list[Command]:
        drained: list[Command] = []
        while True:
            try:
                drained.append(self._waiting.get_nowait())
            except queue.Empty:
                return drained
