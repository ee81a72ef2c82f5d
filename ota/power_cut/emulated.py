"""GRUB as a program of this machine: it runs the real script on a file that stands for the disk.

`grub-emu` is GRUB with the same script language, environment code and file systems; what differs
from the robot's is the firmware below and that there is no kernel to load.
"""

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ota.boot_env import memdisk, trailer
from ota.boot_env.decision import Choice, Content, Started
from ota.boot_env.esp import locate
from ota.boot_env.states import INITIAL, SECTOR_BYTES, SLOT_A, SLOT_B, encode

GRUB_CFG: Final = Path(__file__).resolve().parents[1] / "grub" / "grub.cfg"
MIB: Final = 1 << 20
ESP_AT: Final = MIB
ESP_MIB: Final = 40  # a FAT32 has 65,525 clusters at least
SLOT_AT: Final = {SLOT_A: (1 + ESP_MIB) * MIB, SLOT_B: (2 + ESP_MIB) * MIB}
ROOT_BYTES: Final = 256 << 10
DISK_MIB: Final = ESP_MIB + 6
STARTED = re.compile(r"DECISION (\w[\w-]*) slot=(\w)")
HALTED = "bedplate: HALT"
PATH: Final = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
PROGRAMS: Final = ("grub-emu", "mcopy", "mmd", "mkfs.fat", "mke2fs", "sfdisk")


def missing_programs() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]


class NoGrub(Exception):
    """The program is not there, or said nothing that can be understood."""


@dataclass(frozen=True)
class Bench:
    """A small disk with everything that a boot decision is made of."""

    folder: Path
    copies: tuple[int, int]  # where on the disk

    @property
    def disk(self) -> Path:
        return self.folder / "disk.img"

    def put(self, first: bytes, second: bytes) -> None:
        with self.disk.open("r+b") as out:
            for at, sector in zip(self.copies, (first, second), strict=True):
                out.seek(at)
                out.write(sector)

    def take(self) -> tuple[bytes, bytes]:
        with self.disk.open("rb") as out:
            found: list[bytes] = []
            for at in self.copies:
                out.seek(at)
                found.append(out.read(SECTOR_BYTES))
        return found[0], found[1]

    def fill_slot(self, number: int, content: Content) -> None:
        with self.disk.open("r+b") as out:
            out.seek(SLOT_AT[number])
            out.write((self.folder / _slot_name(content)).read_bytes())

    def boot(self, timeout_s: float = 60) -> Started:
        return started(self.run(timeout_s))

    def run(self, timeout_s: float = 60) -> str:
        """One start of the machine; what the console said."""
        program = shutil.which("grub-emu", path=PATH)
        if program is None:
            raise NoGrub("grub-emu is not installed; try  apt-get install grub-emu")
        words = [program, "-m", "device.map", "-d", "boot", "--memdisk=memdisk.tar"]
        settings = {"PATH": PATH, "TERM": "dumb", "LC_ALL": "C"}
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
        return done.stdout.decode(errors="replace")


def started(console: str) -> Started:
    """What GRUB said that it did. Silence is not an answer."""
    match = STARTED.search(console)
    if match is not None:
        return Started(Choice(match[1]), {"a": SLOT_A, "b": SLOT_B}[match[2]])
    if HALTED in console:
        return Started(Choice.HALT, None)
    raise NoGrub(f"no decision on the console:\n{console[-2000:]}")


def _slot_name(content: Content) -> str:
    return f"slot-{'loads' if content.loads else 'fails'}-{'whole' if content.intact else 'torn'}"


def small_slot(folder: Path, content: Content, mark: bytes = b"") -> bytes:
    """A root file system of a quarter MiB with a trailer; its script says that it was started.

    `mark` stands near its end, so that two of them differ there and in their hash.
    """
    file = folder / "root.ext4"
    file.unlink(missing_ok=True)
    label = trailer.label(ROOT_BYTES)
    _tool("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-O", "none,filetype,extent",
          "-L", label, str(file), str(ROOT_BYTES // 1024))  # fmt: skip
    lines = ("echo DECISION $choice slot=$slot", "halt") if content.loads else ("set arguments=x",)
    root = bytearray(file.read_bytes())
    root[-len(mark) - 1 : -1] = mark
    body = bytes(root) + trailer.script(lines)
    digest = hashlib.sha256(body if content.intact else b"something else").hexdigest()
    return body + trailer.check(digest, ROOT_BYTES)


def bench(folder: Path, script: Path = GRUB_CFG) -> Bench:
    """A new disk with the given script, both copies as an image has them, both slots good."""
    folder.mkdir(parents=True, exist_ok=True)
    for loads in (True, False):
        for intact in (True, False):
            content = Content(loads, intact)
            (folder / _slot_name(content)).write_bytes(small_slot(folder, content))
    (folder / "memdisk.tar").write_bytes(memdisk.archive())
    (folder / "boot").mkdir(exist_ok=True)
    head = "set wait_s=0\nset root=(hd0,gpt1)\n"
    (folder / "boot/grub.cfg").write_text(head + script.read_text())
    (folder / "device.map").write_text("(hd0) disk.img\n")
    _make_disk(folder)
    made = Bench(folder, _copies(folder / "disk.img"))
    for number in (SLOT_A, SLOT_B):
        made.fill_slot(number, Content())
    return made


def _make_disk(folder: Path) -> None:
    esp, disk = folder / "esp.img", folder / "disk.img"
    with esp.open("wb") as out:
        out.truncate(ESP_MIB * MIB)
    _tool("mkfs.fat", "-F", "32", "-S", "512", "-s", "1", "-n", "BEDPLATE", "--invariant", str(esp))
    (folder / "state").write_bytes(encode(INITIAL))
    for name in ("bedplate", "bedplate/env1", "bedplate/env2"):
        _tool("mmd", "-i", str(esp), f"::{name}")
    for name in ("env1", "env2"):
        _tool("mcopy", "-i", str(esp), str(folder / "state"), f"::bedplate/{name}/state")
    with disk.open("wb") as out:
        out.truncate(DISK_MIB * MIB)
    sizes = ((ESP_AT, ESP_MIB), (SLOT_AT[SLOT_A], 1), (SLOT_AT[SLOT_B], 1), (DISK_MIB * MIB, 0))
    rows = [f"start={at // 512}, size={mib * MIB // 512}" for at, mib in sizes[:3]]
    rows.append(f"start={(DISK_MIB - 2) * MIB // 512}, size={MIB // 512}")
    table = "label: gpt\nfirst-lba: 2048\n\n" + "\n".join(rows) + "\n"
    _tool("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", str(disk), stdin=table)
    with disk.open("r+b") as out:
        out.seek(ESP_AT)
        out.write(esp.read_bytes())


def _copies(disk: Path) -> tuple[int, int]:
    with disk.open("rb") as stream:

        def read(sector: int) -> bytes:
            stream.seek(ESP_AT + sector * SECTOR_BYTES)
            return stream.read(SECTOR_BYTES)

        first, second = (ESP_AT + locate(read, copy) * SECTOR_BYTES for copy in (1, 2))
    return first, second


def _tool(*words: str, stdin: str | None = None) -> None:
    program = shutil.which(words[0], path=PATH)
    if program is None:
        raise NoGrub(f"{words[0]} is not installed; try  ./bootstrap.sh test")
    done = subprocess.run(
        [program, *words[1:]], input=stdin, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise NoGrub(f"{' '.join(words)}: {done.stderr.strip()}")
