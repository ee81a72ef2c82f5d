"""A glance at a running robot for people at a terminal: from shared memory and the local API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from runtime.hal.clock import SystemClock
from runtime.paths import Paths
from runtime.shm import Realtime, Shm, Stage

FRESH_NS = 500_000_000


@dataclass(frozen=True)
class Glance:
    control_is_alive: bool
    agent_answers: bool
    realtime: str
    misses: int
    cycles: int
    cycle_p50_us: float
    cycle_p999_us: float
    modes: str
    causes: str
    done: int
    failed: int

    def line(self) -> str:
        mode = self.modes or "agent does not answer"
        why = f" ({self.causes})" if self.causes else ""
        return (
            f"{mode}{why} · tasks {self.done} done, {self.failed} failed · {self.cycles} cycles,"
            f" p50 {self.cycle_p50_us:.0f} µs, p99.9 {self.cycle_p999_us:.0f} µs,"
            f" {self.misses} missed"
        )


class Watcher:
    def __init__(self, paths: Paths, slow_motion: int = 1) -> None:
        self._state = Shm(paths.shm).state_reader()
        self._clock = SystemClock(slow_motion)
        transport = httpx.HTTPTransport(uds=str(paths.agent_socket))
        self._agent = httpx.Client(transport=transport, base_url="http://robot", timeout=2.0)

    def close(self) -> None:
        self._agent.close()

    def look(self) -> Glance:
        state = self._state.latest()
        mode, tasks = self._ask("/v1/mode"), self._ask("/v1/tasks")
        cycle = self._state.histograms().get(Stage.CYCLE)
        age_ns = None if state is None else self._clock.now_ns() - int(state["created_ns"])
        return Glance(
            control_is_alive=age_ns is not None and age_ns < FRESH_NS,
            agent_answers=mode is not None,
            realtime="none" if state is None else Realtime(int(state["realtime"])).name.lower(),
            misses=0 if state is None else int(state["misses"]),
            cycles=0 if state is None else int(state["cycle"]),
            cycle_p50_us=0.0 if cycle is None else cycle.quantile_us(0.5),
            cycle_p999_us=0.0 if cycle is None else cycle.quantile_us(0.999),
            modes="" if mode is None else " + ".join(mode["modes"]),
            causes="" if mode is None else ", ".join(mode["causes"]),
            done=0 if tasks is None else int(tasks["done"]),
            failed=0 if tasks is None else int(tasks["failed"]),
        )

    def _ask(self, path: str) -> dict[str, Any] | None:
        try:
            reply = self._agent.get(path)
        except httpx.HTTPError:
            return None
        return reply.json() if reply.is_success else None
