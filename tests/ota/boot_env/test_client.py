"""The real mender-client 3.4 against our tools: its own calls, on loop devices."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ota.boot_env.decision import Choice
from ota.boot_env.states import State, encode
from tests.ota.boot_env.slots import MISSING, Machine, machine_with_slots

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} missing"),
    pytest.mark.skipif(os.geteuid() != 0, reason="slots are loop devices, which root makes"),
]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with machine_with_slots(tmp_path) as made:
        yield made


def artifact(machine: Machine) -> bytes:
    content = bytes(range(256)) * 1200
    (machine.folder / "new.img").write_bytes(content)
    words = ["mender-artifact", "write", "rootfs-image", "-n", "new", "-t", "qemu_arm64"]
    words += ["-f", str(machine.folder / "new.img"), "-o", str(machine.folder / "new.mender")]
    subprocess.run(words, check=True, capture_output=True)
    return content


def installed(machine: Machine) -> None:
    """Up to the trial boot, the boot loader's part by the real one."""
    machine.runs("a", "committed")
    content = artifact(machine)
    done = machine.mender("install", str(machine.folder / "new.mender"))
    assert done.returncode == 0, done.stderr
    assert (machine.folder / "slot3").read_bytes().startswith(content)
    assert machine.left() == [State(3, 1, 0, 0, 1)] * 2
    assert machine.disk.boot().choice is Choice.TRIAL
    machine.runs("b", "trial")


def test_client_installs_and_commits_what_the_gate_passed(machine):
    installed(machine)
    machine.passes("b")
    done = machine.mender("commit")
    assert done.returncode == 0, done.stderr
    assert machine.left() == [State(3, canary=1)] * 2


def test_artifact_without_scripts_is_gated_all_the_same(machine):
    """Made by plain mender-artifact: the tool refuses the client's commit."""
    installed(machine)
    done = machine.mender("commit")
    assert done.returncode != 0
    print(done.stderr)
    assert State(3, canary=1) not in machine.left()
    assert machine.disk.boot().slot == 2


def test_client_rolls_back_freely(machine):
    installed(machine)
    assert machine.mender("rollback").returncode == 0
    assert machine.left() == [State(2, canary=1)] * 2


def test_client_refuses_without_the_canary(machine):
    """GRUB has never written where the tool reads."""
    machine.runs("a", "committed")
    machine.disk.put(encode(State()), encode(State()))
    artifact(machine)
    done = machine.mender("install", str(machine.folder / "new.mender"))
    assert done.returncode != 0
    assert machine.left() == [State()] * 2
