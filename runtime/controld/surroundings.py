"""What the control process needs around it to move an arm, made as plain as can be.

Drives that follow perfectly, an agent that answers every challenge, eyes that see nobody, a policy
that swings the arm.

For tests and measurements of the control process alone; nothing here is part of a robot.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
import time
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from runtime.shm import (
    CHALLENGE_KEY,
    ExecState,
    Shm,
    Source,
    Sources,
    StopLevel,
    Verdict,
    Workspace,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

JOINTS_MOST: Final = 8
COMMAND_LIFE_NS: Final = 20_000_000
SWING_HZ: Final = 0.2


def read_control(path: Path) -> dict[str, object]:
    """The JSON of a control file, unchecked: the control process itself is the judge."""
    return json.loads(path.read_bytes().split(b"\n")[1])


def home_of(path: Path) -> NDArray[np.float64]:
    home = np.array(read_control(path)["home_rad"], np.float64)
    return np.pad(home, (0, JOINTS_MOST - len(home)))


class Drives:
    """The plant: every joint is at once where it is told to be."""

    def __init__(self, shm: Shm, home: NDArray[np.float64]) -> None:
        self.sensors = shm.writer("hal.sensors")
        self.actuators = shm.reader("hal.actuators")
        self.record = self.sensors.new()
        self.record["q"] = home
        self.record["motor_temp_c"] = 35.0
        self.record["battery_ratio"] = 0.8
        self.record["powered"] = 1

    def step(self, now_ns: int) -> None:
        told = self.actuators.latest()
        if told is not None:
            self.record["q"] = told["q_des"]
            self.record["qd"] = told["qd_des"]
            self.record["tau"] = told["tau_ff"]
            self.record["powered"] = told["power"]
        self.record["created_ns"] = now_ns
        self.record["tick"] += 1
        self.sensors.write(self.record)


class Agent:
    """agentd, visiond and safetyd as far as the control process asks for them."""

    def __init__(self, shm: Shm) -> None:
        self.state = shm.reader("state")
        self.directives = shm.writer("directive")
        self.people = shm.writer("people")
        self.verdicts = shm.writer("verdict")
        self.rearm_count = 0
        self.stop_request = StopLevel.NONE
        self.speed_scale = 1.0

    def rearm(self) -> None:
        state = self.state.latest()
        last = 0 if state is None else int(state["rearm_count"])
        self.rearm_count = max(self.rearm_count, last) + 1

    def step(self, now_ns: int) -> None:
        state = self.state.latest()
        if state is None:
            return
        header = {"epoch": self.state.epoch(), "created_ns": now_ns}
        self.directives.write(
            **header,
            challenge_response=int(state["challenge"]) ^ CHALLENGE_KEY,
            rearm_count=self.rearm_count,
            margin_multiplier=1.0,
            speed_scale=self.speed_scale,
            allowed_sources=Sources.POLICY | Sources.FALLBACK,
            stop_request=self.stop_request,
        )
        self.people.write(**header, capture_ns=now_ns, workspace=Workspace.CLEAR)
        self.verdicts.write(**header, speed_scale=1.0, verdict=Verdict.OK)

    def rearm_if_held(self) -> None:
        """Arms a robot that holds, as an agent does at boot, but without any judgement."""
        state = self.state.latest()
        if state is not None and state["exec_state"] in (ExecState.HOLDING, ExecState.POWERED_OFF):
            self.rearm()


class Swing:
    """A policy whose joints swing about a pose, all together."""

    def __init__(self, shm: Shm, home: NDArray[np.float64], amplitude_rad: float = 0.15) -> None:
        self.state = shm.reader("state")
        self.commands = shm.writer("command.policy")
        self.home = home
        self.amplitude_rad = amplitude_rad
        self.started_ns: int | None = None

    def step(self, now_ns: int) -> None:
        # From the middle after each stop: a first command must be near the present pose.
        state = self.state.latest()
        moving = state is not None and state["exec_state"] in (
            ExecState.EXECUTING,
            ExecState.BRAKING,
        )
        if self.started_ns is None or not moving:
            self.started_ns = now_ns
        t = (now_ns - self.started_ns) * 1e-9 + 0.01
        rate = 2 * math.pi * SWING_HZ
        self.commands.write(
            epoch=self.state.epoch(),
            created_ns=now_ns,
            expires_ns=now_ns + COMMAND_LIFE_NS,
            source=Source.POLICY,
            q=self.home + self.amplitude_rad * math.sin(rate * t),
            qd=np.full(JOINTS_MOST, self.amplitude_rad * rate * math.cos(rate * t)),
        )


class Surroundings:
    """The hardware, the agent and, unless played by another process, the policy."""

    def __init__(self, shm: Shm, control: Path, *, arms_itself: bool = True) -> None:
        self.drives = Drives(shm, home_of(control))
        self.agent = Agent(shm)
        self.policy: Swing | None = None
        self.arms_itself = arms_itself
        self._ticks = 0

    def step(self, now_ns: int) -> None:
        """One millisecond's work."""
        self._ticks += 1
        self.drives.step(now_ns)
        if self._ticks % 10 == 0:
            self.agent.step(now_ns)
            if self.policy is not None:
                self.policy.step(now_ns)
        if self.arms_itself and self._ticks % 1000 == 100:
            self.agent.rearm_if_held()


class Part(Enum):
    """What a process plays: the hardware and the agent, the policy, or all of them."""

    ALL = "all"
    POLICY = "policy"
    REST = "rest"


def play(part: Part, shm: Shm, control: Path) -> Callable[[int], None]:
    """What one millisecond of that part is."""
    match part:
        case Part.POLICY:
            return Swing(shm, home_of(control)).step
        case Part.REST:
            return Surroundings(shm, control).step
        case Part.ALL:
            everything = Surroundings(shm, control)
            everything.policy = Swing(shm, home_of(control))
            return everything.step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--control", type=Path, required=True)
    parser.add_argument("--shm", type=Path, required=True)
    parser.add_argument("--part", type=Part, default=Part.ALL)
    parser.add_argument("--priority", type=int, help="of SCHED_FIFO, where that can be had")
    arguments = parser.parse_args()
    if arguments.priority is not None:
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(arguments.priority))
    step = play(arguments.part, Shm(arguments.shm), arguments.control)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        step(time.monotonic_ns())
        time.sleep(0.001)


if __name__ == "__main__":
    main()
