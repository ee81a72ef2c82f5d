"""Messages that wait for an ingester: what is live goes first, and a batch is only so large.

After an outage a thousand robots send an hour each, and what they say now must not stand behind
that. The order decides nothing else: frames may be stored in any.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

BATCH_MESSAGES = 1000
BATCH_BYTES = 1_048_576
LATE_BYTES = 262_144  # of a batch: about half a second's work, for which what is live then waits
HELD_BYTES = 256 * 2**20  # beyond it the broker has to keep them
GATHER_S = 0.2  # a transaction costs as much for one message as for some hundred
FULL_S = 30.0


class FullError(RuntimeError):
    """Nobody takes them out."""


class Waiting(Protocol):
    @property
    def size(self) -> int: ...

    @property
    def is_late(self) -> bool: ...


T = TypeVar("T", bound=Waiting)


class Inbox(Generic[T]):
    """One thread puts, another takes."""

    def __init__(
        self,
        *,
        gather_s: float = GATHER_S,
        held_bytes: int = HELD_BYTES,
        full_s: float = FULL_S,
    ) -> None:
        self._live: deque[T] = deque()
        self._late: deque[T] = deque()
        self._bytes = self._late_bytes = 0
        self._gather_s = gather_s
        self._held_bytes, self._full_s = held_bytes, full_s
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._live) + len(self._late)

    def put(self, items: Sequence[T]) -> None:
        """Waits while too much is held; FullError when that does not end, and none is in."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._bytes < self._held_bytes, self._full_s):
                raise FullError(f"{self._bytes} bytes wait and are not taken out")
            was_empty = not len(self)
            for item in items:
                (self._late if item.is_late else self._live).append(item)
                self._bytes += item.size
                self._late_bytes += item.size if item.is_late else 0
            if was_empty or self._is_enough():  # who gathers sleeps in between
                self._changed.notify_all()

    def take(self, wait_s: float) -> list[T]:
        """A batch: what came within a moment of the first. Empty when nothing came in time."""
        with self._changed:
            if not self._changed.wait_for(self.__len__, wait_s):
                return []
            until = time.monotonic() + self._gather_s
            while not self._is_enough() and (left_s := until - time.monotonic()) > 0:
                self._changed.wait(left_s)
            batch = _some(self._live, BATCH_MESSAGES, BATCH_BYTES)
            batch += _some(self._late, max(1, BATCH_MESSAGES - len(batch)), LATE_BYTES)
            self._bytes -= sum(item.size for item in batch)
            self._late_bytes -= sum(item.size for item in batch if item.is_late)
            self._changed.notify_all()
            return batch

    def _is_enough(self) -> bool:
        is_large = self._bytes >= BATCH_BYTES or self._late_bytes >= LATE_BYTES
        return is_large or len(self) >= BATCH_MESSAGES


def is_late(message: bytes) -> bool:
    """What a frame's header says of itself, at a glance. Wrong, it would cost the order only."""
    length = int.from_bytes(message[4:8], "little")
    return b'"replayed":true' in message[8 : 8 + length]


def _some(waiting: deque[T], messages: int, size: int) -> list[T]:
    """From the front; one at least, however large."""
    taken: list[T] = []
    while waiting and len(taken) < messages and (not taken or waiting[0].size <= size):
        size -= waiting[0].size
        taken.append(waiting.popleft())
    return taken
