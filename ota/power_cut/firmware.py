"""The robot's own GRUB under its own firmware, up to the moment at which the kernel takes over.

It takes twelve seconds of emulation where `grub-emu` takes a tenth of one, so of the states of a
recording one of each sort is started here, and must come out as there.
"""

import re
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from image.qemu import Guest, command, prepare
from ota.boot_env.decision import Choice, Started
from ota.boot_env.states import SECTOR_BYTES, SLOT_A, SLOT_B, State, decode
from ota.power_cut.judge import Judge
from ota.power_cut.prove import Run, Told
from ota.power_cut.replay import SLOT_NAME, Disk, copy_sparse
from ota.power_cut.verdict import JUDGED, Kept, Say, Verdict

TAKES_OVER: Final = "EFI stub: Exiting boot services"
HALTED: Final = "bedplate: HALT"
STARTING: Final = re.compile(r"bedplate: slot ([ab]) \(([a-z-]+)\)")
DECIDED_S: Final = 900  # both slots hashed under emulation; else a hang ends
MIB: Final = 1 << 20


class FirmwareError(Exception):
    """Nothing was decided, or something else than the same GRUB decided elsewhere."""


def read_console(said: str) -> Started | None:
    """`None`: nothing has been decided yet. What was tried last is what was started."""
    if HALTED in said:
        return Started(Choice.HALT, None)
    if TAKES_OVER not in said:
        return None
    tried = STARTING.findall(said.partition(TAKES_OVER)[0])
    if not tried:
        return None
    slot, choice = tried[-1]
    return Started(Choice(choice), {"a": SLOT_A, "b": SLOT_B}[slot])


class Firmware:
    """Power on, on a copy of the disk that is thrown away."""

    def __init__(self, disk: Path, folder: Path, same_as: Judge | None):
        self._disk = disk
        self._folder = folder
        self._same_as = same_as

    def decide(self) -> Started:
        found = self.start()
        other = found if self._same_as is None else self._same_as.decide()
        if found != other:
            raise FirmwareError(f"under the firmware {found}, in grub-emu {other}")
        return found

    def start(self) -> Started:
        self._folder.mkdir(parents=True, exist_ok=True)
        console = self._folder / "console"
        console.unlink(missing_ok=True)
        (self._folder / "disk.qcow2").unlink(missing_ok=True)
        guest = Guest(
            image=self._disk,
            folder=self._folder,
            disk_mib=self._disk.stat().st_size // MIB,
            serial=f"file:{console}",
            ssh_port=0,
        )
        prepare(guest)
        words = ["setpriv", "--pdeathsig", "KILL", *command(guest)]
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            return _watch(console, process)
        finally:
            process.kill()
            process.wait()


def _watch(console: Path, process: subprocess.Popen[bytes]) -> Started:
    until_s = time.monotonic() + DECIDED_S
    said = ""
    while time.monotonic() < until_s:
        time.sleep(0.3)
        said = console.read_text(errors="replace") if console.exists() else ""
        found = read_console(said)
        if found is not None:
            return found
        if process.poll() is not None:
            break
    raise FirmwareError(f"no decision on the console:\n{said[-2000:]}")


def sort_of(key: str, disk: Disk) -> str:
    """States alike in all that GRUB looks at; what remains of a cut beside that is not its."""
    copies = [decode(disk.read(at, SECTOR_BYTES)) for at in disk.copies]
    names = [copy.name if isinstance(copy, State) else copy.value for copy in copies]
    mended = disk.mended_table()
    table = "no table" if mended is None else "second table" if mended else "first table"
    slots = [
        f"{name} {'whole' if disk.slot(number) else 'in part'}"
        for number, name in SLOT_NAME.items()
    ]
    return ", ".join([*names, table, *slots])


def try_all_sorts(disk: Path, log: Path, folder: Path, say: Say, told: Told) -> list[Verdict]:
    """One state of each sort that a cut of the recording can leave."""
    folder.mkdir(parents=True, exist_ok=True)
    replayed_file = folder / "disk.img"
    copy_sparse(disk, replayed_file)
    kept = Kept(folder / JUDGED, say)
    with closing(Disk(replayed_file)) as replayed:
        real = Firmware(replayed_file, folder / "guest", Judge(replayed_file, folder / "grub"))
        Run(replayed, real, told, kept, naming=sort_of, twice=False).go(log)
    return list(kept.done.values())
