"""Rows of incidents. Each change is one transaction, with its line in the timeline."""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Connection, Engine

from fleet.alerts.alert import ActiveAlert
from fleet.incidents.decide import Joins, recovered_at
from fleet.incidents.model import BY_ITSELF, Entry, Incident, Kind, Member, State, StepState
from fleet.incidents.runbook import Runbook
from fleet.incidents.tables import ENTRY, INCIDENT, MEMBER, STEP
from fleet.store.rows import Transaction, hold, read

TEXT_MAX = 20_000
TIMELINE_MAX = 5_000


class IncidentBook:
    """Raises StoreUnavailableError when nothing was decided."""

    def __init__(self, rows: Engine) -> None:
        self._rows = rows

    def open(
        self, header: dict[str, Any], runbook: Runbook | None, alert: ActiveAlert | None
    ) -> int:
        """A new incident with its steps; `header` are columns of the incident."""
        with Transaction(self._rows) as connection:
            hold(connection, ["incidents"])
            made = connection.execute(
                sql.insert(INCIDENT).values(cause="", prevention="", **header)
            )
            key = made.inserted_primary_key
            assert key is not None
            incident_id = int(key[0])
            text = header["title"]
            row = Entry(header["opened_ns"], Kind.OPENED, header["opened_by"], text)
            _note(connection, incident_id, row)
            for step in () if runbook is None else runbook.steps:
                connection.execute(
                    sql.insert(STEP).values(
                        incident=incident_id,
                        number=step.number,
                        text=step.text,
                        commands="\n".join(step.commands),
                        needed=True,
                    )
                )
            if alert is not None:
                _add_member(connection, incident_id, alert)
        return incident_id

    def join(self, joins: Joins, at_ns: int) -> None:
        alert = joins.alert
        with Transaction(self._rows) as connection:
            hold(connection, ["incidents"])
            if not _add_member(connection, joins.incident_id, alert):
                return
            text = f"{alert.name} of {alert.subject}: {alert.summary}"
            _note(connection, joins.incident_id, Entry(at_ns, Kind.ALERT, BY_ITSELF, text))
            values: dict[str, Any] = {"recovered_ns": None}
            if joins.is_worse:
                values["severity"] = alert.severity.value
            mine = INCIDENT.c.id == joins.incident_id
            connection.execute(sql.update(INCIDENT).where(mine).values(**values))

    def end_alert(self, alert: ActiveAlert, ended_ns: int) -> None:
        """In whatever open incident it is; when it was the last one, that has recovered."""
        with Transaction(self._rows) as connection:
            hold(connection, ["incidents"])
            mine = sql.and_(
                MEMBER.c.subject == alert.subject,
                MEMBER.c.rule == alert.key,
                MEMBER.c.ended_ns.is_(None),
            )
            found = connection.execute(sql.select(MEMBER.c.incident).where(mine)).scalars().all()
            connection.execute(sql.update(MEMBER).where(mine).values(ended_ns=ended_ns))
            for incident_id in sorted(set(found)):
                text = f"over: {alert.name} of {alert.subject}"
                _note(connection, incident_id, Entry(ended_ns, Kind.ALERT, BY_ITSELF, text))
                at_ns = recovered_at(_load(connection, incident_id))
                row = sql.update(INCIDENT).where(INCIDENT.c.id == incident_id)
                connection.execute(row.values(recovered_ns=at_ns))

    def note(self, incident_id: int, entries: Iterable[Entry]) -> None:
        """The same words about the same moment are written once."""
        with Transaction(self._rows) as connection:
            hold(connection, ["incidents"])
            for entry in entries:
                _note(connection, incident_id, entry)

    def tick(self, incident_id: int, number: int, who: str, at_ns: int, *, needed: bool) -> bool:
        """Whether there is such a step that was open."""
        with Transaction(self._rows) as connection:
            hold(connection, ["incidents"])
            mine = sql.and_(
                STEP.c.incident == incident_id, STEP.c.number == number, STEP.c.done_ns.is_(None)
            )
            done = connection.execute(
                sql.update(STEP).where(mine).values(done_ns=at_ns, done_by=who, needed=needed)
            )
            if done.rowcount:
                text = f"step {number} {'done' if needed else 'not needed'}"
                _note(connection, incident_id, Entry(at_ns, Kind.STEP, who, text))
        return bool(done.rowcount)

    def close(self, incident_id: int, who: str, at_ns: int, *, cause: str, prevention: str) -> None:
        with Transaction(self._rows) as connection:
            hold(connection, ["incidents"])
            mine = sql.and_(INCIDENT.c.id == incident_id, INCIDENT.c.closed_ns.is_(None))
            values = {"closed_ns": at_ns, "closed_by": who}
            words = {"cause": cause[:TEXT_MAX], "prevention": prevention[:TEXT_MAX]}
            if connection.execute(
                sql.update(INCIDENT).where(mine).values(**values, **words)
            ).rowcount:
                _note(connection, incident_id, Entry(at_ns, Kind.CLOSED, who, "closed"))

    def find(self, incident_id: int) -> Incident | None:
        found = self._select(INCIDENT.c.id == incident_id, 1)
        return found[0] if found else None

    def open_ones(self) -> list[Incident]:
        return self._select(INCIDENT.c.closed_ns.is_(None), 1000)

    def newest(self, limit: int = 50) -> list[Incident]:
        """Open and closed ones, newest first."""
        return self._select(sql.true(), limit)

    def page(self, state: State | None, before: int | None, limit: int) -> list[Incident]:
        """The newest with a number below `before`, without their steps and timelines."""
        where = [] if before is None else [INCIDENT.c.id < before]
        match state:
            case State.CLOSED:
                where.append(INCIDENT.c.closed_ns.is_not(None))
            case State.OPEN | State.RECOVERED:
                recovered = INCIDENT.c.recovered_ns
                is_open = recovered.is_(None) if state is State.OPEN else recovered.is_not(None)
                where += [INCIDENT.c.closed_ns.is_(None), is_open]
            case None:
                pass
        return self._select(sql.and_(sql.true(), *where), limit, (MEMBER,))

    def _select(
        self, where: Any, limit: int, tables: Sequence[sql.Table] = (MEMBER, STEP, ENTRY)
    ) -> list[Incident]:
        query = sql.select(INCIDENT).where(where).order_by(INCIDENT.c.id.desc()).limit(limit)
        rows = read(self._rows, query)
        ids = [row.id for row in rows]
        parts = {t.name: read(self._rows, _parts_of(t, ids)) for t in tables if ids}
        of = [parts.get(table.name, ()) for table in (MEMBER, STEP, ENTRY)]
        return [_incident(row, *of) for row in rows]


