"""Who did what, when, from where, and what came of it. Rows are added and, when old, dropped."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sql
from sqlalchemy.engine import Engine

from fleet.clock import Clock
from fleet.people.tables import AUDIT
from fleet.store.rows import Transaction, read

KEPT_NS = 400 * 86_400 * 1_000_000_000
ROWS_MAX = 1_000_000
SWEEP_EVERY = 1000  # entries between two looks at what is too old
PAGE_MAX = 1000


@dataclass(frozen=True)
class Entry:
    who: str
    via: str
    address: str
    action: str
    target: str
    outcome: str
    at_ns: int = 0
    id: int = 0


class Audit:
    def __init__(self, rows: Engine, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock
        self._written = 0

    def note(self, entry: Entry) -> None:
        at_ns = self._clock.wall_ns()
        with Transaction(self._rows) as connection:
            connection.execute(
                sql.insert(AUDIT).values(
                    at_ns=at_ns,
                    who=entry.who[:80],
                    via=entry.via[:16],
                    address=entry.address[:64],
                    action=entry.action[:120],
                    target=entry.target[:200],
                    outcome=entry.outcome[:40],
                )
            )
            if self._written % SWEEP_EVERY == 0:
                newest = sql.select(sql.func.max(AUDIT.c.id)).scalar_subquery()
                old = sql.or_(AUDIT.c.at_ns < at_ns - KEPT_NS, AUDIT.c.id <= newest - ROWS_MAX)
                connection.execute(sql.delete(AUDIT).where(old))
        self._written += 1

    def entries(
        self, limit: int = 100, before_id: int | None = None, who: str | None = None
    ) -> Sequence[Entry]:
        """Newest first; `before_id` goes on where a page ended."""
        query = sql.select(AUDIT).order_by(AUDIT.c.id.desc()).limit(min(limit, PAGE_MAX))
        if before_id is not None:
            query = query.where(AUDIT.c.id < before_id)
        if who is not None:
            query = query.where(AUDIT.c.who == who)
        return [
            Entry(r.who, r.via, r.address, r.action, r.target, r.outcome, r.at_ns, r.id)
            for r in read(self._rows, query)
        ]
