"""One image, one fleet and one guest for all tests that only look at a running robot."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boot.fleet_side import FleetSide
from tests.boot.guest import Robot, new_robot

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("qemu-system-aarch64", "qemu-img", "qemu-io", "mmdebstrap", "ssh")
BOOT_S = 900  # a hang ends; how long it took is printed, not judged
NAME = "qemu-01"


def build(out: Path, hardware: str = "qemu_arm64") -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "bedplate", "image", "build", "--hardware", hardware]
    return subprocess.run(
        [*words, "--facility", "osaka", "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def built(folder: Path, hardware: str) -> Path:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} missing; try  ./bootstrap.sh image")
    out = folder / f"{hardware}-osaka"
    done = build(out, hardware)
    print(done.stdout, done.stderr, sep="\n")
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def products(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("image"), "qemu_arm64")


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
