"""How a slot is made one that cannot start: on a copy of a disk, never on a robot's."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ota.boot_env import trailer
from ota.boot_env.states import SECTOR_BYTES, SLOT_A, SLOT_B
from ota.power_cut.emulated import PATH, NoGrub
from ota.power_cut.judge import LABEL_AT, LABEL_BYTES

BLOCK_BYTES: Final = 4096
KERNEL: Final = "/boot/Image"
SYSTEMD: Final = "/usr/lib/systemd/systemd"
INIT: Final = re.compile(rb"init=\S+")
ZEROED_BYTES: Final = 64 << 20  # the superblock, every folder that is read first, the kernel


@dataclass(frozen=True)
class Slots:
    """A disk, and where its slots begin."""

    disk: Path
    starts: dict[int, int]

    def read(self, at: int, size: int) -> bytes:
        with self.disk.open("rb") as stream:
            stream.seek(at)
            return stream.read(size)

    def put(self, at: int, content: bytes) -> None:
        with self.disk.open("r+b") as out:
            out.seek(at)
            out.write(content)

    def trailer_at(self, slot: int) -> int:
        start = self.starts[slot]
        label = self.read(start + LABEL_AT, LABEL_BYTES).rstrip(b"\0")
        return start + int(label.removeprefix(b"slot@")) * SECTOR_BYTES

    def debugfs(self, slot: int, order: str) -> str:
        program = shutil.which("debugfs", path=PATH)
        if program is None:
            raise NoGrub("debugfs is not installed; try  apt-get install e2fsprogs")
        words = [program, "-w", "-R", order, f"{self.disk}?offset={self.starts[slot]}"]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        return done.stdout

    def first_block_of(self, slot: int, file: str) -> int:
        """Where on the disk."""
        blocks = self.debugfs(slot, f"blocks {file}").split()
        return self.starts[slot] + int(blocks[0]) * BLOCK_BYTES


def without_kernel(slots: Slots) -> None:
    slots.debugfs(SLOT_B, f"rm {KERNEL}")
    if slots.debugfs(SLOT_B, f"blocks {KERNEL}").strip():
        raise ValueError(f"{KERNEL} is still there: the case would prove nothing")


def with_damaged_kernel(slots: Slots) -> None:
    slots.put(slots.first_block_of(SLOT_B, KERNEL), bytes(BLOCK_BYTES))


def with_damaged_init(slots: Slots) -> None:
    slots.put(slots.first_block_of(SLOT_B, SYSTEMD), bytes(BLOCK_BYTES))


def without_script(slots: Slots, slot: int) -> None:
    slots.put(slots.trailer_at(slot), bytes(trailer.TRAILER_BYTES))


def all_zeros(slots: Slots) -> None:
    slots.put(slots.starts[SLOT_B], bytes(ZEROED_BYTES))


def both_bad(slots: Slots) -> None:
    for slot in (SLOT_A, SLOT_B):
        without_script(slots, slot)


def other_init(slots: Slots, program: str) -> None:
    """The kernel's argument, in what GRUB reads of the slot; the root itself stays verified."""
    at = slots.trailer_at(SLOT_B)
    script = slots.read(at, trailer.SCRIPT_BYTES).rstrip(b"\n")
    changed, count = INIT.subn(b"init=" + program.encode(), script)
    if count != 1:
        raise ValueError(f"{count} times init= in the start script, not once")
    slots.put(at, changed.ljust(trailer.SCRIPT_BYTES, b"\n"))
