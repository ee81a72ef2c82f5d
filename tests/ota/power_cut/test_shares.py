"""Several processes share long work: each thing is done once, whoever fails or is ended."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ota.power_cut.rows import append_row, read_rows
from ota.power_cut.shares import ENDED_BY_HAND, ShareError, in_shares

Turns = Iterator[tuple[int, str]]
THINGS = [f"thing {number}" for number in range(40)]
ENOUGH_S = 30


def noted(file: Path) -> list[int]:
    return [row["it"] for row in read_rows(file)]


@pytest.mark.parametrize("jobs", [0, 1, 2, 5, 64])
def test_each_thing_is_done_once_with_its_own_number(tmp_path: Path, jobs: int):
    file = tmp_path / "done"

    def work(worker: int, turns: Turns) -> None:
        for number, thing in turns:
            append_row(file, {"number": number, "thing": thing})

    in_shares(THINGS, jobs, work)
    found = sorted((row["number"], row["thing"]) for row in read_rows(file))
    assert found == list(enumerate(THINGS, start=1))


def test_two_work_at_the_same_time(tmp_path: Path):
    """Each waits for the other; one alone would wait in vain."""

    def work(worker: int, turns: Turns) -> None:
        for _ in turns:
            (tmp_path / str(worker)).touch()
            until_s = time.monotonic() + ENOUGH_S
            while not (tmp_path / str(1 - worker)).exists():
                assert time.monotonic() < until_s
                time.sleep(0.01)

    in_shares(["one", "other"], 2, work)


def test_after_one_has_failed_no_more_is_begun_and_the_run_fails(tmp_path: Path, capfd):
    file = tmp_path / "done"

    def work(worker: int, turns: Turns) -> None:
        for number, _ in turns:
            if number == 1:
                raise ValueError("the first fails")
            append_row(file, {"it": number})
            time.sleep(0.2)

    with pytest.raises(ShareError, match="1 of 2 processes failed"):
        in_shares(THINGS, 2, work)
    assert "the first fails" in capfd.readouterr().err
    assert len(noted(file)) < len(THINGS) - 1


def test_rows_of_several_processes_do_not_mix(tmp_path: Path):
    file = tmp_path / "rows"

    def work(worker: int, turns: Turns) -> None:
        for number, _ in turns:
            append_row(file, {"it": number, "much": str(number) * 20_000})

    in_shares(THINGS, 4, work)
    rows = {row["it"]: row["much"] for row in read_rows(file)}
    assert rows == {n: str(n) * 20_000 for n in range(1, len(THINGS) + 1)}


PROGRAM = """
import signal, sys, time
from pathlib import Path
from ota.power_cut.rows import append_row
from ota.power_cut.shares import ENDED_BY_HAND, in_shares
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
folder = Path(sys.argv[1])
def work(worker, turns):
    try:
        for number, _ in turns:
            append_row(folder / "begun", {"it": number})
            time.sleep(0.5)
    finally:
        append_row(folder / "ended", {"it": worker})
try:
    in_shares(list(range(1000)), 2, work)
except KeyboardInterrupt:
    sys.exit(ENDED_BY_HAND)
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    with subprocess.Popen(words, start_new_session=True) as process:
        wait_until(lambda: len(noted(tmp_path / "begun")) >= 2)
        yield process
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def wait_until(holds) -> None:
    until_s = time.monotonic() + ENOUGH_S
    while not holds():
        assert time.monotonic() < until_s
        time.sleep(0.05)


def test_ctrl_c_ends_all_of_them_each_with_its_own_tidying_up(running, tmp_path: Path):
    os.killpg(running.pid, signal.SIGINT)
    assert running.wait(ENOUGH_S) == ENDED_BY_HAND
    assert sorted(noted(tmp_path / "ended")) == [0, 1]


def test_workers_end_by_themselves_when_their_parent_was_killed(running, tmp_path: Path):
    running.kill()
    wait_until(lambda: sorted(noted(tmp_path / "ended")) == [0, 1])
    assert len(noted(tmp_path / "begun")) < 20
