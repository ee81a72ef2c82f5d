"""Where things lie on the disk."""

import re

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
    layout,
    slot_size,
    start_script,
)
from image.refusal import BuildRefused
from ota.boot_env import trailer

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


def test_start_script_is_the_same_for_both_slots_and_every_disk():
    size = slot_size(400 << 20, 9000)
    arguments, verity = start_script(size, "f" * 64, "a" * 64, ("console=ttyAMA0",))
    assert "PARTUUID=$slot_uuid" in arguments
    assert not re.search("PARTUUID=[^$]", arguments + verity)
    assert arguments.endswith('console=ttyAMA0"')
    words = verity.split(",", 4)[4].split()
    assert words[:3] == ["0", str(size.root_bytes // 512), "verity"]
    assert words[8:10] == [str(size.root_blocks), str(size.root_blocks + 1)]
    assert len(arguments + verity) < 1600  # the kernel takes 2,048, identities filled in


def test_argument_that_grub_would_read_otherwise_is_refused():
    with pytest.raises(BuildRefused, match="kernel's arguments"):
        start_script(slot_size(1, 1), "f", "a", ('dyndbg="file x +p"',))


@given(st.integers(min_value=0, max_value=8 << 30), st.integers(min_value=1, max_value=500_000))
def test_label_leads_to_the_trailer(content, files):
    size = slot_size(content, files)
    label = trailer.label(size.trailer_at_bytes)
    assert len(label) <= 16
    assert int(label.removeprefix("slot@")) * 512 == size.trailer_at_bytes
    assert size.total_bytes - size.trailer_at_bytes == trailer.TRAILER_BYTES


def test_trailer_is_a_script_and_one_line_for_the_whole():
    made = trailer.script(("set arguments=x",)) + trailer.check("e" * 64, 1 << 20)
    assert len(made) == trailer.TRAILER_BYTES
    assert made[-512:].decode().split() == [
        "e" * 64,
        f"0+{((1 << 20) + trailer.SCRIPT_BYTES) // 512}",
    ]
    with pytest.raises(ValueError, match="of start script"):
        trailer.script(("x" * trailer.SCRIPT_BYTES,))
