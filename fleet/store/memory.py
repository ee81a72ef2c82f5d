"""What alert rules remember beyond a restart: what holds, what fires, and who is silent.

States are kept on the wall clock, since the monotonic one starts anew with the machine. The time
in which nobody watched is time in which nothing was known: a condition that held before goes on
holding until it is seen not to, as in `fleet.alerts.step`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sql

from fleet.alerts import AlertState, Phase
from fleet.store.books import METADATA, Books

STATE = sql.Table(
    "alert_state",
    METADATA,
    sql.Column("robot", sql.String, primary_key=True),
    sql.Column("rule", sql.String, primary_key=True),
    sql.Column("phase", sql.String, nullable=False),
    sql.Column("since_wall_ns", sql.BigInteger, nullable=False),
    sql.Column("value", sql.Float),
)
WATCHED = sql.Table(
    "alert_robot",
    METADATA,
    sql.Column("robot", sql.String, primary_key=True),
    sql.Column("site", sql.String, nullable=False),
    sql.Column("silent_wall_ns", sql.BigInteger),
)


@dataclass(frozen=True)
class Moment:
    """One instant on both clocks."""

    now_ns: int
    wall_ns: int

    def to_wall(self, then_ns: int) -> int:
        return self.wall_ns - (self.now_ns - then_ns)

    def from_wall(self, then_wall_ns: int) -> int:
        """A wall clock that was set back makes what was before it begin now, never later."""
        return self.now_ns - max(0, self.wall_ns - then_wall_ns)


@dataclass(frozen=True)
class Memory:
    """Of one robot: rules that are pending or fire, and since when it is silent, if it is."""

    robot_id: str
    site: str
    states: Mapping[str, AlertState]
    silent_ns: int | None

    def is_as(self, other: "Memory | None") -> bool:
        """Whether writing it down again would say nothing new; values change all the time."""
        return other is not None and self._gist() == other._gist()

    def _gist(self) -> tuple[object, ...]:
        phases = {rule: (state.phase, state.since_ns) for rule, state in self.states.items()}
        return phases, self.silent_ns


class AlertBook:
    def __init__(self, books: Books) -> None:
        self._books = books
        with books.transaction() as connection:
            METADATA.create_all(connection, tables=[STATE, WATCHED])

    def save(self, memories: Sequence[Memory], moment: Moment) -> None:
        """All of them or none."""
        with self._books.transaction() as connection:
            for memory in memories:
                for table in (STATE, WATCHED):
                    connection.execute(sql.delete(table).where(table.c.robot == memory.robot_id))
                silent_ns = memory.silent_ns
                connection.execute(
                    sql.insert(WATCHED).values(
                        robot=memory.robot_id,
                        site=memory.site,
                        silent_wall_ns=None if silent_ns is None else moment.to_wall(silent_ns),
                    )
                )
                rows = [
                    {
                        "robot": memory.robot_id,
                        "rule": rule,
                        "phase": state.phase.value,
                        "since_wall_ns": moment.to_wall(state.since_ns),
                        "value": state.value,
                    }
                    for rule, state in memory.states.items()
                ]
                if rows:
                    connection.execute(sql.insert(STATE), rows)

    def load(self, moment: Moment) -> list[Memory]:
        states: dict[str, dict[str, AlertState]] = {}
        for row in self._books.read(sql.select(STATE)):
            since_ns = moment.from_wall(row.since_wall_ns)
            state = AlertState(Phase(row.phase), since_ns, moment.now_ns, row.value)
            states.setdefault(row.robot, {})[row.rule] = state
        return [
            Memory(
                row.robot,
                row.site,
                states.get(row.robot, {}),
                None if row.silent_wall_ns is None else moment.from_wall(row.silent_wall_ns),
            )
            for row in self._books.read(sql.select(WATCHED))
        ]
