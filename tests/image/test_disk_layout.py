"""Where things lie on the disk."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.load import compose, options_of
from conf.schema.hardware import Storage
from image.disk_layout import (
    BLOCK_BYTES,
    GROUP_BYTES,
    check_fits,
    derived,
    hash_tree_bytes,
    kernel_arguments,
    layout,
    slot_size,
)
from image.refusal import BuildRefused

STORAGE = Storage(disk_mib=10240, esp_mib=128, slot_mib=2048, data_mib=1024)


@given(
    st.integers(min_value=64, max_value=2048),
    st.integers(min_value=512, max_value=65_536),
    st.integers(min_value=512, max_value=1 << 20),
)
def test_partitions_follow_each_other_and_end_before_the_second_table(esp, slot, data):
    storage = Storage(disk_mib=1 << 24, esp_mib=esp, slot_mib=slot, data_mib=data)
    made = layout(storage, "seed", "board")
    end = 1
    for one in made.partitions:
        assert one.start_mib == end
        end += one.size_mib
    assert made.size_mib == end + 1
    assert len({one.identity for one in made.partitions} | {made.identity}) == 5


def test_identities_come_from_the_inputs_alone():
    assert layout(STORAGE, "a", "b") == layout(STORAGE, "a", "b")
    assert layout(STORAGE, "a", "b").identity != layout(STORAGE, "other", "b").identity
    assert derived("a", "b").version == 4


def test_profile_that_wants_more_than_its_disk_is_refused():
    with pytest.raises(BuildRefused, match="on a disk of 4096 MiB"):
        layout(Storage(disk_mib=4096, slot_mib=2048, data_mib=1024), "s", "tiny")


@pytest.mark.parametrize("board", options_of("hardware"))
def test_every_board_can_be_laid_out(board):
    storage = compose(hardware=board).config.hardware.storage
    assert layout(storage, "seed", board).partition("data").number == 4


@given(st.integers(min_value=0, max_value=8 << 30), st.integers(min_value=1, max_value=500_000))
def test_root_is_whole_block_groups_and_has_room(content, files):
    size = slot_size(content, files)
    assert size.root_bytes % GROUP_BYTES == 0
    assert size.root_bytes > content
    assert size.hash_bytes == hash_tree_bytes(size.root_blocks)


def test_hash_tree_of_known_size():
    """1 GiB: 262,144 blocks, 2,048 + 16 + 1 blocks of hashes and a header."""
    assert hash_tree_bytes((1 << 30) // BLOCK_BYTES) == (1 + 2048 + 16 + 1) * BLOCK_BYTES
    assert hash_tree_bytes(1) == BLOCK_BYTES


def test_root_too_large_for_its_slot_is_refused():
    with pytest.raises(BuildRefused, match="slot_mib"):
        check_fits(slot_size(3 << 30, 1000), STORAGE, "board")


def test_command_line_names_partitions_of_this_disk_and_quotes_the_table():
    disk, size = layout(STORAGE, "s", "b"), slot_size(400 << 20, 9000)
    made = kernel_arguments("b", size, "f" * 64, "a" * 64, disk, ("console=ttyAMA0",))
    line = made.line()
    slot = disk.partition("slot-b").identity
    assert f"dm-mod.waitfor=PARTUUID={slot}" in line
    assert str(disk.partition("slot-a").identity) not in line
    table = line.split('"dm-mod.create=')[1].split('"')[0]
    words = table.split(",", 4)[4].split()
    assert words[:3] == ["0", str(size.root_bytes // 512), "verity"]
    assert words[8:10] == [str(size.root_blocks), str(size.root_blocks + 1)]
    assert len(line) < 2048  # what the kernel takes
    assert not [word for word in made.words if " " in word or '"' in word or "'" in word]
