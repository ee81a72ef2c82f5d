"""A machine that is told what to be, for the gate to judge."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from conf.schema import Config
from ota.commit_gate import Verdict
from ota.gate import COMMIT, judge_boot
from ota.gate_readings import Machine
from runtime.hal.clock import VirtualClock
from runtime.shm import Histogram
from tests.ota.robot.bench import BOOT_ID, Robot


@dataclass
class World:
    """A robot that is well, unless a test says otherwise. Time passes while somebody waits."""

    robot: Robot
    config: Config
    booted: str = "a"
    part: str = "2"
    trial: str = "0"
    down: tuple[str, ...] = ()  # started again and again
    given_up: tuple[str, ...] = ()  # by the service manager
    entered_s: float = 5.0
    now_s: float = 20.0
    server: bool = False
    told: list[tuple[str, ...]] = field(default_factory=list)
    events: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    commits: bool = True
    clock: VirtualClock = field(default_factory=VirtualClock)

    def run(self, command: Sequence[str]) -> str | None:
        words = tuple(command)
        if words[0] == "print":
            count = f"bootcount={self.trial}\n"
            return f"mender_boot_part={self.part}\nupgrade_available={self.trial}\n{count}"
        if words[:2] == ("systemctl", "show"):
            return "\n\n".join(self._unit(unit) for unit in words[3:])
        self.told.append(words)
        if words == COMMIT and self.commits:
            self.trial = "0"
        return ""

    def _unit(self, unit: str) -> str:
        name = unit.split("-")[1].split(".")[0]
        state = "activating" if name in self.down else "active"
        state = "failed" if name in self.given_up else state
        entered = int(self.entered_s * 1e6)
        return f"Id={unit}\nActiveState={state}\nActiveEnterTimestampMonotonic={entered}"

    def pause(self, seconds: float) -> None:
        self.now_s += seconds

    def tell(self, name: str, well: bool, fields: dict[str, str]) -> None:
        assert well is (name == "ota.gate_passed")
        self.events.append((name, fields))

    def machine(self) -> Machine:
        proc = self.robot.home / "proc"
        (proc / "sys/kernel/random").mkdir(parents=True, exist_ok=True)
        (proc / "cmdline").write_text(f"ro bedplate.slot={self.booted}\n")
        (proc / "sys/kernel/random/boot_id").write_text(f"{BOOT_ID}\n")
        return Machine(
            self.config, self.robot.paths, self.robot.home / "shm", self.clock, self.run, proc,
            "print", lambda: self.now_s, self.tell, lambda url, authority: self.server,
        )  # fmt: skip

    def gate(self) -> dict[str, Any]:
        return json.loads(self.robot.paths.gate.read_text())


class Histograms:
    """In place of controld's own file: so many wake-ups a look, each this late."""

    def __init__(self, upper_us: float) -> None:
        self.looks = 0
        self.upper_us = upper_us

    def __call__(self, watch: object) -> tuple[int, Any]:
        self.looks += 1
        bounds, counts = np.array([self.upper_us, np.inf]), np.array([self.looks * 2000, 0])
        return 1, Histogram(bounds, counts.astype(np.uint64))


def judge(world: World) -> Verdict:
    return judge_boot(world.machine(), world.pause, lambda: None).verdict


def mark(world: World, boot: str) -> Path:
    """What `bedplate ota install` leaves."""
    file = world.robot.paths.ota / "install.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"version": 1, "source": "file", "boot_id": boot}))
    return file
