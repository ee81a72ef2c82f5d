"""What every Python process on the robot has in common: how it starts, keeps time, and ends.

A daemon module exposes `build(context) -> Process` and calls `run_daemon`. The same `build` serves
the lock-step simulation, which passes a virtual clock and steps all processes itself.
"""

import argparse
import fcntl
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

import psutil
import sdnotify

from conf.profile import read_profile
from conf.schema import Config
from runtime.hal.clock import Clock, SystemClock
from runtime.paths import Paths
from runtime.processes import (
    PROCESSES,
    ProcessSpec,
    find_process,
    slow_motion_of,
    wanted_thread,
)
from runtime.scheduling import Obtained, RealtimeRefusedError, obtain_scheduling
from runtime.shm import Shm
from runtime.telemetry.client import TelemetryClient

log = logging.getLogger(__name__)

REPORT_EVERY_NS = 10_000_000_000
EXIT_USAGE = 2
EXIT_SECOND_INSTANCE = 3
EXIT_REALTIME = 4


@dataclass(frozen=True)
class Context:
    """Everything a process may touch; handed in, so that tests and lock-step hand in their own."""

    config: Config
    paths: Paths
    clock: Clock
    shm: Shm
    telemetry: TelemetryClient


class Process(Protocol):
    rate_hz: float

    def step(self, now_ns: int) -> None:
        """One period's work; never blocks beyond its period."""
        ...

    def close(self) -> None: ...


class SecondInstanceError(RuntimeError):
    """Two copies of one process would both believe that they own its topics."""


@contextmanager
def single_instance(
    pid_file: Path, otherwise: str = "give this one another --run-dir"
) -> Iterator[None]:
    """Holds a lock while the process lives; the kernel lets go of it even after kill -9."""
    pid_file.parent.mkdir(parents=True, exist_ok=True)
    with pid_file.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            handle.seek(0)
            owner = handle.read().strip() or "unknown"
            raise SecondInstanceError(
                f"{pid_file}: process {owner} already runs as {pid_file.stem} of this robot;"
                " a second one would write the same messages, so it does not start;"
                f" stop the first (kill {owner}) or {otherwise}"
            ) from error
        handle.truncate(0)
        handle.write(f"{os.getpid()}\n")
        handle.flush()
        try:
            yield
        finally:
            handle.truncate(0)


@dataclass
class LoopAccount:
    """Counts what the loop did since the last report."""

    steps: int = 0
    overruns: int = 0  # periods given up because an earlier step took too long
    step_max_ns: int = 0
    step_sum_ns: int = 0

    def record(self, step_ns: int, skipped: int) -> None:
        self.steps += 1
        self.overruns += skipped
        self.step_max_ns = max(self.step_max_ns, step_ns)
        self.step_sum_ns += step_ns

    def fields(self) -> dict[str, int | float]:
        mean_ns = self.step_sum_ns / self.steps if self.steps else 0.0
        return {
            "steps": self.steps,
            "overruns": self.overruns,
            "step_max_us": self.step_max_ns // 1000,
            "step_mean_us": round(mean_ns / 1000, 1),
        }


def next_on_grid(deadline_ns: int, period_ns: int, now_ns: int) -> tuple[int, int]:
    """The next point of the grid that still lies ahead, and how many points were missed.

    Missed periods are given up, never made up for: a burst of late steps would act on stale input.
    """
    following = deadline_ns + period_ns
    if following > now_ns:
        return following, 0
    skipped = (now_ns - following) // period_ns + 1
    return following + skipped * period_ns, skipped


class StopFlag:
    """Set by SIGTERM and SIGINT; the loop looks at it once a period."""

    def __init__(self) -> None:
        self.is_set = False

    def install(self) -> None:
        signal.signal(signal.SIGTERM, self._set)
        signal.signal(signal.SIGINT, self._set)

    def _set(self, _signal: int, _frame: FrameType | None) -> None:
        self.is_set = True


