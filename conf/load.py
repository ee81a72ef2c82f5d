"""YAML → Config: the only file that knows Hydra.

Choose the files and their order (Hydra), lay them over each other and resolve (OmegaConf), validate
(the schema), compare with what was overlaid (safety may only be tightened), cross-check. All
mistakes come at once, each with file and line.
"""

import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, Final, cast

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, flag_override

from conf.checks import cross_check
from conf.mistake import COMMAND_LINE, SCHEMA_DEFAULT, ConfigError, Mistake, Origin
from conf.plain import Path as KeyPath
from conf.plain import leaves
from conf.profile import dump
from conf.request import (
    CONF_DIR,
    OVERLAYS,
    UNIT_GROUP,
    Request,
    missing_option,
    options_of,
    read_request,
)
from conf.schema import Config
from conf.sources import Origins, Places, Source, places_of, places_of_overrides, scan
from conf.tighten import Move, find_moves, mistake_of
from conf.validate import COMPUTED, validate

ENTRY: Final = "robot"


__all__ = ["CONF_DIR", "Composed", "Tightened", "compose", "options_of"]


@dataclass(frozen=True)
class Tightened:
    """A safety setting that an overlay made stricter."""

    path: KeyPath
    before: object
    after: object
    origin: Origin


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        return f"Composed({self.config.robot_id}, {self.config.hardware.name}, {self.hash[:12]})"


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
    request = read_request(chosen, robot_id, overrides, conf_dir)
    _scan_possible(request, conf_dir)
    with _hydra(conf_dir), _as_mistakes(conf_dir):
        early, choices = _sources(request, conf_dir, late=False)
        sources = early
        if request.has_late_choices:
            sources, choices = _sources(request, conf_dir, late=True)
        layers = _layers(early, sources, request.values)
    return _decide(layers, sources, choices)


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


def _sources(
    request: Request, conf_dir: Path, *, late: bool
) -> tuple[list[Source], dict[str, str]]:
    """The files in the order in which they are laid over each other, and each group's option."""
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    arguments = request.arguments(late=late)
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
class _Layer:
    """What the files come to up to a stage: the base, an overlay, the command line."""

    stage: str
    data: dict[str, Any]
    origins: Origins


def _layers(early: list[Source], sources: list[Source], values: dict[str, str]) -> list[_Layer]:
    """From the base to the whole; a stage that adds nothing is left out."""
    whole, origins, layers = OmegaConf.create(), Origins(), list[_Layer]()
    for stage, files in groupby(early, key=_stage_of):
        added = [_lay_over(whole, source) for source in files]
        if any(added):
            for source in added:
                origins = origins.overlaid(source)
            layers.append(_Layer(stage, _resolved(whole), origins))
    if sources is early and not values:
        return layers
    if sources is not early:
        whole, origins = OmegaConf.create(), Origins()
        for source in sources:
            origins = origins.overlaid(_lay_over(whole, source))
    for key, value in values.items():
        _set_value(whole, key, value)
    origins = origins.overlaid(places_of_overrides(list(values)))
    return [*layers, _Layer(str(COMMAND_LINE), _resolved(whole), origins)]


def _lay_over(whole: DictConfig, source: Source) -> Places:
    """Merge a file, without its defaults list, at its place; gives what it sets and where."""
    content = OmegaConf.load(source.file)
    if isinstance(content, DictConfig):
        content.pop("defaults", None)
    with flag_override(whole, "no_deepcopy_set_nodes", True):
        if source.package:
            place = ".".join(str(key) for key in source.package)
            OmegaConf.update(whole, place, content, merge=True, force_add=True)
        else:
            whole.merge_with(content)
    return places_of(source)


def _set_value(whole: DictConfig, key: str, text: str) -> None:
    """As Hydra sets it: the value is read by its grammar, so lists and tables can be given."""
    override = OverridesParser.create().parse_override(f"++{key}={text}")
    if override.is_sweep_override():
        raise ValueError(f"{key}={text} is several values, and a robot has one")
    OmegaConf.update(whole, key, override.value(), merge=True, force_add=True)


def _resolved(whole: DictConfig) -> dict[str, Any]:
    return cast("dict[str, Any]", OmegaConf.to_container(whole, resolve=True))


@contextmanager
def _hydra(conf_dir: Path) -> Generator[None]:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir.resolve()), version_base="1.3", job_name="bedplate"):
        yield


@contextmanager
def _as_mistakes(conf_dir: Path) -> Generator[None]:
    """Whatever Hydra and OmegaConf raise becomes a mistake: their errors have no common base."""
    try:
        yield
    except MissingConfigException as error:
        raise ConfigError([missing_option(str(error.missing_cfg_file), conf_dir)]) from error
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


def _decide(layers: list[_Layer], sources: list[Source], choices: dict[str, str]) -> Composed:
    final = layers[-1].origins
    config, mistakes = validate(layers[-1].data, final)
    refused, tightened = _judge_moves(layers)
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


def _judge_moves(layers: list[_Layer]) -> tuple[list[Mistake], list[Tightened]]:
    mistakes: list[Mistake] = []
    tightened: list[Tightened] = []
    for below, above in pairwise(layers):
        for move in find_moves(Config, below.data, above.data):
            origin = above.origins.find(move.path) or Origin(above.stage)
            if move.refused:
                mistakes.append(mistake_of(move, origin, below.origins.find(move.path)))
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
