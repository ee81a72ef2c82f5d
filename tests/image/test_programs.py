"""Other programs: their failures are told, and none outlives the build."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from image.programs import run
from image.refusal import BuildRefused

ROOT = Path(__file__).parents[2]
# In the background of a shell SIGINT is ignored, and that is inherited; at a terminal it is not.
LONG = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from image.programs import run
run(["sh", "-c", "echo $$ >{file}; exec sleep 600"], why="test")
"""


def test_failure_names_the_program_and_repeats_its_last_words():
    with pytest.raises(BuildRefused) as refusal:
        run(["sh", "-c", "echo first; echo the reason >&2; exit 3"], why="make a thing")
    (problem,) = refusal.value.problems
    assert problem.where == "sh: make a thing"
    assert "status 3" in problem.got
    assert "the reason" in problem.got


def test_words_in_a_log_are_repeated_too(tmp_path):
    with (tmp_path / "log").open("wb") as log, pytest.raises(BuildRefused, match="the reason"):
        run(["sh", "-c", "echo the reason; exit 1"], why="x", log=log)


def test_alone_means_without_the_callers_surroundings(monkeypatch):
    monkeypatch.setenv("LEAKS", "yes")
    assert "LEAKS" in run(["env"], why="x")
    assert "LEAKS" not in run(["env"], why="x", alone=True)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_build_that_is_ended_takes_its_programs_along(tmp_path, sign):
    file = tmp_path / "pid"
    words = [sys.executable, "-c", LONG.format(file=file)]
    build = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL)
    until(lambda: file.is_file() and file.read_text().strip() != "")
    child = int(file.read_text())
    os.kill(build.pid, sign)
    build.wait()
    until(lambda: not is_running(child))


def until(holds) -> None:
    for _ in range(600):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it never came to that")


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
