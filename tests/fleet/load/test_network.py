"""Robots, broker and fleet in three networks, and bad weather on the wires between them."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from fleet.broker import broker_command, write_broker
from fleet.metrics.loss import losses, total
from fleet.pki import Authority
from fleet.settings import FleetSettings, write_settings
from fleet.store.books import Account, Books
from fleet.store.embedded import EmbeddedStore
from tests.fleet.conftest import wait_for
from tests.fleet.load.wire import Namespace, Weather, Wire, why_not
from tests.fleet.load.world import numbers_stored

ROOT = Path(__file__).resolve().parents[3]
BROKER = "10.0.2.2"  # a name that its certificate has
CROWD = 4
ROBOTS, FLEET = "10.77.1.1", "10.77.2.1"
STORM = Weather(loss=0.1, doubled=0.05, delay_s=0.05, spread_s=0.05)
CALM = Weather(delay_s=0.02)
PARTED = Weather(down=True)
FORGOTTEN = Weather(resets=True)
pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(400),
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
]


class Net:
    """Three networks, and two wires that meet at the broker."""

    def __init__(self, stack: ExitStack) -> None:
        self.robots, self.broker, self.fleet = (
            stack.enter_context(closing(Namespace(f"bedplate{os.getpid()}{part}")))
            for part in "rbf"
        )
        west = Wire((self.robots, ROBOTS), (self.broker, BROKER))
        self.to_robots = stack.enter_context(closing(west))
        east = Wire((self.broker, BROKER), (self.fleet, FLEET), seed=2)
        self.to_fleet = stack.enter_context(closing(east))

    def weather(self, robots: Weather, fleet: Weather, lasting_s: float) -> None:
        self.to_robots.weather, self.to_fleet.weather = robots, fleet
        time.sleep(lasting_s)

    def cut_off(self, wire: Wire, connections: int) -> None:
        """Parted with words on their way, which end with their connections."""
        wire.weather = PARTED
        time.sleep(4)
        wire.weather = FORGOTTEN
        wait_for(lambda: wire.resets >= connections, 60)
        wire.weather = STORM


@pytest.fixture
def net() -> Iterator[Net]:
    with ExitStack() as stack:
        yield Net(stack)


@pytest.fixture
def far(settings: FleetSettings, has_mosquitto: None) -> FleetSettings:
    """Settings of a fleet whose broker is in a network of its own."""
    made = settings.model_copy(update={"broker_host": BROKER, "broker_port": 8883})
    Authority(made.pki).ensure()
    write_settings(made)
    Books(made.rows_url).close()
    return made


def test_nothing_is_lost_in_loss_delay_disorder_partition_and_reset(
    net: Net, far: FleetSettings, tmp_path: Path
) -> None:
    files = write_broker(tmp_path / "broker", Authority(far.pki), BROKER, far.broker_port)
    tell = ["--fleet-dir", str(far.root)]
    load = ["bedplate", "fleet", "load", "--robots", str(CROWD), "--task-period", "5s"]
    log = tmp_path / "net.log"
    with ExitStack() as stack:
        out = stack.enter_context(log.open("ab"))

        def start(command: list[str]) -> "subprocess.Popen[bytes]":
            env = {**os.environ, "PYTHONPATH": str(ROOT)}
            process = subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT, env=env)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        start(net.broker.command(*broker_command(files)))
        start(net.fleet.command(sys.executable, "-m", "fleet.ingestd", *tell))
        robots = start(net.robots.command(sys.executable, "-m", *load, "--for", "45s", *tell))
        net.weather(STORM, STORM, 0)
        wait_for(lambda: len(_accounts(far)) == CROWD, 120)  # all of them are heard
        time.sleep(3)
        net.cut_off(net.to_robots, CROWD)
        net.cut_off(net.to_fleet, 1)
        net.weather(PARTED, PARTED, 5)
        net.weather(CALM, CALM, 0)
        assert robots.wait(300) == 0, log.read_text()[-3000:]
        for wire in (net.to_robots, net.to_fleet):
            assert min(wire.lost, wire.doubled, wire.parted, wire.resets) > 0
        _check(far)


def _accounts(settings: FleetSettings) -> list[Account]:
    with closing(Books(settings.rows_url)) as books:
        return list(books.accounts())


def _check(settings: FleetSettings) -> None:
    """Every number that any robot gave is stored, once, and the account says so."""
    books, store = Books(settings.rows_url), EmbeddedStore(settings.series)
    with closing(books), closing(store):
        wait_for(lambda: not total(losses(books.accounts())).pending, 30)
        found = total(losses(books.accounts()))
        assert found.sent > 200
        assert (found.stored, found.missing, found.refused) == (found.sent, 0, 0)
        accounts = books.accounts()
        assert len(accounts) == CROWD
        stored = numbers_stored(store)
        for account in accounts:
            assert sorted(stored[account.robot_id]) == list(range(1, account.head + 1))
