"""Debian's client and two real slots: what goes wrong while one is written, and what is left then.

Slots are loop devices, GRUB's choice is GRUB's own (`grub-emu`); the gate's word is a file.
"""

import json
import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ota.artifact import Artifact, Payload, write_artifact
from ota.boot_env.decision import Choice
from ota.boot_env.states import State
from ota.payloads import ROOTFS, state_scripts
from tests.ota.boot_env.slots import (
    BOOT_ID,
    MISSING,
    Machine,
    executable,
    launcher,
    machine_with_slots,
)
from tests.ota.client_program import FLASHED, LATER, WAITS

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} missing"),
    pytest.mark.skipif(os.geteuid() != 0, reason="slots are loop devices, which root makes"),
]
SLOT_BYTES = 8 << 20
STANDING = [State(2, canary=1)] * 2
OTHER = {"a": "b", "b": "a"}
HOLD = "#!/bin/sh\nwhile [ -e {hold} ]; do sleep 0.05; done\n"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with machine_with_slots(tmp_path, SLOT_BYTES) as made:
        scripts = tmp_path / "etc/scripts"
        scripts.mkdir()
        (scripts / "version").write_text("3\n")
        executable(scripts / "Download_Enter_00_bedplate-ready", launcher(made, "ready"))
        executable(scripts / "Download_Enter_10_hold", HOLD.format(hold=tmp_path / "hold"))
        settings = json.loads((tmp_path / "mender.conf").read_text())
        settings |= {"StateScriptRetryIntervalSeconds": 1, "StateScriptRetryTimeoutSeconds": 60}
        (tmp_path / "mender.conf").write_text(json.dumps(settings))
        made.runs("a", "committed")
        yield made


def packed(machine: Machine, name: str, content: bytes, *, scripts: bool = False) -> Path:
    provides = {"rootfs-image.version": name}
    payload = Payload(ROOTFS, {"slot.img": content}, provides, ("rootfs-image.*",))
    artifact = Artifact(name, ("qemu_arm64",), payload, state_scripts() if scripts else {})
    return write_artifact(artifact, None, machine.folder / f"{name}.mender").path


def system(seed: int, size: int = 1 << 20) -> bytes:
    """Noise: what is compressed well is written in one go."""
    return random.Random(seed).randbytes(size)


def install(machine: Machine, file: Path) -> subprocess.CompletedProcess[str]:
    return machine.mender("install", str(file))


