"""The fault process: its local API, and what it does to processes."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from conf.schema import Config
from runtime.daemon import Context
from runtime.hal.clock import SystemClock
from runtime.paths import Paths
from runtime.shm import Shm
from runtime.telemetry.client import MemorySink, TelemetryClient
from sim.faultd import Faultd
from sim.faults import Component, FaultBoard, Kind, Venue, supported_kinds
from sim.process_faults import ProcessFaults
from sim.scenario import load_scenario

SLEEPER = "import sys, time\ntime.sleep(60)  # runtime.policy.policyd"


def eventually(condition: Callable[[], bool], timeout_s: float = 20.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


class Child:
    """A process under a robot process's name."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> psutil.Process:
        child = subprocess.Popen([sys.executable, "-c", SLEEPER])
        self.processes.append(child)
        self._paths.pid_file("policyd").write_text(f"{child.pid}\n")
        found = psutil.Process(child.pid)
        assert eventually(lambda: any("policyd" in argument for argument in found.cmdline()))
        return found

    def close(self) -> None:
        for child in self.processes:
            child.kill()
            child.wait()


@pytest.fixture
def child(paths: Paths) -> Iterator[Child]:
    made = Child(paths)
    yield made
    made.close()


@pytest.fixture
def board() -> FaultBoard:
    return FaultBoard(Venue.FREE_RUNNING)


@pytest.fixture
def acting(paths: Paths, board: FaultBoard) -> Iterator[ProcessFaults]:
    made = ProcessFaults(paths, board, {Component.POLICYD: "runtime.policy.policyd"})
    yield made
    made.close()


def status(process: psutil.Process) -> str:
    return process.status()


def test_off_kills_once_and_holds_down_what_is_started_instead(
    child: Child, board: FaultBoard, acting: ProcessFaults
) -> None:
    first = child.start()
    board.inject(Component.POLICYD, Kind.OFF, 0)
    acting.step(0)
    assert child.processes[0].wait(timeout=10) == -signal.SIGKILL
    acting.step(1)
    second = child.start()
    assert second.pid != first.pid
    acting.step(2)
    assert eventually(lambda: status(second) == psutil.STATUS_STOPPED)
    board.clear(Component.POLICYD)
    acting.step(3)
    assert eventually(lambda: status(second) != psutil.STATUS_STOPPED)
    assert second.is_running()


def test_stuck_stops_and_clearing_lets_go(
    child: Child, board: FaultBoard, acting: ProcessFaults
) -> None:
    process = child.start()
    board.inject(Component.POLICYD, Kind.STUCK, 0)
    acting.step(0)
    assert eventually(lambda: status(process) == psutil.STATUS_STOPPED)
    board.clear(Component.POLICYD)
    acting.step(1)
    assert eventually(lambda: status(process) != psutil.STATUS_STOPPED)


def test_slow_stops_and_goes_by_its_duty(
    child: Child, board: FaultBoard, acting: ProcessFaults
) -> None:
    process = child.start()
    board.inject(Component.POLICYD, Kind.SLOW, 0)
    acting.step(40_000_000)
    assert eventually(lambda: status(process) == psutil.STATUS_STOPPED)
    acting.step(90_000_000)
    assert eventually(lambda: status(process) != psutil.STATUS_STOPPED)


def test_nobody_stays_stopped_when_the_simulator_ends_or_starts_again(
    paths: Paths, child: Child, board: FaultBoard, acting: ProcessFaults
) -> None:
    process = child.start()
    board.inject(Component.POLICYD, Kind.STUCK, 0)
    acting.step(0)
    assert eventually(lambda: status(process) == psutil.STATUS_STOPPED)
    fresh = ProcessFaults(paths, FaultBoard(Venue.FREE_RUNNING), acting.modules)
    fresh.release_leftovers()
    assert eventually(lambda: status(process) != psutil.STATUS_STOPPED)


def test_a_pid_file_that_names_a_stranger_harms_nobody(
    paths: Paths, board: FaultBoard, acting: ProcessFaults
) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        paths.pid_file("policyd").write_text(f"{stranger.pid}\n")
        board.inject(Component.POLICYD, Kind.OFF, 0)
        acting.step(0)
        assert stranger.poll() is None
        assert acting.pid_of(Component.POLICYD) is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_full_disk_is_a_limit_that_goes_away_again(paths: Paths, board: FaultBoard) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", "import time\ntime.sleep(60)  # runtime.telemetry.telemetryd"]
    )
    acting = ProcessFaults(paths, board, {Component.TELEMETRYD: "runtime.telemetry.telemetryd"})
    try:
        paths.pid_file("telemetryd").write_text(f"{writer.pid}\n")
        process = psutil.Process(writer.pid)
        assert eventually(lambda: acting.pid_of(Component.TELEMETRYD) == writer.pid)
        before = process.rlimit(psutil.RLIMIT_FSIZE)
        board.inject(Component.DISK, Kind.STUCK, 0)
        acting.step(0)
        assert process.rlimit(psutil.RLIMIT_FSIZE)[0] == 0
        board.clear(Component.DISK)
        acting.step(1)
        assert process.rlimit(psutil.RLIMIT_FSIZE) == before
    finally:
        writer.kill()
        writer.wait()


