"""What only a kernel of our own has: CAN drives over `vcan`, and a watchdog that resets."""

import os
import time

import pytest

from image.cache import Cache, default_cache
from image.lockfile import read_lock
from image.plan import TREE
from image.steps.rust import CONTROLD_TESTS, compile_crate
from tests.boot.guest import Robot

pytestmark = [pytest.mark.image, pytest.mark.timeout(3600)]
TEST = "hal::cia402::tests::an_arm_runs_over_a_virtual_can_interface"
RESET_S = 600


@pytest.fixture(scope="module")
def tests_of_tier_1(robot: Robot) -> str:
    toolchain = read_lock().sets["toolchain"]
    cache = Cache(default_cache())
    made = compile_crate(TREE, CONTROLD_TESTS, toolchain, cache, os.cpu_count() or 1)
    return robot.put(made / "controld-tests", "controld-tests")


def test_arm_runs_over_a_virtual_can_interface(robot: Robot, tests_of_tier_1: str):
    robot.ssh(
        "sudo ip link add vcan0 mtu 72 type vcan; sudo ip link set vcan0 up; ip link show vcan0"
    )
    said = robot.ssh(f"sudo {tests_of_tier_1} --ignored --exact {TEST}", timeout_s=600)
    assert "1 passed" in said


def test_the_same_test_fails_without_the_interface(robot: Robot, tests_of_tier_1: str):
    robot.ssh("sudo ip link del vcan0")
    said = robot.try_ssh(f"sudo {tests_of_tier_1} --ignored --exact {TEST}", timeout_s=600)
    assert said.returncode != 0
    assert "FAILED" in said.stdout


def test_controld_that_cannot_be_kept_alive_resets_the_robot(robot: Robot):
    """Killed again and again, faster than its row allows: the unit's failure action restarts."""
    before = robot.ssh("cat /proc/sys/kernel/random/boot_id")
    robot.try_ssh(
        "sudo sh -c 'for n in 1 2 3 4 5 6 7 8 9 10; do"
        " systemctl kill --signal=KILL bedplate-controld; sleep 1; done'",
        timeout_s=120,
    )
    _wait_for_another_boot(robot, before)


def test_hung_system_is_reset_by_the_hardware_watchdog(robot: Robot):
    """systemd crashes and stands still, so nobody feeds what it has opened."""
    before = robot.ssh("cat /proc/sys/kernel/random/boot_id")
    device = robot.ssh("systemctl show --property=RuntimeWatchdogUSec --value").strip()
    assert device not in ("", "0", "infinity")
    robot.ssh("sudo kill -SEGV 1")
    _wait_for_another_boot(robot, before)


def _wait_for_another_boot(robot: Robot, before: str) -> None:
    until = time.monotonic() + RESET_S
    while time.monotonic() < until:
        asked = robot.try_ssh("cat /proc/sys/kernel/random/boot_id", timeout_s=120)
        if asked.returncode == 0 and asked.stdout != before:
            return
        time.sleep(2)
    raise AssertionError(f"no restart in {RESET_S} s:\n{robot.console()[-4000:]}")
