"""Drives over a real SocketCAN socket: Tier 1's own test, where the kernel has the interface."""

import shutil
import subprocess
from pathlib import Path

import pytest

INTERFACE = Path("/sys/class/net/vcan0")
NEEDS = (
    "no vcan0 here, so drives were tested on the fake bus only; as root: "
    "modprobe vcan && ip link add vcan0 mtu 72 type vcan && ip link set vcan0 up"
)
TEST = "hal::cia402::tests::an_arm_runs_over_a_virtual_can_interface"


@pytest.fixture
def cargo() -> str:
    found = shutil.which("cargo")
    if found is None:
        pytest.skip("cargo is not installed: this test is one of Tier 1's own")
    return found


def ask_cargo(cargo: str, *arguments: str) -> str:
    ran = subprocess.run(
        [cargo, "test", "--quiet", "--locked", "--package", "controld", "--lib", "--", *arguments],
        cwd="runtime/controld",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.skipif(not INTERFACE.exists(), reason=NEEDS)
def test_an_arm_runs_over_a_virtual_can_interface(cargo: str) -> None:
    assert "1 passed" in ask_cargo(cargo, "--ignored", "--exact", TEST)
