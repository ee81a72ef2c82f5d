"""What a robot goes through while its writes are recorded.

First boot; a signed root filesystem by the robot's own client, its trial, its commit; another one,
whose trial is reset before it has passed, and the way back.
"""

import hashlib
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from image.data import prepare_guest
from image.layers import Entry
from image.qemu import Guest
from image.ssh import free_port
from ota.power_cut.emulated import GRUB_CFG
from ota.power_cut.guest import Running
from ota.power_cut.images import Images
from ota.power_cut.prove import Mark
from ota.power_cut.recording import Recording
from ota.power_cut.write_log import entry_count

DISK_MIB: Final = 10240
BOOT_S: Final = 900
INSTALL_S: Final = 2400
JUDGED_S: Final = 1800
KEEPSAKE: Final = "cut/keepsake"  # on data; nobody writes it, and every start must find it so
KEEPSAKE_BYTES: Final = 1 << 20
BOOT_ENV: Final = Path(__file__).resolve().parents[1] / "boot_env"
NOT_ON_A_ROBOT: Final = {"decision.py", "model.py"}
TRIAL_OVER: Final = "sudo grub-mender-grubenv-print upgrade_available | grep -q =0"
READY: Final = "sudo bedplate-boot-env ready"
CLIENT_IS_TOLD: Final = "systemctl is-active --quiet bedplate-provides.service"
SETTLED: Final = "sudo test ! -e /data/bedplate/ota/install.json"


def protocol_hash() -> str:
    """Of what decides and what writes: a recording of another protocol proves nothing of this."""
    digest = hashlib.sha256()
    tools = sorted(set(BOOT_ENV.glob("*.py")) - {BOOT_ENV / name for name in NOT_ON_A_ROBOT})
    for file in (GRUB_CFG, *tools):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def keepsake() -> bytes:
    return random.Random(5).randbytes(KEEPSAKE_BYTES)


KEEPSAKE_SHA256: Final = hashlib.sha256(keepsake()).hexdigest()


def new_guest(folder: Path, flashed: Path, updates: tuple[Path, ...]) -> tuple[Guest, Path]:
    """As newly flashed, with the updates on its data; and the key to its operator."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    guest = Guest(
        image=flashed / "disk.img",
        folder=folder,
        disk_mib=DISK_MIB,
        ssh_port=free_port(),
        serial=f"file:{folder / 'console'}",
    )
    given = [Entry(path="cut"), Entry.file(KEEPSAKE, keepsake())]
    given += [Entry.file(f"cut/{update.name}", update.read_bytes()) for update in updates]
    return guest, prepare_guest(flashed, guest, None, "panda", given)


def flatten(overlay: Path, target: Path) -> None:
    words = ["qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(overlay), str(target)]
    subprocess.run(words, check=True, capture_output=True)


@dataclass
class Story:
    """The robot, what it is doing, and since which write."""

    robot: Running
    recording: Recording
    say: Callable[[str], object]
    began_s: float = field(default_factory=time.monotonic)

    def now(self, phase: str) -> None:
        log = self.recording.log
        entry = entry_count(log) if log.stat().st_size else 0
        marks = (*self.recording.marks, Mark(entry, phase))
        self.recording = replace(self.recording, marks=marks)
        self.save(complete=False)
        self.say(f"{self.recording.took_s:6.0f} s  {phase}; {entry} writes so far")

    def save(self, *, complete: bool) -> None:
        took_s = round(time.monotonic() - self.began_s)
        self.recording = replace(self.recording, took_s=took_s, complete=complete)
        self.recording.save()

    def comes_up(self) -> None:
        self.robot.wait("SSH", lambda: self.robot.holds("true"), BOOT_S)

    def updates(self, name: str, number: int) -> None:
        """Up to the start of the new slot."""
        robot = self.robot
        robot.wait("the client is ready", lambda: robot.holds(CLIENT_IS_TOLD), BOOT_S)
        robot.wait("a slot may be written", lambda: robot.holds(READY), BOOT_S)
        before = robot.boot_id()
        self.now(f"install {number}")
        words = f"sudo bedplate ota install --no-reboot /data/cut/{name}"
        robot.ssh(words, timeout_s=INSTALL_S)
        self.now(f"restart and start of trial {number}")
        robot.try_ssh("sudo systemctl reboot", timeout_s=120)
        robot.wait_for_another_start(before, BOOT_S)

    def commits(self, number: int) -> None:
        self.now(f"trial {number} and commit")
        self.robot.wait("the commit", lambda: self.robot.holds(TRIAL_OVER), JUDGED_S)
        self.now(f"after commit {number}: migrations, books")
        self.robot.wait("its books are closed", lambda: self.robot.holds(SETTLED), BOOT_S)

    def goes_back(self, number: int) -> None:
        self.now(f"trial {number}, reset before its commit, and the way back")
        before = self.robot.boot_id()
        self.robot.reset()
        self.robot.wait_for_another_start(before, BOOT_S)
        self.robot.wait("the way back is noted", lambda: self.robot.holds(TRIAL_OVER), BOOT_S)
        self.robot.wait("the next may come", lambda: self.robot.holds(READY), BOOT_S)
        self.now("after the way back")
        self.robot.ssh("sync", timeout_s=300)


class StoryError(Exception):
    """The robot took another way than the one to be recorded."""


def record_story(folder: Path, images: Images, say: Callable[[str], object]) -> Recording:
    """Some twenty minutes in one guest on a quiet machine; one that was killed begins again.

    What is there is noted at each phase, so that the beginning can be judged while the rest is
    still being recorded.
    """
    guest, key = new_guest(folder / "guest", images.flashed, images.updates)
    made = Recording(
        folder=folder / "recording",
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        emulator=_version("qemu-system-aarch64"),
        client="",
        protocol=protocol_hash(),
        took_s=0,
        installed=images.installed,
        marks=(),
        complete=False,
    )
    made.folder.mkdir(exist_ok=True)
    flatten(guest.folder / "disk.qcow2", made.disk)
    shutil.copyfile(key, made.key)
    made.key.chmod(0o600)
    with Running(guest, key, made.log) as robot:
        story = Story(robot, made, say)
        story.now("first start")
        story.comes_up()
        client = robot.ssh("mender --version", timeout_s=180).split()[0]
        story.recording = replace(story.recording, client=client)
        _expect(robot, "a", "committed")
        story.updates(images.updates[0].name, 1)
        _expect(robot, "b", "trial")
        story.commits(1)
        story.updates(images.updates[1].name, 2)
        _expect(robot, "a", "trial")
        story.goes_back(2)
        _expect(robot, "b", "rolled-back")
    story.save(complete=True)
    shutil.rmtree(guest.folder)
    return story.recording


def _expect(robot: Running, slot: str, choice: str) -> None:
    found = robot.slot_and_choice()
    if found != (slot, choice):
        raise StoryError(
            f"slot {found[0]} ({found[1]}) runs, not {slot} ({choice})\n{robot.console()[-3000:]}"
        )


def _version(program: str) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0]
