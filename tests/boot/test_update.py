"""An update in the guest, with the real client: another slot on trial, judged, kept or left."""

import json
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from ota.power_cut.images import copy_tree
from tests.boot.conftest import BOOT_S, Keys, built
from tests.boot.fleet_side import FleetSide
from tests.boot.guest import Robot
from tests.boot.updates import (
    ASKED_S,
    bedplate,
    boot_id,
    environment,
    let_in,
    slot,
    status,
    wait_until,
)

pytestmark = [pytest.mark.image, pytest.mark.timeout(5400)]
BEGINNING = "sudo head -c 32M /dev/vda3 | sha256sum"  # of the slot that does not run
PLANTED = 'raise SystemExit("planted: this process ends at once")\n'
BOOTS_MAX = 2
UPTIME = "cut -d. -f1 /proc/uptime"


@pytest.fixture(scope="module")
def second(keys: Keys, products: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same robot once more, under another name; the folder of its build."""
    words = ["--update-key", str(keys.check), "--set", "artifact_name=second"]
    return built(tmp_path_factory.mktemp("second"), "qemu_arm64", *words)


@pytest.fixture(scope="module")
def artifact(keys: Keys, second: Path) -> Path:
    return packed(second, keys, "second")


@pytest.fixture(scope="module")
def bad(keys: Keys, products: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slot with a process that ends at once, made as a person would by mistake: in the code.

    Judged for five minutes instead of ten, which a profile may ask for."""
    folder = tmp_path_factory.mktemp("bad")
    tree = folder / "tree"
    copy_tree(tree)
    planner = tree / "runtime/planning/plannerd.py"
    planner.write_text(PLANTED + planner.read_text())
    image = folder / "image"
    bedplate(
        *("image", "build", "--hardware", "qemu_arm64", "--facility", "osaka"),
        *("--out", str(image), "--update-key", str(keys.check)),
        *("--set", "artifact_name=bad", "--set", "ota.gate.timeout_s=300"),
        tree=tree,
    )
    return packed(image, keys, "bad")


@pytest.fixture(scope="module")
def plain(keys: Keys, second: Path) -> Path:
    """Made by Debian's `mender-artifact`: no script and no word of ours in it."""
    file = second.parent / "plain.mender"
    subprocess.run(
        ["mender-artifact", "write", "rootfs-image", "-t", "qemu_arm64", "-n", "plain",
         "-f", str(second / "slot.img"), "-k", str(keys.sign), "-o", str(file)],
        check=True, capture_output=True,
    )  # fmt: skip
    return file


def packed(image: Path, keys: Keys, name: str) -> Path:
    out = image.parent / f"{name}.mender"
    bedplate(
        *("ota", "artifact", "rootfs", "--image", str(image)),
        *("--key", str(keys.sign), "--out", str(out)),
    )
    return out


@pytest.fixture(scope="module")
def updated(robot: Robot, fleet_side: FleetSide) -> Robot:
    return let_in(robot, fleet_side)


def restarted_into_trial(robot: Robot, command: str) -> None:
    boot = boot_id(robot)
    began_s = time.monotonic()
    robot.try_ssh(command, timeout_s=1800)
    print(f"installed in {time.monotonic() - began_s:.0f} s")
    away_s = wait_until("another start", lambda: boot_id(robot) != boot, robot)
    print(f"answers in the other slot {away_s:.0f} s later")


def boots_since(robot: Robot, boot: str) -> int:
    rows = json.loads(robot.ssh("sudo journalctl --list-boots --no-pager --output=json"))
    known = [row["boot_id"] for row in rows]
    return len(known) - 1 - known.index(boot.replace("-", ""))


def test_size_is_within_what_was_promised(artifact: Path):
    assert artifact.stat().st_size <= 350 << 20


def without_signature(artifact: Path, folder: Path) -> Path:
    out = folder / "unsigned.mender"
    with tarfile.open(artifact) as source, tarfile.open(out, "w") as target:
        for member in source:
            if member.name != "manifest.sig":
                target.addfile(member, source.extractfile(member))
    return out


def test_unsigned_one_is_refused_before_a_byte_is_written(
    updated: Robot, artifact: Path, tmp_path: Path
):
    before = updated.ssh(BEGINNING, timeout_s=900)
    updated.put(artifact, "second.mender")
    updated.put(without_signature(artifact, tmp_path), "damaged.mender")
    done = updated.try_ssh("sudo bedplate ota install --no-reboot damaged.mender", timeout_s=900)
    assert done.returncode != 0
    assert "sign" in done.stdout + done.stderr
    assert updated.ssh(BEGINNING, timeout_s=900) == before
    assert environment(updated)["upgrade_available"] == "0"
    updated.ssh("rm damaged.mender")


def test_new_slot_is_started_on_trial(updated: Robot):
    assert slot(updated) == "a"
    restarted_into_trial(updated, "sudo bedplate ota install second.mender")
    assert slot(updated) == "b"


def test_nobody_commits_it_before_the_gate_has_passed(updated: Robot):
    if environment(updated)["upgrade_available"] != "1":
        pytest.fail("it was committed before anybody could look")
    done = updated.try_ssh("sudo grub-mender-grubenv-set upgrade_available 0")
    assert done.returncode != 0
    assert environment(updated)["upgrade_available"] == "1"


def test_gate_passes_and_the_robot_commits_by_itself(updated: Robot):
    wait_until("the commit", lambda: environment(updated)["upgrade_available"] == "0", updated)
    print(f"committed by {updated.ssh(UPTIME).strip()} s after the start of the kernel")
    assert slot(updated) == "b"
    assert environment(updated)["mender_boot_part"] == "3"
    assert "second" in updated.ssh("sudo mender show-artifact", timeout_s=300)


def test_a_slot_that_is_written_anew_forgets_what_was_chosen_for_the_other(updated: Robot):
    """Profile and models go with their image, so that a rollback brings back the set."""
    found = status(updated)
    assert (found["profile"], found["models"], found["switch"]) == (None, {}, None)


def test_after_a_power_cut_it_is_still_the_new_slot(updated: Robot):
    updated.ssh("sync")
    updated.cut_power()
    updated.boot()
    updated.wait_for_ssh(BOOT_S)
    assert slot(updated) == "b"


def other(slot: str) -> str:
    return {"a": "b", "b": "a"}[slot]


def artifact_name(robot: Robot) -> str:
    return robot.ssh("sudo mender show-artifact", timeout_s=300).strip()


def test_a_bad_slot_goes_back_by_itself_within_two_boots_and_says_why(updated: Robot, bad: Path):
    wait_until("settings", lambda: environment(updated)["upgrade_available"] == "0", updated)
    updated.ssh("rm -f second.mender")
    updated.put(bad, "bad.mender")
    before, boot, part = slot(updated), boot_id(updated), environment(updated)["mender_boot_part"]
    restarted_into_trial(updated, "sudo bedplate ota install bad.mender")
    assert slot(updated) == other(before)
    assert environment(updated)["upgrade_available"] == "1"
    took_s = wait_until("the slot before", lambda: slot(updated) == before, updated)
    print(f"back {took_s:.0f} s after the bad slot was seen")
    assert boots_since(updated, boot) <= BOOTS_MAX
    assert environment(updated)["mender_boot_part"] == part
    told = updated.ssh("sudo bedplate ota status", timeout_s=ASKED_S)
    print(told)
    assert f"last not kept: bad in slot {other(before)}" in told
    assert "plannerd" in told
    updated.ssh("rm bad.mender")


def test_one_without_scripts_is_gated_all_the_same(updated: Robot, plain: Path):
    """Whoever asks for the commit before the gate has spoken gets the slot before instead."""
    updated.put(plain, "plain.mender")
    before, name = slot(updated), artifact_name(updated)
    part = environment(updated)["mender_boot_part"]
    restarted_into_trial(updated, "sudo mender install plain.mender && sudo systemctl reboot")
    assert slot(updated) == other(before)
    done = updated.try_ssh("sudo mender commit", timeout_s=600)
    assert done.returncode != 0
    assert environment(updated)["mender_boot_part"] == part
    boot = boot_id(updated)
    updated.try_ssh("sudo systemctl reboot")
    wait_until("another start", lambda: boot_id(updated) != boot, updated)
    assert slot(updated) == before
    assert artifact_name(updated) == name
