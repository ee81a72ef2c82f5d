"""A whole robot in one process on a virtual clock: same seed, same bytes.

Every millisecond, in this order: faults, plant, control cycle; then whatever process is due, in the
order of `DAEMONS`. Nothing here waits for real time; a run is as fast as the machine.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from conf.control import write_control
from conf.profile import write_profile
from conf.schema import Config
from runtime.daemon import Context, Process
from runtime.hal.clock import NS_PER_MS, NS_PER_S, Clock, VirtualClock
from runtime.paths import Paths
from runtime.processes import find_process
from runtime.shm import Shm
from runtime.telemetry.client import (
    MemorySink,
    Record,
    Severity,
    TelemetryClient,
    encode_record,
)
from sim.cameras import Cameras
from sim.faults import (
    PROCESSES,
    TOPICS,
    Component,
    FaultBoard,
    FaultPlan,
    Kind,
    ScheduledFault,
    Venue,
    process_runs,
)
from sim.film import Film, FilmPlayer
from sim.gpu import SimulatedGpu
from sim.layout import Array
from sim.plant import Plant
from sim.process_faults import scribble
from sim.scenario import DEFAULT_SCENARIO, Scenario, load_scenario, write_scenario
from sim.stand_in import StandInEyes

TICK_NS = NS_PER_MS
FAULTS_NS = 10 * NS_PER_MS
GPU_NS = 100 * NS_PER_MS
WALL_JUMP_NS = 2 * 3600 * NS_PER_S
# In the order of the data's way through the robot.
DAEMONS = ("visiond", "safetyd", "plannerd", "policyd", "agentd", "telemetryd")


class Pictures(StrEnum):
    RENDERED = "rendered"
    RECORDED = "recorded"  # a film in an endless loop
    NONE = "none"  # no cameras
    STAND_IN = "stand_in"  # no cameras, no visiond: a double publishes what it would have found


class ControlCore(Protocol):
    """Tier 1, one cycle at a time."""

    def cycle(self, now_ns: int) -> object: ...


Builder = Callable[[Context], Process]
CoreBuilder = Callable[[Path, Path], ControlCore]
Hook = Callable[[int], None]


def native_core(control: Path, shm: Path) -> ControlCore:
    from runtime.shm import Core

    return Core(control, shm, epoch=1)


class RecordingSink(MemorySink):
    """Keeps every record, and a hash of all their bytes, beside what telemetryd drains."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Record] = []
        self._hash = hashlib.sha256()

    def send(self, record: Record, dropped: int) -> bool:
        self._hash.update(encode_record(record, dropped) + b"\n")
        self.records.append(record)
        return super().send(record, dropped)

    def digest(self) -> str:
        return self._hash.hexdigest()


@dataclass
class _Member:
    """One process of the run, with its place on the time grid."""

    name: str
    build: Builder
    process: Process | None = None
    due_ns: int = 0

    @property
    def component(self) -> Component | None:
        return Component(self.name) if self.name in PROCESSES else None


@dataclass(frozen=True)
class Setup:
    """What runs, and on what it looks."""

    daemons: tuple[str, ...] = DAEMONS
    pictures: Pictures = Pictures.RENDERED
    film: Film | None = None
    builders: Mapping[str, Builder] = field(default_factory=dict)  # in place of a module's own
    core: CoreBuilder | None = native_core  # None: nothing commands the drives


class _PlantSource:
    """The cameras look at the plant itself, at the plant's time."""

    def __init__(self, plant: Plant, clock: Clock) -> None:
        self._plant, self._clock = plant, clock

    def latest(self) -> tuple[Array, int]:
        return self._plant.scene.capture(), self._clock.now_ns()


