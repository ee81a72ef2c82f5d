"""What ruins a copy of the environment other than a cut: a worn block, a stray write, a person."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ota.boot_env.states import SECTOR_BYTES, STATES, Bad, State, decode, encode
from ota.power_cut.replay import ESP, SLOT_NAME, Disk
from ota.power_cut.write_log import Wrote

TORN_AT: Final = (16, 64, 128, 256, 384, 496)  # bytes of the new sector, the stale rest behind them
FLIPPED: Final = (0, 40, 100, 255, 300, 511)
COPIES: Final = (1, 2)
# Of both at once a few: GRUB then hashes whole slots, which takes its time.
BOTH: Final = ("all zeros", "noise", "one bit of byte 40", "canary missing")
BOTH_FILES: Final = ("directory entry erased", "folder noise")
ENTRY_BYTES: Final = 32
ERASED: Final = b"\xe5"  # the first byte of a directory entry that is free


@dataclass(frozen=True)
class Damage:
    name: str
    writes: tuple[Wrote, ...]


def damages(disk: Disk) -> Iterator[Damage]:
    """Each once, on a disk whose copies agree."""
    for copy in COPIES:
        at = disk.copies[copy - 1]
        for what, sector in _sectors(disk.read(at, SECTOR_BYTES)):
            yield Damage(f"copy {copy} {what}", (Wrote(at, sector),))
        yield from _files(disk, copy)
    whole = [dict(_sectors(disk.read(at, SECTOR_BYTES))) for at in disk.copies]
    for what in BOTH:
        pairs = zip(disk.copies, whole, strict=True)
        yield Damage(f"both copies {what}", tuple(Wrote(at, found[what]) for at, found in pairs))
    gone = [{one.name.partition(" its ")[2]: one.writes for one in _files(disk, n)} for n in COPIES]
    for what in BOTH_FILES:
        yield Damage(f"both copies their {what}", gone[0][what] + gone[1][what])


def _sectors(now: bytes) -> Iterator[tuple[str, bytes]]:
    """What may stand where a copy stood."""
    state = decode(now)
    if isinstance(state, Bad):
        raise ValueError("a copy that is bad already cannot be damaged")
    for other in _others(state):
        new = encode(other)
        for at in TORN_AT:
            yield f"torn after {at} bytes of {other.name}", new[:at] + now[at:]
            yield f"torn before {at} bytes of {other.name}", now[:at] + new[at:]
    yield "all zeros", bytes(SECTOR_BYTES)
    yield "all ones", b"\xff" * SECTOR_BYTES
    yield "noise", random.Random(1).randbytes(SECTOR_BYTES)
    for at in FLIPPED:
        yield f"one bit of byte {at}", now[:at] + bytes([now[at] ^ 1]) + now[at + 1 :]
    yield "canary missing", encode(state._replace(canary=0))


def _others(state: State) -> tuple[State, ...]:
    """The values next to this one: the other slot on trial, and committed."""
    there = state.other
    return tuple(one for one in (State(there, 1, 0, 0, 1), State(there, canary=1)) if one in STATES)


def _files(disk: Disk, copy: int) -> Iterator[Damage]:
    """The file of a copy, by what FAT says of it."""
    fat = _Fat(disk)
    entry = fat.entry_of(disk.copies[copy - 1])
    name = f"copy {copy}"
    yield Damage(f"{name} its directory entry erased", (Wrote(entry, ERASED),))
    yield Damage(f"{name} its directory entry zero", (Wrote(entry, bytes(ENTRY_BYTES)),))
    no_cluster = (Wrote(entry + 20, b"\0\0"), Wrote(entry + 26, b"\0\0"))
    yield Damage(f"{name} its first cluster zero", no_cluster)
    yield Damage(f"{name} its size zero", (Wrote(entry + 28, bytes(4)),))
    yield Damage(f"{name} its size too large", (Wrote(entry + 28, b"\xff\xff\xff\x7f"),))
    folder = entry // SECTOR_BYTES * SECTOR_BYTES
    noise = random.Random(2).randbytes(SECTOR_BYTES)
    yield Damage(f"{name} its folder zero", (Wrote(folder, bytes(SECTOR_BYTES)),))
    yield Damage(f"{name} its folder noise", (Wrote(folder, noise),))
    for number in range(fat.count):
        writes = (Wrote(fat.chain_of(disk.copies[copy - 1], number), bytes(4)),)
        yield Damage(f"{name} its chain zero in FAT {number + 1}", writes)


class _Fat:
    """Where FAT32 keeps what it says of a file of one sector; places are bytes of the disk."""

    def __init__(self, disk: Disk):
        self._disk = disk
        self._base = disk.starts[ESP]
        head = disk.read(self._base, SECTOR_BYTES)
        self._fat = int.from_bytes(head[14:16], "little")
        self._each = int.from_bytes(head[36:40], "little")
        self._per_cluster = head[13]
        self.count = head[16]
        self._data = self._fat + self.count * self._each

    def cluster_of(self, place: int) -> int:
        sector = (place - self._base) // SECTOR_BYTES
        return (sector - self._data) // self._per_cluster + 2

    def chain_of(self, place: int, number: int) -> int:
        first = self._base + (self._fat + number * self._each) * SECTOR_BYTES
        return first + self.cluster_of(place) * 4

    def entry_of(self, place: int) -> int:
        """The directory entry of the file that begins there, looked for in all of the ESP."""
        cluster = self.cluster_of(place)
        low = (cluster & 0xFFFF).to_bytes(2, "little")
        high = (cluster >> 16).to_bytes(2, "little")
        sector = self._data
        while content := self._disk.read(self._base + sector * SECTOR_BYTES, 1 << 20):
            for at in range(0, len(content), ENTRY_BYTES):
                entry = content[at : at + ENTRY_BYTES]
                found = entry[:11] == b"STATE      "
                if found and entry[20:22] == high and entry[26:28] == low:
                    return self._base + sector * SECTOR_BYTES + at
            sector += len(content) // SECTOR_BYTES
            if self._base + sector * SECTOR_BYTES >= self._disk.starts[min(SLOT_NAME)]:
                break
        raise ValueError(f"no directory entry names the copy at byte {place} of the disk")
