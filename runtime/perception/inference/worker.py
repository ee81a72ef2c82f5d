"""Inference in a process of its own: what it dies of, the caller survives.

A CUDA fault leaves a process unusable for CUDA, and a launched network cannot be recalled. So the
device belongs to a child; this side holds no device at all, watches it, and starts it anew with
growing pauses. A run that never ends is found by its age.
"""

import contextlib
import logging
import multiprocessing
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import SpawnProcess

from runtime.hal.clock import Clock
from runtime.perception.inference.child import ChildSpec, Reply, Run, serve
from runtime.perception.inference.lockstep import settle
from runtime.perception.inference.port import (
    Health,
    Ledger,
    Request,
    Result,
)
from runtime.perception.inference.restart import RestartRule, RestartState

log = logging.getLogger(__name__)

_SPAWN = multiprocessing.get_context("spawn")  # a forked child would inherit threads and locks
_END_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class WorkerSettings:
    child: ChildSpec
    restart: RestartRule
    stuck_ns: int  # a run this old means that the device hangs
    start_ns: int  # loading (on a GPU: building engines) may take this long
    latency_ns: Mapping[str, int]  # declared, for an imitated device's slowdown
    imitate: bool = False  # the "device" is a CPU that stands in for a GPU


class WorkerInference:
    def __init__(self, settings: WorkerSettings, clock: Clock) -> None:
        self.ledger = Ledger()
        self._settings = settings
        self._clock = clock
        self._restart = RestartState(restart_at_ns=clock.now_ns())
        self._process: SpawnProcess | None = None
        self._pipe: connection.Connection | None = None
        self._ready = False
        self._started_ns = 0
        self._next_id = 1
        self._running: dict[int, tuple[Request, int]] = {}
        self._slowdown = 1.0
        self._has_run = False

    def health(self, now_ns: int) -> Health:
        if self._restart.is_offline(self._settings.restart):
            return Health.OFFLINE
        if self._restart.losses or (self._process is None and self._has_run):
            return Health.RESTARTING
        return Health.OK if self._has_run else Health.UNKNOWN

    @property
    def worker_pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def submit(self, request: Request, now_ns: int) -> bool:
        self._watch(now_ns)
        counters = self.ledger.of(request.network)
        taken = any(
            held.network == request.network and held.tag == request.tag
            for held, _ in self._running.values()
        )
        if not self._ready or self._pipe is None or taken:
            counters.refused += 1
            return False
        run_id, self._next_id = self._next_id, self._next_id + 1
        nominal_ns = self._settings.latency_ns.get(request.network, 0)
        stretch_ns = round((self._slowdown - 1.0) * nominal_ns) if self._settings.imitate else 0
        try:
            self._pipe.send(Run(run_id, request.network, request.tensors, stretch_ns))
        except (OSError, ValueError):
            self._lose(now_ns, "its pipe is closed")
            counters.refused += 1
            return False
        counters.submitted += 1
        self._running[run_id] = (request, now_ns)
        return True

    def poll(self, now_ns: int, wait_ns: int = 0) -> list[Result]:
        self._watch(now_ns)
        until_ns = now_ns + wait_ns
        results = self._drain()
        # Waiting ends with the first thing that comes back: the caller may have work for it.
        while self._running and not results and (left_ns := until_ns - self._clock.now_ns()) > 0:
            if self._pipe is None or not self._pipe.poll(left_ns / 1e9):
                break
            results += self._drain()
        return results

    def set_slowdown(self, ratio: float) -> None:
        self._slowdown = max(1.0, ratio)

    def close(self) -> None:
        self._end_child()
        self._restart = RestartState()

    def _watch(self, now_ns: int) -> None:
        """Notice a dead or hanging child; start one when its time has come."""
        if self._process is not None and not self._process.is_alive():
            self._drain()
            self._lose(now_ns, f"it ended with status {self._process.exitcode}")
        oldest_ns = min((since for _, since in self._running.values()), default=now_ns)
        if now_ns - oldest_ns > self._settings.stuck_ns:
            self._lose(now_ns, f"a run has not ended for {(now_ns - oldest_ns) / 1e9:.1f} s")
        if self._process is not None and not self._ready:
            self._drain()
            if not self._ready and now_ns - self._started_ns > self._settings.start_ns:
                self._lose(now_ns, "it did not load its networks in time")
        if self._process is None and self._restart.is_due(now_ns):
            self._start(now_ns)

    def _start(self, now_ns: int) -> None:
        ours, theirs = _SPAWN.Pipe()
        process = _SPAWN.Process(
            target=serve, args=(theirs, self._settings.child), name="inference", daemon=True
        )
        process.start()
        theirs.close()
        self._process, self._pipe, self._ready = process, ours, False
        self._started_ns = now_ns
        self._restart = self._restart.started()

    def _lose(self, now_ns: int, why: str) -> None:
        self._end_child()
        for request, _ in self._running.values():
            self.ledger.of(request.network).failed += 1
        self._running.clear()
        self._restart = self._restart.lost(self._settings.restart, now_ns)
        self.ledger.restarts += 1
        pause_s = self._settings.restart.delay_ns(self._restart.losses) / 1e9
        log.warning("inference worker lost: %s; starting it again in %.2f s", why, pause_s)

    def _end_child(self) -> None:
        if self._process is not None:
            self._process.kill()  # a hung device driver does not answer anything softer
            self._process.join(_END_TIMEOUT_S)
        if self._pipe is not None:
            self._pipe.close()
        self._process, self._pipe, self._ready = None, None, False

    def _drain(self) -> list[Result]:
        results: list[Result] = []
        with contextlib.suppress(EOFError, OSError):
            while self._pipe is not None and self._pipe.poll():
                reply = self._pipe.recv()
                if reply is None:
                    self._ready = True
                elif (result := self._finish(reply)) is not None:
                    results.append(result)
        return results

    def _finish(self, reply: Reply) -> Result | None:
        held = self._running.pop(reply.run_id, None)
        if held is None:
            return None
        request, submitted_ns = held
        now_ns = self._clock.now_ns()
        if reply.tensors is not None:
            self._restart, self._has_run = self._restart.ran(), True
        return settle(
            self.ledger, request, reply.tensors, reply.reason, now_ns, now_ns - submitted_ns
        )