def run_loop(
    process: Process,
    clock: Clock,
    stop: StopFlag,
    *,
    beat: Callable[[], None],
    report: Callable[[LoopAccount], None],
    slow_motion: int = 1,
) -> None:
    """Steps on an absolute grid until told to stop."""
    period_ns = round(1e9 / process.rate_hz)
    deadline_ns = clock.now_ns()
    account, reported_ns = LoopAccount(), deadline_ns
    while not stop.is_set:
        started_ns = clock.now_ns()
        process.step(started_ns)
        ended_ns = clock.now_ns()
        deadline_ns, skipped = next_on_grid(deadline_ns, period_ns, ended_ns)
        account.record(ended_ns - started_ns, skipped)
        beat()
        if ended_ns - reported_ns >= REPORT_EVERY_NS:
            report(account)
            account, reported_ns = LoopAccount(), ended_ns
        time.sleep(max(0, deadline_ns - clock.now_ns()) * slow_motion / 1e9)


def run_daemon(
    name: str,
    build: Callable[[Context], Process],
    table: tuple[ProcessSpec, ...] = PROCESSES,
) -> None:
    """Main of a daemon: ends the interpreter with a status that says why.

    Areas outside the robot (the simulator) pass the table that has their row.
    """
    spec = find_process(name, table)
    paths = _parse(name)
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format=f"%(asctime)s {name} %(levelname)s %(message)s",
    )
    try:
        with single_instance(paths.pid_file(name)):
            _serve(spec, paths, build)
    except SecondInstanceError as error:
        log.error("%s", error)
        sys.exit(EXIT_SECOND_INSTANCE)
    except RealtimeRefusedError as error:
        log.error("%s", error)
        sys.exit(EXIT_REALTIME)


def _parse(name: str) -> Paths:
    parser = argparse.ArgumentParser(prog=name)
    parser.add_argument("--run-dir", type=Path, required=True, help="sockets, pid files, profile")
    parser.add_argument("--data-dir", type=Path, required=True, help="what outlives a boot")
    args = parser.parse_args()
    return Paths(run=args.run_dir.absolute(), data=args.data_dir.absolute())


def _serve(spec: ProcessSpec, paths: Paths, build: Callable[[Context], Process]) -> None:
    stop = StopFlag()
    stop.install()
    config = read_profile(paths.profile)
    obtained = schedule(spec, config)
    log.info("scheduling obtained: %s", obtained.fields())
    paths.data.mkdir(parents=True, exist_ok=True)
    clock = SystemClock(slow_motion_of(config))
    telemetry = TelemetryClient(paths.telemetry_socket, spec.name, clock)
    process = build(Context(config, paths, clock, Shm(paths.shm), telemetry))
    notifier = sdnotify.SystemdNotifier()
    notifier.notify("READY=1")
    try:
        run_loop(
            process,
            clock,
            stop,
            beat=lambda: notifier.notify("WATCHDOG=1"),
            report=_reporter(spec.name, telemetry, obtained),
            slow_motion=clock.slow_motion,
        )
    finally:
        notifier.notify("STOPPING=1")
        process.close()
    log.info("ended as told")


def schedule(spec: ProcessSpec, config: Config) -> Obtained:
    """Asks for what table and profile want of this process; refused rights are reported."""
    wanted, cpus = wanted_thread(spec, config)
    return obtain_scheduling(
        wanted, cpus, required=config.hardware.realtime.required, name=spec.name
    )


def _reporter(
    name: str, telemetry: TelemetryClient, obtained: Obtained
) -> Callable[[LoopAccount], None]:
    own = psutil.Process()
    own.cpu_percent()  # the first call only starts the measurement

    def report(account: LoopAccount) -> None:
        telemetry.metric(
            "process",
            {
                "process": name,
                **account.fields(),
                **obtained.fields(),
                "cpu_ratio": round(own.cpu_percent() / 100, 3),
                "rss_mib": round(own.memory_info().rss / 2**20, 1),
            },
        )

    return report
