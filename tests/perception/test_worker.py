"""The inference worker: killed, hanging, late, and gone for good. Real processes."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime.hal.clock import SystemClock
from runtime.perception.inference import Health, Outcome, Result
from runtime.perception.inference.child import ChildSpec, NetworkSpec
from runtime.perception.inference.fake import Script
from runtime.perception.inference.restart import RestartRule
from runtime.perception.inference.worker import WorkerInference, WorkerSettings
from tests.perception.builders import ask, write_network

MS = 1_000_000
LONG_NS = 3_600_000_000_000
PATIENCE_S = 8.0
Opener = Callable[..., WorkerInference]

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def open_worker(tmp_path: Path) -> Iterator[Opener]:
    opened: list[WorkerInference] = []

    def open_one(
        backend: str = "fake",
        script: Script | None = None,
        *,
        stuck_ms: int = 5000,
        offline_after: int = 3,
    ) -> WorkerInference:
        path = write_network(tmp_path)
        settings = WorkerSettings(
            child=ChildSpec((NetworkSpec("double", str(path), backend, 0),), fake=script),
            restart=RestartRule(20 * MS, 100 * MS, offline_after),
            stuck_ns=stuck_ms * MS,
            start_ns=60_000 * MS,
            latency_ns={"double": 2 * MS},
        )
        opened.append(WorkerInference(settings, SystemClock()))
        return opened[-1]

    yield open_one
    for worker in opened:
        worker.close()


def now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def until(worker: WorkerInference, done: Callable[[], bool]) -> None:
    """Keep polling until something holds; the patience is far beyond any machine's slowness."""
    end = time.monotonic() + PATIENCE_S * 5
    while not done():
        assert time.monotonic() < end, "it never happened"
        worker.poll(now_ns())
        time.sleep(0.005)


def run_one(worker: WorkerInference, deadline_ns: int = LONG_NS) -> Result:
    """Submit until taken, then wait for the result."""
    until(worker, lambda: worker.submit(ask(deadline_ns=now_ns() + deadline_ns), now_ns()))
    end = time.monotonic() + PATIENCE_S * 5
    while time.monotonic() < end:
        results = worker.poll(now_ns(), 50 * MS)
        if results:
            return results[0]
    raise AssertionError("no result came back")


def test_worker_runs_a_network_in_another_process(open_worker: Opener) -> None:
    worker = open_worker("onnxruntime")
    result = run_one(worker)
    assert result.outcome is Outcome.DONE
    assert result.tensors is not None
    assert result.tensors["y"][0, 0, 0] == 2.0
    assert worker.worker_pid not in (None, os.getpid())
    assert worker.health(now_ns()) is Health.OK


def test_killed_worker_is_started_again_and_works(open_worker: Opener) -> None:
    worker = open_worker("onnxruntime")
    run_one(worker)
    first = worker.worker_pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    until(worker, lambda: worker.ledger.restarts == 1)
    assert worker.health(now_ns()) is Health.RESTARTING
    assert run_one(worker).outcome is Outcome.DONE
    assert worker.worker_pid != first
    assert worker.health(now_ns()) is Health.OK


def test_worker_that_dies_every_time_ends_in_offline(open_worker: Opener) -> None:
    worker = open_worker(script=Script(die_on_run=1), offline_after=2)

    def lost_twice() -> bool:
        worker.submit(ask(deadline_ns=LONG_NS), now_ns())
        return worker.ledger.restarts >= 2

    until(worker, lost_twice)
    assert worker.health(now_ns()) is Health.OFFLINE
    assert worker.ledger.of("double").done == 0
    assert worker.ledger.of("double").failed >= 1


def test_run_that_never_ends_counts_as_a_lost_device(open_worker: Opener) -> None:
    worker = open_worker(script=Script(hang_on_run=1), stuck_ms=150)
    until(worker, lambda: worker.submit(ask(deadline_ns=LONG_NS), now_ns()))
    until(worker, lambda: worker.ledger.restarts == 1)
    assert worker.ledger.of("double").failed == 1


def test_result_past_its_deadline_is_dropped_and_counted(open_worker: Opener) -> None:
    worker = open_worker(script=Script(delay_ms=(60.0,)))
    result = run_one(worker, deadline_ns=1 * MS)
    assert result.outcome is Outcome.LATE
    assert result.tensors is None
    assert worker.ledger.of("double").late == 1


def test_network_whose_card_lies_never_loads(tmp_path: Path) -> None:
    path = write_network(tmp_path, sha256="0" * 64)
    settings = WorkerSettings(
        child=ChildSpec((NetworkSpec("double", str(path), "onnxruntime", 0),)),
        restart=RestartRule(10 * MS, 20 * MS, 2),
        stuck_ns=5000 * MS,
        start_ns=60_000 * MS,
        latency_ns={},
    )
    worker = WorkerInference(settings, SystemClock())
    until(worker, lambda: worker.health(now_ns()) is Health.OFFLINE)
    assert not worker.submit(ask(deadline_ns=LONG_NS), now_ns())
    worker.close()
