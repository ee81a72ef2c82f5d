import os
from types import SimpleNamespace

from runtime.health.checks.disk import CHECK


def test_disk_reports_room_for_data(bench):
    assert CHECK.make_probe()(bench.sources).value > 0


def test_disk_that_is_not_there_is_unknown(bench, tmp_path):
    bench.data_dir = tmp_path / "gone"
    measured = CHECK.make_probe()(bench.sources)
    assert measured.value is None
    assert "gone" in measured.note


def test_disk_mounted_read_only_has_no_room(bench, monkeypatch):
    full = SimpleNamespace(f_flag=os.ST_RDONLY, f_bavail=10**9, f_blocks=10**9, f_frsize=4096)
    monkeypatch.setattr("os.statvfs", lambda _path: full)
    measured = CHECK.make_probe()(bench.sources)
    assert measured.value == 0.0
    assert measured.note == "mounted read-only"