# The local API


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(str(self._path))


@pytest.fixture
def faultd(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faultd]:
    folder = tmp_path_factory.mktemp("f")  # a Unix socket's path must be short
    paths = Paths(folder / "run", folder / "data")
    (paths.run / "shm").mkdir(parents=True)
    clock = SystemClock()
    quiet = config.model_copy(
        update={
            "telemetry": config.telemetry.model_copy(
                update={"broker": config.telemetry.broker.model_copy(update={"via_relay": False})}
            )
        }
    )
    client = TelemetryClient(MemorySink(), "faultd", clock)
    process = Faultd(Context(quiet, paths, clock, Shm(paths.shm), client), load_scenario("empty"))
    process.sink = client.sink  # type: ignore[attr-defined]
    process.socket = paths.faults_socket  # type: ignore[attr-defined]
    yield process
    process.close()


def ask(faultd: Faultd, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
    with closing(UnixConnection(faultd.socket)) as connection:  # type: ignore[attr-defined]
        with suppress(BrokenPipeError):  # what is too long is refused before all of it was sent
            connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def post(faultd: Faultd, component: str, kind: str) -> tuple[int, Any]:
    return ask(
        faultd, "POST", "/faults", json.dumps({"component": component, "kind": kind}).encode()
    )


def test_listing_names_every_component_with_its_kinds(faultd: Faultd) -> None:
    code, rows = ask(faultd, "GET", "/faults")
    assert code == 200
    assert [row["component"] for row in rows] == [component.value for component in Component]
    for row in rows:
        wanted = supported_kinds(Component(row["component"]), Venue.FREE_RUNNING)
        assert row["kinds"] == [kind.value for kind in wanted]
        assert row["active"] is None


def test_injecting_shows_in_the_listing_and_in_telemetry_until_cleared(faultd: Faultd) -> None:
    code, answer = post(faultd, "gripper", "off")
    assert (code, answer["active"]) == (200, "off")
    _, rows = ask(faultd, "GET", "/faults")
    active = {row["component"]: row["active"] for row in rows if row["active"]}
    assert active == {"gripper": "off"}
    assert post(faultd, "gripper", "ok")[0] == 200
    _, rows = ask(faultd, "GET", "/faults")
    assert all(row["active"] is None for row in rows)
    told = [(record.name, record.fields["kind"]) for record in faultd.sink.drain()]  # type: ignore[attr-defined]
    assert told == [("fault.injected", "off"), ("fault.cleared", "ok")]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"component": "gripper", "kind": "bent"}', "bent"),
        (b'{"component": "roof", "kind": "off"}', "roof"),
        (b'{"component": "person", "kind": "garbage"}', "noise"),
        (b'{"component": "clock", "kind": "wrong"}', "lock-step"),
        (b'{"component": "gripper"}', "kind"),
        (b"[1, 2", "Expecting"),
        (b"x" * 5000, "4096"),
        (b"", "0 bytes"),
    ],
)
def test_bad_requests_are_refused_with_the_reason(faultd: Faultd, body: bytes, said: str) -> None:
    code, answer = ask(faultd, "POST", "/faults", body)
    assert code == 422
    assert said in answer["error"]


def test_other_paths_are_not_found(faultd: Faultd) -> None:
    assert ask(faultd, "GET", "/")[0] == 404


def test_simulated_gpu_reports_and_falls_silent_when_its_driver_is_stuck(faultd: Faultd) -> None:
    clock = SystemClock()
    faultd.step(clock.now_ns())
    reader = faultd._context.shm.reader("hal.gpu")
    first = reader.latest()
    assert first is not None
    assert first["present"] == 1
    post(faultd, "gpu", "slow")
    faultd.step(clock.now_ns() + 200_000_000)
    slow = reader.latest()
    assert slow is not None
    assert slow["slowdown"] == 4.0
    post(faultd, "gpu", "stuck")
    faultd.step(clock.now_ns() + 400_000_000)
    still = reader.latest()
    assert still is not None
    assert still["seq"] == slow["seq"]
