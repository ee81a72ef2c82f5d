"""The robot as it runs in an emulated guest, on this machine: bare arm, replay, slow motion."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sim.run import BINARIES

SECONDS = 200  # twenty of the robot's: a part is picked, placed and seen in its place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.skipif(os.geteuid() != 0, reason="the guest's profile asks for real-time rights")
@pytest.mark.skipif(not (BINARIES / "dynamics").is_file(), reason="dynamics is not built")
def test_the_guests_robot_places_a_part_with_its_eyes_on_a_recording(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from sim.run import RunOptions, run;"
        "sys.exit(run(RunOptions(hardware='qemu_arm64', facility='osaka', browser=False,"
        f"seconds={SECONDS}, var=Path({str(tmp_path)!r}))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    tasks = re.findall(r"tasks (\d+) done, (\d+) failed", done.stdout)
    assert tasks, done.stdout[-2000:]
    placed, failed = (int(count) for count in tasks[-1])
    assert placed >= 1, done.stdout[-2000:]
    assert failed == 0
