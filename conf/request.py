"""What the caller of a composition chose: options of groups, and single values."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from conf.mistake import COMMAND_LINE, ConfigError, Mistake, Origin
from conf.shape import nearest

CONF_DIR: Final = Path(__file__).parent
UNIT_GROUP: Final = "robot/unit"
OVERLAYS: Final = ("facility", "scenario", UNIT_GROUP)
OVERRIDE: Final = re.compile(r"(?P<key>[A-Za-z0-9_./-]+)=(?P<value>.*)", re.DOTALL)
CHOICE_BECAUSE: Final = "the choice names a file of the group"


@dataclass(frozen=True)
class Request:
    """What the caller chose: options of groups, and single values on top."""

    choices: dict[str, str]
    values: dict[str, str]

    def arguments(self, *, late: bool) -> list[str]:
        """Hydra's arguments for the choices, with or without those that come last."""
        return [f"{g}={option}" for g, option in self.choices.items() if late or not is_late(g)]

    @property
    def has_late_choices(self) -> bool:
        return any(is_late(group) for group in self.choices)


def is_late(group: str) -> bool:
    """Boards, arms and overlays are what is compared. A table of another group that was chosen
    on the command line belongs to the command line, which is compared last.
    """
    return group not in (*OVERLAYS, "hardware", "robot", "robot/model")


def options_of(group: str, conf_dir: Path = CONF_DIR) -> list[str]:
    """The files of a group."""
    return sorted(file.stem for file in (conf_dir / group).glob("*.yaml"))


def groups_of(conf_dir: Path = CONF_DIR) -> list[str]:
    folders = {file.parent for file in conf_dir.rglob("*.yaml")} - {conf_dir}
    return sorted(str(folder.relative_to(conf_dir)) for folder in folders)


def read_request(
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


def missing_option(name: str, conf_dir: Path) -> Mistake:
    """A defaults list names a file that is not there."""
    group, _, option = name.rpartition("/")
    known = options_of(group, conf_dir) if group else groups_of(conf_dir)
    return Mistake(
        _named_at(group, option, conf_dir),
        "defaults",
        name,
        f"one of {', '.join(known)}",
        CHOICE_BECAUSE,
        f"{group}: {nearest(option, known) or (known[0] if known else '…')}",
    )


def _named_at(group: str, option: str, conf_dir: Path) -> Origin:
    """The line of a defaults list that chooses the option."""
    entry = re.compile(rf"\b{re.escape(group.rpartition('/')[2])}\s*:\s*{re.escape(option)}\b")
    for file in sorted(conf_dir.rglob("*.yaml")):
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        for number, line in enumerate(lines, 1):
            if entry.search(line):
                return Origin(str(Path(conf_dir.name) / file.relative_to(conf_dir)), number)
    return Origin("conf/robot.yaml")
