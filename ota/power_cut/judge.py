"""What GRUB decides on a disk that power left behind, and whether that slot is whole.

The script is the disk's own; the kernel is not started. So a decision costs a tenth of a second,
and nothing of it is guessed.
"""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ota.boot_env import memdisk, trailer
from ota.boot_env.decision import Started
from ota.boot_env.states import SECTOR_BYTES
from ota.power_cut.emulated import GRUB_CFG, PATH, NoGrub, started

# The command that this GRUB lacks, for it has no kernel to start: a function of the name is called
# instead, and says what would have been started. A kernel that is missing cannot be loaded.
PRELUDE: Final = """\
set wait_s=0
set root=(hd0,gpt1)
function linux { if [ -s "$1" ]; then echo "DECISION $choice slot=$slot"; halt; else false; fi; }
"""
LABEL_AT: Final = 1024 + 120  # in an ext4: the superblock's volume name
LABEL_BYTES: Final = 16
CHUNK_BYTES: Final = 1 << 20


def table_of(disk: Path) -> dict[int, int]:
    """Where each partition begins, from the disk's own table."""
    program = shutil.which("sfdisk", path=PATH)
    if program is None:
        raise NoGrub("sfdisk is not installed; try  ./bootstrap.sh test")
    done = subprocess.run(
        [program, "--dump", str(disk)], capture_output=True, text=True, check=False
    )
    rows = re.findall(r"(\d+) : start=\s*(\d+)", done.stdout)
    if not rows:
        raise NoGrub(f"{disk} has no partition table: {done.stderr.strip()}")
    return {int(number): int(start) * SECTOR_BYTES for number, start in rows}


@dataclass(frozen=True)
class Slot:
    """A slot that is whole, by every byte of it."""

    digest: str  # sha256 of all but the sector that names it
    size_bytes: int


def slot_at(read: Callable[[int, int], bytes], slot_at_bytes: int) -> Slot | None:
    """As GRUB would find it, hashing every byte; `read` takes a place and a size."""
    label = read(slot_at_bytes + LABEL_AT, LABEL_BYTES).rstrip(b"\0")
    match = re.fullmatch(rb"slot@(\d+)", label)
    if match is None:
        return None
    size = int(match[1]) * SECTOR_BYTES + trailer.SCRIPT_BYTES
    line = read(slot_at_bytes + size, SECTOR_BYTES)
    digest = hashlib.sha256()
    for at in range(0, size, CHUNK_BYTES):
        digest.update(read(slot_at_bytes + at, min(CHUNK_BYTES, size - at)))
    if line != trailer.check(digest.hexdigest(), int(match[1]) * SECTOR_BYTES):
        return None
    return Slot(digest.hexdigest(), size + SECTOR_BYTES)


def is_whole(read: Callable[[int, int], bytes], slot_at_bytes: int) -> bool:
    return slot_at(read, slot_at_bytes) is not None


class Judge:
    """GRUB in a folder of its own, for one disk."""

    def __init__(self, disk: Path, folder: Path, script: Path = GRUB_CFG):
        self.disk = disk
        self._folder = folder
        (folder / "boot").mkdir(parents=True, exist_ok=True)
        (folder / "boot/grub.cfg").write_text(PRELUDE + script.read_text())
        (folder / "device.map").write_text(f"(hd0) {disk}\n")
        (folder / "memdisk.tar").write_bytes(memdisk.archive())
        program = shutil.which("grub-emu", path=PATH)
        if program is None:
            raise NoGrub("grub-emu is not installed; try  ./bootstrap.sh test")
        self._words = [program, "-m", "device.map", "-d", "boot", "--memdisk=memdisk.tar"]

    def decide(self, timeout_s: float = 300) -> Started:
        """One start; what it writes stays on the disk."""
        done = subprocess.run(
            self._words,
            cwd=self._folder,
            env={"PATH": os.environ.get("PATH", os.defpath), "TERM": "dumb", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
        return started(done.stdout.decode(errors="replace"))
