"""What a first start makes, ended at any line of it: the next start makes it whole."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from image.plan import TREE

UNIT = TREE / "image/files/bedplate-ssh-keys.service"
KEY = "ssh_host_ed25519_key"
LINES = [
    line.removeprefix("ExecStart=")
    for line in UNIT.read_text().splitlines()
    if line.startswith("ExecStart=")
]
pytestmark = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed (openssh-client)"
)


def run(line: str, folder: Path) -> int:
    """As systemd does: no terminal, nobody to answer."""
    words = [word.replace("/data/ssh", str(folder)) for word in shlex.split(line)]
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True).returncode


def start(folder: Path) -> None:
    """The unit's condition, and its lines."""
    if not (folder / KEY).exists():
        assert [run(line, folder) for line in LINES] == [0] * len(LINES)


def is_a_pair(folder: Path) -> bool:
    words = ["ssh-keygen", "-y", "-f", str(folder / KEY)]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    return told[:2] == (folder / f"{KEY}.pub").read_text().split()[:2]


@pytest.mark.parametrize("done", range(len(LINES) + 1))
def test_a_host_key_is_there_whatever_line_the_power_went_at(tmp_path: Path, done: int):
    for line in LINES[:done]:
        assert run(line, tmp_path) == 0
    start(tmp_path)
    assert is_a_pair(tmp_path)


@pytest.mark.parametrize("name", [".new_key", ".new_key.pub", f"{KEY}.pub"])
def test_a_file_that_the_cut_left_empty_is_in_nobodys_way(tmp_path: Path, name: str):
    (tmp_path / name).touch()
    start(tmp_path)
    assert is_a_pair(tmp_path)


def test_a_key_that_is_there_stays(tmp_path: Path):
    start(tmp_path)
    before = (tmp_path / KEY).read_bytes()
    start(tmp_path)
    assert (tmp_path / KEY).read_bytes() == before


def test_the_private_half_is_nobody_elses(tmp_path: Path):
    start(tmp_path)
    assert (tmp_path / KEY).stat().st_mode & 0o077 == 0
