"""Databases that are full, and databases that answer too late: the account stays exact."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet.influxd import ensure_credentials, ensure_database, find_binary, start
from fleet.settings import InfluxSettings
from fleet.store import influx
from fleet.store.embedded import EmbeddedStore
from fleet.store.influx import InfluxStore
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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "small", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("no tmpfs can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_full_disk_stops_acknowledgements_and_loses_nothing(small_disk: Path) -> None:
    world = World(small_disk, 5)
    world.run(2, 12.0, lambda: None)
    with pytest.raises(OSError, match="No space"):
        (small_disk / "ballast").write_bytes(bytes(2**25))
    world.run(12, 12.0, lambda: None)
    assert world.refusals > 3
    (small_disk / "ballast").unlink()
    world.check()
    world.close()


@pytest.fixture
def influxd(tmp_path: Path) -> Iterator[InfluxSettings]:
    if find_binary() is None:
        pytest.skip("no influxd: python -c 'from fleet.influxd import *; ensure_binary()'")
    url = f"http://127.0.0.1:{own_port(28_286)}"
    settings = InfluxSettings(url=url, database="bedplate", credentials=tmp_path / "credentials")
    process = start(tmp_path / "influxdb", url)
    ensure_database(url, ensure_credentials(settings.credentials), settings.database)
    yield settings
    process.kill()
    process.wait()


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
