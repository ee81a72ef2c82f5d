"""Whether a disk still has a partition table, as UEFI firmware asks.

The loader reads the first table without looking at its checks, so it alone would not notice. The
firmware does: a first table that is wrong in one bit is not used, then the one at the very end of
the disk counts, and the firmware writes the first anew from it. With both wrong nothing starts.
"""

import struct
import zlib
from collections.abc import Callable
from typing import Final, NamedTuple

from ota.boot_env.states import SECTOR_BYTES
from ota.power_cut.write_log import Wrote

HEADER: Final = struct.Struct("<8sIIII QQQQ16sQIII")
MAGIC: Final = b"EFI PART"
FIRST: Final = 1  # its sector
ENTRIES_MAX_BYTES: Final = 1 << 20
Read = Callable[[int, int], bytes]  # place and size in bytes


class Table(NamedTuple):
    """A table that is right in every check."""

    header: bytes  # without its padding
    my_sector: int
    other_sector: int
    entries_sector: int
    entries: bytes


def table_at(read: Read, sector: int) -> Table | None:
    """`None`: no table, or one that a firmware does not use."""
    block = read(sector * SECTOR_BYTES, SECTOR_BYTES)
    if len(block) < SECTOR_BYTES:
        return None
    fields = HEADER.unpack(block[: HEADER.size])
    magic, size, header_check, mine = fields[0], fields[2], fields[3], fields[5]
    if magic != MAGIC or not HEADER.size <= size <= SECTOR_BYTES or mine != sector:
        return None
    header = block[:size]
    if zlib.crc32(_without_check(header)) != header_check:
        return None
    entries_at, count, each, entries_check = fields[10:14]
    if count * each > ENTRIES_MAX_BYTES:
        return None
    entries = read(entries_at * SECTOR_BYTES, count * each)
    if zlib.crc32(entries) != entries_check:
        return None
    return Table(header, mine, fields[6], entries_at, entries)


def _without_check(header: bytes) -> bytes:
    return header[:16] + bytes(4) + header[20:]


def tables(read: Read, disk_bytes: int) -> tuple[Table | None, Table | None]:
    """The first, and the one at the end of the disk."""
    return table_at(read, FIRST), table_at(read, disk_bytes // SECTOR_BYTES - 1)


def mended(read: Read, disk_bytes: int) -> tuple[Wrote, ...] | None:
    """What the firmware writes before it starts the loader; `None`: it finds no table at all."""
    first, last = tables(read, disk_bytes)
    if first is not None:
        return ()
    if last is None:
        return None
    sectors = -(-len(last.entries) // SECTOR_BYTES)
    places = struct.pack("<QQ", FIRST, last.my_sector)
    header = last.header[:24] + places + last.header[40:72] + struct.pack("<Q", FIRST + 1)
    header += last.header[80:]
    check = struct.pack("<I", zlib.crc32(_without_check(header)))
    header = header[:16] + check + header[20:]
    return (
        Wrote((FIRST + 1) * SECTOR_BYTES, last.entries.ljust(sectors * SECTOR_BYTES, b"\0")),
        Wrote(FIRST * SECTOR_BYTES, header.ljust(SECTOR_BYTES, b"\0")),
    )
