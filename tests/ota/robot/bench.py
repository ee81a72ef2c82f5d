"""A robot's folders on this machine, and its real client in a mount namespace of its own.

The stand-in here is the service manager: a script that notes what it was told to restart.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from conf.control import write_control
from conf.load import compose
from conf.profile import write_profile
from conf.schema import Config
from ota.switch import Surroundings
from runtime.handout import Boot, hand_out
from runtime.paths import Paths
from tests.ota.client_program import PROGRAM, ROOTFS_MODULE, places

ROOT = Path(__file__).resolve().parents[3]
BOOT_ID = "11111111-2222-3333-4444-555555555555"
IMAGE = "c" * 64


@cache
def own_config() -> Config:
    """What the slot brought."""
    return compose(hardware="qemu_arm64", facility="osaka").config


@cache
def tighter_config() -> Config:
    """The same board and site, a little more careful."""
    overrides = ("policy.fallback.people_distance_m=2.0",)
    return compose(hardware="qemu_arm64", facility="osaka", overrides=overrides).config


def write_library(folder: Path, config: Config) -> None:
    write_profile(config, folder / "profile.json")
    write_control(config, folder / "control.json")
    manifest = {
        "config_hash": config.config_hash,
        "artifact_name": config.artifact_name,
        "hardware": config.hardware.name,
        "contents_sha256": IMAGE,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


@dataclass
class Robot:
    """Folders below one of pytest's; `told` is every command meant for the machine."""

    home: Path
    told: list[tuple[str, ...]] = field(default_factory=list)
    boot_id: str = BOOT_ID
    on_trial: str = "upgrade_available=0\n"

    @property
    def paths(self) -> Paths:
        return Paths(self.home / "run", self.home / "data")

    @property
    def library(self) -> Path:
        return self.home / "library"

    @property
    def around(self) -> Surroundings:
        return Surroundings(self.paths, self.library, Boot("a", self.boot_id), self.run)

    def run(self, command: Sequence[str]) -> str | None:
        self.told.append(tuple(command))
        return self.on_trial if "upgrade_available" in command else ""

    def boot(self, boot_id: str | None = None) -> None:
        self.boot_id = boot_id or self.boot_id
        shutil.rmtree(self.paths.run, ignore_errors=True)
        hand_out(self.library, self.paths, Boot("a", self.boot_id))

    def running(self) -> str:
        return str(json.loads(self.paths.profile.read_text())["config_hash"])

    def say(self, verdict: str, token: str, *reasons: str) -> None:
        """In place of the gate."""
        table = {"verdict": verdict, "boot_id": self.boot_id, "token": token, "reasons": reasons}
        self.paths.switch_gate.write_text(json.dumps(table))


@cache
def library_files() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        write_library(Path(folder), own_config())
        return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


def make_robot(home: Path) -> Robot:
    robot = Robot(home)
    robot.paths.data.mkdir(parents=True)
    robot.library.mkdir()
    for name, content in library_files().items():
        (robot.library / name).write_bytes(content)
    robot.boot()
    return robot


PREPARE = """set -e
mount --bind "$1/usr-share" /usr/share/mender
mount --bind "$1/etc" /etc/mender
shift
exec "$@"
"""
MODULE = """#!/bin/sh
cd {root} && exec {python} -m ota.modules.{kind} "$@" --run-dir {run} --data-dir {data} \\
  --library {library} --proc {proc} --print-tool {tools}/grub-mender-grubenv-print
"""


@dataclass(frozen=True)
class Client:
    """Debian's own client, over a robot's folders."""

    robot: Robot

    @property
    def home(self) -> Path:
        return self.robot.home / "client"

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.raw(*PROGRAM, *places(self.home / "mender.conf", self.home / "state"), *words)

    def raw(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [
            "unshare", "--user", "--map-root-user", "--mount",
            "sh", "-c", PREPARE, "sh", str(self.home), *words,
        ]  # fmt: skip
        environment = {**os.environ, "PATH": f"{self.home / 'tools'}:{os.environ['PATH']}"}
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment, timeout=200
        )

    def provides(self) -> dict[str, str]:
        lines = self("show-provides").stdout.splitlines()
        return {key: value for key, _, value in (line.partition("=") for line in lines) if value}


def need_client() -> None:
    if shutil.which(PROGRAM[0]) is None:
        pytest.skip(f"{PROGRAM[0]} is not installed (Debian: mender-client)")
    tried = ["unshare", "--user", "--map-root-user", "--mount", "true"]
    if subprocess.run(tried, capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no mount namespace, and the client's paths are fixed")


def make_client(robot: Robot, key: Path, device_type: str = "qemu_arm64") -> Client:
    client = Client(robot)
    home = client.home
    modules = home / "usr-share/modules/v3"
    for folder in (modules, home / "etc", home / "state", home / "tools", home / "proc"):
        folder.mkdir(parents=True)
    (home / "proc/sys/kernel/random").mkdir(parents=True)
    (home / "proc/sys/kernel/random/boot_id").write_text(f"{robot.boot_id}\n")
    (home / "proc/cmdline").write_text("bedplate.slot=a\n")
    for kind in ("profile", "model"):
        text = MODULE.format(
            root=ROOT, python=sys.executable, kind=kind, run=robot.paths.run,
            data=robot.paths.data, library=robot.library, proc=home / "proc", tools=home / "tools",
        )  # fmt: skip
        executable(modules / f"bedplate-{kind}", text)
    seed = ROOT / "ota/mender_files/modules/bedplate-seed"
    executable(modules / "bedplate-seed", seed.read_text())
    if ROOTFS_MODULE is not None:
        shutil.copy(ROOTFS_MODULE, modules / "rootfs-image")
    executable(home / "tools/grub-mender-grubenv-print", "#!/bin/sh\necho upgrade_available=0\n")
    executable(home / "tools/systemctl", f'#!/bin/sh\necho "$*" >>{home}/restarted\n')
    (home / "etc/artifact_info").write_text("artifact_name=flashed\n")
    (home / "state/device_type").write_text(f"device_type={device_type}\n")
    settings = {"ArtifactVerifyKey": str(key), "StateScriptRetryIntervalSeconds": 1}
    (home / "mender.conf").write_text(json.dumps(settings))
    return client


def executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
