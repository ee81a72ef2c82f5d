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
from fleet.alerts.sample import FLEET
from fleet.alerts.state import StateError, read_lane, write_lane
from fleet.alerts.tables import EPISODE, HEARD, LANE, NOTICE
from fleet.metrics.tables import SEEN
from fleet.store.rows import Transaction, hold, insert, read

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
        fired = [one for one in entry.changes if one[1].turn is not Turn.ENDED]
        ended = [(s, c.rule, c.at_ns) for s, c in entry.changes if c.turn is Turn.ENDED]
        ended += [(alert.subject, alert.key, at_ns) for alert, at_ns in entry.ended]
        told = [{**_row_of(alert), "told_ns": now_ns} for alert in entry.told]
        with Transaction(self._rows) as connection:
            hold(connection, ["alerts"])
            _write_lanes(connection, entry.lanes)
            _put_episodes(connection, [self._row_of_change(*one) for one in fired], ())
            _put_episodes(connection, told, ("told_ns", "summary"))
            _end_episodes(connection, ended)
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
        at = sql.join(EPISODE, SEEN, EPISODE.c.subject == SEEN.c.robot, isouter=True)
        query = sql.select(EPISODE, SEEN.c.site).select_from(at)
        query = query.where(EPISODE.c.ended_ns.is_(None), EPISODE.c.told_ns > 0)
        return [
            ActiveAlert(
                key=row.rule,
                name=row.alert,
                subject=row.subject,
                site=FLEET if row.subject == FLEET else row.site or "",
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

    def _row_of_change(self, subject: str, change: Change) -> dict[str, Any]:
        rule = self._rules.rules[change.rule]
        return {
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


def _put_episodes(
    connection: Connection, rows: Sequence[Mapping[str, Any]], changes: tuple[str, ...]
) -> None:
    """One that is there already gets no more than the `changes`."""
    if not rows:
        return
    statement = insert(connection.dialect.name, EPISODE)
    same = ["subject", "rule", "began_ns"]
    put = (
        statement.on_conflict_do_update(
            index_elements=same, set_={name: statement.excluded[name] for name in changes}
        )
        if changes
        else statement.on_conflict_do_nothing(index_elements=same)
    )
    connection.execute(put, rows)


def _end_episodes(connection: Connection, ended: Sequence[tuple[str, str, int]]) -> None:
    """All that had begun by then and goes on."""
    if ended:
        connection.execute(_END, [{"s": s, "r": r, "at_ns": at_ns} for s, r, at_ns in ended])


def _write_lanes(connection: Connection, lanes: Mapping[Place, Lane | None]) -> None:
    gone = [{"s": subject, "g": of.value} for (subject, of), lane in lanes.items() if lane is None]
    rows = [
        {"subject": subject, "signal": signal.value, "body": write_lane(lane)}
        for (subject, signal), lane in lanes.items()
        if lane is not None
    ]
    if gone:
        connection.execute(_GONE, gone)
    if rows:
        statement = insert(connection.dialect.name, LANE)
        body = {"body": statement.excluded.body}
        put = statement.on_conflict_do_update(index_elements=["subject", "signal"], set_=body)
        connection.execute(put, rows)


_GONE = sql.delete(LANE).where(
    LANE.c.subject == sql.bindparam("s"), LANE.c.signal == sql.bindparam("g")
)
_END = (
    sql.update(EPISODE)
    .where(
        EPISODE.c.subject == sql.bindparam("s"),
        EPISODE.c.rule == sql.bindparam("r"),
        EPISODE.c.ended_ns.is_(None),
        EPISODE.c.began_ns <= sql.bindparam("at_ns"),
    )
    .values(ended_ns=sql.bindparam("at_ns"))
)