def _parts_of(table: sql.Table, ids: Sequence[int]) -> Any:
    order = {
        MEMBER.name: (MEMBER.c.began_ns,),
        STEP.name: (STEP.c.number,),
        ENTRY.name: (ENTRY.c.at_ns, ENTRY.c.id),
    }[table.name]
    return sql.select(table).where(table.c.incident.in_(ids)).order_by(*order)


def _load(connection: Connection, incident_id: int) -> Incident:
    row = connection.execute(sql.select(INCIDENT).where(INCIDENT.c.id == incident_id)).one()
    members = connection.execute(_parts_of(MEMBER, [incident_id])).all()
    return _incident(row, members, [], [])


def _incident(
    row: Any, members: Sequence[Any], steps: Sequence[Any], entries: Sequence[Any]
) -> Incident:
    fields = {str(key): value for key, value in row._mapping.items() if key != "id"}
    return Incident(
        incident_id=row.id,
        **fields,
        members=tuple(
            Member(one.subject, one.rule, one.began_ns, one.ended_ns, one.summary)
            for one in members
            if one.incident == row.id
        ),
        steps=tuple(
            StepState(
                one.number,
                one.text,
                tuple(one.commands.splitlines()),
                one.done_ns,
                one.done_by,
                bool(one.needed),
            )
            for one in steps
            if one.incident == row.id
        ),
        timeline=tuple(
            Entry(one.at_ns, Kind(one.kind), one.who, one.text)
            for one in entries
            if one.incident == row.id
        )[:TIMELINE_MAX],
    )


def _add_member(connection: Connection, incident_id: int, alert: ActiveAlert) -> bool:
    row = {
        "incident": incident_id,
        "subject": alert.subject,
        "rule": alert.key,
        "began_ns": alert.since_ns,
    }
    same = sql.and_(*(MEMBER.c[name] == value for name, value in row.items()))
    if connection.execute(sql.select(MEMBER.c.incident).where(same)).first() is not None:
        return False
    connection.execute(sql.insert(MEMBER).values(**row, summary=alert.summary))
    return True


def _note(connection: Connection, incident_id: int, entry: Entry) -> None:
    row = {
        "incident": incident_id,
        "at_ns": entry.at_ns,
        "kind": entry.kind.value,
        "who": entry.who[:128],
        "text": entry.text[:TEXT_MAX].replace("\x00", ""),
    }
    same = sql.and_(*(ENTRY.c[name] == value for name, value in row.items()))
    if connection.execute(sql.select(ENTRY.c.id).where(same)).first() is None:
        connection.execute(sql.insert(ENTRY).values(**row))
