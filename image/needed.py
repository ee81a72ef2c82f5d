"""Shared libraries that programs name: one that is not in the image is found when it is built."""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from image.refusal import refused

PT_LOAD, PT_DYNAMIC = 1, 2
DT_NULL, DT_NEEDED, DT_STRTAB = 0, 1, 5
SEGMENT = struct.Struct("<IIQQQQQQ")
ENTRY = struct.Struct("<QQ")


def needed(data: bytes) -> list[str]:
    """Names in DT_NEEDED of a little-endian 64-bit ELF file; of anything else, none."""
    if len(data) < 64 or data[:6] != b"\x7fELF\x02\x01":
        return []
    try:
        return list(_needed(data))
    except (struct.error, ValueError):
        return []  # cut short or not for a loader


def _needed(data: bytes) -> Iterable[str]:
    (offset,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    segments = [SEGMENT.unpack_from(data, offset + at * size) for at in range(count)]
    entries: list[tuple[int, int]] = []
    for kind, _, start, _, _, length, _, _ in segments:
        if kind == PT_DYNAMIC:
            entries = [ENTRY.unpack_from(data, at) for at in range(start, start + length, 16)]
    tags = entries[: next((i for i, (tag, _) in enumerate(entries) if tag == DT_NULL), None)]
    table = next((value for tag, value in tags if tag == DT_STRTAB), None)
    if table is None:
        return
    for kind, _, start, address, _, length, _, _ in segments:
        if kind == PT_LOAD and address <= table < address + length:
            strings = start + table - address
            for tag, value in tags:
                if tag == DT_NEEDED:
                    begin = strings + value
                    yield data[begin : data.index(b"\0", begin)].decode()


@dataclass
class Libraries:
    """Gathers names while a root is gone through, then says what is missing."""

    there: set[str] = field(default_factory=set)
    wanted: dict[str, str] = field(default_factory=dict)  # library → a program that names it

    def add(self, path: str, data: bytes | None) -> None:
        name = PurePosixPath(path).name
        if ".so" in name:
            self.there.add(name)
        if data is not None:
            for library in needed(data):
                self.wanted.setdefault(library, path)

    def missing(self) -> Mapping[str, str]:
        return {name: by for name, by in sorted(self.wanted.items()) if name not in self.there}

    def check(self) -> None:
        missing = self.missing()
        if missing:
            found = ", ".join(f"{name} (named by /{by})" for name, by in missing.items())
            raise refused(
                "shared libraries",
                f"not in the image: {found}",
                "the program would end before its first line",
                "add the package that has it to ROOT in image/packages.py, and make lock",
            )
