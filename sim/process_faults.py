"""Faults of the robot's own processes, from outside: signals, a file limit, scribbled messages."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from runtime.paths import Paths
from runtime.processes import PROCESSES as ROBOT_PROCESSES
from runtime.processes import find_process
from sim.faults import PROCESSES, TOPICS, Component, FaultSource, Kind, process_runs

log = logging.getLogger(__name__)

HEADER_BYTES = 4096  # of a shared file; a scribbling process reaches its records, not the header
SCRIBBLE_MAX_BYTES = 1 << 20
DISK_WRITERS = (Component.TELEMETRYD, Component.AGENTD)


def robot_modules() -> dict[Component, str]:
    """Which module a process runs, to know it by its command line."""
    return {
        component: find_process(component.value, ROBOT_PROCESSES).module or component.value
        for component in PROCESSES
    }


@dataclass
class ProcessFaults:
    """Acts on processes through their pid files; `step` often (50 Hz)."""

    paths: Paths
    faults: FaultSource
    modules: Mapping[Component, str] = field(default_factory=robot_modules)
    _killed: dict[Component, int] = field(default_factory=dict)
    _stopped: dict[Component, int] = field(default_factory=dict)
    _full: dict[int, tuple[int, int]] = field(default_factory=dict)

    def step(self, now_ns: int) -> None:
        for component in self.modules:
            fault = self.faults.active(component)
            if fault is None and component not in self._stopped and component not in self._killed:
                continue  # nothing to do, and looking for processes costs time
            pid = self.pid_of(component)
            if fault is not None and fault.kind is Kind.OFF:
                self._hold_down(component, pid)
                continue
            self._killed.pop(component, None)
            self._let_run(component, pid, runs=process_runs(fault, now_ns))
            if fault is not None and fault.kind is Kind.GARBAGE:
                scribble(self.paths.shm, TOPICS[component], os.urandom)
        self._limit_disk()

    def close(self) -> None:
        """Whatever happens, nobody stays stopped or without a disk."""
        for component, pid in self._stopped.items():
            log.info("%s may go on", component)
            _send(pid, signal.SIGCONT)
        self._stopped.clear()
        self._restore_disk()

    def release_leftovers(self) -> None:
        """Wake processes that an earlier simulator left stopped when it was killed."""
        for component in self.modules:
            pid = self.pid_of(component)
            if pid is not None and _status(pid) == psutil.STATUS_STOPPED:
                _send(pid, signal.SIGCONT)

    def pid_of(self, component: Component) -> int | None:
        """The process that runs under this name now; a stale pid file names nobody."""
        try:
            pid = int(self.paths.pid_file(component.value).read_text(encoding="ascii").strip())
            arguments = psutil.Process(pid).cmdline()
        except (OSError, ValueError, psutil.Error):
            return None
        return pid if any(self.modules[component] in argument for argument in arguments) else None

    def _hold_down(self, component: Component, pid: int | None) -> None:
        """Killed once; what the supervisor starts instead is stopped before it gets anywhere."""
        if pid is None:
            return
        if component not in self._killed:
            self._killed[component] = pid
            self._stopped.pop(component, None)
            _send(pid, signal.SIGKILL)
        elif pid != self._killed[component] and self._stopped.get(component) != pid:
            self._stopped[component] = pid
            _send(pid, signal.SIGSTOP)

    def _let_run(self, component: Component, pid: int | None, *, runs: bool) -> None:
        stopped = self._stopped.get(component)
        if runs:
            if stopped is not None:
                _send(stopped, signal.SIGCONT)
                del self._stopped[component]
        elif pid is not None and stopped != pid:
            self._stopped[component] = pid
            _send(pid, signal.SIGSTOP)

    def _limit_disk(self) -> None:
        fault = self.faults.active(Component.DISK)
        if fault is None:
            self._restore_disk()
            return
        for component in DISK_WRITERS:
            pid = self.pid_of(component) if component in self.modules else None
            if pid is None or pid in self._full:
                continue
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                before = process.rlimit(psutil.RLIMIT_FSIZE)
                process.rlimit(psutil.RLIMIT_FSIZE, (0, before[1]))
                self._full[pid] = before

    def _restore_disk(self) -> None:
        for pid, limits in self._full.items():
            with contextlib.suppress(psutil.Error):
                psutil.Process(pid).rlimit(psutil.RLIMIT_FSIZE, limits)
        self._full.clear()


def scribble(shm: Path, topics: tuple[str, ...], noise: Callable[[int], bytes]) -> None:
    """Noise over the records of these topics, as a wild pointer of their writer would leave."""
    for topic in topics:
        path = shm / topic
        with contextlib.suppress(OSError):
            _overwrite(path, noise(_record_bytes(path)))


def _record_bytes(path: Path) -> int:
    return max(0, min(path.stat().st_size - HEADER_BYTES, SCRIBBLE_MAX_BYTES))


def _overwrite(path: Path, noise: bytes) -> None:
    with path.open("r+b", buffering=0) as file:
        file.seek(HEADER_BYTES)
        file.write(noise)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _status(pid: int) -> str | None:
    try:
        return psutil.Process(pid).status()
    except psutil.Error:
        return None
