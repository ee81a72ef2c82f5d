"""YAML → Config: the only file that knows Hydra.

Compose (Hydra), resolve (OmegaConf), validate (the schema), compare with what was overlaid (safety
may only be tightened), cross-check. All mistakes come at once, each with file and line.
"""

import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, cast

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from conf.checks import cross_check
from conf.mistake import COMMAND_LINE, SCHEMA_DEFAULT, ConfigError, Mistake, Origin
from conf.plain import Path as KeyPath
from conf.plain import leaves
from conf.profile import dump
from conf.schema import Config
from conf.shape import nearest
from conf.sources import Origins, Source, places_of, places_of_overrides, scan
from conf.tighten import Move, find_moves, mistake_of
from conf.validate import COMPUTED, validate

CONF_DIR: Final = Path(__file__).parent
ENTRY: Final = "robot"
UNIT_GROUP: Final = "robot/unit"
OVERLAYS: Final = ("facility", "scenario", UNIT_GROUP)
OVERRIDE: Final = re.compile(r"(?P<key>[A-Za-z0-9_./-]+)=(?P<value>.*)", re.DOTALL)
CHOICE_BECAUSE: Final = "the choice names a file of the group"


@dataclass(frozen=True)
class Tightened:
    """A safety setting that an overlay made stricter."""

    path: KeyPath
    before: object
    after: object
    origin: Origin


@dataclass(frozen=True)
class Composed:
    """A configuration, and how it came about."""

    config: Config
    origins: dict[KeyPath, Origin]  # of every scalar in the dumped configuration
    choices: dict[str, str]  # option chosen in each group
    files: tuple[str, ...]  # composed files, later ones on top
    tightened: tuple[Tightened, ...]

    @property
    def hash(self) -> str:
        return self.config.config_hash


@dataclass(frozen=True)
class Request:
    """What the caller chose: options of groups, and single values on top."""

    choices: dict[str, str]
    values: dict[str, str]

    def arguments(self, *, overlays: Sequence[str], whole: bool) -> list[str]:
        """Hydra's arguments for a composition that stops after some of the overlays.

        Boards, arms and the overlays are what is compared. A table of another group that was
        chosen on the command line belongs to the command line, so it comes with the whole only.
        """
        left_out = [group for group in OVERLAYS if group not in overlays]
        kept = [
            f"{group}={option}"
            for group, option in self.choices.items()
            if group not in left_out and (whole or not self.is_late(group))
        ]
        values = [f"++{key}={value}" for key, value in self.values.items()] if whole else []
        return [*kept, *(f"~{group}" for group in left_out), *values]

    def is_late(self, group: str) -> bool:
        return group not in (*OVERLAYS, "hardware", "robot", "robot/model")

    @property
    def changes_on_command_line(self) -> bool:
        return bool(self.values) or any(self.is_late(group) for group in self.choices)


def compose(
    *,
    hardware: str | None = None,
    facility: str | None = None,
    robot_id: str | None = None,
    scenario: str | None = None,
    overrides: Sequence[str] = (),
    conf_dir: Path = CONF_DIR,
) -> Composed:
    """The configuration of one robot, or a ConfigError with every mistake."""
    chosen = {"hardware": hardware, "facility": facility, "scenario": scenario}
    request = _read_request(chosen, robot_id, overrides, conf_dir)
    _scan_possible(request, conf_dir)
    with _hydra(conf_dir):
        sources, choices = _sources(request, conf_dir)
        layers = [_Layer.compose(request, stage) for stage in _stages(request, choices)]
    return _decide(layers, sources, choices, request)


def options_of(group: str, conf_dir: Path = CONF_DIR) -> list[str]:
    """The files of a group."""
    return sorted(file.stem for file in (conf_dir / group).glob("*.yaml"))


def groups_of(conf_dir: Path = CONF_DIR) -> list[str]:
    folders = {file.parent for file in conf_dir.rglob("*.yaml")} - {conf_dir}
    return sorted(str(folder.relative_to(conf_dir)) for folder in folders)


# ---- what was asked for


