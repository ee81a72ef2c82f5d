"""Injects faults into a running simulated robot, on request or as its scenario declares.

`python -m sim.faultd --run-dir R --data-dir D`. Also the simulated GPU and the relay to the broker.
"""

from __future__ import annotations

import threading
from typing import Any

from runtime.daemon import Context, Process, run_daemon
from runtime.hal.clock import NS_PER_MS
from runtime.telemetry.client import Severity
from sim.fault_api import FaultServer
from sim.faults import (
    CLEARED,
    Component,
    FaultBoard,
    FaultPlan,
    Kind,
    Venue,
    parse_component,
    parse_kind,
    supported_kinds,
)
from sim.gpu import SimulatedGpu
from sim.process_faults import ProcessFaults
from sim.processes import SIM_PROCESSES
from sim.relay import Endpoint, Relay
from sim.scenario import Scenario, scenario_of_run
from sim.truth import FaultWriter, truth_memory

GPU_PERIOD_NS = 100 * NS_PER_MS


class Faultd:
    """One board, and everything that acts its faults out."""

    rate_hz = 50.0

    def __init__(self, context: Context, scenario: Scenario) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._board = FaultBoard(Venue.FREE_RUNNING)
        now_ns = context.clock.now_ns()
        self._plan = FaultPlan(scenario.scheduled_faults(), self._board, now_ns)
        self._writer = FaultWriter(truth_memory(context.paths))
        self._gpu = SimulatedGpu(context.shm, self._board)
        self._gpu_due_ns = 0
        self._processes = ProcessFaults(context.paths, self._board)
        self._processes.release_leftovers()
        self._relay = _start_relay(context, self._board)
        self._server = FaultServer(context.paths.faults_socket, self)
        self._server.start()
        self._publish()

    def step(self, now_ns: int) -> None:
        with self._lock:
            changed = self._plan.step(now_ns)
            for component, kind in changed:
                self._tell(component, kind)
            if changed:
                self._publish()
            self._processes.step(now_ns)
        if now_ns >= self._gpu_due_ns:
            self._gpu_due_ns = now_ns + GPU_PERIOD_NS
            self._gpu.step(now_ns)

    def close(self) -> None:
        self._server.close()
        if self._relay is not None:
            self._relay.close()
        self._processes.close()

    # For the HTTP server's threads

    def listing(self) -> list[dict[str, Any]]:
        with self._lock:
            active = self._board.all_active()
        return [
            {
                "component": component.value,
                "kinds": [kind.value for kind in supported_kinds(component, Venue.FREE_RUNNING)],
                "active": active[component].kind.value if component in active else None,
            }
            for component in Component
        ]

    def change(self, component: str, kind: str) -> dict[str, Any]:
        which = parse_component(component)
        with self._lock:
            if kind == CLEARED:
                if self._board.clear(which) is not None:
                    self._tell(which, None)
                answer = {"component": which.value, "active": None, "effect": "as it should be"}
            else:
                wanted = parse_kind(kind)
                effect = self._board.inject(which, wanted, self._context.clock.now_ns())
                self._tell(which, wanted)
                answer = {"component": which.value, "active": wanted.value, "effect": effect.text}
            self._publish()
        return answer

    def _publish(self) -> None:
        self._writer.write(self._board, self._context.clock.now_ns())

    def _tell(self, component: Component, kind: Kind | None) -> None:
        name = "fault.cleared" if kind is None else "fault.injected"
        fields = {"component": component.value, "kind": CLEARED if kind is None else kind.value}
        severity = Severity.INFO if kind is None else Severity.WARNING
        self._context.telemetry.event(name, severity, fields)


def _start_relay(context: Context, board: FaultBoard) -> Relay | None:
    broker = context.config.telemetry.broker
    if not broker.via_relay:
        return None
    listen = Endpoint("127.0.0.1", broker.relay_port)
    relay = Relay(listen, Endpoint(broker.host, broker.port), board, context.clock)
    relay.start()
    return relay


def build(context: Context) -> Process:
    return Faultd(context, scenario_of_run(context.paths.run))


if __name__ == "__main__":
    run_daemon("faultd", build, SIM_PROCESSES)
