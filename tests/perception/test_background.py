"""A large network on a CPU runs behind the small, urgent one, in a thread of its own."""

import os
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from runtime.perception.inference.background import BackgroundSession
from runtime.perception.inference.card import CardError
from runtime.perception.inference.port import Tensors

INPUT: Tensors = {"x": np.zeros(1)}


class SlowSession:
    """Runs until it is let go, and notes how nice its thread was."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.niceness: int | None = None
        self.error: Exception | None = None

    def start(self, tensors: Tensors) -> None:
        self.niceness = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        self.may_end.wait(30)
        if self.error is not None:
            raise self.error

    def collect(self) -> Tensors | None:
        return {"y": np.ones(1)}


def until(found: Callable[[], object]) -> object:
    end = time.monotonic() + 30
    while (value := found()) is None:
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.002)
    return value


def test_starting_does_not_wait_for_the_end() -> None:
    slow = SlowSession()
    session = BackgroundSession(slow, 5)
    session.start(INPUT)
    assert session.collect() is None
    slow.may_end.set()
    assert until(session.collect) == {"y": np.ones(1)}
    assert session.collect() is None


def test_thread_gives_way_to_its_process() -> None:
    slow = SlowSession()
    slow.may_end.set()
    session = BackgroundSession(slow, 5)
    session.start(INPUT)
    until(session.collect)
    assert slow.niceness == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 5)


def test_what_the_run_raises_comes_back_and_the_next_run_works() -> None:
    slow = SlowSession()
    slow.may_end.set()
    slow.error = CardError("another shape")
    session = BackgroundSession(slow, 0)
    session.start(INPUT)
    with pytest.raises(CardError, match="another shape"):
        until(session.collect)
    slow.error = None
    session.start(INPUT)
    assert until(session.collect) is not None
