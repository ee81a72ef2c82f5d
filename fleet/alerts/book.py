"""Rows of the alerts: one transaction for all that a moment brought."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import sqlalchemy as sql
from sqlalchemy.engine import Connection, Engine

from conf.schema.alerts import Alerts, Severity, Signal
from fleet.alerts.alert import ActiveAlert, summary_of
from fleet.alerts.engine import Place
from fleet.alerts.lane import Change, Lane, Turn
from fleet.alerts.state import StateError, read_lane, write_lane
from fleet.alerts.tables import EPISODE, HEARD, LANE, NOTICE
from fleet.store.rows import Transaction, hold, read

NS_PER_DAY = 86_400_000_000_000
NOTICES_KEPT = 10_000


@dataclass
class Entry:
    """What is to be written."""

    lanes: dict[Place, Lane | None] = field(default_factory=dict[Place, Lane | None])
    changes: list[tuple[str, Change]] = field(default_factory=list[tuple[str, Change]])
    told: list[ActiveAlert] = field(default_factory=list[ActiveAlert])
    ended: list[tuple[ActiveAlert, int]] = field(default_factory=list[tuple[ActiveAlert, int]])
    notices: list[tuple[int, bytes]] = field(default_factory=list[tuple[int, bytes]])
    heard: dict[str, int] | None = None  # by subject, the event time of its newest word

    @property
    def is_empty(self) -> bool:
        parts = (self.lanes, self.changes, self.told, self.ended, self.notices, self.heard)
        return not any(parts)


class AlertRows:
    """Raises StoreUnavailableError when nothing was decided: write the same entry again."""

    def __init__(self, rows: Engine, rules: Alerts) -> None:
        self._rows = rows
        self._rules = rules

    def write(self, entry: Entry, now_ns: int) -> None:
        """Twice the same changes nothing."""
        with Transaction(self._rows) as connection:
            hold(connection, ["alerts"])
            for place, lane in entry.lanes.items():
                _write_lane(connection, place, lane)
            for subject, change in entry.changes:
                self._write_change(connection, subject, change)
            for alert in entry.told:
                row = _row_of(alert)
                _put_episode(connection, row, {"told_ns": now_ns, "summary": alert.summary})
            for alert, ended_ns in entry.ended:
                _end_episode(connection, alert.subject, alert.key, ended_ns)
            if entry.heard is not None:
                connection.execute(sql.delete(HEARD))
                connection.execute(sql.insert(HEARD).values(id=1, body=orjson.dumps(entry.heard)))
            for at_ns, body in entry.notices:
                connection.execute(sql.insert(NOTICE).values(at_ns=at_ns, body=body))

    def lanes(self) -> dict[Place, Lane]:
        """What cannot be read any more begins anew."""
        found: dict[Place, Lane] = {}
        known = {signal.value for signal in Signal}
        for row in read(self._rows, sql.select(LANE)):
            if row.signal not in known:
                continue
            signal = Signal(row.signal)
            mine = {k: one for k, one in self._rules.rules.items() if one.signal is signal}
            try:
                found[row.subject, signal] = read_lane(row.body, mine)
            except StateError:
                continue
        return found

    def heard(self) -> dict[str, int]:
        """Until when each subject was heard by the processes before this one."""
        for row in read(self._rows, sql.select(HEARD)):
            return {str(k): int(v) for k, v in orjson.loads(row.body).items()}
        return {}

    def open_episodes(self) -> list[ActiveAlert]:
        """What was told and has not ended, of rules that there are."""
        query = sql.select(EPISODE).where(EPISODE.c.ended_ns.is_(None), EPISODE.c.told_ns > 0)
        return [
            ActiveAlert(
                key=row.rule,
                name=row.alert,
                subject=row.subject,
                site="",
                severity=Severity(row.severity),
                summary=row.summary,
                runbook=row.runbook,
                since_ns=row.began_ns,
                value=row.value,
                known=False,
            )
            for row in read(self._rows, query)
        ]

    def history(
        self, subject: str | None = None, since_ns: int = 0, limit: int = 100
    ) -> list[dict[str, Any]]:
        """What has fired, newest first; `past` is what was found after the fact."""
        query = sql.select(EPISODE).where(EPISODE.c.began_ns >= since_ns)
        if subject is not None:
            query = query.where(EPISODE.c.subject == subject)
        query = query.order_by(EPISODE.c.began_ns.desc(), EPISODE.c.id.desc()).limit(limit)
        return [{str(k): v for k, v in row._mapping.items()} for row in read(self._rows, query)]

    def notices(self, limit: int = 20) -> Sequence[Any]:
        """What the webhook has not taken, oldest first."""
        return read(self._rows, sql.select(NOTICE).order_by(NOTICE.c.id).limit(limit))

    def drop_notices(self, ids: Iterable[int]) -> None:
        with Transaction(self._rows) as connection:
            connection.execute(sql.delete(NOTICE).where(NOTICE.c.id.in_(list(ids))))

    def expire(self, now_ns: int, days: float) -> None:
        """Old episodes, and notices beyond what anybody would read."""
        oldest_ns = now_ns - round(days * NS_PER_DAY)
        with Transaction(self._rows) as connection:
            connection.execute(sql.delete(EPISODE).where(EPISODE.c.ended_ns < oldest_ns))
            newest = sql.select(sql.func.max(NOTICE.c.id)).scalar_subquery()
            connection.execute(sql.delete(NOTICE).where(NOTICE.c.id <= newest - NOTICES_KEPT))

    def _write_change(self, connection: Connection, subject: str, change: Change) -> None:
        rule = self._rules.rules[change.rule]
        if change.turn is Turn.ENDED:
            _end_episode(connection, subject, change.rule, change.at_ns)
            return
        row = {
            "subject": subject,
            "rule": change.rule,
            "began_ns": change.at_ns,
            "alert": rule.alert,
            "severity": rule.severity.value,
            "summary": summary_of(rule, subject, change.value),
            "runbook": rule.runbook,
            "value": change.value,
            "past": change.past,
        }
        _put_episode(connection, row, {})


def _row_of(alert: ActiveAlert) -> dict[str, Any]:
    return {
        "subject": alert.subject,
        "rule": alert.key,
        "began_ns": alert.since_ns,
        "alert": alert.name,
        "severity": alert.severity.value,
        "summary": alert.summary,
        "runbook": alert.runbook,
        "value": alert.value,
        "past": False,
    }


def _put_episode(connection: Connection, row: Mapping[str, Any], more: Mapping[str, Any]) -> None:
    key = sql.and_(*(EPISODE.c[name] == row[name] for name in ("subject", "rule", "began_ns")))
    if connection.execute(sql.select(EPISODE.c.id).where(key)).first() is None:
        connection.execute(sql.insert(EPISODE).values({**row, **more}))
    elif more:
        connection.execute(sql.update(EPISODE).where(key).values({**more}))


def _end_episode(connection: Connection, subject: str, rule: str, ended_ns: int) -> None:
    mine = sql.and_(
        EPISODE.c.subject == subject,
        EPISODE.c.rule == rule,
        EPISODE.c.ended_ns.is_(None),
        EPISODE.c.began_ns <= ended_ns,
    )
    connection.execute(sql.update(EPISODE).where(mine).values(ended_ns=ended_ns))


def _write_lane(connection: Connection, place: Place, lane: Lane | None) -> None:
    mine = sql.and_(LANE.c.subject == place[0], LANE.c.signal == place[1].value)
    connection.execute(sql.delete(LANE).where(mine))
    if lane is not None:
        row = {"subject": place[0], "signal": place[1].value, "body": write_lane(lane)}
        connection.execute(sql.insert(LANE).values(row))
