"""How every daemon starts, keeps time and ends."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.load import compose
from conf.profile import write_profile
from runtime.daemon import (
    EXIT_SECOND_INSTANCE,
    LoopAccount,
    SecondInstanceError,
    StopFlag,
    next_on_grid,
    run_loop,
    single_instance,
)

ROOT = Path(__file__).parents[1]
PROGRAM = """
from pathlib import Path
from runtime.daemon import run_daemon

class Ticker:
    rate_hz = 50.0
    def __init__(self, context):
        self.marks = context.paths.run / "marks"
        self.steps = 0
    def step(self, now_ns):
        self.steps += 1
        self.marks.write_text(str(self.steps))
    def close(self):
        self.marks.with_name("closed").write_text("yes")

run_daemon("plannerd", Ticker)
"""


def start(run: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "--run-dir", str(run), "--data-dir", str(run / "data")],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path, child: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 40
    while not path.exists():
        assert child.poll() is None, child.stderr.read() if child.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    write_profile(compose().config, folder / "profile.json")
    return folder


def test_daemon_steps_and_ends_cleanly_on_sigterm(run):
    child = start(run)
    wait_for(run / "marks", child)
    assert int((run / "plannerd.pid").read_text()) == child.pid
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=20)
    assert child.returncode == 0, err
    assert (run / "closed").exists()
    assert "scheduling obtained" in err
    assert (run / "plannerd.pid").read_text() == ""


def test_second_instance_is_refused_and_the_first_goes_on(run):
    first = start(run)
    wait_for(run / "marks", first)
    second = start(run)
    _, err = second.communicate(timeout=40)
    assert second.returncode == EXIT_SECOND_INSTANCE
    assert f"process {first.pid} already runs as plannerd" in err
    assert "Traceback" not in err
    assert first.poll() is None
    first.terminate()
    first.communicate(timeout=20)


def test_a_killed_daemon_leaves_no_lock_behind(run):
    first = start(run)
    wait_for(run / "marks", first)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    with single_instance(run / "plannerd.pid"):
        assert int((run / "plannerd.pid").read_text()) == os.getpid()


def test_single_instance_says_who_holds_it(tmp_path):
    with (
        single_instance(tmp_path / "visiond.pid"),
        pytest.raises(SecondInstanceError, match=f"process {os.getpid()} already runs as visiond"),
        single_instance(tmp_path / "visiond.pid"),
    ):
        pass


@given(st.integers(0, 10**15), st.integers(1, 10**9), st.integers(0, 10**12))
def test_the_next_point_of_the_grid_lies_ahead_and_on_the_grid(start_ns, period_ns, late_ns):
    now_ns = start_ns + late_ns
    following, skipped = next_on_grid(start_ns, period_ns, now_ns)
    assert following > now_ns
    assert (following - start_ns) % period_ns == 0
    assert following == start_ns + (skipped + 1) * period_ns
    assert following - period_ns <= now_ns or skipped == 0


def test_a_late_step_gives_periods_up_and_never_catches_up(monkeypatch):
    """A step that takes five periods is followed by one step, not by five."""

    class Stepped:
        def __init__(self) -> None:
            self.now = 0
            self.starts: list[int] = []

        def now_ns(self) -> int:
            return self.now

        def wall_ns(self) -> int:
            return self.now

    clock, stop, reports = Stepped(), StopFlag(), []

    class Slow:
        rate_hz = 100.0

        def step(self, now_ns: int) -> None:
            clock.starts.append(now_ns)
            clock.now += 52_000_000 if len(clock.starts) == 2 else 1_000_000
            stop.is_set = len(clock.starts) == 5

        def close(self) -> None: ...

    def sleep(seconds: float) -> None:
        clock.now += round(seconds * 1e9)

    monkeypatch.setattr("runtime.daemon.time.sleep", sleep)
    monkeypatch.setattr("runtime.daemon.REPORT_EVERY_NS", 0)
    run_loop(Slow(), clock, stop, beat=lambda: None, report=reports.append)
    assert clock.starts == [0, 10_000_000, 70_000_000, 80_000_000, 90_000_000]
    assert sum(account.overruns for account in reports) == 5


def test_the_account_of_a_loop_that_never_stepped_is_all_zero():
    assert set(LoopAccount().fields().values()) == {0}


def test_a_step_that_raises_ends_the_process_with_its_reason(run):
    broken = PROGRAM.replace("self.steps += 1", "raise RuntimeError('the bus is gone')")
    child = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(broken),
            "--run-dir",
            str(run),
            "--data-dir",
            str(run),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert child.returncode == 1
    assert "the bus is gone" in child.stderr
    assert (run / "closed").exists()


def test_a_profile_that_is_missing_is_said_in_words(tmp_path):
    child = start(tmp_path)
    _, err = child.communicate(timeout=40)
    assert child.returncode != 0
    assert "profile.json" in err
