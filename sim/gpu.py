"""The simulated accelerator: what its driver would say, and what a fault makes it say."""

from __future__ import annotations

import math

from runtime.hal.clock import NS_PER_S
from runtime.shm import Shm
from sim.faults import GPU_GAP_NS, GPU_PERIOD_NS, Component, FaultSource, Kind

LOAD_RATIO, LOAD_SWING, LOAD_PERIOD_S = 0.40, 0.05, 20.0
TEMP_C, HOT_C = 54.0, 118.0
SLOW_LOAD_RATIO, SLOWDOWN = 0.98, 4.0


class SimulatedGpu:
    """Writes `hal.gpu`; `step` at 10 Hz."""

    def __init__(self, shm: Shm, faults: FaultSource) -> None:
        self._writer = shm.writer("hal.gpu")
        self._faults = faults

    def step(self, now_ns: int) -> None:
        swing = LOAD_SWING * math.sin(2.0 * math.pi * now_ns / NS_PER_S / LOAD_PERIOD_S)
        present, load, slowdown, temp_c = True, LOAD_RATIO + swing, 1.0, TEMP_C
        fault = self._faults.active(Component.GPU)
        kind = None if fault is None else fault.kind
        if kind is Kind.STUCK:
            return
        if fault is not None and kind is Kind.INTERMITTENT:
            present = not fault.is_in_gap(now_ns, GPU_GAP_NS, GPU_PERIOD_NS)
        elif kind is Kind.OFF:
            present = False
        elif kind is Kind.SLOW:
            load, slowdown = SLOW_LOAD_RATIO, SLOWDOWN
        elif kind is Kind.WRONG:
            temp_c = HOT_C
        elif kind is Kind.GARBAGE:
            load, slowdown, temp_c = math.nan, -3.0, 1e9
        self._writer.write(
            created_ns=now_ns,
            load_ratio=load,
            slowdown=slowdown,
            temp_c=temp_c,
            present=present,
        )
