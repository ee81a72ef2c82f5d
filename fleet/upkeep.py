"""Robots that are being worked on: somebody has said so, and until they say otherwise it holds."""

from dataclasses import dataclass

import sqlalchemy as sql
from sqlalchemy.engine import Engine

from fleet.clock import Clock
from fleet.store.rows import Transaction, read

NS_PER_S = 1_000_000_000
METADATA = sql.MetaData()
MAINTENANCE = sql.Table(
    "robot_maintenance",
    METADATA,
    sql.Column("robot", sql.String(64), primary_key=True),
    sql.Column("since_s", sql.BigInteger, nullable=False),
    sql.Column("who", sql.String(48), nullable=False),
    sql.Column("reason", sql.String(200), nullable=False),
)


@dataclass(frozen=True)
class Maintenance:
    robot_id: str
    since_s: int
    who: str
    reason: str


class Upkeep:
    def __init__(self, rows: Engine, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock

    def all(self) -> dict[str, Maintenance]:
        return {
            row.robot: Maintenance(row.robot, row.since_s, row.who, row.reason)
            for row in read(self._rows, sql.select(MAINTENANCE))
        }

    def begin(self, robot_id: str, who: str, reason: str) -> Maintenance:
        """Twice is once: the first who said it stays."""
        made = Maintenance(robot_id, self._clock.wall_ns() // NS_PER_S, who, reason[:200])
        with Transaction(self._rows) as connection:
            same = sql.select(MAINTENANCE).where(MAINTENANCE.c.robot == robot_id)
            row = connection.execute(same).first()
            if row is not None:
                return Maintenance(row.robot, row.since_s, row.who, row.reason)
            values = {"robot": robot_id, "since_s": made.since_s, "who": who}
            connection.execute(sql.insert(MAINTENANCE).values(**values, reason=made.reason))
        return made

    def end(self, robot_id: str) -> bool:
        with Transaction(self._rows) as connection:
            mine = MAINTENANCE.c.robot == robot_id
            return connection.execute(sql.delete(MAINTENANCE).where(mine)).rowcount > 0
