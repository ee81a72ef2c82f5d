"""The EFI system partition as this project writes it: two sectors, straight on the device.

The partition is not mounted for this. A mounted FAT writes its dirty flag, times and directory
sectors whenever it likes; here nothing but the sector that is meant ever reaches the disk.
"""

import fcntl
import mmap
import os
from collections.abc import Callable
from types import TracebackType
from typing import Final

from ota.boot_env.states import SECTOR_BYTES

FOLDER: Final = (b"BEDPLATE   ", b"ENV%d       ", b"STATE      ")
ENTRY_BYTES: Final = 32
FOLDER_FLAG: Final = 0x10
SKIPPED_FLAGS: Final = 0x08  # volume labels, and the pieces of long names
END_OF_CHAIN: Final = 0x0FFFFFF8
CLUSTERS_MAX: Final = 64  # of a folder of ours: a chain that goes on is damage
LOGICAL_SECTOR: Final = 0x1268  # BLKSSZGET


class EspError(Exception):
    """What is wrong with the partition, for a person."""


Read = Callable[[int], bytes]  # number of a sector → its bytes


class _Fat:
    """As much of FAT32 as it takes to find one sector of a file."""

    def __init__(self, read: Read):
        self._read = read
        head = read(0)
        sector_bytes = int.from_bytes(head[11:13], "little")
        self._per_cluster = head[13]
        self._fat = int.from_bytes(head[14:16], "little")
        fat_sectors = int.from_bytes(head[36:40], "little")
        self._data = self._fat + head[16] * fat_sectors
        self.root = int.from_bytes(head[44:48], "little")
        if sector_bytes != SECTOR_BYTES or not (self._per_cluster and fat_sectors and self._fat):
            raise EspError("its first sector is not that of a FAT32 with sectors of 512 bytes")

    def sector_of(self, cluster: int) -> int:
        if cluster < 2:
            raise EspError(f"a file or folder that begins at cluster {cluster}")
        return self._data + (cluster - 2) * self._per_cluster

    def _next(self, cluster: int) -> int:
        per_sector = SECTOR_BYTES // 4
        at = cluster % per_sector * 4
        return int.from_bytes(self._read(self._fat + cluster // per_sector)[at : at + 4], "little")

    def find(self, folder: int, name: bytes) -> tuple[int, int, int]:
        """Flags, first cluster and size of an entry."""
        for _ in range(CLUSTERS_MAX):
            for number in range(self._per_cluster):
                sector = self._read(self.sector_of(folder) + number)
                for at in range(0, SECTOR_BYTES, ENTRY_BYTES):
                    entry = sector[at : at + ENTRY_BYTES]
                    if entry[0] == 0:
                        raise EspError(f"no {name.decode().strip()} in it")
                    if entry[:11] == name and not entry[11] & SKIPPED_FLAGS:
                        high, low = entry[20:22], entry[26:28]
                        cluster = int.from_bytes(low + high, "little")
                        return entry[11], cluster, int.from_bytes(entry[28:32], "little")
            folder = self._next(folder) & 0x0FFFFFFF
            if not 2 <= folder < END_OF_CHAIN:
                raise EspError(f"no {name.decode().strip()} in it")
        raise EspError("a folder of it never ends")


def locate(read: Read, copy: int) -> int:
    """The number of the sector that is this copy."""
    fat = _Fat(read)
    cluster = fat.root
    flags = size = 0
    for name in FOLDER:
        flags, cluster, size = fat.find(cluster, name % copy if b"%" in name else name)
        if (name == FOLDER[-1]) == bool(flags & FOLDER_FLAG):
            raise EspError(f"{name.decode().strip()} is not what it was made as")
    if size != SECTOR_BYTES:
        raise EspError(f"copy {copy} has {size} bytes, not {SECTOR_BYTES}")
    return fat.sector_of(cluster)


class Esp:
    """An open partition, or a file that stands for one; held by one process at a time."""

    def __init__(self, path: str, offset_bytes: int = 0, *, writable: bool = True):
        self._path = path
        self._offset_bytes = offset_bytes
        self._buffer = mmap.mmap(-1, SECTOR_BYTES)  # direct reads and writes want it aligned
        flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_DSYNC | os.O_CLOEXEC
        try:
            self._file = os.open(path, flags | os.O_DIRECT)
        except OSError:
            self._file = os.open(path, flags)  # a file system that has no direct writes
        self._check_sectors()
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def _check_sectors(self) -> None:
        answer = bytearray(4)
        try:
            fcntl.ioctl(self._file, LOGICAL_SECTOR, answer)
        except OSError:
            return  # not a device
        found = int.from_bytes(answer, "little")
        if found != SECTOR_BYTES:
            raise EspError(f"{self._path} writes {found} bytes at once, one copy has 512")

    def read(self, sector: int) -> bytes:
        at = self._offset_bytes + sector * SECTOR_BYTES
        got = os.preadv(self._file, [self._buffer], at)
        if got != SECTOR_BYTES:
            raise EspError(f"{self._path} ends at sector {sector}")
        return self._buffer[:]

    def settle(self) -> None:
        """What another process wrote, and did not live to wait for, is on the disk."""
        os.fsync(self._file)

    def write(self, sector: int, content: bytes) -> None:
        """Returns when it is on the disk, not before."""
        self._buffer[:] = content
        at = self._offset_bytes + sector * SECTOR_BYTES
        if os.pwritev(self._file, [self._buffer], at) != SECTOR_BYTES:
            raise EspError(f"{self._path} took a part of sector {sector} only")
        os.fsync(self._file)

    def __enter__(self) -> "Esp":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._file)
        self._buffer.close()
