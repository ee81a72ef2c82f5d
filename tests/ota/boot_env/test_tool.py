"""The two programs that mender-client calls, on a small EFI system partition."""

import fcntl
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from ota.boot_env import tool
from ota.boot_env.states import SECTOR_BYTES, Bad, State, decode, encode
from ota.power_cut.emulated import ESP_AT, Bench, bench, missing_programs

pytestmark = pytest.mark.skipif(
    bool(missing_programs()),
    reason=f"{', '.join(missing_programs())} missing; try  ./bootstrap.sh test",
)
BOOT_ID = "5f0c2c37-6f2e-4f2e-9a57-6d2b1d8f0a11"
ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Robot:
    """A disk, and what the kernel and the gate say."""

    disk: Bench
    folder: Path

    @property
    def options(self) -> list[str]:
        found = ["--esp", str(self.disk.disk), "--offset", str(ESP_AT)]
        for name in ("cmdline", "boot-id", "gate", "writer"):
            found += [f"--{name}", str(self.folder / name)]
        return found

    def runs(self, slot: str, choice: str = "committed") -> None:
        text = f"root=/dev/dm-2 bedplate.slot={slot} bedplate.choice={choice} quiet\n"
        (self.folder / "cmdline").write_text(text)
        (self.folder / "boot-id").write_text(BOOT_ID + "\n")
        (self.folder / "gate").unlink(missing_ok=True)

    def gate_says(self, verdict: str, slot: str = "b", boot_id: str = BOOT_ID) -> None:
        said = {"version": 1, "boot_id": boot_id, "slot": slot, "verdict": verdict}
        (self.folder / "gate").write_text(json.dumps(said | {"reasons": ["latency 90 us > 60"]}))

    def has(self, *states: State) -> None:
        first, second = states * (3 - len(states))
        self.disk.put(encode(first), encode(second))

    def left(self) -> list[object]:
        return [decode(sector) for sector in self.disk.take()]

    def call(self, command: str, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        program = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        program += "from ota.boot_env.tool import main\nsys.exit(main(sys.argv[1:]))"
        return subprocess.run(
            [sys.executable, "-I", "-S", "-c", program, command, *self.options, *words],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def disk(tmp_path_factory) -> Bench:
    return bench(tmp_path_factory.mktemp("disk"))


@pytest.fixture
def robot(disk, tmp_path) -> Robot:
    made = Robot(disk, tmp_path)
    made.runs("a")
    made.has(State(canary=1))
    return made


def test_whole_update_by_the_clients_own_lines(robot):
    """Each call as client 3.4 makes it, its question about separators included."""
    assert robot.call("set", "-s", "-", stdin="mender_uboot_separator 1\n").returncode == 0
    answer = robot.call("print", "mender_uboot_separator")
    assert (answer.returncode, answer.stdout) == (0, "mender_uboot_separator=\n")
    lines = "bootcount=0\nupgrade_available=1\nmender_boot_part=3\nmender_boot_part_hex=3\n"
    assert robot.call("set", "-s", "-", stdin=lines).returncode == 0
    assert robot.left() == [State(3, 1, 0, 0, 1)] * 2
    robot.disk.boot()
    robot.runs("b", "trial")
    assert robot.call("print", "upgrade_available").stdout == "upgrade_available=1\n"
    robot.gate_says("pass")
    done = robot.call("set", "-s", "-", stdin="upgrade_available=0\n")
    assert done.returncode == 0, done.stderr
    assert robot.left() == [State(3, canary=1)] * 2


@pytest.mark.parametrize(
    ("verdict", "slot", "boot_id"),
    [
        ("waiting", "b", BOOT_ID),
        ("unknown", "b", BOOT_ID),
        ("fail", "b", BOOT_ID),
        ("pass", "a", BOOT_ID),
        ("pass", "b", "another"),
        ("pass", "b", ""),
        (None, "", ""),
    ],
)
def test_trial_flag_stays_without_this_boots_pass(robot, verdict, slot, boot_id):
    robot.has(State(3, 1, 1, 0, 1))
    robot.runs("b", "trial")
    if verdict is not None:
        robot.gate_says(verdict, slot, boot_id)
    done = robot.call("set", "-s", "-", stdin="upgrade_available=0\n")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("bedplate: upgrade_available=0 is refused")
    assert done.stderr.count("\n") == 1
    assert robot.left() == [State(3, 1, 1, 0, 1)] * 2


@pytest.mark.parametrize("text", ["", "{", "[]", '{"verdict":"pass"}', '{"verdict":[]}', "\x00"])
def test_gate_that_cannot_be_understood_is_no_pass(robot, text):
    robot.has(State(3, 1, 1, 0, 1))
    robot.runs("b", "trial")
    (robot.folder / "gate").write_text(text)
    assert robot.call("set", "upgrade_available", "0").returncode == 1
    assert robot.left() == [State(3, 1, 1, 0, 1)] * 2


def test_two_good_copies_that_differ_are_made_one_by_reading(robot):
    """The first counts, and the stale one cannot come back when the first is damaged later."""
    robot.has(State(2, canary=1), State(3, 1, 0, 0, 1))
    assert "mender_boot_part=2" in robot.call("print").stdout
    assert robot.left() == [State(2, canary=1)] * 2


@pytest.mark.parametrize("damage", [bytes(512), b"\xff" * 512, encode(State())[:256] + bytes(256)])
@pytest.mark.parametrize("which", [0, 1])
def test_bad_copy_is_made_like_the_good_one(robot, damage, which):
    good = encode(State(3, 1, 0, 0, 1))
    robot.disk.put(*((damage, good) if which == 0 else (good, damage)))
    assert robot.call("print").returncode == 0
    assert robot.left() == [State(3, 1, 0, 0, 1)] * 2


def test_lost_environment_comes_back_as_what_runs(robot):
    robot.disk.put(bytes(SECTOR_BYTES), b"\xff" * SECTOR_BYTES)
    robot.runs("b", "restored")
    assert robot.call("ready").returncode == 0
    assert robot.left() == [State(3, canary=1)] * 2


def test_lost_environment_is_not_invented(robot):
    robot.disk.put(bytes(SECTOR_BYTES), bytes(SECTOR_BYTES))
    (robot.folder / "cmdline").write_text("quiet\n")
    done = robot.call("print")
    assert (done.returncode, done.stdout) == (1, "")
    assert robot.left() == [Bad.GARBAGE] * 2


def test_missing_canary_is_not_printed(robot):
    """The boot loader has never written here: the client then refuses to install."""
    robot.has(State())
    assert robot.call("print", "mender_check_saveenv_canary").stdout.endswith("=1\n")
    assert robot.call("print", "mender_saveenv_canary").returncode == 1


def test_start_is_confirmed(robot):
    robot.has(State(2, 0, 0, 3, 1))
    assert robot.call("confirmed").returncode == 0
    assert robot.left() == [State(2, canary=1)] * 2


def test_no_slot_may_be_written_while_an_update_waits(robot):
    robot.has(State(3, 1, 0, 0, 1))
    assert robot.call("ready").returncode == 1
    robot.has(State(2, canary=1))
    assert robot.call("ready").returncode == 0


@pytest.mark.parametrize("words", [[], ["no-such"], ["set"], ["set", "-x"], ["print", "--esp"]])
def test_wrong_call_is_refused(robot, words):
    if words:
        done = robot.call(words[0], *words[1:])
        assert (done.returncode, done.stderr[:9]) == (1, "bedplate:")
    else:
        assert tool.main([]) == 1


def test_partition_that_is_no_esp_is_said(robot, tmp_path):
    noise = tmp_path / "noise"
    noise.write_bytes(bytes(1 << 20))
    assert tool.main(["print", "--esp", str(noise)]) in (1, 2)
    assert tool.main(["print", "--esp", str(tmp_path / "none")]) == 2


def test_two_installers_take_turns(robot):
    """Nothing is read or written while another holds the partition."""
    with robot.disk.disk.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        program = [sys.executable, "-m", "ota.boot_env.tool", "confirmed", *robot.options]
        robot.has(State(2, 0, 0, 2, 1))
        waiting = subprocess.Popen(program, cwd=ROOT)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(timeout=1)
        assert robot.left() == [State(2, 0, 0, 2, 1)] * 2
    assert waiting.wait(timeout=30) == 0
    assert robot.left() == [State(2, canary=1)] * 2


def test_nothing_but_the_two_sectors_changes(robot, tmp_path):
    before = robot.disk.disk.read_bytes()
    lines = "upgrade_available=1\nmender_boot_part=3\n"
    assert robot.call("set", "-s", "-", stdin=lines).returncode == 0
    after = robot.disk.disk.read_bytes()
    changed = {
        at // SECTOR_BYTES
        for at in range(0, len(before), SECTOR_BYTES)
        if before[at : at + SECTOR_BYTES] != after[at : at + SECTOR_BYTES]
    }
    assert changed == {at // SECTOR_BYTES for at in robot.disk.copies}


def test_first_copy_is_on_the_disk_before_the_second_is_touched(robot, monkeypatch):
    calls: list[object] = []
    real_write, real_flush = os.pwritev, os.fsync

    def write(file, buffers, at):
        calls.append(at)
        return real_write(file, buffers, at)

    def flush(file):
        calls.append("flush")
        real_flush(file)

    robot.has(State(2, 0, 0, 2, 1))
    monkeypatch.setattr(os, "pwritev", write)
    monkeypatch.setattr(os, "fsync", flush)
    assert tool.main(["confirmed", *robot.options]) == 0
    first, second = robot.disk.copies
    assert calls == ["flush", first, "flush", second, "flush"]
