"""The block map: what is written, and what it must be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image.blockmap import CHUNK_BYTES, make_map, parse_map, read_map
from image.refusal import BuildRefused

MIB = 1 << 20


def image(tmp_path, pieces: dict[int, bytes], size: int):
    path = tmp_path / "disk.img"
    with path.open("wb") as out:
        out.truncate(size)
        for at, data in pieces.items():
            out.seek(at)
            out.write(data)
    return path


def test_ranges_cover_everything_that_is_not_zero(tmp_path):
    pieces = {0: b"table", 5 * MIB + 7: b"x" * 3000, 20 * MIB - 1: b"\x01"}
    path = image(tmp_path, pieces, 20 * MIB)
    made = make_map(path)
    covered = bytearray(20 * MIB)
    with path.open("rb") as stream:
        for one in made.ranges:
            stream.seek(one.start_bytes)
            data = stream.read(one.size_bytes)
            covered[one.start_bytes : one.start_bytes + len(data)] = data
    assert bytes(covered) == path.read_bytes()
    assert made.mapped_bytes == 3 * CHUNK_BYTES


def test_map_does_not_depend_on_where_the_file_has_holes(tmp_path):
    sparse = image(tmp_path, {3 * MIB: b"data"}, 8 * MIB)
    one = make_map(sparse)
    full = tmp_path / "full.img"
    full.write_bytes(sparse.read_bytes())
    assert make_map(full) == one


def test_map_is_read_back_and_a_changed_digit_is_seen(tmp_path):
    text = make_map(image(tmp_path, {0: b"a", 4 * MIB: b"b"}, 8 * MIB)).text()
    assert parse_map(text).text() == text
    for place in (text.index("<ImageSize>") + 12, text.index('chksum="') + 9):
        digit = "1" if text[place] != "1" else "2"
        with pytest.raises(ValueError, match=r"sum|range"):
            parse_map(text[:place] + digit + text[place + 1 :])


@given(st.binary(max_size=300))
def test_garbage_is_refused(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("map") / "disk.bmap"
    path.write_bytes(raw)
    with pytest.raises(BuildRefused):
        read_map(path)
    path.unlink()


def test_entities_are_refused_before_they_are_read(tmp_path):
    path = tmp_path / "disk.bmap"
    path.write_text('<!DOCTYPE x [<!ENTITY a "b">]><bmap>&a;</bmap>')
    with pytest.raises(BuildRefused, match="not a block map"):
        read_map(path)


def test_last_block_may_be_a_part_of_one(tmp_path):
    made = make_map(image(tmp_path, {MIB: b"tail"}, MIB + 100))
    assert made.ranges[-1].last == 256
    assert (tmp_path / "disk.img").stat().st_size == made.size_bytes
