"""How every process hands in a metric or an event: one datagram, never waiting.

A client that cannot deliver keeps a short backlog and then drops and counts; the count travels with
the next record that gets through, so that nothing is lost in silence. `barrier` is for the rare
caller (a shutdown, a test) that must know its records are on disk.
"""

import contextlib
import math
import select
import socket
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, assert_never

import orjson

from records import Priority, Severity
from runtime.hal.clock import Clock

__all__ = ["Priority", "Record", "RecordKind", "Severity", "TelemetryClient", "Value"]

Value = float | int | bool | str

BACKLOG_RECORDS = 256  # the kernel queues as few as ten datagrams; a burst waits here
DATAGRAM_MAX_BYTES = 16_384
BARRIER_REPLY = b"durable"
BARRIER_RETRY_S = 0.002


class RecordKind(StrEnum):
    METRIC = "metric"
    EVENT = "event"


@dataclass(frozen=True)
class Record:
    """One thing a process said, before it has a sequence number."""

    kind: RecordKind
    source: str
    name: str  # measurement of a metric, `area.noun_state` of an event
    severity: Severity
    created_ns: int
    fields: dict[str, Value]


class RecordFormatError(ValueError):
    """A datagram that is no record; counted by the receiver, never fatal."""


class Sink(Protocol):
    """Where a client's records go."""

    def send(self, record: Record, dropped: int) -> bool:
        """Whether the record got through; never waits."""
        ...

    def barrier(self, timeout_ns: int) -> bool: ...

    def close(self) -> None: ...


class TelemetryClient:
    """Owned by one process; `sink` is telemetryd's socket, or memory in a lock-step run."""

    def __init__(self, sink: Path | Sink, source: str, clock: Clock) -> None:
        self.source = source
        self.dropped = 0  # records given up since start
        self._clock = clock
        self.sink: Sink = DatagramSink(sink) if isinstance(sink, Path) else sink
        self._backlog: deque[Record] = deque()

    def metric(self, measurement: str, fields: Mapping[str, Value]) -> None:
        self._hand_in(RecordKind.METRIC, measurement, Severity.INFO, fields)

    def event(self, name: str, severity: Severity, fields: Mapping[str, Value]) -> None:
        """`name` is `area.noun_state`, stable for ever."""
        self._hand_in(RecordKind.EVENT, name, severity, fields)

    def flush(self) -> bool:
        """Try the backlog again; true when nothing is left of it."""
        while self._backlog:
            if not self.sink.send(self._backlog[0], self.dropped):
                return False
            self._backlog.popleft()
        return True

    def barrier(self, timeout_ns: int = 2_000_000_000) -> bool:
        """Waits until all that was handed in is on the robot's disk; false: not known to be."""
        deadline_ns = self._clock.now_ns() + timeout_ns
        while not self.flush():
            if self._clock.now_ns() >= deadline_ns:
                return False
            time.sleep(BARRIER_RETRY_S)
        return self.sink.barrier(max(0, deadline_ns - self._clock.now_ns()))

    def close(self) -> None:
        self.flush()
        self.sink.close()

    def _hand_in(
        self, kind: RecordKind, name: str, severity: Severity, fields: Mapping[str, Value]
    ) -> None:
        now_ns = self._clock.now_ns()
        record = Record(kind, self.source, name, severity, now_ns, finite(fields))
        if self.flush() and self.sink.send(record, self.dropped):
            return
        if len(self._backlog) >= BACKLOG_RECORDS:
            self._make_room()
        self._backlog.append(record)

    def _make_room(self) -> None:
        """Metrics go before events: the oldest metric, and only without one the oldest event."""
        self.dropped += 1
        for index, record in enumerate(self._backlog):
            if record.kind is RecordKind.METRIC:
                del self._backlog[index]
                return
        self._backlog.popleft()


def finite(fields: Mapping[str, Value]) -> dict[str, Value]:
    """What a database can hold. NaN and infinity mean "not known", and missing says just that."""
    return {
        key: value
        for key, value in fields.items()
        if not (isinstance(value, float) and not math.isfinite(value))
    }


