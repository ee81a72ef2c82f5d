"""A crowd in a process of its own: whoever plays a thousand other robots does not hold it up."""

import multiprocessing
import time
from multiprocessing.connection import Connection
from typing import Final, cast

from fleet.clock import SystemClock
from fleet.load.crowd import Crowd
from fleet.load.held import Answered
from fleet.load.plan import Plan
from fleet.settings import FleetSettings

END_S: Final = 30.0
START_S: Final = 60.0
TAKE, SETTLE = "take", "settle"


class CrowdApart:
    """It works until it settles; the process ends with this one."""

    def __init__(self, plan: Plan, settings: FleetSettings) -> None:
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        words = (theirs, plan, settings)
        self._process = context.Process(target=_play, args=words, daemon=True)
        self._process.start()
        theirs.close()  # so that its end is seen
        self._answer(START_S)

    def take(self) -> list[Answered]:
        """What was acknowledged since the last time."""
        self._line.send((TAKE, 0.0))
        return cast(list[Answered], self._answer(END_S))

    def settle(self, limit_s: float) -> int:
        """Nothing new; until all is acknowledged, or the time. How many records it has told."""
        self._line.send((SETTLE, limit_s))
        head = cast(int, self._answer(limit_s + END_S))
        self._process.join(END_S)
        return head

    def _answer(self, limit_s: float) -> object:
        """Raises EOFError when the process has failed, TimeoutError when it hangs."""
        if not self._line.poll(limit_s):
            raise TimeoutError(f"the simulated robots did not answer within {limit_s:.0f} s")
        return self._line.recv()


def _play(line: Connection, plan: Plan, settings: FleetSettings) -> None:
    crowd = Crowd(plan, settings, SystemClock())
    line.send("there")
    while True:
        crowd.run(line.poll)
        asked, limit_s = line.recv()
        if asked == TAKE:
            line.send(_take(crowd))
            continue
        until = time.monotonic() + limit_s
        crowd.settle(lambda until=until: time.monotonic() > until)
        line.send(crowd.head)
        crowd.close()
        return


def _take(crowd: Crowd) -> list[Answered]:
    found = [item for robot in crowd.robots for item in robot.spool.answered]
    for robot in crowd.robots:
        robot.spool.answered.clear()
    return found
