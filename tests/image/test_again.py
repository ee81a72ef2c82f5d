"""A build that is repeated in another home has the same programs."""

from pathlib import Path

import pytest

from image.again import surroundings
from image.steps.python import find_uv


@pytest.fixture
def kept_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As `bootstrap.sh` leaves it on a machine without one of its own; a home around it."""
    uv = tmp_path / "home" / ".cache" / "bedplate" / "uv-1.0" / "bin" / "uv"
    uv.parent.mkdir(parents=True)
    uv.write_text("#!/bin/sh\n")
    uv.chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return uv


def test_uv_that_bootstrap_keeps_in_one_home_is_found_from_another(
    kept_uv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    home = tmp_path / "home"
    other = surroundings({"PATH": str(tmp_path / "bin")}, home, tmp_path / "other")
    for name, value in other.items():
        monkeypatch.setenv(name, value)
    assert Path.home() == tmp_path / "other"
    assert find_uv() == kept_uv


def test_programs_of_this_machine_come_before_those_beside_uv(kept_uv: Path, tmp_path: Path):
    ours = {"PATH": "/usr/local/bin:/usr/bin"}
    other = surroundings(ours, tmp_path / "home", tmp_path / "other")
    assert other["PATH"] == f"/usr/local/bin:/usr/bin:{kept_uv.parent}"


def test_nothing_of_this_user_is_passed_on_but_caches_and_programs(kept_uv: Path, tmp_path: Path):
    ours = {"PATH": "/usr/bin", "LANG": "ja_JP.UTF-8", "PYTHONPATH": "/mine", "TZ": "Asia/Tokyo"}
    other = surroundings(ours, tmp_path / "home", tmp_path / "other")
    assert "PYTHONPATH" not in other
    assert (other["LANG"], other["TZ"]) == ("de_DE.UTF-8", "Pacific/Kiritimati")
    assert other["CARGO_HOME"] == str(tmp_path / "home" / ".cargo")