class LockStep:
    """One run. Close it, or use it in a `with` statement."""

    def __init__(
        self,
        config: Config,
        run_dir: Path,
        data_dir: Path,
        seed: int,
        faults: Iterable[ScheduledFault] = (),
        *,
        scenario: Scenario | None = None,
        setup: Setup | None = None,
    ) -> None:
        self.config, self.seed = config, seed
        self.setup = setup or Setup()
        chosen = scenario or load_scenario(DEFAULT_SCENARIO)
        self.scenario = chosen.model_copy(update={"seed": seed})
        self.paths = Paths(run_dir, data_dir)
        self._prepare_folders()
        self.clock = VirtualClock()
        self.sink = RecordingSink()
        self.shm = Shm(self.paths.shm)
        self.board = FaultBoard(Venue.LOCK_STEP)
        declared = [*self.scenario.scheduled_faults(), *faults]
        self._plan = FaultPlan(declared, self.board, self.clock.now_ns())
        self._noise = np.random.default_rng([seed, 4])
        self.plant = Plant(self.context("plant"), self.scenario, self.board)
        self._gpu = SimulatedGpu(self.shm, self.board)
        self._simulator = self.context("faultd")
        # The plant speaks first, so that the control core finds sensors on its first cycle.
        self.plant.step(self.clock.now_ns())
        self._gpu.step(self.clock.now_ns())
        build_core = self.setup.core
        self.core = None if build_core is None else build_core(self.paths.control, self.paths.shm)
        self._members = [*self._eyes(), *map(self._member, self.setup.daemons)]
        self._hooks: list[tuple[int, Hook]] = []
        self._ticks = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def elapsed_s(self) -> float:
        return self._ticks * TICK_NS / NS_PER_S

    @property
    def records(self) -> list[Record]:
        """Everything that any process handed to telemetry, in order."""
        return self.sink.records

    def telemetry_digest(self) -> str:
        """Hash of all telemetry so far: equal runs have equal ones."""
        return self.sink.digest()

    def context(self, name: str) -> Context:
        client = TelemetryClient(self.sink, name, self.clock)
        return Context(self.config, self.paths, self.clock, self.shm, client)

    def process(self, name: str) -> Process | None:
        """A process of the run; None while a fault keeps it down."""
        for member in self._members:
            if member.name == name:
                return member.process
        raise LookupError(f"lock-step: {name!r} does not run; these do: {self._names()}")

    def add_hook(self, period_s: float, hook: Hook) -> None:
        """Call `hook(now_ns)` at this period, after everything else of its millisecond."""
        self._hooks.append((max(1, round(period_s * NS_PER_S / TICK_NS)), hook))

    def inject(self, component: Component, kind: Kind) -> None:
        self.board.inject(component, kind, self.clock.now_ns())
        self._changed(component, kind)

    def clear(self, component: Component) -> None:
        if self.board.clear(component) is not None:
            self._changed(component, None)

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Advance by this much virtual time; True as soon as `until` (asked at 100 Hz) says so."""
        for tick in range(round(seconds * NS_PER_S / TICK_NS)):
            self._tick()
            if until is not None and tick % 10 == 9 and until():
                return True
        return False

    def close(self) -> None:
        for member in reversed(self._members):
            _end(member)

    def _tick(self) -> None:
        now_ns = self.clock.advance(TICK_NS)
        self._ticks += 1
        elapsed_ns = self._ticks * TICK_NS
        if (
            elapsed_ns % FAULTS_NS == 0 or self._ticks == 1
        ):  # a fault at zero precedes the first picture
            for component, kind in self._plan.step(now_ns):
                self._changed(component, kind)
            self._scribble()
        if elapsed_ns % GPU_NS == 0:
            self._gpu.step(now_ns)
        self.plant.step(now_ns)
        if self.core is not None:
            self.core.cycle(now_ns)
        for member in self._members:
            self._step_member(member, now_ns)
        for period, hook in self._hooks:
            if self._ticks % period == 0:
                hook(now_ns)

    def _step_member(self, member: _Member, now_ns: int) -> None:
        if now_ns < member.due_ns:
            return
        component = member.component
        fault = None if component is None else self.board.active(component)
        if fault is not None and fault.kind is Kind.OFF:
            _end(member)
            return
        if member.process is None:
            member.process = member.build(self.context(member.name))
            member.due_ns = now_ns
        if process_runs(fault, now_ns):
            member.process.step(now_ns)
        member.due_ns += round(NS_PER_S / member.process.rate_hz)
        if member.due_ns <= now_ns:  # just started again: no catching up
            member.due_ns = now_ns + TICK_NS

    def _changed(self, component: Component, kind: Kind | None) -> None:
        if component is Component.CLOCK:
            self.clock.jump_wall(-WALL_JUMP_NS if kind is None else WALL_JUMP_NS)
        name = "fault.cleared" if kind is None else "fault.injected"
        severity = Severity.INFO if kind is None else Severity.WARNING
        fields = {"component": component.value, "kind": "ok" if kind is None else kind.value}
        self._simulator.telemetry.event(name, severity, fields)

    def _scribble(self) -> None:
        for component in PROCESSES:
            fault = self.board.active(component)
            if fault is not None and fault.kind is Kind.GARBAGE:
                scribble(self.paths.shm, TOPICS[component], self._noise.bytes)

    def _eyes(self) -> list[_Member]:
        """What stands where pictures or their findings come from."""
        source = _PlantSource(self.plant, self.clock)
        match self.setup.pictures:
            case Pictures.RENDERED:
                return [_Member("cameras", lambda c: Cameras(c, self.scenario, self.board, source))]
            case Pictures.RECORDED:
                film = self.setup.film
                if film is None:
                    raise ValueError("lock-step: pictures 'recorded' need a film; give Setup.film")
                return [_Member("cameras", lambda c: FilmPlayer(c.shm, film))]
            case Pictures.STAND_IN:
                scene, seed = self.plant.scene, self.seed
                return [_Member("visiond", lambda c: StandInEyes(c, scene, seed))]
            case Pictures.NONE:
                return []

    def _member(self, name: str) -> _Member:
        given = self.setup.builders.get(name)
        return _Member(name, given or _builder_of(name))

    def _names(self) -> str:
        return ", ".join(member.name for member in self._members) or "none"

    def _prepare_folders(self) -> None:
        for folder in (self.paths.run, self.paths.data, self.paths.shm):
            folder.mkdir(parents=True, exist_ok=True)
        write_profile(self.config, self.paths.profile)
        write_control(self.config, self.paths.control)
        write_scenario(self.scenario, self.paths.run)


def _builder_of(name: str) -> Builder:
    module = find_process(name).module
    if module is None:
        raise LookupError(f"lock-step: {name!r} is no Python process and cannot be stepped")
    build: Builder = importlib.import_module(module).build
    return build


def _end(member: _Member) -> None:
    """As a kill would: what it held is gone, its place in the order stays."""
    if member.process is not None:
        member.process.close()
        member.process = None
