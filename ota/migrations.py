"""The version of what lies on data, and how it moves on.

Until a slot is committed, data stays as the slot before it can read it: a new slot reads its own
version and the one before, and writes nothing that the other cannot read. After the commit, and on
every later boot until it is done, `migrate` takes the missing steps in order. A step may be cut off
anywhere and is then taken again from its beginning, so it must come to the same result twice.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtime.skills.durable import replace_file

FILE: Final = "ota/data-version.json"
FIRST: Final = 1
Say = Callable[[str], None]


@dataclass(frozen=True)
class Migration:
    """From the version before to `to`; `apply` gets the robot's data folder."""

    to: int
    what: str
    apply: Callable[[Path], None]


MIGRATIONS: Final[tuple[Migration, ...]] = ()
"""In order, without a gap. None yet: data has been of one version so far."""


class DataVersionError(ValueError):
    """Data that this slot does not know how to read."""


def data_version(steps: Sequence[Migration] = MIGRATIONS) -> int:
    """What data is of once all steps are taken: what a slot provides."""
    return steps[-1].to if steps else FIRST


def readable_versions(steps: Sequence[Migration] = MIGRATIONS) -> tuple[int, ...]:
    """What a slot can start from: its own version, and the one before it. An artifact depends on
    one of them, so that the client refuses a downgrade that could not read the data."""
    return readable_from(data_version(steps))


def readable_from(newest: int) -> tuple[int, ...]:
    return (newest,) if newest == FIRST else (newest - 1, newest)


def read_version(data: Path) -> int:
    """Data without a statement is of the first version: nobody moved it on."""
    try:
        stated = json.loads((data / FILE).read_text(encoding="utf-8"))["version"]
    except FileNotFoundError:
        return FIRST
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataVersionError(
            f"{data / FILE}: cannot be read ({error}); data is left as it is, because a step on"
            " data of an unknown version may destroy it; restore the file from the other slot's log"
        ) from error
    if isinstance(stated, bool) or not isinstance(stated, int) or stated < FIRST:
        raise DataVersionError(f"{data / FILE}: version {stated!r}, must be {FIRST} or more")
    return stated


def migrate(data: Path, say: Say, steps: Sequence[Migration] = MIGRATIONS) -> int:
    """Takes every step that is missing; the version is written after each."""
    version = read_version(data)
    for step in steps:
        if step.to <= version:
            continue
        if step.to != version + 1:
            raise DataVersionError(f"no step leads from version {version} to {step.to}")
        say(f"data: version {version} to {step.to}, {step.what}")
        step.apply(data)
        version = step.to
        write_version(data, version)
    return version


def write_version(data: Path, version: int) -> None:
    (data / FILE).parent.mkdir(parents=True, exist_ok=True)
    replace_file(data / FILE, json.dumps({"version": version}).encode() + b"\n")
