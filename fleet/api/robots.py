"""Routes about the fleet and its robots."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query
from sqlalchemy.engine import Engine

from conf.schema.alerts import Severity
from fleet.api.parameters import NS_MAX, MomentNs, TimeCursor, place_of
from fleet.api.replies import (
    AccountReply,
    AccountsReply,
    AlertReply,
    AlertsReply,
    DayReply,
    EventReply,
    EventsReply,
    FleetReply,
    MaintenanceReply,
    RobotDetailReply,
    RobotReply,
    RobotsReply,
    TargetsReply,
)
from fleet.events import FilterError, find, parse_filter
from fleet.events import Wanted as Events
from fleet.numbers import API_PATIENCE_S, Numbers
from fleet.picture import Attention
from fleet.problem import ProblemError
from fleet.roster import PAGE_MAX, CursorError, Duty, SortKey, Wanted, page_after
from fleet.watch import Board, Watch

EVENTS_MAX = 1000
RobotId = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
Text = Annotated[str | None, Query(max_length=100)]


class RobotsApi:
    def __init__(
        self,
        watch: Watch,
        rows: Engine,
        numbers: Numbers,
        targets: TargetsReply,
    ) -> None:
        self._watch = watch
        self._rows = rows
        self._numbers = numbers
        self._targets = targets

    def add_to(self, router: APIRouter) -> None:
        get = router.get
        get("/fleet", tags=["fleet"], summary="the fleet now")(self.fleet)
        get("/fleet/week", tags=["fleet"], summary="the last seven days")(self.week)
        get("/robots", tags=["robots"], summary="robots, by pages")(self.robots)
        get("/robots/{robot_id}", tags=["robots"], summary="one robot")(self.robot)
        get("/robots/{robot_id}/tasks", tags=["robots"], summary="tasks that it ended")(self.tasks)
        get("/events", tags=["events"], summary="events, newest first")(self.events)
        get("/alerts", tags=["alerts"], summary="what fires, the worst first")(self.alerts)
        get("/accounting", tags=["fleet"], summary="what became of every record")(self.accounting)

    async def fleet(self) -> FleetReply:
        known = await self._numbers.get(API_PATIENCE_S)
        return FleetReply.of(self._watch.picture(), known.now, self._targets)

    async def week(self) -> list[DayReply]:
        return [DayReply.of(day) for day in (await self._numbers.get(API_PATIENCE_S)).week]

    async def robots(
        self,
        search: Annotated[str, Query(max_length=100, description="words, all of them")] = "",
        duty: Duty | None = None,
        healthy: bool | None = None,
        site: Text = None,
        artifact: Text = None,
        sort: SortKey = SortKey.ROBOT,
        descending: bool = False,
        cursor: Annotated[str | None, Query(max_length=400)] = None,
        limit: Limit = 50,
    ) -> RobotsReply:
        wanted = Wanted(search, duty, healthy, site, artifact, sort, descending)
        try:
            lines, after = page_after(self._watch.picture().lines, wanted, cursor, limit)
        except CursorError as error:
            raise ProblemError(400, "wrong_cursor", str(error)) from error
        return RobotsReply(items=[RobotReply.of(line) for line in lines], next=after)

    async def robot(self, robot_id: RobotId) -> RobotDetailReply:
        board, line = self._board(robot_id), self._watch.line(robot_id)
        assert line is not None  # the board is there
        silenced = board.in_maintenance
        attention = [Attention(robot_id, line.site, alarm, silenced) for alarm in board.alarms]
        return RobotDetailReply(
            robot=RobotReply.of(line),
            alerts=[AlertReply.of(one) for one in attention],
            maintenance=None if board.upkeep is None else MaintenanceReply.of(board.upkeep),
            cameras=sorted(board.robot.snapshots),
            live=board.robot.live,
        )

    def tasks(self, robot_id: RobotId, cursor: TimeCursor = None, limit: Limit = 50) -> EventsReply:
        self._board(robot_id)
        return self._find(Events(robot=robot_id, name="task.*"), cursor, limit)

    def events(
        self,
        robot: Text = None,
        site: Text = None,
        version: Text = None,
        task: Text = None,
        task_id: Annotated[int | None, Query(ge=0, le=NS_MAX)] = None,
        name: Annotated[str | None, Query(max_length=64, description="or `task.*`")] = None,
        severity: Severity | None = None,
        words: Annotated[str | None, Query(max_length=200, description="all of them")] = None,
        where: Annotated[
            str | None, Query(max_length=500, description="such as `latency_ms > 200`")
        ] = None,
        since_ns: MomentNs = None,
        until_ns: MomentNs = None,
        cursor: TimeCursor = None,
        limit: Annotated[int, Query(ge=1, le=EVENTS_MAX)] = 100,
    ) -> EventsReply:
        try:
            wish = None if where is None else parse_filter(where)
        except FilterError as error:
            raise ProblemError(400, "wrong_filter", str(error)) from error
        wanted = Events(
            since_ns=since_ns,
            until_ns=until_ns,
            robot=robot,
            site=site,
            version=version,
            task=task,
            task_id=task_id,
            name=name,
            severity=None if severity is None else severity.value,
            words=words,
            where=wish,
        )
        return self._find(wanted, cursor, limit)

    def _find(self, wanted: Events, cursor: str | None, limit: int) -> EventsReply:
        found = find(self._rows, wanted, limit, place_of(cursor))
        last = found[-1].cursor if len(found) == limit else None
        return EventsReply(
            items=[EventReply.of(event) for event in found],
            next=None if last is None else str(last),
        )

    async def alerts(self) -> AlertsReply:
        picture = self._watch.picture()
        found = (*picture.attention, *picture.silenced)
        return AlertsReply(
            items=[AlertReply.of(one) for one in found],
            in_all=picture.attention_in_all + len(picture.silenced),
        )

    async def accounting(
        self, robot: Annotated[str | None, Query(max_length=64)] = None
    ) -> AccountsReply:
        accounts = await asyncio.to_thread(self._watch.accounts, robot)
        return AccountsReply(items=[AccountReply.of(account) for account in accounts])

    def _board(self, robot_id: str) -> Board:
        board = self._watch.boards.get(robot_id)
        if board is None:
            raise ProblemError(404, "no_such_robot", f"no robot {robot_id!r} has been heard")
        return board
