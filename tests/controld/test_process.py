"""The real control process, from start to end, with everything that may happen to it in between."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from runtime.shm import ExecState, Realtime, Reject, StopLevel, StopReason
from tests.controld.conftest import write_control
from tests.controld.robots import BINARY, Process

HEADER_BYTES = 4096

pytestmark = pytest.mark.skipif(
    not BINARY.exists(), reason="controld is not built: run runtime/controld/build.sh"
)


def is_executing(state: np.void) -> bool:
    return bool(state["exec_state"] == ExecState.EXECUTING)


def test_the_process_moves_the_arm_and_stops_it_when_asked_to_end(process: Process) -> None:
    process.start()
    moving = process.wait_until(lambda s: is_executing(s) and np.abs(s["qd"]).max() > 0.05)
    assert moving["realtime"] == Realtime.BEST_EFFORT
    assert process.running is not None
    process.running.terminate()
    final = process.wait_until(lambda s: bool(s["stop_level"] == StopLevel.POWER_OFF))
    assert final["stop_reason"] == StopReason.SHUTDOWN
    assert process.running.wait(timeout=10) == 0
    actuators = process.shm.reader("hal.actuators").latest()
    assert actuators is not None
    assert actuators["power"] == 0
    assert process.reader.latest() is not None, "the files stay"


def test_a_killed_process_leaves_its_accounts_and_the_next_one_goes_on_with_them(
    process: Process,
) -> None:
    first = process.start()
    process.wait_until(lambda s: is_executing(s) and bool(s["cycle"] > 500))
    first.send_signal(signal.SIGSTOP)
    time.sleep(0.05)
    first.send_signal(signal.SIGCONT)
    process.wait_until(lambda _: any(m["periods_skipped"] >= 40 for m in process.reader.ledger()))
    first.kill()
    first.communicate()
    left = process.reader.latest()
    ledger, histograms = process.reader.ledger(), process.reader.histograms()
    assert left is not None
    # The newest miss may not have been published in a frame any more.
    assert left["misses"] + 1 >= len(ledger) > 0
    process.start()
    state = process.wait_until(lambda s: bool(s["cycle"] > left["cycle"] + 100))
    assert (left["epoch"], state["epoch"], process.reader.epoch()) == (1, 2, 2)
    assert state["misses"] >= left["misses"]
    kept = process.reader.ledger()
    assert [m["created_ns"] for m in kept[: len(ledger)]] == [m["created_ns"] for m in ledger]
    for stage, histogram in process.reader.histograms().items():
        assert (histogram.counts >= histograms[stage].counts).all()
    process.wait_until(is_executing)


def test_a_second_instance_is_refused_and_does_not_disturb_the_first(process: Process) -> None:
    process.start()
    process.wait_until(is_executing)
    second = subprocess.run(
        [BINARY, "--control", process.control, "--shm", process.shm_dir],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert second.returncode == 4
    assert "another controld holds it; a robot has one" in second.stderr
    state = process.wait_until(is_executing)
    assert state["epoch"] == 1


def test_scribbles_over_every_slot_change_nothing_but_silence(process: Process) -> None:
    process.start()
    process.wait_until(is_executing)
    rng = random.Random(5)
    slots = ["command.policy", "command.fallback", "people", "verdict", "directive", "hal.sensors"]
    limit = 3.8  # no joint of the sample goes further
    for _ in range(40):
        path = process.shm_dir / rng.choice(slots)
        with path.open("r+b") as file:
            file.seek(rng.randrange(1024, path.stat().st_size - 512))
            file.write(rng.randbytes(rng.randrange(8, 512)))
        process.wait_until(lambda s: bool(np.abs(s["q_cmd"]).max() < limit))
    frames = process.reader.frames()
    assert np.isfinite(frames["q_cmd"]).all()
    assert (np.abs(frames["q_cmd"]) < limit).all()
    process.wait_until(is_executing)
    assert process.running is not None
    assert process.running.poll() is None


def test_a_slot_cut_to_nothing_under_the_running_process_does_not_end_it(process: Process) -> None:
    process.start()
    process.wait_until(is_executing)
    os.truncate(process.shm_dir / "people", 0)
    before = process.reader.latest()
    assert before is not None
    # This process' own writer has the same file mapped: it must not touch it any more.
    agent = process.surroundings.agent
    agent.people.write = lambda **_: 0  # type: ignore[assignment, method-assign]
    state = process.wait_until(lambda s: bool(s["cycle"] > before["cycle"] + 500))
    assert state["people_age_ns"] > 100_000_000, "people count as unknown, not as absent"
    said = process.stop()
    assert "a shared file was cut short" in said


def test_commands_from_before_a_restart_are_refused_by_their_epoch(process: Process) -> None:
    process.start()
    process.wait_until(is_executing)
    old = process.shm.reader("command.policy").latest()
    assert old is not None
    assert process.running is not None
    process.running.kill()
    process.running.communicate()
    process.start()
    process.surroundings.policy = None
    process.wait_until(lambda s: bool(s["epoch"] == 2))
    before = process.wait_until(lambda s: bool(s["cycle"] > 0))["rejected"][Reject.OLD_EPOCH]
    now_ns = time.monotonic_ns()
    process.policy.commands.write(old, seq=0, created_ns=now_ns, expires_ns=now_ns + 20_000_000)
    process.wait_until(lambda s: bool(s["rejected"][Reject.OLD_EPOCH] > before))


def test_the_rights_that_were_obtained_are_written_down(process: Process, tmp_path: Path) -> None:
    report = tmp_path / "realtime.json"
    process.start("--realtime-file", str(report))
    process.wait_until(lambda _: True)
    rights = json.loads(report.read_text())
    assert rights["realtime"] == "BEST_EFFORT"
    assert rights["fifo"] is False


def test_rights_that_the_profile_requires_and_the_kernel_refuses_stop_the_start(
    process: Process, control: dict[str, object], tmp_path: Path
) -> None:
    cycle = control["cycle"]
    assert isinstance(cycle, dict)
    cycle |= {"cpu": 1000, "realtime_required": True}
    process.control = write_control(tmp_path / "required.json", control)
    running = process.start()
    _, said = running.communicate(timeout=20)
    assert running.returncode == 6
    assert "this profile requires real-time rights" in said
    assert "missing: affinity to CPU 1000" in said


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[:-40], "is cut short"),
        (lambda data: data.replace(b'"version":1', b'"version":2'), "line 2 has sha256"),
        (lambda _: b"", "is cut short"),
    ],
)
def test_a_damaged_control_file_stops_the_start_with_one_message(
    process: Process, damage: Callable[[bytes], bytes], reason: str
) -> None:
    process.control.write_bytes(damage(process.control.read_bytes()))
    running = process.start()
    _, said = running.communicate(timeout=20)
    assert running.returncode == 3
    assert said.startswith(f"controld: control file {process.control}\n")
    assert reason in said
    assert not (process.shm_dir / "state").exists()


def test_a_bus_schedule_that_does_not_fit_stops_the_start_with_the_figure(
    process: Process, control: dict[str, object], tmp_path: Path
) -> None:
    control["hal"] = {
        "kind": "cia402",
        "interface": "can0",
        "fd": False,
        "bitrate_bps": 1_000_000,
        "data_bitrate_bps": 5_000_000,
        "nodes": [1, 2, 3, 4, 5, 6, 7],
        "counts_per_rad": [1e5] * 7,
    }
    process.control = write_control(tmp_path / "can.json", control)
    running = process.start()
    _, said = running.communicate(timeout=20)
    assert running.returncode == 3
    assert "7 axes every 1000 us on classical CAN" in said
    assert "15 frames take 1945 us, 194 % of the cycle" in said


def test_systemd_hears_ready_then_the_watchdog_and_nothing_while_the_loop_is_stopped(
    process: Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        running = process.start()
        first = systemd.recv(4096).decode()
        assert first.startswith("READY=1\nSTATUS=real-time rights: BestEffort")
        assert systemd.recv(4096) == b"WATCHDOG=1"
        running.terminate()
        while (message := systemd.recv(4096)) == b"WATCHDOG=1":
            pass
        assert message == b"STOPPING=1"
        assert running.wait(timeout=10) == 0


def test_the_command_line_is_checked_and_explained() -> None:
    wrong = subprocess.run([BINARY, "--contrl", "x"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "--contrl is no option" in wrong.stderr
    assert "usage: controld --control FILE" in wrong.stderr
    planted = subprocess.run(
        [BINARY, "--control", "a", "--shm", "b", "--plant", "syscall"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert planted.returncode == 2, "a release cannot be told to break its law"


def test_python_and_the_process_are_of_one_layout() -> None:
    version = subprocess.run([BINARY, "--version"], capture_output=True, text=True, check=True)
    code = "import runtime.shm; print(runtime.shm.LAYOUT_HASH)"
    python = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert version.stdout.split()[-1] == python.stdout.strip()
