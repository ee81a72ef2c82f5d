"""Groups beside each other: which one does worse than the rest, and whether that can be chance."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy.engine import Engine

from fleet.metrics.query import (
    Dimension,
    FailureMode,
    Span,
    Tally,
    Where,
    failure_modes,
    robots,
    tally_by,
)

LEAST_ENDED = 5  # fewer tasks say nothing of a group


@dataclass(frozen=True)
class Group:
    """`is_low`: its success lies below that of all others together, intervals (95 %) apart."""

    name: str
    tally: Tally
    is_low: bool
    note: str = ""


@dataclass(frozen=True)
class VersionSide:
    version: str
    robots: tuple[str, ...]  # that run it now
    profiles: tuple[str, ...]
    by_task: Mapping[str, Tally]
    failures: tuple[FailureMode, ...]


@dataclass(frozen=True)
class TaskChange:
    """`is_lower`, `is_higher`: intervals apart; neither: no difference that can be told."""

    task: str
    before: Tally
    after: Tally

    @property
    def is_lower(self) -> bool:
        return apart(self.after, self.before)

    @property
    def is_higher(self) -> bool:
        return apart(self.before, self.after)


@dataclass(frozen=True)
class Comparison:
    before: VersionSide
    after: VersionSide
    changes: tuple[TaskChange, ...]


def groups(
    rows: Engine, span: Span, dimension: Dimension, where: Where | None = None
) -> list[Group]:
    """The worst first."""
    tallies = tally_by(rows, span, dimension, where)
    versions = {item.robot_id: item.version for item in robots(rows)}
    made = [
        Group(
            name,
            mine,
            apart(mine, added(item for other, item in tallies.items() if other != name)),
            versions.get(name, "") if dimension is Dimension.ROBOT else "",
        )
        for name, mine in tallies.items()
    ]
    return sorted(made, key=lambda group: (group.tally.success_ratio or 0.0, group.name))


def compare_versions(rows: Engine, span: Span, before: str, after: str) -> Comparison:
    sides = [_side(rows, span, version) for version in (before, after)]
    tasks = sorted({task for side in sides for task in side.by_task})
    changes = tuple(
        TaskChange(task, *(side.by_task.get(task, Tally()) for side in sides)) for task in tasks
    )
    return Comparison(sides[0], sides[1], changes)


def apart(low: Tally, high: Tally) -> bool:
    """Whether the first is surely lower."""
    if low.ended < LEAST_ENDED or high.ended < LEAST_ENDED:
        return False
    below, above = low.success_interval, high.success_interval
    return below is not None and above is not None and below[1] < above[0]


def added(tallies: Iterable[Tally]) -> Tally:
    total = Tally()
    for item in tallies:
        total = Tally(
            total.done + item.done,
            total.failed + item.failed,
            total.attempts + item.attempts,
            total.errors + item.errors,
            total.duration_ms + item.duration_ms,
        )
    return total


def _side(rows: Engine, span: Span, version: str) -> VersionSide:
    where = Where(version=version)
    mine = [item for item in robots(rows) if item.version == version]
    return VersionSide(
        version=version,
        robots=tuple(item.robot_id for item in mine),
        profiles=tuple(sorted({item.config_hash for item in mine})),
        by_task=tally_by(rows, span, Dimension.TASK, where),
        failures=tuple(failure_modes(rows, span, where, 5)),
    )
