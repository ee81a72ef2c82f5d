"""What changed around an incident: versions, modes, boots, connections; from rows and series."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Engine

from fleet.alerts.tables import EPISODE
from fleet.incidents.model import BY_ITSELF, Entry, Kind
from fleet.metrics.query import robots
from fleet.metrics.tables import COUNT
from fleet.store.books import Books
from fleet.store.rows import read
from fleet.store.series import EVENT, Query, SeriesStore
from runtime.telemetry.line import Point, plain_names

LOOK_BACK_NS = 2 * 3600 * 1_000_000_000
EVENTS_READ = 500
EVENTS_SHOWN = 20
CHANGES = ("mode.", "boot.", "ota.", "update.", "skill.", "fault.", "clock.", "perception.gpu")
"""Beginnings of the names of events that say that something is otherwise than before."""
NETWORK_RULES = ("silent", "network_drops", "fleet_offline")
QUIET_FIELDS = frozenset({"name", "severity", "source", "seq", "epoch"})


@dataclass(frozen=True)
class VersionChange:
    robot_id: str
    version: str
    before: str | None
    at_ns: int


class Evidence:
    """Raises StoreUnavailableError; `series` None: events are not to be had here."""

    def __init__(self, rows: Engine, series: SeriesStore | None) -> None:
        self._rows = rows
        self._series = series

    def changes(self, subjects: Sequence[str], since_ns: int, until_ns: int) -> list[Entry]:
        """What is otherwise than before, of these or, when none is a robot, of all."""
        found = [entry_of_version(one) for one in self.versions(subjects, since_ns, until_ns)]
        for subject in subjects or [None]:
            for point in self._events(subject, since_ns, until_ns):
                if str(point.fields.get("name", "")).startswith(CHANGES):
                    found.append(entry_of_event(point))
        return found

    def network(self, since_ns: int, until_ns: int) -> list[Entry]:
        """Connections that were lost, of anybody: a network is nobody's own."""
        query = sql.select(EPISODE).where(
            EPISODE.c.rule.in_(NETWORK_RULES),
            EPISODE.c.began_ns >= since_ns,
            EPISODE.c.began_ns <= until_ns,
        )
        rows = read(self._rows, query.order_by(EPISODE.c.began_ns).limit(100))
        return [
            Entry(row.began_ns, Kind.NETWORK, BY_ITSELF, f"{row.alert} of {row.subject}")
            for row in rows
        ]

    def versions(
        self, subjects: Sequence[str], since_ns: int, until_ns: int
    ) -> list[VersionChange]:
        """Who first ended a task on another version than before, within this time."""
        first = sql.func.min(COUNT.c.start_s).label("first_s")
        query = sql.select(COUNT.c.robot, COUNT.c.version, first)
        if subjects:
            query = query.where(COUNT.c.robot.in_(list(subjects)))
        query = query.where(COUNT.c.robot != "").group_by(COUNT.c.robot, COUNT.c.version)
        return version_changes(read(self._rows, query), since_ns, until_ns)

    def running(self) -> list[str]:
        """Who runs what, each version with how many."""
        counts: dict[tuple[str, str], list[str]] = {}
        for one in robots(self._rows):
            counts.setdefault((one.version, one.config_hash[:12]), []).append(one.robot_id)
        return [
            f"{version}, profile {profile}: {len(who)} ({', '.join(who[:5])}"
            f"{', …' if len(who) > 5 else ''})"
            for (version, profile), who in sorted(counts.items())
        ]

    def events(self, subject: str | None, since_ns: int, until_ns: int) -> list[str]:
        """The last ones, each on one line, the oldest first."""
        points = self._events(subject, since_ns, until_ns)[:EVENTS_SHOWN]
        return [event_line(point) for point in reversed(points)]

    def accounting(self, subject: str) -> list[str]:
        return [
            f"epoch {one.epoch}: {one.head} numbered, {one.stored} stored, {one.refused} refused,"
            f" {one.thinned} thinned, {one.pending} pending, {one.missing} missing"
            for one in Books(self._rows).accounts(subject)
        ]

    def _events(self, subject: str | None, since_ns: int, until_ns: int) -> list[Point]:
        if self._series is None:
            return []
        return self._series.points(Query(EVENT, subject, since_ns, until_ns, EVENTS_READ))


def version_changes(rows: Iterable[Any], since_ns: int, until_ns: int) -> list[VersionChange]:
    """Pure: rows of robot, version, first second. The first version of all is no change."""
    of_robot: dict[str, list[tuple[int, str]]] = {}
    for row in rows:
        of_robot.setdefault(row.robot, []).append((int(row.first_s), row.version))
    found: list[VersionChange] = []
    for robot_id, versions in sorted(of_robot.items()):
        ordered = sorted(versions)
        for (_, before), (first_s, version) in pairwise(ordered):
            at_ns = first_s * 1_000_000_000
            if since_ns <= at_ns <= until_ns:
                found.append(VersionChange(robot_id, version, before, at_ns))
    return found


def entry_of_version(change: VersionChange) -> Entry:
    text = f"{change.robot_id}: from {change.before} to {change.version}"
    return Entry(change.at_ns, Kind.CHANGED, BY_ITSELF, text)


def entry_of_event(point: Point) -> Entry:
    robot_id = point.tags.get("robot", "?")
    return Entry(point.time_ns, Kind.CHANGED, BY_ITSELF, f"{robot_id}: {event_line(point)}")


def event_line(point: Point) -> str:
    fields: Mapping[str, Any] = plain_names(point.fields)
    rest = [f"{name}={_short(value)}" for name, value in fields.items() if name not in QUIET_FIELDS]
    return " ".join([str(fields.get("name", "event")), *rest])[:500]


def _short(value: Any) -> str:
    """Numbers are floats in the store; nobody has task 4711.0."""
    return f"{value:.10g}" if isinstance(value, float) else str(value)
