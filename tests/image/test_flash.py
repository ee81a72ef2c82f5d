"""Flashing: checks before a byte is written, and what is read back is what was meant."""

import os

import pytest

from image import flash
from image.blockmap import make_map
from image.flash import Target, look_at, problems_of, read_image, verify, write
from image.refusal import BuildRefused

MIB = 1 << 20


@pytest.fixture
def built(tmp_path):
    """A folder with a small image and its map."""
    folder = tmp_path / "image"
    folder.mkdir()
    with (folder / "disk.img").open("wb") as out:
        out.truncate(24 * MIB)
        for at in (0, 9 * MIB, 23 * MIB):
            out.seek(at)
            out.write(os.urandom(70_000))
    (folder / "disk.bmap").write_text(make_map(folder / "disk.img").text())
    return folder


def silent(what: str, done: int, total: int) -> None:
    pass


def disk(tmp_path, size_mib: int = 32):
    path = tmp_path / "disk"
    path.write_bytes(b"\xaa" * (size_mib * MIB))
    return path


def target(**changes) -> Target:
    facts = {
        "path": flash.Path("/dev/sdx"),
        "size_bytes": 64 * MIB,
        "is_device": True,
        "model": "Stick",
        "mounted": (),
        "holds_system": False,
        "read_only": False,
    }
    return Target(**{**facts, **changes})


def test_image_is_on_the_disk_afterwards_and_an_old_table_is_not(tmp_path, built):
    image, blocks = read_image(built)
    place = disk(tmp_path)
    write(image, blocks, place, silent)
    verify(blocks, place, silent)
    assert place.read_bytes()[:MIB] == image.read_bytes()[:MIB]
    assert place.read_bytes()[-MIB:] == bytes(MIB)


def test_byte_that_the_disk_did_not_keep_is_found(tmp_path, built):
    image, blocks = read_image(built)
    place = disk(tmp_path)
    write(image, blocks, place, silent)
    with place.open("r+b") as out:
        out.seek(9 * MIB + 5)
        out.write(b"\x00\x01")
    with pytest.raises(BuildRefused, match="other bytes than were written"):
        verify(blocks, place, silent)


def test_image_cut_short_is_refused(built):
    with (built / "disk.img").open("r+b") as out:
        out.truncate(20 * MIB)
    with pytest.raises(BuildRefused, match="its map says"):
        read_image(built)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"size_bytes": 8 * MIB}, "too small"),
        ({"mounted": ("/media/stick",)}, "umount /media/stick"),
        ({"mounted": ("/",), "holds_system": True}, "destroy this machine's system"),
        ({"read_only": True}, "read-only"),
    ],
)
def test_disk_that_must_not_or_cannot_take_it_is_named(changes, text):
    found = problems_of(target(**changes), 24 * MIB, 10_000)
    assert len(found) == 1
    assert text in str(found[0])


def test_all_that_is_wrong_is_said_at_once():
    found = problems_of(target(size_bytes=1, read_only=True, mounted=("/x",)), MIB, 1)
    assert len(found) == 3


def test_good_disk_has_no_problem():
    assert problems_of(target(), 24 * MIB, 10_000) == []


def test_what_is_neither_disk_nor_file_is_refused(tmp_path):
    with pytest.raises(BuildRefused, match="neither a disk nor a file"):
        look_at(tmp_path)
    with pytest.raises(BuildRefused, match="nothing to write to"):
        look_at(tmp_path / "absent")
    facts = look_at(disk(tmp_path, 1))
    assert (facts.size_bytes, facts.is_device) == (MIB, False)


def test_mounts_of_partitions_count_as_the_disks(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/sdx1 /media/a ext4 rw 0 0\n/dev/sdy1 / ext4 rw 0 0\nproc /proc proc\n")
    assert flash._mounted(["sdx", "sdx1"], mounts) == {"/dev/sdx1": "/media/a"}