def _read_request(
    chosen: dict[str, str | None], robot_id: str | None, overrides: Sequence[str], conf_dir: Path
) -> Request:
    choices = {group: option for group, option in chosen.items() if option is not None}
    values: dict[str, str] = {}
    mistakes: list[Mistake] = []
    groups = groups_of(conf_dir)
    for text in overrides:
        match = OVERRIDE.fullmatch(text)
        if match is None or "${" in text or match["key"].startswith("hydra"):
            mistakes.append(_bad_override(text))
        elif match["key"] in groups:
            choices[match["key"]] = match["value"]
        else:
            values[match["key"]] = match["value"]
    if robot_id is not None:
        if robot_id in options_of(UNIT_GROUP, conf_dir) and robot_id != "none":
            choices[UNIT_GROUP] = robot_id
        else:
            values["unit.robot_id"] = robot_id
    mistakes += [
        _unknown_option(group, option, conf_dir)
        for group, option in choices.items()
        if option not in options_of(group, conf_dir)
    ]
    if mistakes:
        raise ConfigError(mistakes)
    return Request(choices, values)


def _bad_override(text: str) -> Mistake:
    return Mistake(
        COMMAND_LINE,
        text.split("=")[0][:60] or "an override",
        repr(text[:80]),
        "group=option or path.to.setting=value",
        "an override sets one value and computes nothing",
        "robot.limits.tool_speed_m_s=0.5",
    )


def _unknown_option(group: str, option: str, conf_dir: Path) -> Mistake:
    known = options_of(group, conf_dir)
    near = nearest(option, known)
    return Mistake(
        COMMAND_LINE,
        group,
        option or "nothing",
        f"one of {', '.join(known)}",
        CHOICE_BECAUSE,
        f"{group}={near or (known[0] if known else '…')}",
    )


# ---- files


def _scan_possible(request: Request, conf_dir: Path) -> None:
    """Refuse files that must not be parsed further, before Hydra reads them.

    Files of facilities, boards and robots that were not chosen are left alone: a colleague's half-
    finished facility does not stop this one.
    """
    chosen = {"hardware": "sim_x86", "facility": "osaka", **dict.fromkeys(OVERLAYS[1:], "none")}
    chosen |= request.choices
    mistakes: list[Mistake] = []
    for file in sorted(conf_dir.rglob("*.yaml")):
        group = str(file.parent.relative_to(conf_dir))
        if group in chosen and chosen[group] != file.stem:
            continue
        mistakes += scan(_source(file, (), conf_dir))
    if mistakes:
        raise ConfigError(mistakes)


def _source(file: Path, package: KeyPath, conf_dir: Path) -> Source:
    return Source(str(Path(conf_dir.name) / file.relative_to(conf_dir)), file, package)


def _sources(request: Request, conf_dir: Path) -> tuple[list[Source], dict[str, str]]:
    """The files in the order in which they are laid over each other, and each group's option."""
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    arguments = request.arguments(overlays=OVERLAYS, whole=True)
    with _as_mistakes():
        found = hydra.config_loader.compute_defaults_list(ENTRY, arguments, RunMode.RUN)
    sources: list[Source] = []
    for row in found.defaults:
        if row.config_path is None or row.config_path.split("/")[0] == "hydra":
            continue
        package = tuple(row.package.split(".")) if row.package else ()
        sources.append(_source(conf_dir / f"{row.config_path}.yaml", package, conf_dir))
    known: dict[str, Any] = found.overrides.known_choices
    return sources, {
        group: str(option) for group, option in known.items() if not group.startswith("hydra")
    }


# ---- composition


@dataclass(frozen=True)
class _Stage:
    """A composition that stops after some overlays; `name` is the last of them."""

    name: str
    overlays: tuple[str, ...]
    whole: bool = False


@dataclass(frozen=True)
class _Layer:
    stage: _Stage
    data: dict[str, Any]

    @classmethod
    def compose(cls, request: Request, stage: _Stage) -> "_Layer":
        arguments = request.arguments(overlays=stage.overlays, whole=stage.whole)
        with _as_mistakes():
            composed = hydra_compose(ENTRY, overrides=arguments)
            return cls(stage, _resolved(composed))


def _stages(request: Request, choices: dict[str, str]) -> list[_Stage]:
    """From the base to the whole, without the steps in which nothing is added."""
    # The arm the facility chose is part of the base that its limits are compared with.
    request.choices.setdefault("robot", choices["robot"])
    stages = [_Stage("base", ())]
    for index, group in enumerate(OVERLAYS):
        if choices.get(group, "none") != "none":
            stages.append(_Stage(group, OVERLAYS[: index + 1]))
    if request.changes_on_command_line:
        stages.append(_Stage("command line", OVERLAYS, whole=True))
    return stages


def _resolved(composed: DictConfig) -> dict[str, Any]:
    return cast("dict[str, Any]", OmegaConf.to_container(composed, resolve=True))


