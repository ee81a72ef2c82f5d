"""Long work by several processes at once: each takes what nobody has taken yet."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from multiprocessing.context import ForkProcess
from typing import Final, TypeVar

T = TypeVar("T")
ENDED_BY_HAND: Final = 130  # as a shell tells Ctrl-C


class ShareError(Exception):
    """Of the processes some have failed; what they said is above."""


def in_shares(
    things: Sequence[T], jobs: int, work: Callable[[int, Iterator[tuple[int, T]]], None]
) -> None:
    """`work(worker, turns)` once in each of `jobs` processes, `worker` from 0.

    `turns` yields each of `things` to one worker alone, with its number from 1. If one fails, the
    others end what they have begun, and take no more; so do those whose parent is gone.
    Raises ShareError, and KeyboardInterrupt when all have ended.
    """
    if min(jobs, len(things)) <= 1:
        work(0, enumerate(things, start=1))
        return
    context = multiprocessing.get_context("fork")
    taken, parent = context.Value("q", 0), os.getpid()

    def turns() -> Iterator[tuple[int, T]]:
        while os.getppid() == parent:
            with taken.get_lock():
                at, taken.value = taken.value, taken.value + 1
            if at >= len(things):
                return
            yield at + 1, things[at]

    def share(worker: int) -> None:
        try:
            work(worker, turns())
        except KeyboardInterrupt:
            sys.exit(ENDED_BY_HAND)

    def no_more() -> None:
        with taken.get_lock():
            taken.value = len(things)

    workers = [context.Process(target=share, args=(n,)) for n in range(min(jobs, len(things)))]
    for one in workers:
        one.start()
    _wait_for(workers, no_more)


def _wait_for(workers: Sequence[ForkProcess], no_more: Callable[[], None]) -> None:
    try:
        left = {one.sentinel: one for one in workers}
        while left:
            for sentinel in connection.wait(list(left)):
                one = left.pop(sentinel)  # type: ignore[call-overload]
                one.join()
                if one.exitcode != 0:
                    no_more()
    except KeyboardInterrupt:
        for one in workers:
            one.join()  # the terminal has told them too
        raise
    codes = [one.exitcode for one in workers]
    if any(codes):
        raise ShareError(f"{sum(map(bool, codes))} of {len(workers)} processes failed")
