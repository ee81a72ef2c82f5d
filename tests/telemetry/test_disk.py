"""What the disk can do to the spool: full, read-only, gone. The robot's telemetry stays alive."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from records import Priority
from runtime.hal.clock import VirtualClock
from runtime.telemetry.journal import REOPEN_EVERY_NS, Journal
from runtime.telemetry.line import decode_line, encode_tags
from runtime.telemetry.spool import Spool
from runtime.telemetry.spool_file import SpoolLimits
from tests.telemetry.spools import MIB, TAGS, alert, at, event, metric, open_spool


def mount(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB, and nothing else on it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)):
        pytest.skip("mounting a small file system needs root (CAP_SYS_ADMIN)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_disk(folder: Path) -> Path:
    """Somebody else's file takes all that is left."""
    filler = folder / "filler"
    handle = os.open(filler, os.O_WRONLY | os.O_CREAT)
    for size in (65536, 512):
        with contextlib.suppress(OSError):  # until there is no space left
            while True:
                os.write(handle, b"x" * size)
    os.close(handle)
    return filler


def held(spool: Spool, priority: Priority) -> int:
    return spool.depth().records[priority]


def test_full_disk_keeps_alerts_drops_by_priority_and_counts(small_disk: Path) -> None:
    spool = open_spool(small_disk / "spool.sqlite", max_bytes=2 * MIB)
    spool.commit([metric(0) for _ in range(200)], at(0))
    filler = fill_disk(small_disk)
    alerts = 0
    for step in range(60):
        batch = [metric(step, size=400) for _ in range(30)] + [alert(step) for _ in range(5)]
        alerts += len(spool.commit(batch, at(step)).ranges[Priority.ALERT])
    assert alerts == held(spool, Priority.ALERT) == 300
    assert spool.depth().disk_full
    counters = spool.depth().counters
    assert counters.get("dropped_metric", 0) + counters.get("thinned_metric", 0) > 500
    assert "dropped_alert" not in counters
    filler.unlink()
    spool.commit([metric(99)], at(99))
    assert not spool.depth().disk_full
    assert spool.ballast.restore()
    spool.close()
    again = open_spool(small_disk / "spool.sqlite", max_bytes=2 * MIB)
    assert held(again, Priority.ALERT) == 300
    again.close()


def make_journal(path: Path, clock: VirtualClock) -> Journal:
    epochs = iter(range(100, 200))
    return Journal(path, SpoolLimits(8 * MIB), encode_tags(TAGS), clock, lambda: next(epochs))


def names(journal: Journal) -> list[str]:
    spool = journal.active
    lines = [
        line
        for priority in (Priority.ALERT, Priority.EVENT)
        for _, line in spool.take(priority, 1, 2**60, rows=999, size=2**40)
    ]
    return [str(decode_line(line).fields["name"]) for line in lines]


def test_read_only_disk_leaves_telemetry_alive_with_an_alert_and_returns(small_disk: Path) -> None:
    clock = VirtualClock()
    journal = make_journal(small_disk / "spool.sqlite", clock)
    journal.commit([event(1)])
    journal.close()
    assert mount("-o", "remount,ro", str(small_disk))
    journal = make_journal(small_disk / "spool.sqlite", clock)
    journal.commit([alert(1), metric(1)])
    assert not journal.active.depth().durable
    assert "telemetry.spool_unavailable" in names(journal)
    assert mount("-o", "remount,rw", str(small_disk))
    clock.advance(REOPEN_EVERY_NS)
    journal.commit([event(2)])
    journal.commit([])
    assert journal.active.depth().durable
    assert journal.active.epoch == 100
    assert "telemetry.spool_restored" in names(journal)
    assert held(journal.active, Priority.EVENT) == 3
    journal.close()


def test_disk_that_becomes_read_only_between_two_commits_loses_no_record(
    tmp_path: Path,
) -> None:
    journal = make_journal(tmp_path / "spool.sqlite", VirtualClock())
    journal.commit([event(1)])
    journal.active._db.execute("PRAGMA query_only = 1")  # writes now fail as on a read-only disk
    done = journal.commit([event(2), alert(2)])
    assert done.spool.path is None
    assert held(done.spool, Priority.EVENT) == 1
    assert held(done.spool, Priority.ALERT) == 2
    journal.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes through file permissions")
def test_folder_without_write_permission_leaves_telemetry_alive(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    journal = make_journal(tmp_path / "data" / "spool.sqlite", VirtualClock())
    journal.commit([alert(1)])
    assert not journal.active.depth().durable
    tmp_path.chmod(0o700)
    journal.close()


def test_spool_path_that_is_a_folder_leaves_telemetry_alive(tmp_path: Path) -> None:
    (tmp_path / "spool.sqlite").mkdir()
    journal = make_journal(tmp_path / "spool.sqlite", VirtualClock())
    journal.commit([alert(1)])
    assert names(journal)[-1] == "telemetry.spool_unavailable"
    journal.close()
