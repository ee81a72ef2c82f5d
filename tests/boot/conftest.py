"""One image, one fleet and one guest for all tests that only look at a running robot."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ota.keys import make_keys
from tests.boot.fleet_side import FleetSide
from tests.boot.guest import Robot, new_robot

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("qemu-system-aarch64", "qemu-img", "qemu-io", "mmdebstrap", "ssh")
BOOT_S = 900  # a hang ends; how long it took is printed, not judged
NAME = "qemu-01"
REFUSED = 2
EMULATION = "emulation of arm64"
GONE = "RELOCK=scratch"  # what a build says to try where a locked file is gone


@dataclass(frozen=True)
class Keys:
    """What updates are signed with, and checked with."""

    sign: Path
    check: Path


def build(
    out: Path, hardware: str, *more: str, relock: bool = False
) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "bedplate", "image", "build", "--hardware", hardware]
    return subprocess.run(
        [*words, "--facility", "osaka", "--out", str(out), *more],
        cwd=ROOT,
        env={**os.environ, **({"RELOCK": "scratch"} if relock else {})},
        capture_output=True,
        text=True,
        check=False,
    )


def built(folder: Path, hardware: str, *more: str) -> Path:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} missing; try  ./bootstrap.sh image")
    out = folder / f"{hardware}-osaka"
    done = build(out, hardware, *more)
    if done.returncode == REFUSED and GONE in done.stderr:
        print(done.stderr, "the archive has moved on: with a lock of what it has now", sep="\n")
        done = build(out, hardware, *more, relock=True)
    print(done.stdout, done.stderr, sep="\n")
    if done.returncode == REFUSED and EMULATION in done.stderr:
        pytest.skip("arm64 programs do not run on this machine, and no root is in the cache")
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("keys")
    made = Keys(folder / "sign.pem", folder / "check.pem")
    make_keys(made.sign, made.check)
    return made


@pytest.fixture(scope="session")
def products(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image")
    return built(folder, "qemu_arm64", "--update-key", str(keys.check))


@pytest.fixture(scope="session")
def fleet_side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetSide]:
    fleet = FleetSide.make(tmp_path_factory.mktemp("fleet"))
    fleet.start()
    yield fleet
    fleet.stop()


@pytest.fixture(scope="session")
def robot(
    products: Path, fleet_side: FleetSide, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Robot]:
    """Newly flashed for this fleet, and booted."""
    folder = tmp_path_factory.mktemp("guest") / "robot"
    one = new_robot(folder, products, fleet_side.invite(NAME), arm="panda")
    one.boot()
    one.wait_for("login:", BOOT_S)
    one.wait_for_ssh(BOOT_S)
    yield one
    one.cut_power()
