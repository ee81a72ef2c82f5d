"""Where records come in: telemetryd's socket, read by a thread that commits, and answers who waits.

The kernel queues as few as ten datagrams for a socket, so this thread does nothing but read, commit
and go on reading. In a lock-step run there is no thread: the step pumps the shared memory sink.
"""

import contextlib
import logging
import queue
import select
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from runtime.hal.clock import Clock
from runtime.telemetry.batch import Batch
from runtime.telemetry.client import (
    BARRIER_REPLY,
    DATAGRAM_MAX_BYTES,
    MemorySink,
    Record,
    RecordFormatError,
    decode_record,
)
from runtime.telemetry.journal import Committed, Journal

log = logging.getLogger(__name__)

IDLE_S = 0.25  # how long the thread sleeps before it looks whether it should end


class Committer:
    """The batch on its way into the journal; whoever pumps it owns it."""

    def __init__(
        self, journal: Journal, clock: Clock, commit_ns: int, observe: Callable[[Record], None]
    ) -> None:
        self.committed: queue.SimpleQueue[Committed] = queue.SimpleQueue()
        self._journal = journal
        self._clock = clock
        self._batch = Batch(commit_ns)
        self._observe = observe

    def add(self, record: Record) -> None:
        self._batch.add(record, self._clock.now_ns())
        self._observe(record)

    def urge(self) -> None:
        self._batch.urge()

    def wait_ns(self) -> int | None:
        return 0 if self._journal.has_notices else self._batch.wait_ns(self._clock.now_ns())

    def commit_if_due(self) -> bool:
        if self.wait_ns() != 0:
            return False
        self.commit()
        return True

    def commit(self) -> None:
        self.committed.put(self._journal.commit(self._batch.take()))


class MemoryIntake:
    """Lock-step: drained by the step itself, at the virtual clock's time."""

    def __init__(self, sink: MemorySink, committer: Committer) -> None:
        self._sink = sink
        self._committer = committer

    def pump(self) -> None:
        for record in self._sink.drain():
            self._committer.add(record)
        self._committer.commit_if_due()

    def close(self) -> None:
        self.pump()
        self._committer.commit()


class SocketIntake:
    """The robot's own: a datagram socket and a thread."""

    def __init__(
        self, address: Path, committer: Committer, journal: Journal, *, group_writes: bool = True
    ) -> None:
        self._committer = committer
        self._journal = journal
        self._waiting: list[str | bytes] = []
        self._dropped_by: dict[str | bytes, int] = {}
        self._ending = threading.Event()
        self._socket = _bind(address, 0o660 if group_writes else 0o600)
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)
        self._thread.start()

    def pump(self) -> None:
        """The thread does it."""

    def close(self) -> None:
        self._ending.set()
        self._thread.join(timeout=5)
        self._socket.close()

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self._turn()
            except Exception:  # the robot's only ear must not close for one bad record
                log.exception("intake: a batch failed")
        with contextlib.suppress(BlockingIOError):
            while True:
                self._take_one()
        self._commit()

    def _turn(self) -> None:
        wait_ns = self._committer.wait_ns()
        timeout_s = IDLE_S if wait_ns is None else min(IDLE_S, wait_ns / 1e9)
        if select.select([self._socket], [], [], timeout_s)[0]:
            with contextlib.suppress(BlockingIOError):
                while self._committer.wait_ns() != 0:
                    self._take_one()
        if self._committer.wait_ns() == 0:
            self._commit()

    def _commit(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._committer.commit()
        durable = self._journal.active.path is not None
        for sender in waiting:
            with contextlib.suppress(OSError):  # it did not wait for the answer
                self._socket.sendto(BARRIER_REPLY if durable else b"memory", sender)

    def _take_one(self) -> None:
        datagram, sender = self._socket.recvfrom(DATAGRAM_MAX_BYTES + 1)
        if not datagram:
            if sender:
                self._waiting.append(sender)
            self._committer.urge()
            return
        try:
            record, dropped = decode_record(datagram)
        except RecordFormatError as error:
            log.warning("intake: %s", error)
            self._journal.active.add_counts({"refused_datagrams": 1})
            return
        self._count_drops(sender, dropped)
        self._committer.add(record)

    def _count_drops(self, sender: str | bytes, dropped: int) -> None:
        """Clients send their total; a client that started again begins at 0."""
        before = self._dropped_by.get(sender, 0)
        if dropped > before:
            self._journal.active.add_counts({"dropped_by_clients": dropped - before})
        if dropped != before:
            self._dropped_by[sender] = dropped


def _bind(address: Path, mode: int) -> socket.socket:
    address.parent.mkdir(parents=True, exist_ok=True)
    address.unlink(missing_ok=True)  # left by a run that was killed; the pid file keeps out seconds
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        opened.bind(str(address))
        address.chmod(mode)
        opened.setblocking(False)
    except OSError:
        opened.close()
        raise
    return opened
