"""The data partition after a cut: what is torn there is found, and what is whole is not blamed."""

import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ota.power_cut.data import cut, faults_of
from ota.power_cut.replay import copy_sparse
from ota.power_cut.story import KEEPSAKE, keepsake
from ota.power_cut.write_log import Wrote

NEEDED = ("mke2fs", "e2fsck", "debugfs", "ssh-keygen")
pytestmark = pytest.mark.skipif(
    any(shutil.which(name) is None for name in NEEDED), reason=f"one of {NEEDED} is not installed"
)
SIZE = "16M"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Of a robot that has started once."""
    folder = tmp_path / "robot"
    for name in ("cut", "ssh", "system", "bedplate/ota"):
        (folder / name).mkdir(parents=True)
    (folder / KEEPSAKE).write_bytes(keepsake())
    (folder / "system/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (folder / "bedplate/ota/install.json").write_text('{"version": 1}\n')
    (folder / "bedplate/skills").symlink_to("ota")
    key = folder / "ssh/ssh_host_ed25519_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    with closing(sqlite3.connect(folder / "bedplate/spool.sqlite")) as database:
        database.execute("CREATE TABLE records (seq INTEGER PRIMARY KEY, line BLOB)")
        rows = [(seq, bytes(900)) for seq in range(200)]
        database.executemany("INSERT INTO records VALUES (?, ?)", rows)
        database.commit()
    return folder


def made(files: Path, tmp_path: Path) -> Path:
    part = tmp_path / "data part.img"
    words = ["mke2fs", "-q", "-F", "-t", "ext4", "-d", files, part, SIZE]
    subprocess.run(words, check=True, capture_output=True)
    return part


def truncate(name: str) -> Callable[[Path], None]:
    def tear(files: Path) -> None:
        file = files / name
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    return tear


def flip(name: str, at: int) -> Callable[[Path], None]:
    def tear(files: Path) -> None:
        content = bytearray((files / name).read_bytes())
        content[at : at + 64] = b"\xff" * 64
        (files / name).write_bytes(bytes(content))

    return tear


def test_a_whole_partition_has_no_fault(files: Path, tmp_path: Path):
    assert faults_of(made(files, tmp_path), tmp_path / "found here") == []


def test_a_robot_that_has_made_nothing_yet_has_no_fault(files: Path, tmp_path: Path):
    for name in ("bedplate", "ssh", "system"):
        shutil.rmtree(files / name)
    assert faults_of(made(files, tmp_path), tmp_path / "found") == []


@pytest.mark.parametrize(
    ("tear", "said"),
    [
        (truncate(KEEPSAKE), "keepsake is not what it was"),
        (lambda files: (files / KEEPSAKE).unlink(), "keepsake is not what it was"),
        (truncate("system/machine-id"), "machine-id of 16 bytes"),
        (truncate("bedplate/ota/install.json"), "bedplate/ota/install.json: "),
        (truncate("ssh/ssh_host_ed25519_key"), "SSH host key: "),
        (truncate("bedplate/spool.sqlite"), "bedplate/spool.sqlite: "),
        (flip("bedplate/spool.sqlite", 8192), "bedplate/spool.sqlite: "),
    ],
)
def test_what_is_torn_is_found_and_named(
    files: Path, tmp_path: Path, tear: Callable[[Path], None], said: str
):
    tear(files)
    faults = faults_of(made(files, tmp_path), tmp_path / "found")
    assert len(faults) == 1
    assert said in faults[0]


def test_a_file_system_that_needs_a_person_is_a_fault(files: Path, tmp_path: Path):
    part = made(files, tmp_path)
    for order in ("clri <2>", "ssv state 0"):  # its root folder is gone, and it knows of trouble
        words = ["debugfs", "-w", "-R", order, part]
        subprocess.run(words, check=True, capture_output=True)
    (fault,) = faults_of(part, tmp_path / "found")
    assert fault.startswith("e2fsck: status ")


def test_a_cut_leaves_a_beginning_or_any_half_of_what_was_written_and_always_the_same():
    window = [Wrote(at * 512, bytes([at]) * 512) for at in range(40)]
    states = dict(cut(7, window))
    assert states == dict(cut(7, window))
    first, half = states.values()
    assert first == tuple(window[: len(first)])
    assert first
    assert set(half) < set(window)
    assert [one.at_bytes for one in half] == sorted(one.at_bytes for one in half)
    assert dict(cut(8, window)) != states
    assert len(dict(cut(7, window[:1]))) == 2


def test_what_is_copied_from_a_place_on_has_its_holes_and_its_bytes(tmp_path: Path):
    source, out = tmp_path / "disk", tmp_path / "part"
    with source.open("wb") as disk:
        disk.truncate(8 << 20)
        for at in (0, 3 << 20, (5 << 20) + 17):
            disk.seek(at)
            disk.write(b"here")
    copy_sparse(source, out, 2 << 20)
    assert out.read_bytes() == source.read_bytes()[2 << 20 :]
    assert out.stat().st_blocks * 512 < 1 << 20
