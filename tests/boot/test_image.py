"""The image of `qemu_arm64` is built, booted, and asked what it is; `make test-image`."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conf.load import compose
from image.data import find_partition, the_tools
from image.ports import Direction, ports
from image.show import read_manifest
from tests.boot.conftest import BOOT_S
from tests.boot.guest import Robot, new_robot

pytestmark = [pytest.mark.image, pytest.mark.timeout(3600)]
ROOT = Path(__file__).resolve().parents[2]
SLOT_MIB_MAX = 1536
COMPRESSED_MIB_MAX = 400


def test_sizes_are_within_what_was_promised(products):
    assert (products / "slot.img").stat().st_size <= SLOT_MIB_MAX << 20
    assert (products / "slot.img.zst").stat().st_size <= COMPRESSED_MIB_MAX << 20


def test_kernel_says_the_root_is_verified_and_read_only(robot: Robot):
    arguments = robot.ssh("cat /proc/cmdline")
    assert "dm-mod.create=" in arguments
    assert "bedplate.slot=a" in arguments
    mounts = robot.ssh("findmnt --noheadings --output SOURCE,OPTIONS /")
    assert mounts.startswith("/dev/dm-2")
    assert re.search(r"\bro\b", mounts)
    assert robot.try_ssh("sudo touch /etc/x").returncode != 0


def test_running_kernel_is_the_manifests(robot: Robot, products: Path):
    assert robot.ssh("uname -r").strip() == read_manifest(products).kernel_release
    assert robot.ssh("cat /sys/kernel/realtime").strip() == "1"


def test_nothing_failed_to_start(robot: Robot):
    robot.ssh("sudo systemctl is-system-running --wait || true", timeout_s=600)
    # Its half minute for an answer is not enough where emulated processors are busy.
    words = "SYSTEMD_BUS_TIMEOUT=500s systemctl --failed --plain --no-legend"
    failed = robot.ssh(words, timeout_s=600).strip()
    assert failed == "", robot.ssh("sudo journalctl -b -p warning --no-pager | tail -60")


def test_data_has_the_rest_of_the_disk(robot: Robot):
    size_mib = int(robot.ssh("findmnt --noheadings --bytes --output SIZE /data")) >> 20
    storage = compose(hardware="qemu_arm64").config.hardware.storage
    assert size_mib > 0.9 * (storage.disk_mib - storage.esp_mib - 2 * storage.slot_mib)
    for place in ("/var", "/home"):
        assert robot.ssh(f"findmnt --noheadings --output SOURCE {place}").startswith("/dev/vda4")


def test_only_ports_of_the_table_listen(robot: Robot):
    printed = robot.ssh("sudo ss --no-header --listening --numeric --tcp --udp")
    found = set()
    for line in printed.splitlines():
        fields = line.split()
        address, _, port = fields[4].rpartition(":")
        if not address.startswith(("127.", "[::1]")):
            found.add((fields[0], int(port)))
    allowed = {(row.protocol, row.port) for row in ports() if row.direction is Direction.IN}
    assert found <= allowed
    assert ("tcp", 22) in found  # the test sees ports at all


def test_firewall_is_up_and_drops(robot: Robot):
    rules = robot.ssh("sudo nft list ruleset")
    assert rules.count("policy drop") == 3
    assert "tcp dport 22" in rules


def test_nobody_gets_in_without_a_key(robot: Robot):
    assert robot.try_ssh("true", key=False).returncode != 0
    assert robot.try_ssh("true", user="root").returncode != 0
    shadow = robot.ssh("sudo cat /etc/shadow")
    assert {line.split(":")[1] for line in shadow.splitlines()} == {"*"}


def test_robot_is_at_work_and_says_so(robot: Robot):
    robot.ssh("sudo systemctl start bedplate.target", timeout_s=600)
    active = robot.ssh("systemctl is-active bedplate-controld bedplate-boot || true").split()
    assert active == ["active", "active"], robot.ssh(
        "sudo journalctl -b -u 'bedplate-*' | tail -80"
    )
    profile = json.loads(robot.ssh("cat /run/bedplate/profile.json"))
    assert profile["hardware"]["name"] == "qemu_arm64"


def test_units_are_as_closed_as_the_docs_say(robot: Robot):
    printed = robot.ssh("sudo systemd-analyze security --no-pager | grep bedplate- || true")
    print(printed)
    exposure = {line.split()[0]: float(line.split()[1]) for line in printed.splitlines()}
    assert exposure
    assert max(exposure.values()) < 4.0, exposure


def test_identity_survives_a_power_cut_and_a_restart(robot: Robot):
    asked = "cat /etc/machine-id; sudo cat /data/ssh/ssh_host_ed25519_key.pub"
    before = robot.ssh(asked)
    robot.ssh("sync")
    robot.cut_power()
    robot.boot()
    robot.wait_for_ssh(BOOT_S)
    assert robot.ssh(asked) == before
    assert "data-volatile" not in robot.ssh("ls /run/bedplate")


def test_one_flipped_block_of_the_root_is_noticed(products, tmp_path):
    """The block of a program that every start needs."""
    one = new_robot(tmp_path / "robot", products)
    used = the_tools()
    slot = find_partition(products / "disk.img", "slot-a", used)
    printed = used.run(
        "debugfs", "-R", "blocks /usr/lib/systemd/systemd", products / "slot.img", why="find it"
    )
    block = int(printed.split("\n")[-2].split()[0] if "\n" in printed else printed.split()[0])
    place = slot.start + block * 4096 + 64
    words = ["qemu-io", "-f", "qcow2", "-c", f"write -q -P 0xff {place} 512"]
    subprocess.run([*words, str(one.guest.folder / "disk.qcow2")], check=True)
    one.boot()
    try:
        one.wait_for("verity", BOOT_S)
    finally:
        one.cut_power()


def test_second_build_elsewhere_is_the_same(products, keys):
    words = [sys.executable, "-m", "bedplate", "image", "verify", "--hardware", "qemu_arm64"]
    done = subprocess.run(
        [*words, "--facility", "osaka", "--out", str(products), "--update-key", str(keys.check)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bit for bit" in done.stdout
