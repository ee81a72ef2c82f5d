"""A fleet side of its own for each test: authority, a real Mosquitto on a free port, stores."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from conf.load import compose
from conf.schema import Config
from fleet import postgresd
from fleet.broker import broker_command, write_broker
from fleet.pki import Authority, equip_robot
from fleet.prepare import LocalRobot, make_settings
from fleet.settings import FleetSettings, PostgresSettings, write_settings
from runtime.telemetry.uplink import MqttUplink, Presence, UplinkSettings
from tests.fleet.ports import own_port

SITE = "osaka"
OF_A_TEST = "of-a-test"  # in a cluster's folder: the process whose test it is


@pytest.fixture(scope="session")
def config() -> Config:
    return compose(overrides=["telemetry.broker.via_relay=false"]).config


class Broker:
    """A Mosquitto that can be killed and started again on the same port."""

    def __init__(self, folder: Path, settings: FleetSettings) -> None:
        self.settings = settings
        self.authority = Authority(settings.pki)
        self.authority.ensure()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        files = write_broker(
            self._folder / "broker", self.authority, "127.0.0.1", self.settings.broker_port
        )
        with (self._folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(broker_command(files), stderr=log)
        deadline = time.monotonic() + 10
        while not self._listens():
            assert self._process.poll() is None, (self._folder / "broker.log").read_text()
            assert time.monotonic() < deadline, "mosquitto does not listen"
            time.sleep(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.settings.broker_port)) == 0


@pytest.fixture(scope="session")
def has_mosquitto() -> None:
    if shutil.which("mosquitto", path="/usr/bin:/usr/sbin:/usr/local/sbin:/usr/local/bin") is None:
        pytest.skip("mosquitto is not installed (apt-get install mosquitto)")


@pytest.fixture
def settings(config: Config, tmp_path: Path) -> FleetSettings:
    robot = LocalRobot(tmp_path / "pki", tmp_path / "agent.sock", tmp_path / "faults.sock")
    made = make_settings(config, tmp_path / "fleet", robot)
    made = made.model_copy(update={"broker_port": own_port(21_883), "page_port": own_port(18_080)})
    write_settings(made)
    return made


@pytest.fixture
def broker(has_mosquitto: None, settings: FleetSettings, tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path, settings)
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def make_uplink(broker: Broker, tmp_path: Path) -> Iterator[Callable[[str], MqttUplink]]:
    made: list[MqttUplink] = []

    def make(robot_id: str) -> MqttUplink:
        folder = tmp_path / f"pki-{robot_id}"
        equip_robot(broker.authority, SITE, robot_id, folder)
        settings = UplinkSettings(
            "127.0.0.1",
            broker.settings.broker_port,
            10,
            folder / "ca.crt",
            folder / "robot.crt",
            folder / "robot.key",
        )
        uplink = MqttUplink(settings, Presence(robot_id, SITE, "dev", "a" * 64))
        made.append(uplink)
        wait_for(lambda: uplink.connected)
        return uplink

    yield make
    for uplink in made:
        uplink.close()


class Postgres:
    """A real server on a Unix socket, to be killed and started again."""

    def __init__(self, root: Path) -> None:
        self.cluster = postgresd.cluster_of(root)
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0

    def start(self) -> None:
        # What a commit promises is the server's own affair; a thousand tests need not wait for it.
        self._process = postgresd.start(self.cluster, "fsync=off", "max_connections=60")

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def new_settings(self) -> PostgresSettings:
        """Of an empty database."""
        self._databases += 1
        name = f"test_{self._databases}"
        postgresd.ensure_database(self.cluster, name)
        return self.cluster.settings(name)

    def new_database(self) -> str:
        """URL of an empty one."""
        return self.new_settings().url


def clear_leftovers() -> None:
    """Servers and files of tests that were killed; a fleet's own cluster bears no such mark."""
    for mark in postgresd.cluster_of(Path("/")).folder.parent.glob(f"bedplate-*/{OF_A_TEST}"):
        if not psutil.pid_exists(int(mark.read_text())):
            postgresd.end_orphan(mark.parent / "data")
            shutil.rmtree(mark.parent, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    if postgresd.find_binaries() is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    clear_leftovers()
    root = Path(tempfile.mkdtemp(prefix="bedplate-pg-"))  # a socket's path must be short
    server = Postgres(root)
    server.cluster.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (server.cluster.folder / OF_A_TEST).write_text(str(os.getpid()))
    try:
        server.start()
        yield server
    finally:
        server.kill(signal.SIGINT)
        shutil.rmtree(server.cluster.folder, ignore_errors=True)
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def rows_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database of rows, once in SQLite and once in a real PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'rows.sqlite'}"
    return request.getfixturevalue("postgres").new_database()


@pytest.fixture(params=["sqlite", "postgresql"])
def both_settings(request: pytest.FixtureRequest, settings: FleetSettings) -> FleetSettings:
    """Of a fleet side with its rows in SQLite, and of one with them in a real PostgreSQL."""
    if request.param == "sqlite":
        return settings
    server: Postgres = request.getfixturevalue("postgres")
    return settings.model_copy(update={"postgres": server.new_settings()})


def wait_for(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.02)


__all__ = ["Broker", "Postgres", "wait_for"]
