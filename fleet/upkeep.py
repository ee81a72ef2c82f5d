"""Robots that are being worked on: who, why, and until when. Whoever holds one is not surprised by
others: nobody else re-arms it, gives it tasks, or ends its maintenance, but an engineer.

Every window ends by itself, so that no robot stays without its alerts because somebody forgot.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import sqlalchemy as sql
from sqlalchemy.engine import Engine

from fleet.alerts.alertmanager import Alertmanager, AlertmanagerError
from fleet.clock import Clock
from fleet.people.roles import Principal, Role
from fleet.store.rows import Transaction, hold, read

log = logging.getLogger(__name__)

NS_PER_S = 1_000_000_000
HOURS_MAX = 30 * 24.0
REASON_MAX = 200
METADATA = sql.MetaData()
MAINTENANCE = sql.Table(
    "robot_maintenance",
    METADATA,
    sql.Column("robot", sql.String(64), primary_key=True),
    sql.Column("since_s", sql.BigInteger, nullable=False),
    sql.Column("until_s", sql.BigInteger, nullable=False),
    sql.Column("who", sql.String(48), nullable=False),
    sql.Column("reason", sql.String(200), nullable=False),
    sql.Column("silence", sql.String(64), nullable=False),
)


@dataclass(frozen=True)
class Maintenance:
    robot_id: str
    since_s: int
    until_s: int
    who: str
    reason: str
    silence: str = ""  # Alertmanager's id; empty: it was not told

    def holds(self, wall_ns: int) -> bool:
        return wall_ns < self.until_s * NS_PER_S

    def is_free_for(self, who: Principal) -> bool:
        """Those who may re-arm it, end its maintenance, or take that over."""
        return who.name == self.who or who.role.covers(Role.ENGINEER)


class HeldError(RuntimeError):
    """Somebody else works on it; the text says who, and what to try."""

    def __init__(self, kept: Maintenance) -> None:
        super().__init__(
            f"{kept.robot_id} is in maintenance by {kept.who} ({kept.reason}); ask them,"
            " or an engineer to end it"
        )


class Silences(Protocol):
    """Where messages about alerts are held back."""

    def begin(self, robot_id: str, hours: float, who: str, reason: str) -> str: ...

    def end(self, silence: str) -> None: ...


class AlertmanagerSilences:
    """Alertmanager away: maintenance holds all the same, and says that messages go on."""

    def __init__(self, alertmanager: Alertmanager, clock: Clock) -> None:
        self._alertmanager = alertmanager
        self._clock = clock

    def begin(self, robot_id: str, hours: float, who: str, reason: str) -> str:
        why, now_ns = f"maintenance: {reason}", self._clock.wall_ns()
        return self._try(
            lambda: self._alertmanager.silence({"subject": robot_id}, hours, who, why, now_ns)
        )

    def end(self, silence: str) -> None:
        self._try(lambda: self._alertmanager.end_silence(silence))

    def _try(self, act: Callable[[], str | None]) -> str:
        try:
            return act() or ""
        except AlertmanagerError as error:
            log.warning("messages of a robot in maintenance go on: %s", error)
            return ""


class Upkeep:
    def __init__(self, rows: Engine, clock: Clock, silences: Silences | None = None) -> None:
        self._rows = rows
        self._clock = clock
        self._silences = silences

    def all(self) -> dict[str, Maintenance]:
        """Those that hold now."""
        now_s = self._clock.wall_ns() // NS_PER_S
        query = sql.select(MAINTENANCE).where(MAINTENANCE.c.until_s > now_s)
        return {row.robot: _maintenance(row) for row in read(self._rows, query)}

    def begin(self, robot_id: str, who: Principal, reason: str, hours: float) -> Maintenance:
        """Again: it is prolonged or cut short, and has been since when it was. HeldError."""
        now_s = self._clock.wall_ns() // NS_PER_S
        made = Maintenance(
            robot_id, now_s, now_s + round(hours * 3600), who.name, reason[:REASON_MAX]
        )
        self._refuse_held(self.all().get(robot_id), who)
        if self._silences is not None:
            made = replace(made, silence=self._silences.begin(robot_id, hours, who.name, reason))
        try:
            before = self._keep(made, who)
        except BaseException:
            self._unsilence(made)
            raise
        self._unsilence(before)
        return made if before is None else replace(made, since_s=before.since_s)

    def end(self, robot_id: str, who: Principal) -> bool:
        """HeldError."""
        mine = MAINTENANCE.c.robot == robot_id
        with Transaction(self._rows) as connection:
            hold(connection, [f"maintenance {robot_id}"])
            row = connection.execute(sql.select(MAINTENANCE).where(mine)).first()
            kept = None if row is None else _maintenance(row)
            if kept is not None and kept.holds(self._clock.wall_ns()):
                self._refuse_held(kept, who)
            connection.execute(sql.delete(MAINTENANCE).where(mine))
        self._unsilence(kept)
        return kept is not None

    def _keep(self, made: Maintenance, who: Principal) -> Maintenance | None:
        """What held before, if anything did."""
        same = MAINTENANCE.c.robot == made.robot_id
        with Transaction(self._rows) as connection:
            hold(connection, [f"maintenance {made.robot_id}"])
            row = connection.execute(sql.select(MAINTENANCE).where(same)).first()
            before = None if row is None else _maintenance(row)
            if before is not None and not before.holds(self._clock.wall_ns()):
                before = None
            self._refuse_held(before, who)
            connection.execute(sql.delete(MAINTENANCE).where(same))
            connection.execute(
                sql.insert(MAINTENANCE).values(
                    robot=made.robot_id,
                    since_s=made.since_s if before is None else before.since_s,
                    until_s=made.until_s,
                    who=made.who,
                    reason=made.reason,
                    silence=made.silence,
                )
            )
        return before

    def _refuse_held(self, kept: Maintenance | None, who: Principal) -> None:
        if kept is not None and not kept.is_free_for(who):
            raise HeldError(kept)

    def _unsilence(self, kept: Maintenance | None) -> None:
        if kept is not None and kept.silence and self._silences is not None:
            self._silences.end(kept.silence)


def _maintenance(row: Any) -> Maintenance:
    return Maintenance(row.robot, row.since_s, row.until_s, row.who, row.reason, row.silence)
