"""What the control process needs around it to move a simulated arm while it is judged.

An agent that answers every challenge, eyes that see nobody, a policy that swings the arm. The
drives are those of the compiled plant where there is one: it costs a fraction of what Python's do,
and in an emulated machine each instruction of a million cycles counts. Ends with the plant.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from runtime.controld.surroundings import Agent, Surroundings, Swing, home_of
from runtime.shm import Shm

SLOW_S: Final = 0.01
FAST_S: Final = 0.001
REARM_EVERY: Final = 100  # slow steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--control", type=Path, required=True)
    parser.add_argument("--shm", type=Path, required=True)
    parser.add_argument("--priority", type=int, required=True, help="of SCHED_FIFO, where allowed")
    parser.add_argument("--dynamics", type=Path, help="the compiled plant")
    arguments = parser.parse_args()
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(arguments.priority))
    shm, control = Shm(arguments.shm), arguments.control
    if arguments.dynamics is None:
        keep_pace(everything(shm, control), FAST_S, lambda: False)
        return
    command = [arguments.dynamics, "--control", control, "--shm", arguments.shm]
    with subprocess.Popen(command) as plant:
        keep_pace(the_rest(shm, control), SLOW_S, lambda: plant.poll() is not None)
    sys.exit(f"the plant ended with {plant.returncode}")


def everything(shm: Shm, control: Path) -> Callable[[int], None]:
    """Drives included: one millisecond's work."""
    company = Surroundings(shm, control)
    company.policy = Swing(shm, home_of(control))
    return company.step


def the_rest(shm: Shm, control: Path) -> Callable[[int], None]:
    """Agent and policy: ten milliseconds' work."""
    agent, policy = Agent(shm), Swing(shm, home_of(control))
    steps = 0

    def step(now_ns: int) -> None:
        nonlocal steps
        steps += 1
        agent.step(now_ns)
        policy.step(now_ns)
        if steps % REARM_EVERY == 10:
            agent.rearm_if_held()

    return step


def keep_pace(step: Callable[[int], None], period_s: float, is_over: Callable[[], bool]) -> None:
    while not is_over():
        step(time.monotonic_ns())
        time.sleep(period_s)


if __name__ == "__main__":
    main()
