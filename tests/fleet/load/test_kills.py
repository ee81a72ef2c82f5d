"""Ingesters, broker, InfluxDB and PostgreSQL killed with -9, in any order, under load.

Processes and databases are real. At the end the account is exact: every record that any robot
numbered is stored, once.
"""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conf.schema.telemetry import Store
from fleet import influxd
from fleet.clock import SystemClock
from fleet.ingestd import open_store
from fleet.load.crowd import Crowd
from fleet.load.plan import Plan
from fleet.metrics import Span, tally
from fleet.metrics.loss import losses, total
from fleet.settings import FleetSettings, InfluxSettings, write_settings
from fleet.store.books import Books
from tests.fleet.conftest import Broker, Postgres, wait_for
from tests.fleet.load.world import numbers_stored
from tests.fleet.ports import own_port

ROOT = Path(__file__).resolve().parents[3]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Child:
    """A process that is killed and started again."""

    def __init__(self, command: list[str], log: Path, env: dict[str, str] | None = None) -> None:
        self._command, self._log, self._env = command, log, env
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                self._command, stdout=out, stderr=out, cwd=ROOT, env=self._env
            )

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture
def real(
    settings: FleetSettings, postgres: Postgres, tmp_path: Path
) -> Iterator[tuple[FleetSettings, Child]]:
    """Settings with both real databases, and the one of them that is no fixture of its own."""
    binary = influxd.find_binary()
    if binary is None:
        pytest.skip("no influxd: python -m fleet.influxd --build")
    url, folder = f"http://127.0.0.1:{own_port(28_186)}", tmp_path / "influxdb"
    influx = InfluxSettings(url=url, database="bedplate", credentials=folder / "credentials")
    postgres.new_database()
    rows = postgres.cluster.settings(f"test_{postgres._databases}")
    made = settings.model_copy(update={"store": Store.INFLUXDB, "influx": influx, "postgres": rows})
    write_settings(made)
    influxd.start(folder, url).kill()
    child = Child([str(binary)], tmp_path / "influxd.log", influxd.environment_of(folder, url))
    child.start()
    wait_for(lambda: _has_database(influx), 30)
    yield made, child
    child.kill()


def _has_database(influx: InfluxSettings) -> bool:
    import httpx

    try:
        credentials = influxd.ensure_credentials(influx.credentials)
        influxd.ensure_database(influx.url, credentials, influx.database)
    except (httpx.HTTPError, influxd.InfluxdError):
        return False
    return True


@pytest.mark.parametrize("seed", range(3))
def test_everything_is_killed_in_any_order_and_nothing_is_lost(
    real: tuple[FleetSettings, Child], broker: Broker, postgres: Postgres, seed: int
) -> None:
    settings, influx = real
    draw, clock = random.Random(seed), SystemClock()
    command = [sys.executable, "-m", "fleet.ingestd", "--fleet-dir", str(settings.root)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ingesters = [
        Child([*command, "--name", name], settings.root / f"ingestd-{name}.log", env)
        for name in ("1", "2")
    ]
    parts = [influx, broker, postgres, *ingesters]
    for child in ingesters:
        child.start()
    crowd = Crowd(Plan(robots=10, seed=seed, task_period_s=6), settings, clock)

    def run(seconds: float) -> None:
        until_ns = clock.now_ns() + round(seconds * 1e9)
        crowd.run(lambda: clock.now_ns() > until_ns)

    run(2)
    for _ in range(8):
        down = draw.sample(parts, draw.randint(1, 3))
        for part in down:
            part.kill()
        run(draw.uniform(0.5, 2))
        for part in draw.sample(down, len(down)):
            part.start()
        run(draw.uniform(0.5, 2))
    limit_ns = clock.now_ns() + 240 * 10**9
    assert crowd.settle(lambda: clock.now_ns() > limit_ns), crowd.held
    crowd.close()
    _check(settings, crowd)
    for child in ingesters:
        child.kill()


def _check(settings: FleetSettings, crowd: Crowd) -> None:
    books = Books(settings.rows_url)
    wait_for(lambda: total(losses(books.accounts())).sent == crowd.head, 60)
    found = total(losses(books.accounts()))
    assert (found.stored, found.missing, found.refused, found.pending) == (crowd.head, 0, 0, 0)
    now_ns = SystemClock().wall_ns()
    ended = sum(robot.story.totals.done + robot.story.totals.failed for robot in crowd.robots)
    unfinished = len(crowd.robots)  # tasks that were begun end after the story was cut off
    assert ended - unfinished <= tally(books.engine, Span.last(3600, now_ns)).ended <= ended
    books.close()
    store = open_store(settings)
    stored = numbers_stored(store)
    for robot in crowd.robots:
        assert sorted(stored[robot.robot_id]) == list(range(1, robot.spool.head + 1))
    store.close()
