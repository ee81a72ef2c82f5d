"""Declared scenarios: what a simulated shift looks like, one YAML file each in sim/scenarios/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from conf.schema import Config
from runtime.hal.clock import NS_PER_S
from sim.appearance import Style
from sim.faults import Component, Kind, ScheduledFault, Venue, check_supported
from sim.layout import CellLayout, layout_of
from sim.robot_model import Arm, Meshes
from sim.scene import Scene

SCENARIO_FOLDER = Path(__file__).resolve().parent / "scenarios"
DEFAULT_SCENARIO = "picking"
SCENARIO_FILE = "scenario.json"  # in the run folder: which scenario this run plays

Span = tuple[float, float]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Traffic(_Model):
    """People who cross the walkway."""

    gap_s: Span = (4.0, 12.0)
    speed_m_s: Span = (0.8, 1.5)
    at_once: int | None = Field(default=None, ge=0, le=4)  # else what the facility expects
    inner_points: int = Field(default=2, ge=0, le=6)
    pause_s: float = Field(default=0.0, ge=0, le=60)


class Carts(_Model):
    """Carts, boxes and pillars that stand about and are moved now and then."""

    count: int = Field(default=3, ge=0, le=6)
    gap_s: Span | None = (20.0, 60.0)  # none: they stay where they are


class PartFlow(_Model):
    in_bin: int = Field(default=3, ge=1, le=4)
    pool: int = Field(default=6, ge=1, le=12)
    clutter: bool = False
    respawn_s: float = Field(default=1.0, ge=0, le=600)
    tray_keeps: int = Field(default=3, ge=0, le=8)


class FaultEntry(_Model):
    at_s: float = Field(ge=0)
    component: Component
    kind: Kind
    for_s: Annotated[float, Field(gt=0)] | None = None

    @field_validator("kind", mode="before")
    @classmethod
    def _yaml_reads_off_as_no(cls, value: object) -> object:
        return Kind.OFF if value is False else value

    def scheduled(self) -> ScheduledFault:
        lasts_ns = None if self.for_s is None else round(self.for_s * NS_PER_S)
        return ScheduledFault(
            at_ns=round(self.at_s * NS_PER_S),
            component=self.component,
            kind=self.kind,
            lasts_ns=lasts_ns,
        )


class Scenario(_Model):
    name: str
    title: str
    seed: int = Field(default=1, ge=0)
    style: Style = Style.TRAIN
    people: int = Field(default=3, ge=1, le=4)  # bodies, the last one kept for an intruder
    traffic: Traffic = Traffic()
    carts: Carts = Carts()
    parts: PartFlow = PartFlow()
    camera_noise: bool = True
    faults: tuple[FaultEntry, ...] = ()

    def scheduled_faults(self) -> list[ScheduledFault]:
        return [entry.scheduled() for entry in self.faults]


class ScenarioError(ValueError):
    """A scenario that cannot be played; the text says where and why."""


def scenario_names() -> list[str]:
    return sorted(path.stem for path in SCENARIO_FOLDER.glob("*.yaml"))


def load_scenario(name: str) -> Scenario:
    path = SCENARIO_FOLDER / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(scenario_names())
        raise ScenarioError(f"scenario {name!r} is unknown, so nothing is simulated; try {known}")
    return parse_scenario(yaml.safe_load(path.read_text(encoding="utf-8")), where=str(path))


def parse_scenario(value: Any, *, where: str) -> Scenario:
    try:
        scenario = Scenario.model_validate(value)
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            for problem in error.errors(include_url=False)
        ]
        raise ScenarioError(f"{where}: {'; '.join(lines)}; nothing is simulated") from error
    for entry in scenario.faults:
        if not any(_is_possible(entry, venue) for venue in Venue):
            raise ScenarioError(f"{where}: faults: {entry.component} cannot be {entry.kind}")
    return scenario


def _is_possible(entry: FaultEntry, venue: Venue) -> bool:
    try:
        check_supported(entry.component, entry.kind, venue)
    except ValueError:
        return False
    return True


def scenario_of_run(run: Path) -> Scenario:
    """The scenario that a run folder names, or the default one."""
    path = run / SCENARIO_FILE
    if not path.is_file():
        return load_scenario(DEFAULT_SCENARIO)
    return parse_scenario(json.loads(path.read_text(encoding="utf-8")), where=str(path))


def write_scenario(scenario: Scenario, run: Path) -> None:
    """Choose the scenario of a run before its simulator starts."""
    run.mkdir(parents=True, exist_ok=True)
    (run / SCENARIO_FILE).write_text(scenario.model_dump_json() + "\n", encoding="utf-8")


def scene_of(config: Config, scenario: Scenario) -> Scene:
    """The scene of a robot's profile and a scenario: the same in every process that builds it."""
    layout: CellLayout = layout_of(config)
    return Scene(
        scenario.seed,
        Arm(config.robot.arm.kind.value),
        scenario.style,
        people=scenario.people,
        parts=scenario.parts.in_bin,
        pool=scenario.parts.pool,
        distractors=scenario.carts.count,
        meshes=Meshes(config.hardware.cameras.meshes.value),
        layout=layout,
        clutter=scenario.parts.clutter,
        home_rad=config.robot.home_rad,
    )
