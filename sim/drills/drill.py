"""The shape of a drill: what it is asked, what it reports, and the robot it runs on."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from conf.load import compose
from runtime.agent.agentd import Agent
from runtime.paths import Paths
from runtime.shm import Mode, StopLevel
from runtime.telemetry.client import RecordKind
from runtime.telemetry.telemetryd import Telemetry
from runtime.telemetry.uplink import MemoryUplink
from sim.lockstep import DAEMONS, LockStep, Pictures, Setup
from sim.supplies import ROOT, install_skill

ARM_TIMEOUT_S = 30.0
STAND_IN_NOTE = "perception is a stand-in that knows the scene: this says nothing about vision"

Say = Callable[[str], None]


@dataclass(frozen=True)
class DrillOptions:
    """`scale` shortens the long ones: 1 is what the criterion asks for, a test takes a sample."""

    seed: int = 1
    scale: float = 1.0
    say: Say = print
    var: Path = ROOT / "var"


@dataclass(frozen=True)
class Check:
    """One statement that must hold, with what was found."""

    text: str
    holds: bool
    found: str = ""


@dataclass
class Report:
    name: str
    checks: list[Check] = field(default_factory=list)
    figures: dict[str, float | int | str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    wall_s: float = 0.0

    @property
    def passed(self) -> bool:
        return bool(self.checks) and all(check.holds for check in self.checks)

    def expect(self, text: str, holds: bool, found: object = "") -> None:
        self.checks.append(Check(text, bool(holds), str(found)))

    def as_dict(self) -> dict[str, object]:
        return {
            "drill": self.name,
            "passed": self.passed,
            "checks": [{**check.__dict__} for check in self.checks],
            "figures": self.figures,
            "notes": self.notes,
            "wall_s": round(self.wall_s, 1),
        }


@dataclass(frozen=True)
class Drill:
    name: str
    summary: str
    run: Callable[[DrillOptions, Report], None]


def run_drill(drill: Drill, options: DrillOptions) -> Report:
    report = Report(drill.name)
    started = time.monotonic()
    drill.run(options, report)
    report.wall_s = time.monotonic() - started
    return report


@dataclass
class Robot:
    """A lock-step robot and the things drills look at."""

    lockstep: LockStep

    def __post_init__(self) -> None:
        shm = self.lockstep.shm
        self.state_reader = shm.state_reader()
        self._directive = shm.reader("directive")
        self._scene = shm.reader("scene")

    @property
    def agent(self) -> Agent:
        return cast(Agent, self.lockstep.process("agentd"))

    @property
    def telemetry(self) -> Telemetry:
        return cast(Telemetry, self.lockstep.process("telemetryd"))

    @property
    def fleet(self) -> MemoryUplink:
        uplink = self.telemetry.uplink
        assert isinstance(uplink, MemoryUplink)
        return uplink

    @property
    def state(self) -> np.void:
        record = self.state_reader.latest()
        assert record is not None
        return record

    @property
    def scene(self) -> np.void | None:
        return self._scene.latest()

    @property
    def modes(self) -> Mode:
        record = self._directive.latest()
        return Mode.SAFE_STOP if record is None else Mode(int(record["mode"]))

    @property
    def directive(self) -> np.void:
        record = self._directive.latest()
        assert record is not None
        return record

    @property
    def stop_level(self) -> StopLevel:
        return StopLevel(int(self.state["stop_level"]))

    def count_events(self, name: str) -> int:
        records = self.lockstep.records
        return sum(1 for r in records if r.kind is RecordKind.EVENT and r.name == name)

    def run_until(self, condition: Callable[[], bool], timeout_s: float) -> float | None:
        """How long it took in virtual time, or None when it did not come."""
        before_s = self.lockstep.elapsed_s
        came = self.lockstep.run(timeout_s, condition)
        return self.lockstep.elapsed_s - before_s if came else None

    def wait_armed(self) -> float | None:
        return self.run_until(
            lambda: self.modes == Mode.NOMINAL and self.stop_level is StopLevel.NONE, ARM_TIMEOUT_S
        )


@contextmanager
def robot(options: DrillOptions, pictures: Pictures = Pictures.STAND_IN) -> Iterator[Robot]:
    """A freshly started robot with its skill, in folders that go when it does."""
    config = compose().config
    replaced = {"visiond"} if pictures is Pictures.STAND_IN else set[str]()
    daemons = tuple(name for name in DAEMONS if name not in replaced)
    with tempfile.TemporaryDirectory(prefix="bedplate-drill-") as home:
        paths = Paths(run=Path(home) / "run", data=Path(home) / "data")
        install_skill(config, paths, options.var)
        setup = Setup(daemons=daemons, pictures=pictures)
        with LockStep(config, paths.run, paths.data, options.seed, setup=setup) as lockstep:
            yield Robot(lockstep)
