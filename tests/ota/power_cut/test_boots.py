"""Which disks are started to the end, each the disk of that moment; no guest is needed."""

from pathlib import Path

import pytest

from ota.boot_env.states import SLOT_B
from ota.power_cut import boots
from ota.power_cut.boots import Boot, Place, Point, expected, points, replaying, start_each
from ota.power_cut.emulated import missing_programs
from ota.power_cut.prove import Mark
from ota.power_cut.reads import Stretch
from ota.power_cut.recording import Installed, Recording
from tests.ota.power_cut.recorder import COMMIT, INSTALL, new_recorder, write_file

pytestmark = pytest.mark.skipif(bool(missing_programs()), reason=f"{missing_programs()} missing")


@pytest.fixture
def recording(tmp_path, monkeypatch) -> Recording:
    recorder = new_recorder(tmp_path, monkeypatch)
    recorder.fill_slot(SLOT_B)
    recorder.tool("a", "committed", *INSTALL)
    recorder.grub()
    recorder.tool("b", "trial", *COMMIT)
    write_file(tmp_path / "writes", recorder.found)
    installed = (Installed("first", "aa"),)
    return Recording(tmp_path, "", "", "", "", 0.0, installed, (Mark(0, "install 1"),))


def test_each_write_of_the_environment_is_cut_before_and_after(recording, tmp_path):
    chosen = points(recording)
    boundaries = sorted(point.entry for point in chosen if point.place is Place.BOUNDARY)
    assert {Place.BOUNDARY, Place.SLOT} <= {point.place for point in chosen}
    outcomes = []
    with replaying(recording, tmp_path / "again") as replay:
        for entry in boundaries:
            started = expected(replay.to(entry))
            assert started.slot is not None
            outcomes.append(f"{started.choice} {started.slot}")
    assert list(dict.fromkeys(outcomes)) == [
        "committed 2",
        "trial 3",
        "rolled-back 2",
        "committed 3",
    ]


def test_disk_of_an_earlier_moment_is_made_anew(recording, tmp_path):
    with (
        replaying(recording, tmp_path / "again") as replay,
        replaying(recording, tmp_path / "other") as other,
    ):
        late = replay.to(10_000)
        before = late.read(late.copies[0], 512)
        early = replay.to(-1)
        assert early.read(early.copies[0], 512) != before
        assert early.esp_digest() == other.disk.esp_digest()


def start_like(same_for: int, fault_at: int | None = None):
    """In place of a guest: a start is the same as far as this many entries around it."""
    made: list[int] = []

    def start(recording: Recording, disk: object, point: Point, folder: Path) -> Boot:
        made.append(point.entry)
        return Boot(
            entry=point.entry,
            place=point.place,
            phase="install 1",
            situation="slot a committed",
            outcome="committed a",
            artifact="first",
            faults=("no SSH",) if point.entry == fault_at else (),
            took_s=1.0,
            same=Stretch(point.entry - same_for, point.entry + same_for),
        )

    return start, made


def test_no_cut_is_started_that_another_start_stands_for(recording, tmp_path, monkeypatch):
    start, made = start_like(3)
    monkeypatch.setattr(boots, "_start", start)
    said: list[str] = []
    start_each(recording, tmp_path / "boots", said.append)
    wanted = points(recording)
    entries = {point.entry for point in wanted}
    assert len(made) < len(entries)
    assert all(any(abs(entry - one) <= 3 for one in made) for entry in entries)
    assert said[-1].startswith(f"{len(wanted)} of {len(wanted)}: ")
    before = list(made)
    start_each(recording, tmp_path / "boots", said.append)
    assert made == before


def test_start_with_a_fault_stands_for_no_other(recording, tmp_path, monkeypatch):
    wanted = points(recording)
    start, made = start_like(10_000, fault_at=wanted[0].entry)
    monkeypatch.setattr(boots, "_start", start)
    start_each(recording, tmp_path / "boots", print)
    assert len(made) == 2


def test_run_that_is_to_make_some_starts_makes_so_many(recording, tmp_path, monkeypatch):
    start, made = start_like(0)
    monkeypatch.setattr(boots, "_start", start)
    start_each(recording, tmp_path / "boots", print, most=2)
    assert len(made) == 2
    start_each(recording, tmp_path / "boots", print, most=1)
    assert len(set(made)) == 3
