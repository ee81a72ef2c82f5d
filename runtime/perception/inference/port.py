"""What a user of inference sees: submit with a deadline, poll, never wait for what is late."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np

Tensors = dict[str, np.ndarray]


class Health(Enum):
    """Whether the device answers. Unknown until a network has run once."""

    UNKNOWN = "unknown"
    OK = "ok"
    RESTARTING = "restarting"
    OFFLINE = "offline"


class Outcome(Enum):
    DONE = "done"
    LATE = "late"  # past its deadline: dropped, only its time is told
    FAILED = "failed"


@dataclass(frozen=True)
class Request:
    """One run: of which network, on what, and until when its result is of use."""

    network: str
    tensors: Tensors
    capture_ns: int
    deadline_ns: int
    tag: str = ""  # comes back with the result: which camera it was


@dataclass(frozen=True)
class Result:
    network: str
    tag: str
    capture_ns: int
    latency_ns: int
    outcome: Outcome
    tensors: Tensors | None  # present when done
    reason: str = ""


@dataclass
class Counters:
    """What one network has done since start."""

    submitted: int = 0
    done: int = 0
    late: int = 0
    failed: int = 0
    refused: int = 0  # not taken: no worker, or the one before still runs
    latency_ns: int = 0  # of the last run


@dataclass
class Ledger:
    """Counters by network, and how often the device was lost."""

    networks: dict[str, Counters] = field(default_factory=dict)
    restarts: int = 0

    def of(self, network: str) -> Counters:
        return self.networks.setdefault(network, Counters())


class Inference(Protocol):
    """Runs networks somewhere. `submit` and `poll` are called by one thread."""

    ledger: Ledger

    def health(self, now_ns: int) -> Health: ...

    def submit(self, request: Request, now_ns: int) -> bool:
        """Whether the run was taken; a refusal is counted, never queued."""
        ...

    def poll(self, now_ns: int, wait_ns: int = 0) -> list[Result]:
        """What has come back, waiting at most `wait_ns` for something still under way."""
        ...

    def set_slowdown(self, ratio: float) -> None:
        """How much slower than usual the device runs, where it is only imitated."""
        ...

    def close(self) -> None: ...


class Session(Protocol):
    """A loaded network, in the process that holds the device."""

    def start(self, tensors: Tensors) -> None:
        """Begin a run; a CPU finishes it here, a GPU or another machine later."""
        ...

    def collect(self) -> Tensors | None:
        """The outputs once they are there."""
        ...


class BackendEngine(Protocol):
    """Loads networks onto one kind of device. Lives in the worker, owns its device alone."""

    name: str

    def load(self, network: str, card_path: str) -> Session: ...

    def close(self) -> None: ...


class DeviceLostError(RuntimeError):
    """The device no longer answers and this process can do nothing about it: end it."""