def begin(machine: Machine, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        machine.command(*words),
        env=machine.settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def content_of(machine: Machine, slot: str) -> bytes:
    return (machine.folder / {"a": "slot2", "b": "slot3"}[slot]).read_bytes()


def name_of(machine: Machine) -> str:
    return machine.mender("show-artifact").stdout.split()[-1]


def update(machine: Machine, running: str, number: int) -> str:
    """Install, trial boot, pass, commit; the slot that then runs."""
    other, name, content = OTHER[running], f"release-{number}", system(number, 300_000)
    done = install(machine, packed(machine, name, content))
    assert done.returncode == 0, done.stderr
    assert content_of(machine, other).startswith(content)
    assert machine.disk.boot().choice is Choice.TRIAL
    machine.runs(other, "trial")
    machine.passes(other)
    done = machine.mender("commit")
    assert done.returncode == 0, done.stderr
    assert name_of(machine) == name
    return other


def can_take_the_next(machine: Machine) -> None:
    assert update(machine, "a", 999) == "b"


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_forty_updates_in_turn_and_each_is_the_one_that_runs(machine: Machine) -> None:
    """Up and down: every fourth one is an older release again."""
    kept = machine.folder / "data/of-the-robot"
    kept.write_text("survives")
    running = "a"
    for turn in range(40):
        running = update(machine, running, turn - 2 if turn % 4 == 3 else turn)
        booted = machine.disk.boot()
        assert (booted.choice, booted.slot) == (Choice.COMMITTED, 2 if running == "a" else 3)
        machine.runs(running, "committed")
        machine.disk.put(*machine.disk.take())
    assert kept.read_text() == "survives"


def test_two_clients_at_once_are_one_and_a_refusal(machine: Machine) -> None:
    """The first has asked and not yet written a byte when the second asks. A later client clears
    the other's working folder when it is refused, so that both end without an update."""
    first, second = system(1), system(2)
    hold = machine.folder / "hold"
    hold.touch()
    one = begin(machine, "install", str(packed(machine, "first", first)))
    until = time.monotonic() + 60
    while not (machine.folder / "writer").exists() and time.monotonic() < until:
        time.sleep(0.05)
    try:
        other = begin(machine, "install", str(packed(machine, "second", second)))
        _, said = other.communicate(timeout=60)
    finally:
        hold.unlink()
    assert other.returncode != 0
    assert "another client" in said
    _, said = one.communicate(timeout=60)
    if LATER:
        assert machine.left() == STANDING
        can_take_the_next(machine)
        return
    assert one.returncode == 0, said
    assert content_of(machine, "b").startswith(first)
    assert machine.left() == [State(3, 1, 0, 0, 1)] * 2


def test_a_second_one_before_the_restart_is_refused_and_writes_nothing(machine: Machine) -> None:
    first = system(1)
    assert install(machine, packed(machine, "first", first)).returncode == 0
    done = install(machine, packed(machine, "second", system(2)))
    assert done.returncode != 0
    assert WAITS in done.stderr
    assert content_of(machine, "b").startswith(first)


def test_an_image_that_is_too_large_is_refused_before_a_byte(machine: Machine) -> None:
    """A later client's module writes until the slot is full; nothing leads there."""
    before = content_of(machine, "b")
    done = install(machine, packed(machine, "large", system(1, SLOT_BYTES + 512)))
    assert done.returncode != 0
    assert LATER or content_of(machine, "b") == before
    assert machine.left() == STANDING
    can_take_the_next(machine)


@pytest.mark.parametrize("part", [0.3, 0.98])
@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_a_damaged_payload_never_becomes_bootable(
    machine: Machine, damage: str, part: float
) -> None:
    """The client streams: bytes of it may lie in the slot, and nothing leads there."""
    file = packed(machine, "damaged", system(1, 4 << 20))
    raw = bytearray(file.read_bytes())
    at = int(len(raw) * part)
    raw[at] ^= 1
    file.write_bytes(raw if damage == "altered" else raw[:at])
    assert install(machine, file).returncode != 0
    assert machine.left() == STANDING
    assert machine.disk.boot().slot == 2
    machine.runs("a", "committed")
    can_take_the_next(machine)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_client_killed_while_it_writes_leaves_the_old_slot_and_the_next_one_fits(
    machine: Machine, part: float
) -> None:
    content = system(1, 7 << 20)
    file = packed(machine, "killed", content)
    at = int(len(content) * part)
    client = begin(machine, "install", str(file))
    until = time.monotonic() + 60
    while client.poll() is None and time.monotonic() < until:
        if content_of(machine, "b")[at : at + 64] == content[at : at + 64]:
            break
    client.kill()
    client.communicate()
    assert machine.left() in (STANDING, [State(3, 1, 0, 0, 1)] * 2)
    if machine.left() != STANDING:
        pytest.skip("this machine wrote the rest before it could be killed")
    assert machine.disk.boot().slot == 2
    machine.runs("a", "committed")
    can_take_the_next(machine)


def test_a_trial_that_grub_took_back_bars_nothing(machine: Machine) -> None:
    """The client's books still have the update that was given up."""
    assert install(machine, packed(machine, "given-up", system(1))).returncode == 0
    assert machine.disk.boot().choice is Choice.TRIAL
    assert machine.disk.boot().choice is Choice.ROLLED_BACK
    machine.runs("a", "rolled-back")
    assert machine.mender("commit").returncode != 0
    assert name_of(machine) == FLASHED
    can_take_the_next(machine)


def says(machine: Machine, verdict: str, *reasons: str) -> None:
    table = {"version": 1, "boot_id": BOOT_ID, "slot": "b", "verdict": verdict,
             "reasons": list(reasons), "config_hash": "c"}  # fmt: skip
    (machine.folder / "gate").write_text(json.dumps(table))


def on_trial_with_scripts(machine: Machine) -> None:
    file = packed(machine, "scripted", system(1), scripts=True)
    assert install(machine, file).returncode == 0
    assert machine.disk.boot().choice is Choice.TRIAL
    machine.runs("b", "trial")


def test_the_client_asks_again_while_the_gate_is_waiting(machine: Machine) -> None:
    """Retry-later: the commit is asked for early, and is made once the gate has passed."""
    on_trial_with_scripts(machine)
    says(machine, "waiting")
    client = begin(machine, "commit")
    with pytest.raises(subprocess.TimeoutExpired):
        client.communicate(timeout=2.5)
    assert machine.left()[0] == State(3, 1, 1, 0, 1)
    says(machine, "pass")
    _, said = client.communicate(timeout=60)
    assert client.returncode == 0, said
    assert machine.left() == [State(3, canary=1)] * 2


def test_a_gate_that_fails_ends_the_waiting_with_its_reason(machine: Machine) -> None:
    on_trial_with_scripts(machine)
    says(machine, "fail", "gate.processes is wrong: failed: plannerd")
    done = machine.mender("commit")
    assert done.returncode != 0
    assert "failed: plannerd" in done.stderr
    assert machine.left() == STANDING


@pytest.mark.parametrize("what", ["read-only", "full"])
def test_data_that_cannot_be_written_keeps_the_slot_that_runs(machine: Machine, what: str) -> None:
    """Whether it was refused or only not noted by the client: the robot starts what it had."""
    mount = {
        "read-only": '/bin/mount --bind "$0/data" "$0/data" && '
        '/bin/mount -o remount,bind,ro "$0/data"',
        "full": 'cp -a "$0/data" "$0/held" && /bin/mount -t tmpfs -o size=2m none "$0/data" && '
        'cp -a "$0/held/." "$0/data" && { head -c 4M /dev/zero >"$0/data/filler" || true; }',
    }[what]
    assert name_of(machine) == FLASHED  # its books are there
    words = machine.command("install", str(packed(machine, "unwritten", system(1))))
    at = words.index("-c") + 1
    words[at] = f"{mount} && {words[at]}"
    done = subprocess.run(
        words, env=machine.settings, capture_output=True, text=True, check=False, timeout=60
    )
    print(done.stdout, done.stderr)
    assert done.returncode != 0
    assert machine.left() == STANDING
    can_take_the_next(machine)
