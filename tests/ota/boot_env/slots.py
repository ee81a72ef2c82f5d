"""The real client over two slots that are loop devices, our tools, and GRUB's own decision."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ota.boot_env.states import State, decode, encode
from ota.power_cut.emulated import ESP_AT, Bench, bench, missing_programs
from tests.ota.client_program import PROGRAM, ROOTFS_MODULE, places

NEEDED = (PROGRAM[0], "mender-artifact", "unshare", "losetup")
MISSING = [*missing_programs(), *(name for name in NEEDED if shutil.which(name) is None)]
ROOT = Path(__file__).resolve().parents[3]
BOOT_ID = "0b7c3f0e-8d0b-4b39-8c43-0f1b8f2a7d55"
LAUNCHER = """#!/bin/sh
exec {python} -I -S -c 'import sys
sys.path.insert(0, "{root}")
from ota.boot_env.tool import main
sys.exit(main(sys.argv[1:]))' {command} --esp {disk} --offset {offset} --cmdline {folder}/cmdline \
--boot-id {folder}/boot-id --gate {folder}/gate --writer {folder}/writer "$@"
"""


@dataclass(frozen=True)
class Machine:
    """A client, two slots, and a `mount` that says which of them is the root."""

    folder: Path
    disk: Bench

    def runs(self, slot: str, choice: str) -> None:
        (self.folder / "cmdline").write_text(f"bedplate.slot={slot} bedplate.choice={choice}\n")
        (self.folder / "boot-id").write_text(BOOT_ID)
        part = {"a": 2, "b": 3}[slot]
        text = f"#!/bin/sh\necho '{self.folder}/part{part} on / type ext4 (ro)'\n"
        (self.folder / "bin/mount").write_text(text)
        (self.folder / "bin/mount").chmod(0o755)
        # A later client's module asks so for the root.
        executable(self.folder / "bin/findfs", f"#!/bin/sh\necho {self.folder}/part{part}\n")

    def passes(self, slot: str) -> None:
        said = {"version": 1, "boot_id": BOOT_ID, "slot": slot, "verdict": "pass", "reasons": []}
        (self.folder / "gate").write_text(json.dumps(said))

    def command(self, *words: str) -> list[str]:
        inner = '/bin/mount --bind "$0/etc" /etc/mender; '
        inner += '/bin/mount --bind "$0/share" /usr/share/mender; exec "$@"'
        client = (*PROGRAM, *places(self.folder / "mender.conf", self.folder / "data"))
        return ["unshare", "-m", "sh", "-c", inner, str(self.folder), *client, *words]

    @property
    def settings(self) -> dict[str, str]:
        """Of its own surroundings: where it finds `mount` and our tools."""
        return {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}:/usr/sbin:/sbin",
            "HOME": "/root",
            "BEDPLATE_GATE": str(self.folder / "gate"),
        }

    def mender(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            env=self.settings,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def left(self) -> list[object]:
        return [decode(sector) for sector in self.disk.take()]


@contextmanager
def machine_with_slots(folder: Path, slot_bytes: int = 1 << 20) -> Iterator[Machine]:
    made = Machine(folder, bench(folder / "disk"))
    for name in ("bin", "data", "etc", "share/modules/v3"):
        (folder / name).mkdir(parents=True)
    if ROOTFS_MODULE is not None:
        shutil.copy(ROOTFS_MODULE, folder / "share/modules/v3/rootfs-image")
    for command in ("print", "set"):
        executable(folder / f"bin/grub-mender-grubenv-{command}", launcher(made, command))
    (folder / "data/device_type").write_text("device_type=qemu_arm64\n")
    (folder / "etc/artifact_info").write_text("artifact_name=old\n")
    conf = {f"RootfsPart{slot}": f"{folder}/part{n}" for slot, n in (("A", 2), ("B", 3))}
    (folder / "mender.conf").write_text(json.dumps(conf))
    (folder / "etc/mender.conf").symlink_to(folder / "mender.conf")
    loops: list[str] = []
    try:
        for number in (2, 3):
            loops.append(_loop(folder, number, slot_bytes))
        made.disk.put(encode(State(canary=1)), encode(State(canary=1)))
        yield made
    finally:
        for loop in loops:
            subprocess.run(["losetup", "-d", loop], check=False)


def launcher(machine: Machine, command: str) -> str:
    return LAUNCHER.format(
        python=sys.executable,
        root=ROOT,
        command=command,
        disk=machine.disk.disk,
        offset=ESP_AT,
        folder=machine.folder,
    )


def executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _loop(folder: Path, number: int, slot_bytes: int) -> str:
    """A slot as a device whose name ends in its number, as the client wants it."""
    backing = folder / f"slot{number}"
    with backing.open("wb") as out:
        out.truncate(slot_bytes)
    words = ["losetup", "-f", "--show", str(backing)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no loop devices here: {done.stderr.strip()}")
    loop = done.stdout.strip()
    os.mknod(folder / f"part{number}", 0o60600, Path(loop).stat().st_rdev)
    return loop
