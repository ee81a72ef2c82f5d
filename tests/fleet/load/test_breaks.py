"""Databases that are full, and databases that answer too late: the account stays exact."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet import postgresd
from fleet.influxd import ensure_credentials, ensure_database, find_binary, start
from fleet.settings import InfluxSettings
from fleet.store import influx
from fleet.store.embedded import EmbeddedStore
from fleet.store.influx import InfluxStore
from tests.fleet.conftest import Postgres
from tests.fleet.load.slow import SlowDoor
from tests.fleet.load.world import World
from tests.fleet.ports import own_port


@pytest.mark.parametrize("which", ["series", "books"])
def test_a_database_that_may_not_grow_stops_acknowledgements_and_loses_nothing(
    tmp_path: Path, which: str
) -> None:
    """SQLite's own limit stands in for the disk's end: it fails where a full disk would."""
    world = World(tmp_path, 5)
    world.run(2, 12.0, lambda: None)

    def limit(pages: int) -> None:
        statement = f"PRAGMA max_page_count = {pages}"
        if which == "series":
            assert isinstance(world.store, EmbeddedStore)
            world.store._db.execute(statement)
        else:
            with world.books.engine.connect() as connection:
                connection.exec_driver_sql(statement)

    limit(1)  # no less than it has
    world.run(12, 12.0, lambda: None)
    held = [len(robot.spool.held) for robot in world.robots]
    assert world.refusals > 3
    assert min(held) > 0
    limit(2**30)
    world.check()
    world.close()


@contextlib.contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "small", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("no tmpfs can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """To its last byte; room is made again by removing what is named."""
    ballast = disk / "ballast"
    with (
        Path("/dev/zero").open("rb") as zeros,
        ballast.open("wb", buffering=0) as file,
        pytest.raises(OSError, match="No space"),
    ):
        shutil.copyfileobj(zeros, file)
    return ballast


def work_on_a_full(disk: Path, world: World, rounds: int) -> None:
    """While it is full nothing is acknowledged; then there is room again."""
    world.run(2, 12.0, lambda: None)
    ballast = fill(disk)
    world.run(rounds, 12.0, lambda: None)
    assert world.refusals > 3
    ballast.unlink()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_full_disk_stops_acknowledgements_and_loses_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 24) as disk:
        world = World(disk, 5)
        work_on_a_full(disk, world, 12)
        world.check()
        world.close()


class Influx:
    """A real server, to be started again on the same files."""

    def __init__(self, folder: Path) -> None:
        if find_binary() is None:
            pytest.skip("no influxd: python -m fleet.influxd --build")
        self.settings = InfluxSettings(
            url=f"http://127.0.0.1:{own_port(28_286)}",
            database="bedplate",
            credentials=folder / "credentials",
        )
        self._files = folder / "influxdb"

    def start(self) -> None:
        made = self.settings
        self._process = start(self._files, made.url)
        ensure_database(made.url, ensure_credentials(made.credentials), made.database)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_influxdb_on_a_full_disk_stops_acknowledgements_and_loses_nothing(tmp_path: Path) -> None:
    """Room alone does not mend it: its log's writer keeps its first error until a restart."""
    with small_disk(tmp_path / "small", 24) as disk:
        server = Influx(disk)
        server.start()
        try:
            world = World(tmp_path, 9, make_store=lambda: InfluxStore(server.settings))
            work_on_a_full(disk, world, 12)
            server.kill()
            server.start()
            world.check()
            world.close()
        finally:
            server.kill()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_postgresql_on_a_full_disk_stops_acknowledgements_and_loses_nothing(tmp_path: Path) -> None:
    """It may end itself when it cannot write its log; whoever runs it starts it again."""
    if postgresd.find_binaries() is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    root = Path(tempfile.mkdtemp(prefix="bedplate-pg-"))  # a socket's path must be short
    server = Postgres(root)
    with small_disk(server.cluster.folder, 128) as disk:
        disk.chmod(0o700)
        try:
            server.start()
            world = World(tmp_path, 10, rows_url=server.new_database())
            work_on_a_full(disk, world, 30)
            server.kill(signal.SIGINT)
            server.start()
            world.check()
            world.close()
        finally:
            server.kill(signal.SIGINT)
    server.cluster.folder.rmdir()
    shutil.rmtree(root)


@pytest.fixture
def influxd(tmp_path: Path) -> Iterator[InfluxSettings]:
    server = Influx(tmp_path)
    server.start()
    yield server.settings
    server.kill()


@pytest.fixture
def doors() -> Iterator[Callable[..., SlowDoor]]:
    made: list[SlowDoor] = []

    def make(*places: tuple[str, int] | Path) -> SlowDoor:
        made.append(SlowDoor(*places))
        return made[-1]

    yield make
    for door in made:
        door.close()


def test_influxdb_that_answers_too_late_has_written_and_nothing_is_double(
    tmp_path: Path,
    influxd: InfluxSettings,
    doors: Callable[..., SlowDoor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(influx, "TIMEOUT_S", 0.5)
    here, there = ("127.0.0.1", own_port(28_386)), ("127.0.0.1", int(influxd.url.split(":")[-1]))
    door = doors(here, there)
    behind = influxd.model_copy(update={"url": f"http://127.0.0.1:{here[1]}"})
    world = World(tmp_path, 7, make_store=lambda: InfluxStore(behind))

    def fault() -> None:
        door.delay_s = world.draw.choice((0.0, 0.0, 0.8))

    world.run(12, 12.0, fault)
    assert world.refusals > 1
    assert door.answers_delayed > 1
    door.delay_s = 0.0
    monkeypatch.setattr(influx, "TIMEOUT_S", 30.0)
    world.crash()  # a client of a patient kind
    world.check()
    world.close()


def test_postgresql_that_is_slow_and_cuts_its_clients_off_leaves_nothing_lost_or_double(
    tmp_path: Path, postgres: Postgres, doors: Callable[..., SlowDoor]
) -> None:
    """It ends in a transaction, before the commit is heard, or before its answer is."""
    name = f".s.PGSQL.{postgresd.PORT}"
    folder = postgres.cluster.password.parent / "door"  # short, as a socket's path must be
    folder.mkdir()
    settings = postgres.new_settings().model_copy(update={"host": str(folder)})
    door = doors(folder / name, postgres.cluster.folder / name)
    world = World(tmp_path, 8, rows_url=settings.url)

    def fault() -> None:
        door.cut_at = world.draw.choice((b"", b"COMMIT", b"COMMIT", b"INSERT INTO"))
        door.heard = world.draw.random() < 0.5
        door.delay_s = world.draw.choice((0.0, 0.02))

    world.run(16, 12.0, fault)
    assert world.refusals > 1
    assert min(door.answers_delayed, door.cuts) > 1
    door.delay_s, door.cut_at = 0.0, b""
    world.check()
    world.close()
