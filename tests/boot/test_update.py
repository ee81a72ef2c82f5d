"""An update in the guest, with the real client: another slot on trial, judged, kept or left."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.boot.conftest import BOOT_S, NAME, Keys, built
from tests.boot.fleet_side import FleetSide
from tests.boot.guest import Robot

pytestmark = [pytest.mark.image, pytest.mark.timeout(5400)]
ROOT = Path(__file__).resolve().parents[2]
JUDGED_S = 2400
BEGINNING = "sudo head -c 32M /dev/vda3 | sha256sum"  # of the slot that does not run


def bedplate(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "bedplate", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def artifact(keys: Keys, products: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same robot once more, under another name."""
    folder = tmp_path_factory.mktemp("second")
    words = ["--update-key", str(keys.check), "--set", "artifact_name=second"]
    image = built(folder, "qemu_arm64", *words)
    out = folder / "second.mender"
    bedplate(
        *("ota", "artifact", "rootfs", "--image", str(image)),
        *("--key", str(keys.sign), "--out", str(out)),
    )
    return out


@pytest.fixture(scope="module")
def updated(robot: Robot, fleet_side: FleetSide) -> Robot:
    """The robot that its fleet has let in: the gate asks whether the fleet can be reached."""
    enrolled = "sudo test -s /data/bedplate/pki/robot.crt"
    if robot.try_ssh(enrolled).returncode != 0:
        wait_until("it asks to be let in", lambda: fleet_side.has_asked(NAME), robot)
        fleet_side.ask("enrol", "approve", NAME)
        wait_until("it is let in", lambda: robot.try_ssh(enrolled).returncode == 0, robot)
    return robot


def environment(robot: Robot) -> dict[str, str]:
    said = robot.ssh("sudo grub-mender-grubenv-print")
    return dict(line.split("=", 1) for line in said.splitlines())


def slot(robot: Robot) -> str:
    words = robot.ssh("cat /proc/cmdline").split()
    return next(word.partition("=")[2] for word in words if word.startswith("bedplate.slot="))


def wait_until(what: str, holds: Callable[[], bool], robot: Robot) -> None:
    until = time.monotonic() + JUDGED_S
    while time.monotonic() < until:
        try:
            if holds():
                return
        except (AssertionError, ValueError):
            pass  # it is restarting
        time.sleep(10)
    raise AssertionError(f"not within {JUDGED_S} s: {what}\n{robot.console()[-3000:]}")


def test_size_is_within_what_was_promised(artifact: Path):
    assert artifact.stat().st_size <= 350 << 20


def test_unsigned_one_is_refused_before_a_byte_is_written(updated: Robot, artifact: Path):
    wait_until("settings of the client", lambda: bool(settings(updated)), updated)
    before = updated.ssh(BEGINNING, timeout_s=900)
    updated.put(artifact, "second.mender")
    damaged = "sed 's/manifest.sig/manifest.sjg/' second.mender > damaged.mender"
    updated.ssh(damaged, timeout_s=600)
    done = updated.try_ssh("sudo bedplate ota install --no-reboot damaged.mender", timeout_s=900)
    assert done.returncode != 0
    assert "sign" in done.stdout + done.stderr
    assert updated.ssh(BEGINNING, timeout_s=900) == before
    assert environment(updated)["upgrade_available"] == "0"
    updated.ssh("rm damaged.mender")


def settings(robot: Robot) -> dict[str, object]:
    return json.loads(robot.ssh("sudo cat /run/bedplate/mender.conf"))


def test_new_slot_is_started_on_trial(updated: Robot):
    assert slot(updated) == "a"
    boot = updated.ssh("cat /proc/sys/kernel/random/boot_id")
    updated.try_ssh("sudo bedplate ota install second.mender", timeout_s=1800)

    def again() -> bool:
        return updated.ssh("cat /proc/sys/kernel/random/boot_id") != boot

    wait_until("another start", again, updated)
    assert slot(updated) == "b"


def test_nobody_commits_it_before_the_gate_has_passed(updated: Robot):
    if environment(updated)["upgrade_available"] != "1":
        pytest.fail("it was committed before anybody could look")
    done = updated.try_ssh("sudo grub-mender-grubenv-set upgrade_available 0")
    assert done.returncode != 0
    assert environment(updated)["upgrade_available"] == "1"


def test_gate_passes_and_the_robot_commits_by_itself(updated: Robot):
    wait_until("the commit", lambda: environment(updated)["upgrade_available"] == "0", updated)
    assert slot(updated) == "b"
    assert environment(updated)["mender_boot_part"] == "3"
    assert "second" in updated.ssh("sudo mender show-artifact", timeout_s=300)


def test_after_a_power_cut_it_is_still_the_new_slot(updated: Robot):
    updated.ssh("sync")
    updated.cut_power()
    updated.boot()
    updated.wait_for_ssh(BOOT_S)
    assert slot(updated) == "b"
