"""What the tool, the update client and GRUB write on a small disk, recorded as QEMU records it."""

import os
import shutil
import struct
from pathlib import Path

import pytest

from ota.boot_env import tool
from ota.boot_env.decision import Content, Disk, boot
from ota.boot_env.states import SLOT_A, SLOT_B, State, decode, encode
from ota.power_cut import write_log
from ota.power_cut.emulated import ESP_AT, SLOT_AT, Bench, bench, small_slot
from ota.power_cut.judge import slot_at
from ota.power_cut.prove import Told, prove
from ota.power_cut.replay import Disk as Replayed
from ota.power_cut.verdict import Verdict
from ota.power_cut.write_log import Wrote

INSTALL = ("upgrade_available=1", "mender_boot_part=3", "mender_boot_part_hex=3", "bootcount=0")
COMMIT = ("upgrade_available=0",)


def write_file(path: Path, found: list[Wrote | None]) -> None:
    """As QEMU writes it."""
    out = bytearray(struct.pack("<QQQI", write_log.MAGIC, 1, len(found), 512).ljust(512, b"\0"))
    for one in found:
        if one is None:
            out += struct.pack("<QQQQ", 0, 0, write_log.FLUSH, 0).ljust(512, b"\0")
        else:
            sectors, flags = len(one.content) // 512, write_log.FUA if one.lasting else 0
            head = struct.pack("<QQQQ", one.at_bytes // 512, sectors, flags, len(one.content))
            out += head.ljust(512, b"\0") + one.content
    path.write_bytes(out)


class Recorder:
    """What the tool, the client and GRUB write on a small disk, in order."""

    def __init__(self, disk: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.disk = disk
        self.folder = folder
        self.found: list[Wrote | None] = []
        real_write, real_flush = os.pwritev, os.fsync

        def write(file: int, buffers: list[bytes], at: int) -> int:
            self.found.append(Wrote(at, b"".join(bytes(b) for b in buffers)))
            return real_write(file, buffers, at)

        def flush(file: int) -> None:
            self.found.append(None)
            real_flush(file)

        monkeypatch.setattr(os, "pwritev", write)
        monkeypatch.setattr(os, "fsync", flush)

    def tool(self, slot: str, choice: str, *lines: str) -> None:
        (self.folder / "cmdline").write_text(f"bedplate.slot={slot} bedplate.choice={choice}\n")
        (self.folder / "id").write_text("boot\n")
        said = f'{{"boot_id": "boot", "slot": "{slot}", "verdict": "pass"}}'
        (self.folder / "gate").write_text(said)
        (self.folder / "lines").write_text("\n".join(lines))
        words = ["set", "--esp", str(self.disk.disk), "--offset", str(ESP_AT)]
        words += ["--cmdline", str(self.folder / "cmdline"), "--gate", str(self.folder / "gate")]
        words += ["--boot-id", str(self.folder / "id"), "-s", str(self.folder / "lines")]
        assert tool.main(words) == 0

    def fill_slot(self, number: int, mark: bytes = b"the new one") -> bytes:
        """A new content in pieces, then a flush."""
        content = small_slot(self.folder, Content(), mark)
        with self.disk.disk.open("r+b") as out:
            for at in range(0, len(content), 65536):
                piece = content[at : at + 65536]
                self.found.append(Wrote(SLOT_AT[number] + at, piece))
                out.seek(SLOT_AT[number] + at)
                out.write(piece)
        self.found.append(None)
        return content

    def grub(self) -> None:
        """Its writes by the function that it is compared with; it cannot flush."""
        sectors = self.disk.take()
        seen = Disk(*map(decode, sectors), {SLOT_A: Content(), SLOT_B: Content()})
        boot(seen)
        for one in seen.writes:
            self.found.append(Wrote(self.disk.copies[one.copy - 1], encode(one.state)))
        self.disk.boot()
        left = tuple(decode(sector) for sector in self.disk.take())
        assert left == (seen.first, seen.second)


def new_recorder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Slot A committed, slot B good too; nothing written yet."""
    made = bench(folder / "disk")
    made.put(encode(State(canary=1)), encode(State(canary=1)))
    shutil.copyfile(made.disk, folder / "before.img")
    return Recorder(made, folder, monkeypatch)


def judged(recorder: Recorder, told: Told | None = None) -> list[Verdict]:
    write_file(recorder.folder / "log", recorder.found)
    disk = recorder.folder / "before.img"
    return prove(disk, recorder.folder / "log", recorder.folder / "judge", lambda _: None, told)


def digest(content: bytes) -> str:
    found = slot_at(lambda at, size: content[at : at + size], 0)
    assert found is not None
    return found.digest


def flashed(recorder: Recorder) -> bytes:
    disk = Replayed(recorder.folder / "before.img")
    try:
        return disk.read(disk.starts[SLOT_A], 1 << 20)
    finally:
        disk.close()
