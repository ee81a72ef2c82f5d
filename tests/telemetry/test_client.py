"""The client over a real socket: it never waits, and counts what it drops."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records import Priority, Severity
from runtime.hal.clock import SystemClock
from runtime.telemetry.client import (
    BACKLOG_RECORDS,
    MemorySink,
    Record,
    RecordFormatError,
    RecordKind,
    TelemetryClient,
    decode_record,
    encode_record,
)
from runtime.telemetry.intake import Committer, SocketIntake
from runtime.telemetry.journal import Journal
from runtime.telemetry.line import decode_line, encode_tags, plain_names
from runtime.telemetry.spool import Spool
from runtime.telemetry.spool_file import SpoolLimits
from tests.telemetry.spools import MIB, TAGS, open_spool

Make = Callable[[Path], TelemetryClient]


@pytest.fixture
def address(tmp_path: Path) -> Path:
    return tmp_path / "telemetry.sock"


@pytest.fixture
def journal(memory_folder: Path) -> Iterator[Journal]:
    journal = Journal(
        memory_folder / "spool.sqlite",
        SpoolLimits(8 * MIB),
        encode_tags(TAGS),
        SystemClock(),
        lambda: 77,
    )
    yield journal
    journal.close()


@pytest.fixture
def intake(address: Path, journal: Journal) -> Iterator[SocketIntake]:
    committer = Committer(journal, SystemClock(), 100_000_000, lambda record: None)
    intake = SocketIntake(address, committer, journal)
    yield intake
    intake.close()


@pytest.fixture
def client() -> Iterator[Callable[[Path], TelemetryClient]]:
    made: list[TelemetryClient] = []

    def make(address: Path) -> TelemetryClient:
        made.append(TelemetryClient(address, "agentd", SystemClock()))
        return made[-1]

    yield make
    for telemetry in made:
        telemetry.sink.close()


def events(spool: Spool) -> list[dict]:
    taken = spool.take(Priority.EVENT, 1, 2**60, rows=10**6, size=2**40)
    return [plain_names(decode_line(line).fields) for _, line in taken]


def test_client_without_telemetryd_never_waits_and_counts_what_it_drops(
    address: Path, client: Make
) -> None:
    telemetry = client(address)
    for index in range(BACKLOG_RECORDS + 40):
        telemetry.metric("process", {"index": index})
    assert telemetry.dropped == 40
    assert not telemetry.barrier(1_000_000)


def test_client_backlog_gives_up_metrics_before_events(address: Path, client: Make) -> None:
    telemetry = client(address.with_name("later.sock"))
    for index in range(BACKLOG_RECORDS):
        telemetry.event("task.done", Severity.INFO, {"index": index})
    telemetry.metric("process", {"index": 0})
    assert telemetry.dropped == 1
    kinds = [record.kind for record in telemetry._backlog]
    assert kinds.count(RecordKind.EVENT) == BACKLOG_RECORDS - 1


def test_client_delivers_its_backlog_when_telemetryd_comes(
    address: Path, journal: Journal, client: Make
) -> None:
    telemetry = client(address)
    for index in range(20):
        telemetry.event("task.done", Severity.INFO, {"index": index})
    committer = Committer(journal, SystemClock(), 100_000_000, lambda record: None)
    intake = SocketIntake(address, committer, journal)
    deadline = time.monotonic() + 10
    while not telemetry.barrier() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [fields["index"] for fields in events(journal.active)] == list(range(20))
    intake.close()


def test_barrier_answers_only_once_all_before_it_is_committed(
    address: Path, intake: SocketIntake, journal: Journal, client: Make
) -> None:
    telemetry = client(address)
    for index in range(100):
        telemetry.event("task.done", Severity.INFO, {"index": index})
        if index % 10 == 9:
            assert telemetry.barrier()
            assert len(events(journal.active)) == index + 1


def test_barrier_of_many_clients_at_once_is_answered_to_each(
    address: Path, intake: SocketIntake, journal: Journal, client: Make
) -> None:
    answers: list[bool] = []

    def work() -> None:
        telemetry = client(address)
        for index in range(30):
            telemetry.event("task.done", Severity.INFO, {"index": index})
        answers.append(telemetry.barrier(20_000_000_000))
        assert telemetry.dropped == 0

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 6
    assert len(events(journal.active)) == 180


def test_datagrams_of_nonsense_are_counted_and_break_nothing(
    address: Path, intake: SocketIntake, journal: Journal, client: Make
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as raw:
        for datagram in (b"x", b"{}", b"\xff" * 9000, b"[" * 5000, b'{"k":"metric"}'):
            raw.sendto(datagram, str(address))
    telemetry = client(address)
    telemetry.event("task.done", Severity.INFO, {})
    assert telemetry.barrier()
    assert journal.active.counters["refused_datagrams"] == 5
    assert len(events(journal.active)) == 1


def test_drops_of_a_client_reach_the_spools_books(
    address: Path, intake: SocketIntake, journal: Journal, client: Make
) -> None:
    telemetry = client(address)
    telemetry.dropped = 7
    telemetry.metric("process", {"a": 1})
    assert telemetry.barrier()
    assert journal.active.counters["dropped_by_clients"] == 7


def test_record_that_cannot_travel_leaves_a_note(
    address: Path, intake: SocketIntake, journal: Journal, client: Make
) -> None:
    telemetry = client(address)
    telemetry.event("task.done", Severity.INFO, {"text": "x" * 20_000})
    telemetry.event("task.done", Severity.INFO, {"big": 2**70})
    assert telemetry.barrier()
    notes = events(journal.active)
    assert [note["name"] for note in notes] == ["telemetry.record_refused"] * 2
    assert [note["record"] for note in notes] == ["task.done"] * 2


def test_memory_sink_carries_the_same_as_a_socket() -> None:
    sink = MemorySink()
    telemetry = TelemetryClient(sink, "visiond", SystemClock())
    telemetry.metric("scene", {"a": 1, "nan": float("nan"), "text": "x"})
    (record,) = sink.drain()
    assert record.fields == {"a": 1, "text": "x"}
    assert sink.drain() == []


GOOD = encode_record(
    Record(RecordKind.EVENT, "agentd", "task.done", Severity.INFO, 5, {"a": 1, "text": "x"}), 0
)
CHANGED = st.tuples(st.integers(0, len(GOOD) - 1), st.binary(max_size=3)).map(
    lambda change: GOOD[: change[0]] + change[1] + GOOD[change[0] + 1 :]
)


@given(st.binary(max_size=200) | CHANGED)
def test_decode_any_bytes_gives_a_record_or_a_format_error(datagram: bytes) -> None:
    try:
        record, dropped = decode_record(datagram)
    except RecordFormatError:
        return
    assert decode_record(encode_record(record, dropped)) == (record, dropped)


@given(
    st.dictionaries(
        st.text(max_size=10), st.one_of(st.booleans(), st.integers(-(2**60), 2**60), st.text())
    )
)
def test_record_comes_back_as_it_was_sent(fields: dict) -> None:
    try:
        datagram = encode_record(
            Record(RecordKind.EVENT, "a", "b.c", Severity.INFO, 5, fields), dropped=3
        )
    except TypeError:  # a lone surrogate: the client leaves a note instead
        return
    record, dropped = decode_record(datagram)
    assert (record.fields, dropped) == (fields, 3)


WRITER = """
import sys
from pathlib import Path
from runtime.hal.clock import SystemClock
from runtime.telemetry.intake import Committer, SocketIntake
from runtime.telemetry.journal import Journal
from runtime.telemetry.line import encode_tags
from runtime.telemetry.spool_file import SpoolLimits
import time
tags = {"robot": "osaka-01", "site": "osaka", "hardware": "sim_x86", "version": "dev"}
folder = Path(sys.argv[1])
clock = SystemClock()
journal = Journal(
    folder / "spool.sqlite", SpoolLimits(8 * 2**20), encode_tags(tags), clock, lambda: 77
)
committer = Committer(journal, clock, 100_000_000, lambda record: None)
SocketIntake(folder / "telemetry.sock", committer, journal)
print("ready", flush=True)
time.sleep(60)
"""


def test_kill_9_loses_nothing_that_a_barrier_confirmed(tmp_path: Path, client: Make) -> None:
    confirmed = sent = 0
    for _ in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": "."},
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        telemetry = client(tmp_path / "telemetry.sock")
        for burst in range(6):
            for _ in range(burst * 3 + 1):
                telemetry.event("task.done", Severity.INFO, {"index": sent})
                sent += 1
            if burst < 5 and telemetry.barrier():
                confirmed = sent
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        telemetry.sink.close()
        telemetry._backlog.clear()
        spool = open_spool(tmp_path / "spool.sqlite")
        kept = {int(fields["index"]) for fields in events(spool)}
        spool.close()
        assert kept >= set(range(confirmed))
        sent = confirmed = max(kept) + 1
    assert confirmed > 40
