"""What tests of updates in a guest share: the command line, the robot's answers, waiting for it."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.boot.conftest import NAME
from tests.boot.fleet_side import FleetSide
from tests.boot.guest import Robot

ROOT = Path(__file__).resolve().parents[2]
JUDGED_S = 2400
LOOK_S = 10
ASKED_S = 900


def bedplate(*words: str, tree: Path = ROOT) -> str:
    """As typed on a desk, in that checkout."""
    done = subprocess.run(
        [sys.executable, "-m", "bedplate", *words],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def let_in(robot: Robot, fleet_side: FleetSide) -> Robot:
    """The gate asks whether the fleet can be reached, so the fleet must know the robot."""
    enrolled = "sudo test -s /data/bedplate/pki/robot.crt"
    if robot.try_ssh(enrolled).returncode != 0:
        wait_until("it asks to be let in", lambda: fleet_side.has_asked(NAME), robot)
        fleet_side.ask("enrol", "approve", NAME)
        wait_until("it is let in", lambda: robot.try_ssh(enrolled).returncode == 0, robot)
    wait_until("settings of the client", lambda: bool(settings(robot)), robot)
    return robot


def settings(robot: Robot) -> dict[str, Any]:
    return json.loads(robot.ssh("sudo cat /run/bedplate/mender.conf"))


def status(robot: Robot) -> dict[str, Any]:
    """As an operator asks for it; in emulation the command line alone takes minutes to load."""
    return json.loads(robot.ssh("sudo bedplate ota status --json", timeout_s=ASKED_S))


def environment(robot: Robot) -> dict[str, str]:
    said = robot.ssh("sudo grub-mender-grubenv-print")
    return dict(line.split("=", 1) for line in said.splitlines())


def slot(robot: Robot) -> str:
    words = robot.ssh("cat /proc/cmdline").split()
    return next(word.partition("=")[2] for word in words if word.startswith("bedplate.slot="))


def boot_id(robot: Robot) -> str:
    return robot.ssh("cat /proc/sys/kernel/random/boot_id").strip()


def wait_until(what: str, holds: Callable[[], bool], robot: Robot) -> float:
    """Seconds that it took."""
    began = time.monotonic()
    while time.monotonic() < began + JUDGED_S:
        try:
            if holds():
                return time.monotonic() - began
        except (AssertionError, ValueError):
            pass  # it is restarting
        time.sleep(LOOK_S)
    said = robot.try_ssh("sudo bedplate ota status; sudo journalctl -b -u 'bedplate-*gate*' -n 40")
    raise AssertionError(
        f"not within {JUDGED_S} s: {what}\n{said.stdout}\n{robot.console()[-3000:]}"
    )
