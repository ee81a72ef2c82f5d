"""Partition tables as firmware reads them, made by sfdisk and then damaged."""

import random
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.power_cut.emulated import PATH
from ota.power_cut.gpt import mended, table_at, tables
from ota.power_cut.write_log import Wrote

SFDISK = shutil.which("sfdisk", path=PATH)
pytestmark = pytest.mark.skipif(SFDISK is None, reason="sfdisk is missing")
SIZE = 8 << 20
TABLE = "label: gpt\nfirst-lba: 2048\n\nstart=2048, size=2048\nstart=4096, size=2048\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file: Path = tmp_path_factory.mktemp("gpt") / "disk"
    file.write_bytes(bytes(SIZE))
    words = [str(SFDISK), "--quiet", "--no-reread", "--no-tell-kernel", str(file)]
    subprocess.run(words, input=TABLE, text=True, check=True, capture_output=True)
    return file.read_bytes()


def reader(disk: bytes):
    return lambda at, size: disk[at : at + size]


def applied(disk: bytes, writes: tuple[Wrote, ...]) -> bytes:
    out = bytearray(disk)
    for one in writes:
        out[one.at_bytes : one.end_bytes] = one.content
    return bytes(out)


def test_both_tables_of_sfdisk_are_right_and_need_no_mending(made: bytes):
    first, last = tables(reader(made), SIZE)
    assert first is not None
    assert last is not None
    assert first.entries == last.entries
    assert mended(reader(made), SIZE) == ()


def test_one_flipped_bit_anywhere_in_header_or_entries_makes_a_table_wrong(made: bytes):
    for at in (*range(512, 604), *range(1024, 1024 + 256)):
        broken = applied(made, (Wrote(at, bytes([made[at] ^ 1])),))
        assert table_at(reader(broken), 1) is None, at


def test_first_table_is_written_anew_from_the_last(made: bytes):
    broken = applied(made, (Wrote(512, bytes(512)), Wrote(1024, bytes(512))))
    writes = mended(reader(broken), SIZE)
    assert writes
    whole = applied(broken, writes)
    assert whole == made


def test_with_both_wrong_there_is_nothing_to_mend_from(made: bytes):
    broken = applied(made, (Wrote(512, bytes(512)), Wrote(SIZE - 512, bytes(512))))
    assert mended(reader(broken), SIZE) is None


def test_new_entries_with_an_old_header_are_no_table(made: bytes):
    """What is left of a table of which one sector reached the disk and the other did not."""
    broken = applied(made, (Wrote(1024 + 40, b"\x01"),))
    assert table_at(reader(broken), 1) is None


@given(st.integers(0, 2**32), st.integers(0, 4095))
def test_noise_is_no_table_and_no_error(seed: int, size: int):
    noise = random.Random(seed).randbytes(size)
    assert table_at(reader(bytes(512) + b"EFI PART" + noise), 1) is None
