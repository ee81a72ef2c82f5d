"""What a start reads decides which other cuts come to the same start."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image.qemu import Guest, command, prepare
from ota.power_cut.reads import Stretch, found_by, same_for, traced
from ota.power_cut.write_log import Wrote

SECTORS = 16
SIZE_BYTES = SECTORS * 512
ENOUGH_S = 120


def asked(verb: str, first: int, count: int = 1) -> str:
    """A line as QEMU 7.2 writes it."""
    return f"virtio_blk_handle_{verb} vdev 0x55f0 req 0x7f00 sector {first} nsectors {count}\n"


def sectors(*lines: str) -> list[int]:
    return [int(at) for at in found_by(lines, SIZE_BYTES).nonzero()[0]]


def log(*writes: int | None) -> list[tuple[int, Wrote | None]]:
    """The first sector of each, or a flush; entries are numbered from 0."""
    return [
        (number, None if first is None else Wrote(first * 512, bytes(512)))
        for number, first in enumerate(writes)
    ]


def test_sector_that_is_written_first_was_not_found():
    assert sectors(asked("read", 2, 2), asked("write", 3, 2), asked("read", 4, 2)) == [2, 3, 5]


def test_line_that_was_cut_and_lines_of_others_are_left_out():
    other = "qemu-system-aarch64: warning: host time went backwards\n"
    assert sectors(other, asked("read", 7), "\n", asked("read", 9).rstrip("\n")) == [7]


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [(0, Stretch(-1, 0)), (1, Stretch(1, 3)), (3, Stretch(1, 3)), (4, Stretch(4, 6))],
)
def test_stretch_ends_where_a_write_falls_on_what_was_read(entry: int, wanted: Stretch):
    found = found_by([asked("read", 5)], SIZE_BYTES)
    assert same_for(found, entry, log(1, 5, None, 2, 5, 3, None)) == wanted


def test_write_that_only_overlaps_what_was_read_ends_it_too():
    found = found_by([asked("read", 5)], SIZE_BYTES)
    wide = [(0, None), (1, Wrote(3 * 512, bytes(3 * 512))), (2, Wrote(6 * 512, bytes(512)))]
    assert same_for(found, 0, wide) == Stretch(-1, 0)
    assert same_for(found, 2, wide) == Stretch(1, 2)


def test_flush_and_write_of_one_entry_are_one_entry():
    found = found_by([asked("read", 5)], SIZE_BYTES)
    both = [(0, None), (1, None), (1, Wrote(5 * 512, bytes(512)))]
    assert same_for(found, 0, both) == Stretch(-1, 0)


def test_start_of_which_nothing_is_known_stands_for_itself_alone():
    assert same_for(found_by([], SIZE_BYTES), 3, log(1, 2, 3, 4, 5, 6)) == Stretch(3, 3)


@given(
    st.lists(st.integers(0, SECTORS - 1) | st.none(), min_size=1, max_size=30),
    st.sets(st.integers(0, SECTORS - 1), min_size=1),
    st.data(),
)
def test_all_that_was_read_is_the_same_after_each_entry_of_a_stretch(writes, read, data):
    """Disks made anew from the log, compared sector by sector; each write has its own content."""

    def disk_after(entry: int) -> dict[int, int]:
        return {at: n for n, at in enumerate(writes[: entry + 1]) if at is not None and at in read}

    entry = data.draw(st.integers(0, len(writes) - 1))
    found = found_by([asked("read", at) for at in read], SIZE_BYTES)
    stretch = same_for(found, entry, log(*writes))
    same = [at for at in range(-1, len(writes)) if disk_after(at) == disk_after(entry)]
    assert list(range(stretch.first, stretch.last + 1)) == same


@pytest.mark.skipif(
    shutil.which("qemu-system-aarch64") is None or shutil.which("qemu-img") is None,
    reason="QEMU for arm64 is not installed",
)
def test_the_emulator_notes_what_the_firmware_reads(tmp_path: Path):
    """Of a disk with nothing to start: its firmware looks for a table, at both ends."""
    disk = tmp_path / "disk.img"
    with disk.open("wb") as out:
        out.truncate(8 << 20)
    trace = tmp_path / "trace"
    guest = Guest(
        image=disk,
        folder=tmp_path / "guest",
        disk_mib=8,
        serial="null",
        extra=traced(trace),
        ssh_port=0,
    )
    prepare(guest)
    with subprocess.Popen(command(guest), stdin=subprocess.DEVNULL) as process:
        try:
            until_s = time.monotonic() + ENOUGH_S
            while not _first_was_read(trace):
                assert process.poll() is None
                assert time.monotonic() < until_s
                time.sleep(0.2)
        finally:
            process.kill()


def _first_was_read(trace: Path) -> bool:
    if not trace.exists():
        return False
    with trace.open() as lines:
        return bool(found_by(lines, 8 << 20)[0])
