"""Which disks are started to the end, each the disk of that moment; no guest is needed."""

import pytest

from ota.boot_env.states import SLOT_B
from ota.power_cut.boots import Place, expected, points, replaying
from ota.power_cut.emulated import missing_programs
from ota.power_cut.prove import Mark
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