@contextmanager
def _hydra(conf_dir: Path) -> Generator[None]:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir.resolve()), version_base="1.3", job_name="bedplate"):
        yield


@contextmanager
def _as_mistakes() -> Generator[None]:
    """Whatever Hydra and OmegaConf raise becomes a mistake: their errors have no common base."""
    try:
        yield
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError([_composition(text)]) from error


def _composition(text: str) -> Mistake:
    return Mistake(
        Origin("conf/robot.yaml"),
        "the composition",
        text[:400],
        "files, keys and references that fit together",
        "the files cannot be laid over each other",
        "look for the name in the message under conf/",
    )


# ---- decision


def _decide(
    layers: list[_Layer], sources: list[Source], choices: dict[str, str], request: Request
) -> Composed:
    snapshots = _origins_by_stage(sources, request)
    final = snapshots["command line"]
    config, mistakes = validate(layers[-1].data, final)
    refused, tightened = _judge_moves(layers, snapshots)
    mistakes = [*_foreign_to_unit(sources), *mistakes, *refused]
    consequence = "nothing was composed; cross-checks follow once these are gone"
    if config is not None:
        checked = [problem.at(_origin(final, problem)) for problem in cross_check(config)]
        mistakes, consequence = [*mistakes, *checked], "nothing was composed"
    if mistakes or config is None:
        raise ConfigError(mistakes, consequence)
    return Composed(
        config=config,
        origins=_origin_of_each(config, final),
        choices=choices,
        files=tuple(source.name for source in sources),
        tightened=tuple(tightened),
    )


def _origin(origins: Origins, problem: Mistake) -> Origin:
    path = tuple(int(key) if key.isdigit() else key for key in re.findall(r"\w+", problem.path))
    return origins.find(path) or problem.origin


def _stage_of(source: Source) -> str:
    group = source.file.parent
    if source.package == ("unit",) or group.name == "unit":
        return UNIT_GROUP
    return group.name if group.name in OVERLAYS else "base"


def _origins_by_stage(sources: list[Source], request: Request) -> dict[str, Origins]:
    """Origins after the base and after each overlay."""
    origins = Origins()
    snapshots: dict[str, Origins] = {}
    for source in sources:
        origins = origins.overlaid(places_of(source))
        snapshots[_stage_of(source)] = origins
    values = places_of_overrides(list(request.values))
    return {**snapshots, "command line": origins.overlaid(values)}


def _judge_moves(
    layers: list[_Layer], snapshots: dict[str, Origins]
) -> tuple[list[Mistake], list[Tightened]]:
    mistakes: list[Mistake] = []
    tightened: list[Tightened] = []
    for below, above in pairwise(layers):
        origins = snapshots[above.stage.name]
        base = snapshots[below.stage.name]
        for move in find_moves(Config, below.data, above.data):
            origin = origins.find(move.path) or Origin(above.stage.name)
            if move.refused:
                mistakes.append(mistake_of(move, origin, base.find(move.path)))
            else:
                tightened.append(_tightened(move, origin))
    return mistakes, tightened


def _tightened(move: Move, origin: Origin) -> Tightened:
    return Tightened(move.path, move.before, move.after, origin)


def _foreign_to_unit(sources: list[Source]) -> list[Mistake]:
    """A robot's own file sets `unit` alone, so that its profile keeps the hash of all its kind."""
    foreign: dict[str, Origin] = {}
    for source in sources:
        if _stage_of(source) == UNIT_GROUP:
            for path, (origin, _) in places_of(source).items():
                if path[0] != "unit":
                    foreign.setdefault(str(path[0]), origin)
    return [
        Mistake(
            origin,
            key,
            f"the key {key}",
            "a key of unit: identity, calibration, derating",
            "robots of one profile share its hash; what differs between them has a hash of its own",
            "put it into the facility's file, or use unit.derating",
        )
        for key, origin in foreign.items()
    ]


def _origin_of_each(config: Config, origins: Origins) -> dict[KeyPath, Origin]:
    data = {key: value for key, value in dump(config).items() if key not in COMPUTED}
    return {path: _exact(origins, path) for path, _ in leaves(data)}


def _exact(origins: Origins, path: KeyPath) -> Origin:
    """The place that set a value; the schema's default if none of the files did."""
    found = path in origins.places or any(
        path[:length] in origins.places and isinstance(path[length], int)
        for length in range(1, len(path))
    )
    return (origins.find(path) or SCHEMA_DEFAULT) if found else SCHEMA_DEFAULT
