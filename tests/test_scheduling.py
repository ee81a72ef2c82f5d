"""Scheduling asked for and obtained: never silently less."""

import multiprocessing
import os

import pytest

from runtime.processes import Policy, Scheduling
from runtime.scheduling import Obtained, RealtimeRefusedError, obtain_scheduling

FORK = multiprocessing.get_context("fork")


def in_child(
    wanted: Scheduling, cpus: frozenset[int], *, required: bool, unprivileged: bool = False
):
    """Scheduling is a process's own and cannot be taken back, so each case gets a process."""

    def work(pipe) -> None:
        if unprivileged and os.geteuid() == 0:
            os.setuid(65534)
        try:
            pipe.send(obtain_scheduling(wanted, cpus, required=required, name="visiond"))
        except RealtimeRefusedError as error:
            pipe.send(str(error))

    ours, theirs = FORK.Pipe()
    child = FORK.Process(target=work, args=(theirs,))
    child.start()
    result = ours.recv()
    child.join()
    ours.close()
    theirs.close()
    return result


pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


def test_what_needs_no_right_is_obtained():
    found = in_child(Scheduling(nice=3), frozenset(), required=True)
    assert isinstance(found, Obtained)
    assert (found.policy, found.missing) == (Policy.OTHER, ())


def test_fifo_without_the_right_is_reported_and_goes_on():
    found = in_child(
        Scheduling(policy=Policy.FIFO, priority=50), frozenset(), required=False, unprivileged=True
    )
    assert isinstance(found, Obtained)
    assert found.policy is Policy.OTHER
    assert "fifo 50 refused" in found.missing[0]
    assert found.fields()["scheduling"] == "other"


def test_fifo_without_the_right_is_refused_where_the_profile_requires_it():
    found = in_child(
        Scheduling(policy=Policy.FIFO, priority=50), frozenset(), required=True, unprivileged=True
    )
    assert isinstance(found, str)
    for part in ("visiond", "fifo 50 refused", "does not start", "CAP_SYS_NICE"):
        assert part in found


def test_processors_that_do_not_exist_are_said():
    found = in_child(Scheduling(), frozenset({0, 1000}), required=False)
    assert "1000" in found.missing[0]
    found = in_child(Scheduling(), frozenset({1000}), required=False)
    assert "may be used here" in found.missing[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="real-time priority needs rights")
def test_fifo_with_the_right_is_obtained_and_read_back():
    found = in_child(Scheduling(policy=Policy.FIFO, priority=7), frozenset({0}), required=True)
    assert isinstance(found, Obtained)
    assert (found.policy, found.priority, found.cpus) == (Policy.FIFO, 7, (0,))
