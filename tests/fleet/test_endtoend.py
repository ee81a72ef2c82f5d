"""From a robot's spool through a real broker into the store, with everything killed in between."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conf.schema import Config
from fleet.settings import FleetSettings
from fleet.store.books import Account, Books
from fleet.store.embedded import EmbeddedStore
from fleet.store.series import Query
from records import Priority, Severity
from runtime.daemon import Context
from runtime.hal.clock import SystemClock
from runtime.paths import Paths
from runtime.shm import Shm
from runtime.telemetry.client import TelemetryClient
from runtime.telemetry.telemetryd import Telemetry
from runtime.telemetry.uplink import MqttUplink
from tests.fleet.conftest import Broker, wait_for

pytestmark = [
    pytest.mark.timeout(120),
    # paho leaves the socket of a lost connection to the garbage collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class IngestProcess:
    """ingestd in a process of its own, to be killed."""

    def __init__(self, settings: FleetSettings, name: str = "1") -> None:
        self._settings = settings
        self._name = name
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = (self._settings.root / f"ingestd-{self._name}.log").open("ab")
        command = [sys.executable, "-m", "fleet.ingestd", "--name", self._name]
        self._process = subprocess.Popen(
            [*command, "--fleet-dir", str(self._settings.root)],
            stderr=log,
            env={**os.environ, "PYTHONPATH": "."},
        )
        log.close()

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


class Robot:
    """A whole telemetryd in this process, on the real clock and the real broker."""

    def __init__(
        self, config: Config, folder: Path, make_uplink: Callable[[str], MqttUplink]
    ) -> None:
        self._config = config
        self._paths = Paths(run=folder / "run", data=folder / "data")
        (self._paths.run / "shm").mkdir(parents=True, exist_ok=True)
        self._make_uplink = make_uplink
        self.start()

    def start(self) -> None:
        clock = SystemClock()
        self.client = TelemetryClient(self._paths.telemetry_socket, "test", clock)
        context = Context(self._config, self._paths, clock, Shm(self._paths.shm), self.client)
        self.process = Telemetry(context, self._make_uplink(self._config.robot_id))

    def restart(self) -> None:
        self.close()
        self.start()

    def close(self) -> None:
        self.process.close()
        self.client.sink.close()

    @property
    def head(self) -> int:
        return self.process.journal.active.head

    @property
    def held(self) -> int:
        return sum(self.process.journal.active.depth().records.values())

    def run(self, seconds: float, work: Callable[[], None] | None = None) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if work is not None:
                work()
            self.process.step(time.monotonic_ns())
            time.sleep(0.05)

    def run_until(self, condition: Callable[[], bool], seconds: float = 180.0) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, f"head {self.head}, still held {self.held}"
            self.run(0.2)

    def report(self) -> None:
        self.process._keep_books(time.monotonic_ns())


@pytest.fixture
def ingest(broker: Broker, settings: FleetSettings) -> Iterator[IngestProcess]:
    process = IngestProcess(settings)
    process.start()
    yield process
    process.kill()


@pytest.fixture
def robot(
    config: Config, memory_robot: Path, make_uplink: Callable[[str], MqttUplink]
) -> Iterator[Robot]:
    fast = config.model_copy(
        update={"telemetry": config.telemetry.model_copy(update={"resend_ms": 2000})}
    )
    robot = Robot(fast, memory_robot, make_uplink)
    yield robot
    robot.close()


@pytest.fixture
def memory_robot(tmp_path: Path) -> Path:
    return tmp_path / "robot"


def say(robot: Robot) -> Callable[[], None]:
    numbers = iter(range(10**9))

    def work() -> None:
        number = next(numbers)
        for _ in range(5):
            robot.client.metric("load", {"number": number})
        robot.client.event("task.done", Severity.INFO, {"number": number})

    return work


def stored(settings: FleetSettings) -> list[int]:
    """Sequence numbers in the store, over all measurements; equal ones would show as a pair."""
    store = EmbeddedStore(settings.series)
    found: list[int] = []
    for measurement in ("load", "event", "telemetry"):
        points = store.points(Query(measurement, "osaka-01", limit=10**6))
        found += [int(point.fields["seq"]) for point in points]
    store.close()
    return sorted(found)


def books(settings: FleetSettings) -> Account:
    opened = Books(settings.books_url)
    (account,) = opened.accounts("osaka-01")
    opened.close()
    return account


def settle_and_check(robot: Robot, settings: FleetSettings) -> None:
    robot.client.barrier()
    robot.run_until(lambda: robot.held == 0)
    head = robot.head
    assert stored(settings) == list(range(1, head + 1))
    robot.report()

    def booked() -> bool:
        robot.run(0.2)
        return books_or_none(settings) is not None and books(settings).head >= head

    wait_for(booked)
    account = books(settings)
    assert account.missing == 0
    assert account.stored + account.pending == account.head


def books_or_none(settings: FleetSettings) -> Account | None:
    opened = Books(settings.books_url)
    found = opened.accounts("osaka-01")
    opened.close()
    return found[0] if found else None


def test_records_arrive_once_each_while_everything_is_killed(
    robot: Robot, ingest: IngestProcess, broker: Broker, settings: FleetSettings
) -> None:
    work = say(robot)
    robot.run(2, work)
    ingest.kill()
    robot.run(2, work)
    ingest.start()
    robot.run(1.5, work)
    broker.kill()
    robot.run(2, work)
    broker.start()
    robot.run(2, work)
    robot.restart()
    robot.run(1, work)
    ingest.kill()
    broker.kill()
    robot.run(1, work)
    broker.start()
    ingest.start()
    robot.run(1, work)
    settle_and_check(robot, settings)
    assert robot.head > 1000


@pytest.mark.slow
def test_two_ingesters_share_the_work_and_lose_nothing_when_one_dies(
    robot: Robot, ingest: IngestProcess, settings: FleetSettings
) -> None:
    second = IngestProcess(settings, "2")
    second.start()
    work = say(robot)
    robot.run(5, work)
    second.kill()
    robot.run(1, work)
    settle_and_check(robot, settings)


def test_records_of_a_broker_away_from_the_start_wait_in_the_spool(
    config: Config,
    broker: Broker,
    settings: FleetSettings,
    make_uplink: Callable[[str], MqttUplink],
    tmp_path: Path,
) -> None:
    robot = Robot(config, tmp_path / "robot", make_uplink)
    broker.kill()
    robot.run(1, say(robot))
    robot.client.barrier()
    assert robot.process.journal.active.depth().records[Priority.EVENT] > 5
    ingest = IngestProcess(settings)
    broker.start()
    ingest.start()
    settle_and_check(robot, settings)
    ingest.kill()
    robot.close()


@pytest.mark.slow
def test_store_that_fails_for_a_while_stops_acknowledgements_not_the_robot(
    robot: Robot, ingest: IngestProcess, settings: FleetSettings
) -> None:
    import sqlite3

    work = say(robot)
    robot.run(1.5, work)
    wait_for(lambda: settings.series.exists())
    blocker = sqlite3.connect(settings.series, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")  # nobody else can write now
    robot.run(3, work)
    assert robot.held > 50
    blocker.execute("ROLLBACK")
    blocker.close()
    settle_and_check(robot, settings)
