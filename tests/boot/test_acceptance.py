"""Deadlines in virtual time: an image of one CPU that counts instructions, so no host is heard.

`make test-image` measures a few thousand cycles; `make accept-icount` the profile's million.
"""

import os
import re
from pathlib import Path

import pytest

from tests.boot.conftest import built
from tests.boot.guest import new_robot

pytestmark = [pytest.mark.image, pytest.mark.timeout(7200)]
CYCLES = int(os.environ.get("ACCEPT_CYCLES", "5000"))  # 0: as the profile declares
END_S = 7000
PEER_RATIO_MAX = 1.5


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the serial port said until the acceptance ended."""
    products = built(tmp_path_factory.mktemp("icount"), "qemu_arm64_icount")
    folder = tmp_path_factory.mktemp("icount-guest") / "robot"
    one = new_robot(folder, products, icount=True, accept=CYCLES)
    one.boot()
    try:
        took_s = one.wait_for("acceptance ended with", END_S)
        print(f"ended {took_s:.0f} s of wall time after power-on")
    finally:
        one.cut_power()
        keep(one.console())
    print(one.console()[-6000:])
    return one.console().replace("\r", "")


def keep(text: str) -> None:
    if folder := os.environ.get("ACCEPT_KEEP"):
        (Path(folder) / "icount-serial.txt").write_text(text)


def test_it_passes(said: str):
    assert "acceptance ended with 0" in said


def test_no_deadline_is_missed_quiet_or_loaded(said: str):
    parts = {
        name: int(missed) for name, missed in re.findall(r"(\w+): \d+ cycles, (\d+) missed", said)
    }
    assert parts == {"quiet": 0, "loaded": 0}


def test_as_many_cycles_were_measured_as_were_asked_for(said: str):
    wanted = {"quiet": CYCLES or 1_000_000, "loaded": CYCLES or 100_000}
    cycles = {name: int(count) for name, count in re.findall(r"(\w+): (\d+) cycles", said)}
    assert all(cycles[name] >= count for name, count in wanted.items())
