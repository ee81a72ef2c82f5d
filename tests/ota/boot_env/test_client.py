"""The real mender-client 3.4 against our tools: its own calls, on loop devices."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from ota.boot_env.decision import Choice
from ota.boot_env.states import State, decode, encode
from ota.power_cut.emulated import ESP_AT, Bench, bench, missing_programs

NEEDED = ("mender", "mender-artifact", "unshare", "losetup")
MISSING = [*missing_programs(), *(name for name in NEEDED if shutil.which(name) is None)]
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} missing"),
    pytest.mark.skipif(os.geteuid() != 0, reason="slots are loop devices, which root makes"),
]
ROOT = Path(__file__).resolve().parents[3]
BOOT_ID = "0b7c3f0e-8d0b-4b39-8c43-0f1b8f2a7d55"
LAUNCHER = """#!/bin/sh
exec {python} -I -S -c 'import sys
sys.path.insert(0, "{root}")
from ota.boot_env.tool import main
sys.exit(main(sys.argv[1:]))' {command} --esp {disk} --offset {offset} --cmdline {folder}/cmdline \
--boot-id {folder}/boot-id --gate {folder}/gate "$@"
"""


@dataclass(frozen=True)
class Machine:
    """A client, two slots, and a `mount` that says which of them is the root."""

    folder: Path
    disk: Bench

    def runs(self, slot: str, choice: str) -> None:
        (self.folder / "cmdline").write_text(f"bedplate.slot={slot} bedplate.choice={choice}\n")
        (self.folder / "boot-id").write_text(BOOT_ID)
        part = {"a": 2, "b": 3}[slot]
        text = f"#!/bin/sh\necho '{self.folder}/part{part} on / type ext4 (ro)'\n"
        (self.folder / "bin/mount").write_text(text)
        (self.folder / "bin/mount").chmod(0o755)

    def passes(self, slot: str) -> None:
        said = {"version": 1, "boot_id": BOOT_ID, "slot": slot, "verdict": "pass", "reasons": []}
        (self.folder / "gate").write_text(json.dumps(said))

    def mender(self, *words: str) -> subprocess.CompletedProcess[str]:
        inner = '/bin/mount --bind "$0/etc" /etc/mender; exec mender --no-syslog --config '
        inner += '"$0/mender.conf" --fallback-config /none --data "$0/data" "$@"'
        path = f"{self.folder}/bin:{os.environ['PATH']}:/usr/sbin:/sbin"
        return subprocess.run(
            ["unshare", "-m", "sh", "-c", inner, str(self.folder), *words],
            env={"PATH": path, "HOME": "/root"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def left(self) -> list[object]:
        return [decode(sector) for sector in self.disk.take()]


@pytest.fixture
def machine(tmp_path):
    made = Machine(tmp_path, bench(tmp_path / "disk"))
    for name in ("bin", "data", "etc"):
        (tmp_path / name).mkdir()
    for command in ("print", "set"):
        file = tmp_path / "bin" / f"grub-mender-grubenv-{command}"
        text = LAUNCHER.format(
            python=sys.executable,
            root=ROOT,
            command=command,
            disk=made.disk.disk,
            offset=ESP_AT,
            folder=tmp_path,
        )
        file.write_text(text)
        file.chmod(0o755)
    (tmp_path / "data/device_type").write_text("device_type=qemu_arm64\n")
    (tmp_path / "etc/artifact_info").write_text("artifact_name=old\n")
    conf = {f"RootfsPart{slot}": f"{tmp_path}/part{n}" for slot, n in (("A", 2), ("B", 3))}
    (tmp_path / "mender.conf").write_text(json.dumps(conf))
    loops = [_loop(tmp_path, number) for number in (2, 3)]
    made.disk.put(encode(State(canary=1)), encode(State(canary=1)))
    yield made
    for loop in loops:
        subprocess.run(["losetup", "-d", loop], check=False)


def _loop(folder: Path, number: int) -> str:
    """A slot as a device whose name ends in its number, as the client wants it."""
    backing = folder / f"slot{number}"
    with backing.open("wb") as out:
        out.truncate(1 << 20)
    words = ["losetup", "-f", "--show", str(backing)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no loop devices here: {done.stderr.strip()}")
    loop = done.stdout.strip()
    os.mknod(folder / f"part{number}", 0o60600, Path(loop).stat().st_rdev)
    return loop


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