def encode_record(record: Record, dropped: int) -> bytes:
    return orjson.dumps(
        {
            "k": record.kind.value,
            "s": record.source,
            "n": record.name,
            "v": record.severity.value,
            "t": record.created_ns,
            "d": dropped,
            "f": record.fields,
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )


def decode_record(datagram: bytes) -> tuple[Record, int]:
    """The record and the sender's count of drops; any bytes at all may come in here."""
    try:
        raw = orjson.loads(datagram)
        fields = _checked_fields(raw["f"])
        record = Record(
            kind=RecordKind(raw["k"]),
            source=_checked_text(raw["s"]),
            name=_checked_text(raw["n"]),
            severity=Severity(raw["v"]),
            created_ns=_checked_count(raw["t"]),
            fields=fields,
        )
        return record, _checked_count(raw["d"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RecordFormatError(
            f"datagram of {len(datagram)} bytes is no record: {error}"
        ) from error


def _checked_text(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 128:
        raise ValueError(f"expected a text of 1 to 128 characters, got {value!r:.60}")
    return value


def _checked_count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"expected a whole number of 0 or more, got {value!r:.60}")
    return value


def _checked_fields(value: object) -> dict[str, Value]:
    if not isinstance(value, dict):
        raise TypeError(f"expected fields, got {value!r:.60}")
    fields: dict[str, Value] = {}
    for key, item in value.items():  # type: ignore[reportUnknownVariableType]
        if isinstance(key, str) and isinstance(item, bool | int | float | str):
            fields[key] = item
    return fields


class DatagramSink:
    """Datagrams to telemetryd; connects again by itself when telemetryd comes back."""

    def __init__(self, address: Path) -> None:
        self._address = str(address)
        self._socket: socket.socket | None = None

    def send(self, record: Record, dropped: int) -> bool:
        try:
            datagram = encode_record(record, dropped)
        except (TypeError, ValueError):
            datagram = encode_record(_unsendable(record, "fields that JSON cannot hold"), dropped)
        if len(datagram) > DATAGRAM_MAX_BYTES:
            datagram = encode_record(_unsendable(record, f"{len(datagram)} bytes long"), dropped)
        return self._send_bytes(datagram)

    def barrier(self, timeout_ns: int) -> bool:
        """An empty datagram asks for a reply once all before it is committed."""
        tries = max(1, round(timeout_ns / 1e9 / BARRIER_RETRY_S))
        while not self._send_bytes(b""):
            tries -= 1
            if tries <= 0:
                return False
            time.sleep(BARRIER_RETRY_S)
        if self._socket is None:
            return False
        readable, _, _ = select.select([self._socket], [], [], timeout_ns / 1e9)
        if not readable:
            self.close()  # a late reply must not answer the next question
            return False
        try:
            return self._socket.recv(64) == BARRIER_REPLY
        except OSError:
            self.close()
            return False

    def close(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None

    def _send_bytes(self, datagram: bytes) -> bool:
        try:
            self._connected().send(datagram)
        except BlockingIOError:
            return False
        except OSError:
            self.close()
            return False
        return True

    def _connected(self) -> socket.socket:
        if self._socket is None:
            opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                opened.setblocking(False)
                opened.bind("")  # a name given by the kernel, so that a barrier can be answered
                opened.connect(self._address)
            except OSError:
                opened.close()
                raise
            self._socket = opened
        return self._socket


def _unsendable(record: Record, reason: str) -> Record:
    """A record that cannot travel leaves a note in its place: a bug shows, nothing breaks."""
    fields: dict[str, Value] = {"record": record.name, "reason": reason}
    return Record(
        RecordKind.EVENT,
        record.source,
        "telemetry.record_refused",
        Severity.WARNING,
        record.created_ns,
        fields,
    )


class MemorySink:
    """All processes of a lock-step run share one; telemetryd drains it in its own step."""

    def __init__(self) -> None:
        self._records: deque[Record] = deque()

    def send(self, record: Record, dropped: int) -> bool:
        # Through the wire format, so that a lock-step run sees exactly what a socket would carry.
        self._records.append(decode_record(encode_record(record, dropped))[0])
        return True

    def barrier(self, timeout_ns: int) -> bool:
        return True

    def drain(self) -> list[Record]:
        drained = list(self._records)
        self._records.clear()
        return drained

    def close(self) -> None:
        return


def priority_of(record: Record) -> Priority:
    match record.kind:
        case RecordKind.METRIC:
            return Priority.METRIC
        case RecordKind.EVENT:
            return Priority.ALERT if record.severity is Severity.CRITICAL else Priority.EVENT
        case _:
            assert_never(record.kind)
